"""The launcher as the kubelet sees it: run as a program, judged by what it leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from berth_runtime.container import usable_cores
from berth_runtime.engines import ENGINES
from berth_runtime.errors import MAX_LINE_CHARACTERS, ModelMissingError
from berth_runtime.main import GUARD, EngineCall, keyed
from tests.unit.runtime.model_files import put

# Stands in for the engine's program: what the launcher became is all that these tests want to know of it.
ENGINE = """#!{python} -S
import json, os, sys
json.dump({{"arguments": sys.argv[1:], "environment": dict(os.environ), "pid": os.getpid()}}, sys.stdout)
sys.exit(7)
"""


class Container:
    """An environment to launch in: a PATH with an engine on it, and a termination log."""

    def __init__(self, root: Path) -> None:
        self.termination_log = put(root, "termination-log", content=b"") / "termination-log"
        self.programs = put(root / "bin", "llama-server", "vllm", content=ENGINE.format(python=sys.executable).encode())
        for program in self.programs.iterdir():
            program.chmod(0o755)

    def launch(self, *arguments: str, path: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": str(self.programs) if path is None else path,
            "BERTH_TERMINATION_LOG": str(self.termination_log),
            "PYTHONPATH": os.pathsep.join(sys.path),
            **variables,
        }
        program = "import sys; from berth_runtime.main import main; sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path / "container")


def test_becomes_the_engine(container: Container, tmp_path: Path) -> None:
    model = put(tmp_path / "SmolLM2", "model.gguf")
    result = container.launch(
        "llamacpp", "--model", str(model), "--context-size", "512", "--parallel", "2", "--", "--seed", "7"
    )
    arguments = json.loads(result.stdout)["arguments"]
    assert arguments[:4] == ["--model", f"{model}/model.gguf", "--alias", str(model)]
    assert arguments[arguments.index("--ctx-size") + 1] == "1024"
    assert arguments[-2:] == ["--seed", "7"]
    assert result.returncode == 7, "the exit code is the engine's"
    assert container.termination_log.read_text() == "", "the launcher had nothing to complain about"


def test_the_engines_key_is_where_its_server_looks_and_nowhere_else(container: Container, tmp_path: Path) -> None:
    model = put(tmp_path / "SmolLM2", "model.gguf")
    result = container.launch("llamacpp", "--model", str(model), BERTH_ENGINE_KEY="k-123")
    became = json.loads(result.stdout)
    assert became["environment"]["LLAMA_API_KEY"] == "k-123"
    assert "BERTH_ENGINE_KEY" not in became["environment"]
    assert "k-123" not in f"{became['arguments']} {result.stderr}"


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_an_engine_that_does_not_ask_for_its_key_everywhere_is_guarded(engine: str) -> None:
    call = EngineCall([engine, "serve", "/m"], {}, ENGINES[engine].key_variable)
    environment = {"BERTH_ENGINE_KEY": "k-123"}
    assert keyed(call, environment) == ["python3", str(GUARD), "BERTH_ENGINE_KEY", engine, "serve", "/m"]
    assert environment == {"BERTH_ENGINE_KEY": "k-123"}
    assert keyed(call, {}) == call.arguments, "in a cluster, networks protect engines"


def test_the_process_stays_the_same(container: Container, tmp_path: Path) -> None:
    model = put(tmp_path / "SmolLM2", "model.gguf")
    process = subprocess.Popen(
        [sys.executable, "-c", "from berth_runtime.main import main; main()", "llamacpp", "--model", str(model)],
        env={"PATH": str(container.programs), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    output, _ = process.communicate(timeout=30)
    assert json.loads(output)["pid"] == process.pid, "signals meant for the container must reach the engine"


@pytest.mark.parametrize(
    ("variables", "threads"),
    [
        pytest.param({}, str(usable_cores()), id="the launcher's choice"),
        pytest.param({"OMP_NUM_THREADS": "7"}, "7", id="set already"),
    ],
)
def test_an_engine_gets_its_variables_and_the_log_says_which(
    container: Container, tmp_path: Path, variables: dict[str, str], threads: str
) -> None:
    model = put(put(tmp_path / "SmolLM2", "model.safetensors"), "config.json", content=b"{}")
    result = container.launch("vllm", "--model", str(model), "--device", "cpu", **variables)
    assert json.loads(result.stdout)["environment"]["OMP_NUM_THREADS"] == threads
    assert f"OMP_NUM_THREADS={threads} vllm serve {model} " in result.stderr


def test_a_name_in_answers_may_be_given(container: Container, tmp_path: Path) -> None:
    model = put(tmp_path / "SmolLM2", "model.gguf")
    result = container.launch("llamacpp", "--model", str(model), "--alias", "smol")
    arguments = json.loads(result.stdout)["arguments"]
    assert arguments[arguments.index("--alias") + 1] == "smol"


@pytest.mark.parametrize(
    ("names", "arguments", "exit_code", "line"),
    [
        ([], ["--model", "{model}/x"], 66, "ModelNotFound: {model}/x does not exist; {model} holds nothing"),
        (["a.safetensors"], ["--model", "{model}"], 65, "WrongFormat: {model} holds no GGUF file"),
        (["a-Q4_0.gguf", "a-Q8_0.gguf"], ["--model", "{model}"], 78, "AmbiguousModel: {model} holds several"),
        (
            ["a-Q4_0.gguf"],
            ["--model", "{model}", "--quantization", "Q8_0"],
            78,
            "QuantizationNotFound: {model} has no Q8_0",
        ),
        (["a-00001-of-00002.gguf"], ["--model", "{model}"], 65, "ModelIncomplete: {model} lacks 1 of 2 shards"),
        ([], ["--port", "8000"], 64, "InvalidArguments: the following arguments are required: --model"),
        (
            [],
            ["--model", "/m", "--context-size", "0"],
            64,
            "InvalidArguments: argument --context-size: invalid whole number",
        ),
        ([], ["--model", "/m", "--gpu-layers", "-2"], 64, "InvalidArguments: argument --gpu-layers"),
        ([], ["--model", "/m", "--context", "10"], 64, "InvalidArguments: unrecognized arguments: --context 10"),
    ],
)
def test_says_why_it_did_not_start(
    container: Container, tmp_path: Path, names: list[str], arguments: list[str], exit_code: int, line: str
) -> None:
    model = put(tmp_path / "model", *names)
    result = container.launch("llamacpp", *(argument.format(model=model) for argument in arguments))
    message = container.termination_log.read_text()
    assert message.startswith(line.format(model=model))
    assert "\n" not in message
    assert result.stderr == message + "\n"
    assert (result.stdout, result.returncode) == ("", exit_code)


def test_an_unknown_engine_is_answered_with_those_there_are(container: Container) -> None:
    result = container.launch("ollama", "--model", "/m")
    assert result.returncode == 64
    assert "'ollama'" in result.stderr
    assert "llamacpp" in result.stderr


def test_another_engines_image(container: Container, tmp_path: Path) -> None:
    model = put(tmp_path / "SmolLM2", "model.gguf")
    result = container.launch("llamacpp", "--model", str(model), path="/nowhere")
    assert result.returncode == 69
    assert container.termination_log.read_text().startswith(
        "EngineNotInstalled: llama-server cannot be run: No such file"
    )


def test_without_a_kubelet_stderr_is_enough(container: Container) -> None:
    container.termination_log.unlink()
    result = container.launch("llamacpp", "--model", "/no/such/model")
    assert result.returncode == 66
    assert result.stderr.startswith("ModelNotFound: ")
    assert not container.termination_log.exists()


def test_a_message_stays_one_bounded_line() -> None:
    line = ModelMissingError("a\nmodel " + "x" * 5000).line()
    assert line.startswith("ModelNotFound: a model xxx")
    assert len(line) == MAX_LINE_CHARACTERS
