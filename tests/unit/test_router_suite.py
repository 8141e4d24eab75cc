"""The router's tests run on both clusters: none may be forgotten on the way to the second."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
USES_A_CLUSTER = ("cluster", "serving: Serving", "ready: Serving")
"""What a test of the router takes that runs on either cluster."""


def test_every_router_test_that_uses_a_cluster_also_runs_on_a_real_api_server() -> None:
    for folder, words in (("router", USES_A_CLUSTER), ("lifecycle", ("cluster: InstrumentedCluster",))):
        for unit in (TESTS / "unit" / folder).glob("test_*.py"):
            if any(word in unit.read_text() for word in words):
                twin = TESTS / "integration/router" / unit.name
                assert twin.is_file(), f"{twin} is missing: from tests.unit.{folder}.{unit.stem} import *"
                assert f"from tests.unit.{folder}.{unit.stem} import *" in twin.read_text()
