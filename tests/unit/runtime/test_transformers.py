"""The command line of transformers serve, whole."""

from pathlib import Path

import pytest

from berth_runtime.engines import transformers
from berth_runtime.engines.transformers import TransformersLaunchSettings, cpu_cache_share, server_command
from berth_runtime.errors import InvalidArgumentsError
from berth_runtime.main import engine_call
from tests.unit.runtime.model_files import put


def test_the_whole_command() -> None:
    settings = TransformersLaunchSettings(
        model=Path("/models/SmolLM2"), port=8000, device="cpu", continuous_batching=False, cpu_cache_share=0.25
    )
    whole = ["transformers", "serve", "/models/SmolLM2", "--host", "", "--port", "8000", "--device", "cpu"]
    assert server_command(settings) == whole
    batching = settings._replace(continuous_batching=True)
    assert server_command(batching) == [*whole, "--continuous-batching", "--cb-max-memory-percent", "0.25"]
    assert server_command(batching._replace(cpu_cache_share=None)) == [*whole, "--continuous-batching"]
    assert server_command(settings, ["--dtype", "float32"]) == [*whole, "--dtype", "float32"]


def test_the_launchers_options_reach_the_server(tmp_path: Path) -> None:
    model = put(put(tmp_path / "SmolLM2", "model.safetensors"), "config.json", content=b"{}")
    call = engine_call(
        ["transformers", "--model", str(model), "--device", "auto", "--port", "9000", "--continuous-batching"]
    ).arguments
    assert call == [
        "transformers",
        "serve",
        str(model),
        "--host",
        "",
        "--port",
        "9000",
        "--device",
        "auto",
        "--continuous-batching",
    ]


@pytest.mark.parametrize(("limit", "environment"), [(None, {}), (2, {"OMP_NUM_THREADS": "2"})])
def test_no_more_threads_than_a_limit_leaves_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None, environment: dict[str, str]
) -> None:
    monkeypatch.setattr(transformers, "usable_processors", lambda: limit)
    model = put(put(tmp_path / "SmolLM2", "model.safetensors"), "config.json", content=b"{}")
    assert engine_call(["transformers", "--model", str(model), "--device", "cpu"]).environment == environment


def test_another_name_is_refused_since_the_server_would_refuse_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentsError, match="knows a model only by its path"):
        engine_call(["transformers", "--model", str(tmp_path), "--alias", "smol"])


def test_continuous_batching_leaves_memory_to_others_on_a_cpu() -> None:
    assert cpu_cache_share(64 << 30) == round(2 / 64, 4)
    assert cpu_cache_share(1 << 30) == 0.6
