"""The command line of llama-server, whole."""

from pathlib import Path

import pytest

from berth_formats.pooling import Pooling
from berth_runtime.engines import llamacpp
from berth_runtime.engines.llamacpp import LlamaCppLaunchSettings, gpu_names, server_command
from berth_runtime.gguf import GgufFiles
from berth_runtime.main import engine_call
from tests.tiny_bert import write_bert
from tests.unit.formats.weights import write_gguf
from tests.unit.runtime.model_files import put

BASE = LlamaCppLaunchSettings(
    files=GgufFiles(Path("/models/SmolLM2/model.gguf"), None),
    port=8000,
    alias="/models/SmolLM2",
    context_size=2048,
    parallel=4,
    gpu_layers=None,
    threads=None,
    ipv6=False,
)


def test_the_whole_command() -> None:
    assert server_command(BASE) == [
        "llama-server",
        *("--model", "/models/SmolLM2/model.gguf"),
        *("--alias", "/models/SmolLM2"),
        *("--host", "0.0.0.0"),
        *("--port", "8000"),
        *("--ctx-size", "8192"),
        *("--parallel", "4"),
        *("--threads-http", "64"),
        *("--fit", "off"),
        "--no-warmup",
        *("--cache-ram", "0"),
        "--no-slots",
        "--no-ui",
        "--offline",
        "--metrics",
        "--embeddings",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"context_size": 4096, "parallel": 1}, ("--ctx-size", "4096")),
        ({"context_size": 1000, "parallel": 8}, ("--ctx-size", "8000")),
        ({"gpu_layers": -1}, ("--n-gpu-layers", "all")),
        ({"gpu_layers": 0}, ("--n-gpu-layers", "0")),
        ({"gpu_layers": 33}, ("--n-gpu-layers", "33")),
        ({"gpus": ["CUDA0", "CUDA1"]}, ("--device", "CUDA0,CUDA1")),
        ({"threads": 2}, ("--threads", "2")),
        ({"ipv6": True}, ("--host", "::")),
        ({"host": "127.0.0.1", "ipv6": True}, ("--host", "127.0.0.1")),
        ({"port": 9000}, ("--port", "9000")),
        ({"files": GgufFiles(Path("/m/a.gguf"), Path("/m/mmproj.gguf"))}, ("--mmproj", "/m/mmproj.gguf")),
    ],
)
def test_each_setting_reaches_the_server(change: dict[str, object], expected: tuple[str, str]) -> None:
    call = server_command(BASE._replace(**change))
    assert call[call.index(expected[0]) + 1] == expected[1]


GIB = 1 << 30
SMALLEST = int(66.5 * (1 << 20))
"""What the tiny model takes with 2048 tokens, and not with more."""


def context_of(tmp_path: Path, *options: str) -> int:
    """What one request gets of the tiny model, which was made for 8192 tokens."""
    model = write_gguf(tmp_path / "tiny" / "tiny.gguf", context=8192)
    call = engine_call(["llamacpp", "--model", str(model), "--parallel", "2", *options]).arguments
    return int(call[call.index("--ctx-size") + 1]) // 2


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ([], 2048),
        (["--context-size", "4096"], 4096),
        (["--context-size", "16384"], 8192),
        (["--context-size", "16384", "--", "--rope-scaling", "yarn"], 16_384),
        (["--context-size", "16384", "--", "--threads-http", "8"], 8192),
    ],
)
def test_nobody_gets_more_context_than_the_model_was_made_for(tmp_path: Path, options: list[str], tokens: int) -> None:
    assert context_of(tmp_path, *options) == tokens


@pytest.mark.parametrize(
    ("limit", "machine", "options", "tokens"),
    [
        (GIB, 8 * GIB, [], 8192),
        (SMALLEST, 8 * GIB, [], 2048),
        (1, 8 * GIB, [], 2048),
        (1, 8 * GIB, ["--devices", "1"], 8192),
        (2 * SMALLEST, 2 * SMALLEST, [], 2048),
    ],
    ids=["it fits", "less fits", "nothing fits", "on a GPU", "half of a machine without a limit"],
)
def test_the_containers_memory_decides_the_context_that_nobody_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, machine: int, options: list[str], tokens: int
) -> None:
    monkeypatch.setattr(llamacpp, "usable_memory", lambda: limit)
    monkeypatch.setattr(llamacpp, "machine_memory", lambda: machine)
    assert context_of(tmp_path, "--context-size", "auto", *options) == tokens


def test_a_model_that_tells_nothing_gets_what_is_stated_or_the_least(tmp_path: Path) -> None:
    model = put(tmp_path / "tiny", "tiny-Q4_K_M.gguf")
    for stated, tokens in (("auto", 2048), ("5000", 5000)):
        call = engine_call(["llamacpp", "--model", str(model), "--parallel", "1", "--context-size", stated]).arguments
        assert call[call.index("--ctx-size") + 1] == str(tokens)


@pytest.mark.parametrize(
    ("pooling", "added"),
    [
        (None, []),
        (Pooling.NONE, []),
        (Pooling.MEAN, ["--batch-size", "1024", "--ubatch-size", "1024"]),
        (Pooling.FIRST, ["--batch-size", "1024", "--ubatch-size", "1024"]),
        (Pooling.LAST, []),
        (Pooling.RANK, ["--batch-size", "1024", "--ubatch-size", "1024", "--reranking"]),
    ],
)
def test_a_model_that_reads_whole_inputs_computes_as_many_tokens_at_once(
    pooling: Pooling | None, added: list[str]
) -> None:
    plain = server_command(BASE._replace(context_size=1024))
    assert server_command(BASE._replace(context_size=1024, pooling=pooling)) == plain + added


@pytest.mark.parametrize(
    ("ranks", "wanted", "context", "last"),
    [(False, 2048, "2048", "2048"), (True, 2048, "2048", "--reranking"), (False, 8192, "4096", "4096")],
)
def test_the_launcher_reads_from_the_model_how_it_pools_and_how_much(
    tmp_path: Path, ranks: bool, wanted: int, context: str, last: str
) -> None:
    model = write_bert(tmp_path / "bert" / "bert.gguf", ranks=ranks)
    options = ["--context-size", str(wanted), "--parallel", "1"]
    call = engine_call(["llamacpp", "--model", str(model), *options]).arguments
    assert call[call.index("--ctx-size") + 1] == call[call.index("--ubatch-size") + 1] == context
    assert call[-1] == last


def test_extra_arguments_come_last_where_they_override() -> None:
    assert server_command(BASE, ["--threads-http", "8"])[-2:] == ["--threads-http", "8"]


@pytest.mark.parametrize(
    ("library", "names"),
    [("libggml-cuda.so", ["CUDA0", "CUDA1"]), ("libggml-hip.so", ["ROCm0", "ROCm1"]), ("libggml-cpu-x64.so", [])],
)
def test_gpus_are_called_as_the_library_beside_the_server_calls_them(
    tmp_path: Path, library: str, names: list[str]
) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt" / library).touch()
    server = tmp_path / "opt/llama-server"
    server.touch()
    (tmp_path / "llama-server").symlink_to(server)
    assert gpu_names(2, tmp_path / "llama-server") == names
    assert gpu_names(2, None) == []


def test_the_launcher_names_as_many_gpus_as_it_was_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libggml-cuda.so").touch()
    (tmp_path / "llama-server").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    model = put(tmp_path / "models" / "tiny", "tiny-Q4_K_M.gguf")
    call = engine_call(["llamacpp", "--model", str(model), "--gpu-layers", "-1", "--devices", "2"]).arguments
    assert call[call.index("--device") + 1] == "CUDA0,CUDA1"
    assert "--device" not in engine_call(["llamacpp", "--model", str(model), "--gpu-layers", "-1"]).arguments
