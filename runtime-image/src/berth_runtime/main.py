"""`berth-launch ENGINE --model PATH ... [-- ENGINE ARGUMENTS]`: checks, then becomes the engine.

The launcher replaces its own process, so that signals and exit codes are the engine's. When it cannot, it says why in
one line on stderr and in the container's termination message, where the operator reads the reason.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from berth_runtime.engines import ENGINES
from berth_runtime.engines.engine import ENGINE_KEY, at_least
from berth_runtime.errors import EngineNotInstalledError, InvalidArgumentsError, LaunchError

# Where the kubelet looks for a container's last words, unless the pod says otherwise.
TERMINATION_LOG = "/dev/termination-log"

GUARD = Path(__file__).with_name("guard.py")
"""Runs a Python engine behind a key, in that engine's Python."""


class EngineCall(NamedTuple):
    """How an engine is run."""

    arguments: list[str]
    """The program and its arguments."""
    environment: Mapping[str, str]
    """Variables that it gets unless the container or the user has set them."""
    key_variable: str | None = None
    """The variable in which it looks for its key. None: its server has to be guarded."""

    def line(self) -> str:
        """The call as a shell would take it."""
        return " ".join(
            [*(f"{name}={os.environ.get(name, value)}" for name, value in self.environment.items()), *self.arguments]
        )


class _LauncherParser(ArgumentParser):
    """Raises InvalidArgumentsError for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        raise InvalidArgumentsError(f"{message} ({self.prog} --help tells what there is)")


def become(call: Sequence[str]) -> NoReturn:
    """Replaces this process by the engine's program. Raises EngineNotInstalledError."""
    try:
        os.execvp(call[0], list(call))  # noqa: S606 (a fixed program, found on PATH; no shell)
    except OSError as error:
        raise EngineNotInstalledError(
            f"{call[0]} cannot be run: {error.strerror}; is this the engine's image?"
        ) from error


def main(arguments: Sequence[str] | None = None, become: Callable[[Sequence[str]], NoReturn] = become) -> int:
    """Runs the launcher. Returns only if the engine could not be started: the exit code.

    `become` turns this process into the engine, given its command line. It may raise `LaunchError`.
    """
    try:
        call = engine_call(sys.argv[1:] if arguments is None else arguments)
        for name, value in call.environment.items():
            os.environ.setdefault(name, value)
        print(f"berth-launch: {call.line()}", file=sys.stderr, flush=True)
        become(keyed(call, os.environ))
    except LaunchError as error:
        report(error)
        return error.exit_code


def engine_call(arguments: Sequence[str]) -> EngineCall:
    """The call of the engine for the launcher's arguments; looks at the model. Raises `LaunchError`."""
    own, extra = _split_at_dashes(arguments)
    options = _parser().parse_args(own)
    options.alias = options.alias or str(options.model)
    engine = ENGINES[options.engine]
    return EngineCall(engine.command(options, extra), engine.environment(options), engine.key_variable)


def keyed(call: EngineCall, environment: MutableMapping[str, str]) -> Sequence[str]:
    """The arguments with which the engine asks for the key in the environment, if there is one.

    The key itself is in no argument: other users can read those.
    """
    key = environment.get(ENGINE_KEY)
    if not key:
        return call.arguments
    if call.key_variable:
        environment[call.key_variable] = environment.pop(ENGINE_KEY)
        return call.arguments
    return ["python3", str(GUARD), ENGINE_KEY, *call.arguments]


def _split_at_dashes(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is before the first `--` and what is after it."""
    at = list(arguments).index("--") if "--" in arguments else len(arguments)
    return list(arguments[:at]), list(arguments[at + 1 :])


def _parser() -> ArgumentParser:
    parser = _LauncherParser(
        prog="berth-launch",
        description="Checks a model and becomes the engine that serves it. The engine gets what follows -- as it is.",
        allow_abbrev=False,
    )
    engines = parser.add_subparsers(dest="engine", required=True, metavar="ENGINE")
    for name, engine in ENGINES.items():
        options = engines.add_parser(name, help=engine.summary, description=engine.summary, allow_abbrev=False)
        options.add_argument("--model", type=Path, required=True, metavar="PATH", help="the model's file or directory")
        options.add_argument("--port", type=at_least(1), default=8000, help="port to serve on (%(default)s)")
        options.add_argument("--host", metavar="ADDRESS", help="address to serve on (every one)")
        options.add_argument("--alias", metavar="NAME", help="the model's name in answers (its path)")
        engine.add_options(options)
    return parser


def report(error: LaunchError) -> None:
    """Writes to stderr and to the container's termination message why there is no engine."""
    termination_log = Path(os.environ.get("BERTH_TERMINATION_LOG", TERMINATION_LOG))
    line = error.line()
    print(line, file=sys.stderr, flush=True)
    try:
        if termination_log.exists():  # there only where a kubelet asked for it, which made the file
            termination_log.write_text(line)
    except OSError as unwritable:
        print(f"berth-launch: {str(termination_log)[:200]}: {unwritable.strerror}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
