"""Nobody sees another's bytes, and nothing is left over: random clients at the real router, bench engines behind it.

Half a minute each by default; `--storm-seconds 3600` for an hour, `--storm-seed N` for the clients of an earlier one.
"""

import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.integration.serving.storm import Storm


@pytest.mark.parametrize("engines", ["friendly", "hostile"])
async def test_a_storm(
    engines: str,
    tmp_path: Path,
    pytestconfig: pytest.Config,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds: Any = pytestconfig.getoption("--storm-seconds")
    told: Any = pytestconfig.getoption("--storm-seed")
    seed = secrets.randbelow(1 << 32) if told is None else told
    report = await Storm(tmp_path, seconds, seed, hostile=engines == "hostile").run()
    with capsys.disabled():
        print(f"\n{engines} engines, {report.text()}")
    assert not report.faults, f"the {len(report.faults)} faults above"
