"""What a newcomer waits for at the command line, through Berth and, where it is on PATH, through Ollama.

    uv run python -m benchmarks.newcomer [--quick] [--build-ollama VERSION]

Both do the same work: the same weights (SmolLM2-135M-Instruct, as scripts/sample-model brings it), the same context,
the same words of the system (without them, one would use those of the model's own template and the other none), a
temperature of 0, and answers of 16 tokens. The tokens that each has read and made are counted, and printed. Each time
is that of whole commands, from their start to their end:

- install: in an empty home. Berth by `uv tool install` from this checkout, with packages that uv has fetched before.
  Ollama's own installer fetches a release, which is not measured: by --build-ollama it is built by `go install`, with
  sources that Go has fetched before (the environment has what its C++ needs, such as CGO_CXXFLAGS). Without, its
  program is there.
- first: from the program to the first answer. Berth serves by itself; Ollama's server is started, the model created.
- cold: `run` with a server that runs and a model that is not loaded.
- warm: `run` with a model that is loaded.
- pipe: twenty prompts, each piped into a `run` of its own.

The contenders take turns. Where their tokens differ, the benchmark ends with an error. The last line is one JSON
object: of each, and of install and first together, the ratio of Berth's least time to Ollama's (null without it), and
Berth's least time in seconds.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, Self

from benchmarks.contenders import free_port, ollama_program

MODEL = "SmolLM2-135M-Instruct"
SYSTEM = "You are a helpful assistant who tells long stories."
PROMPT = "Tell me the story of the capital of France."
PROMPTS = 20
TOKENS, CONTEXT = 16, 2048
ROUNDS, QUICK_ROUNDS = 10, 3

_PIPED = [f"Tell me the story of the number {number}." for number in range(PROMPTS)]

_CACHE = Path.home() / ".cache/berth/models"
Done = subprocess.CompletedProcess[str]

_ROOT = Path(__file__).parents[1]
_SECONDS = 300.0
"""A command that takes longer hangs."""


class CommandLine(Protocol):
    """What a newcomer types, with a home that is empty at first. Leaving it ends its server."""

    name: str

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def install(self) -> None:
        """Has the program."""
        ...

    def first(self) -> None:
        """From the program to an answer."""
        ...

    def serve(self) -> None:
        """Makes sure that a server runs that stays."""
        ...

    def run(self, *prompt: str, piped: str | None = None) -> None:
        """Asks the model."""
        ...

    def tokens(self, prompt: str) -> tuple[int, int]:
        """Asks the model. The tokens that it has read and made."""
        ...

    def unload(self) -> None:
        """Has the model not loaded."""
        ...


class BerthCommands:
    """`berth`, installed from this checkout."""

    name = "Berth"

    def __init__(self, store: Path, home: Path) -> None:
        self._store = store
        uv_cache = subprocess.run(["uv", "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()
        left_out = ("BERTH_", "XDG_", "UV_TOOL", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        self._environment = {**kept, "HOME": str(home), "UV_CACHE_DIR": uv_cache, "DEFAULT_N_CTX": str(CONTEXT)}
        self._program = str(home / ".local/bin/berth")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([self._program, "down", "--now"], env=self._environment, check=False, capture_output=True)

    def install(self) -> None:
        """From this checkout."""
        _done(["uv", "tool", "install", "--quiet", str(_ROOT)], self._environment)

    def first(self) -> None:
        """Asks: the command serves by itself."""
        self._run("--models", str(self._store), PROMPT)

    def serve(self) -> None:
        """A server in the background."""
        _done([self._program, "up", "-d", "--models", str(self._store), "--port", str(free_port())], self._environment)

    def run(self, *prompt: str, piped: str | None = None) -> None:
        """Asks the model."""
        self._run(*prompt, piped=piped)

    def tokens(self, prompt: str) -> tuple[int, int]:
        """As its answer for programs says."""
        usage = json.loads(self._run("--output", "json", prompt).stdout)["usage"]
        return usage["prompt_tokens"], usage["completion_tokens"]

    def unload(self) -> None:
        """Gives its memory back."""
        _done([self._program, "stop", MODEL], self._environment)

    def _run(self, *words: str, piped: str | None = None) -> Done:
        options = ["--temperature", "0", "--max-tokens", str(TOKENS), "--system", SYSTEM]
        return _done([self._program, "run", MODEL, *options, *words], self._environment, piped)


class OllamaCommands:
    """`ollama`. `version`: the one to build, such as v0.17.4. None: that of PATH."""

    name = "Ollama"

    def __init__(self, program: str, version: str | None, file: Path, home: Path) -> None:
        self._program = program
        self._version = version
        self._file = file
        self._home = home
        self._environment = {**os.environ, "HOME": str(home), "OLLAMA_HOST": f"127.0.0.1:{free_port()}"}
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(_SECONDS)

    def install(self) -> None:
        """Builds the program, if it is to be built. The one that answers is that of PATH, which may be built better."""
        if self._version:
            folders = {"GOBIN": str(self._home / "bin"), "GOCACHE": str(self._home / "go-build")}
            _done(["go", "install", f"github.com/ollama/ollama@{self._version}"], {**self._environment, **folders})

    def first(self) -> None:
        """Starts the server, makes the model known and asks."""
        self.serve()
        recipe = self._home / "Modelfile"
        parameters = {"num_predict": TOKENS, "num_ctx": CONTEXT, "temperature": 0}
        stated = [f"PARAMETER {name} {value}" for name, value in parameters.items()]
        lines = [f"FROM {self._file}", *stated, f"SYSTEM {SYSTEM}"]
        recipe.write_text("\n".join(lines))
        _done([self._program, "create", MODEL.lower(), "-f", str(recipe)], self._environment)
        self.run(PROMPT)

    def serve(self) -> None:
        """Its server, until it answers."""
        if self._server is None:
            quiet = subprocess.DEVNULL
            self._server = subprocess.Popen([self._program, "serve"], env=self._environment, stdout=quiet, stderr=quiet)
        deadline = time.monotonic() + _SECONDS
        while subprocess.run(
            [self._program, "list"], env=self._environment, check=False, capture_output=True
        ).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError("ollama serve does not answer")
            time.sleep(0.02)

    def run(self, *prompt: str, piped: str | None = None) -> None:
        """Asks the model."""
        self._run(*prompt, piped=piped)

    def tokens(self, prompt: str) -> tuple[int, int]:
        """As it says on stderr."""
        told = self._run("--verbose", prompt).stderr
        read, made = re.findall(r"^(?:prompt )?eval count: +(\d+)", told, re.MULTILINE)
        return int(read), int(made)

    def unload(self) -> None:
        """Gives its memory back."""
        _done([self._program, "stop", MODEL.lower()], self._environment)

    def _run(self, *words: str, piped: str | None = None) -> Done:
        return _done([self._program, "run", MODEL.lower(), *words], self._environment, piped)


def _done(command: Sequence[str], environment: Mapping[str, str], piped: str | None = None) -> Done:
    """Runs the command to its end. Raises RuntimeError with its last words if it fails."""
    ran = subprocess.run(
        command,
        env=dict(environment),
        input=piped or "",
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ran.returncode}: {ran.stderr[-500:]}")
    return ran


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _pipe(contender: CommandLine) -> None:
    for prompt in _PIPED:
        contender.run(piped=f"{prompt}\n")


def measured(contenders: Sequence[CommandLine], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each, by what is measured and by contender."""
    times: dict[str, dict[str, list[float]]] = {
        what: {contender.name: [] for contender in contenders} for what in ("install", "first", "cold", "warm", "pipe")
    }
    for contender in contenders:
        times["install"][contender.name].append(_timed(contender.install))
        times["first"][contender.name].append(_timed(contender.first))
        contender.serve()
        contender.run(PROMPT)
    for number in range(rounds):
        for contender in contenders:
            contender.unload()
            times["cold"][contender.name].append(_timed(lambda: contender.run(PROMPT)))  # noqa: B023 (it is called at once)
            times["warm"][contender.name].append(_timed(lambda: contender.run(PROMPT)))  # noqa: B023
        if number % 4 == 0:
            for contender in contenders:
                times["pipe"][contender.name].append(_timed(lambda: _pipe(contender)))  # noqa: B023
    return times


def check_work(contenders: Sequence[CommandLine]) -> None:
    """Prints the tokens that each has read and made. Raises RuntimeError where they differ: the times mean nothing."""
    counted = {contender.name: [contender.tokens(prompt) for prompt in (PROMPT, *_PIPED)] for contender in contenders}
    for name, tokens in counted.items():
        (read, made), *piped = tokens
        piped_read, piped_made = (sum(counts) for counts in zip(*piped, strict=True))
        print(f"{name}: {read} tokens read and {made} made; {piped_read} and {piped_made} in the pipe")
    if any(tokens != counted[contenders[0].name] for tokens in counted.values()):
        raise RuntimeError(f"not the same work: {counted}")


def main() -> None:
    """Measures, and prints a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--build-ollama", metavar="VERSION", help="such as v0.17.4")
    wanted = parser.parse_args()
    rounds = QUICK_ROUNDS if wanted.quick else ROUNDS
    subprocess.run([sys.executable, _ROOT / "scripts/sample-model", _CACHE], check=True, stdout=subprocess.DEVNULL)
    [file] = (_CACHE / MODEL).glob("*.gguf")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="berth-newcomer-")))
        for name in ("store", "berth", "ollama"):
            (scratch / name).mkdir()
        shutil.copytree(_CACHE / MODEL, scratch / "store" / MODEL)
        contenders: list[CommandLine] = [stack.enter_context(BerthCommands(scratch / "store", scratch / "berth"))]
        if program := ollama_program():
            contenders.append(
                stack.enter_context(OllamaCommands(program, wanted.build_ollama, file, scratch / "ollama"))
            )
        times = measured(contenders, rounds)
        check_work(contenders)
    if not wanted.build_ollama:
        times["install"].pop(OllamaCommands.name, None)
    print(f"{'seconds':24}{'least':>9}{'median':>9}{'most':>9}")
    for what, by_name in times.items():
        for name, values in by_name.items():
            print(f"{what + ': ' + name:24}{min(values):9.3f}{statistics.median(values):9.3f}{max(values):9.3f}")
    least = {what: {name: min(values) for name, values in by_name.items()} for what, by_name in times.items()}
    least["install_to_answer"] = {
        name: least["install"][name] + first for name, first in least["first"].items() if name in least["install"]
    }
    ratios = {
        f"{what}_ratio_vs_ollama": round(by["Berth"] / by["Ollama"], 3) if "Ollama" in by else None
        for what, by in least.items()
    }
    print(json.dumps({**ratios, **{f"{what}_seconds": round(by["Berth"], 3) for what, by in least.items()}}))


if __name__ == "__main__":
    main()
