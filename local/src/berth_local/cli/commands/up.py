"""berth up: the server."""

import json
import os
import re
import sys
from collections.abc import Generator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

import click

from berth_local.cli.address import check_key
from berth_local.cli.connection import Target, failure, local_store
from berth_local.cli.errors import FailedError, UsageError
from berth_local.cli.gpu_words import gpu_note
from berth_local.cli.options import api_key_option, models_option, sample_option
from berth_local.cli.printing import print_note
from berth_local.cli.turns import await_turn, check_same, described
from berth_local.serve.interface import (
    InUseError,
    ServeOptions,
    StartError,
    describe_machine,
    serve_detached,
    serve_until_signal,
)
from berth_process.setting_values import log_level
from berth_process.settings_error import SettingsError, read_variable

_OPTIONS = {
    "DEFAULT_N_CTX": "--n-ctx",
    "DEFAULT_MAX_TOKENS": "--max-tokens",
    "DEFAULT_TEMPERATURE": "--temperature",
    "DEFAULT_TOP_P": "--top-p",
    "BERTH_ALIASES": "--alias",
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt])(i)?b?", re.IGNORECASE)


@click.command()
@models_option
@sample_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on. One beyond this machine needs --api-key.",
)
@click.option(
    "--port",
    type=click.IntRange(min=0, max=65535),
    default=8080,
    show_default=True,
    metavar="PORT",
    help="Port to listen on; 0: any that is free.",
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="What all models together may take of the machine's memory, such as 8GB; most of it if left out.",
)
@click.option(
    "--n-ctx",
    metavar="N",
    envvar="DEFAULT_N_CTX",
    show_envvar=True,
    help="Tokens of context (llama.cpp) where a request states none; auto if left out: what fits the memory.",
)
@click.option(
    "--max-tokens",
    metavar="N",
    envvar="DEFAULT_MAX_TOKENS",
    show_envvar=True,
    help="Most tokens of an answer whose request states no limit; auto if left out: what the context leaves.",
)
@click.option(
    "--temperature",
    metavar="T",
    envvar="DEFAULT_TEMPERATURE",
    show_envvar=True,
    help="Where a request states none; model: the model's own; 0.7 if left out.",
)
@click.option(
    "--top-p",
    metavar="P",
    envvar="DEFAULT_TOP_P",
    show_envvar=True,
    help="Where a request states none; model: the model's own; 1.0 if left out.",
)
@click.option(
    "--alias",
    multiple=True,
    metavar="NAME=MODEL",
    help="Another name for a model, or a pattern such as claude-*; may be repeated. Instead of BERTH_ALIASES.",
)
@click.option(
    "--default-model",
    metavar="MODEL",
    envvar="BERTH_DEFAULT_MODEL",
    show_envvar=True,
    help="The model for requests with a name that no model has; refused if left out.",
)
@click.option("--detach", "-d", is_flag=True, help="Go on in the background, until `berth down`, and return.")
@api_key_option
def up(
    models: Path | None,
    sample: bool,
    host: str,
    port: int,
    memory: str | None,
    n_ctx: str | None,
    max_tokens: str | None,
    temperature: str | None,
    top_p: str | None,
    alias: tuple[str, ...],
    default_model: str | None,
    detach: bool,
    api_key: str | None,
) -> None:
    """Serve this machine's models, until Ctrl-C or `berth down`."""
    memory_bytes = parsed_size(memory) if memory else None
    check_key(api_key)
    level = read_variable(os.environ, "BERTH_LOG_LEVEL", log_level, "INFO")
    if sample:
        from berth_local.cli.sample_option import ensure_sample  # noqa: PLC0415 (only where it is wanted)

        ensure_sample(local_store(Target(models=models)))
    stated = {
        "DEFAULT_N_CTX": n_ctx,
        "DEFAULT_MAX_TOKENS": max_tokens,
        "DEFAULT_TEMPERATURE": temperature,
        "DEFAULT_TOP_P": top_p,
        "BERTH_ALIASES": json.dumps(parsed_aliases(alias)) if alias else None,
        "BERTH_DEFAULT_MODEL": default_model,
    }
    options = ServeOptions(
        models=models and models.absolute(),
        host=host,
        port=port,
        api_key=api_key,
        memory_bytes=memory_bytes,
        defaults={name: value for name, value in stated.items() if value},
    )
    typed = {name for name, value in options.defaults.items() if os.environ.get(name) != value}
    with _naming_options(typed):
        if detach:
            _serve_detached(options, level, changes=bool(typed or memory or host != ServeOptions().host))
        else:
            _serve(options, level)


@contextmanager
def _naming_options(typed: Set[str]) -> Generator[None]:
    """Has an error name the option that was typed, where the server names the variable that means the same."""
    try:
        yield
    except (SettingsError, UsageError) as error:
        name = next((name for name in _OPTIONS if re.match(rf"{name}\b", str(error))), None)
        if name is None or name not in typed:
            raise
        raise UsageError(f"{_OPTIONS[name]} {str(error).removeprefix(name).lstrip(' .')}") from None


def _serve(options: ServeOptions, level: str) -> None:
    while True:
        if running := await_turn():
            raise FailedError(f"{described(running)} already: `berth down` ends it")
        try:
            serve_until_signal(options, level, _print_start, _print_drain)
        except InUseError:
            continue  # another one was faster
        except StartError as error:
            raise failure(error) from None
        if sys.stderr.isatty():
            _print_over_ctrl_c("Berth has ended.")
        return


def _serve_detached(options: ServeOptions, level: str, *, changes: bool) -> None:
    """`changes`: the command has options that a server which runs already may not have."""
    while True:
        if running := await_turn():
            check_same(options, running)
            print(f"{described(running)} already. `berth down` ends it.", flush=True)
            if changes:
                print_note("it goes on with the options that it was started with")
            return
        try:
            url, pid, log = serve_detached(options, level)
        except InUseError:
            continue
        except StartError as error:
            raise failure(error) from None
        print(f"Berth serves OpenAI's API at {url}/v1 (pid {pid}). `berth down` ends it.\nIts log is {log}.")
        _print_gpu()
        return


def parsed_aliases(stated: Sequence[str]) -> dict[str, str]:
    """The model of each alias, of texts such as gpt-4o=NAME. Raises UsageError."""
    aliases: dict[str, str] = {}
    for text in stated:
        name, equals, model = text.partition("=")
        if not (name and equals and model):
            raise UsageError(f"--alias {text} is no alias: it must be like gpt-4o-mini=MODEL or claude-*=MODEL@PROFILE")
        aliases[name] = model
    return aliases


def parsed_size(text: str) -> int:
    """Bytes of a size such as 8GB, 512 MiB or 1.5g. Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if not found or float(found[1]) <= 0:
        raise UsageError(f"--memory is {text!r}: it must be a size like 8GB or 512MiB")
    base = 1024 if found[3] else 1000
    return round(float(found[1]) * base ** ("kmgt".index(found[2].lower()) + 1))


def print_address(url: str, pid: int) -> None:
    """Says where a server of this process serves."""
    print(f"Berth serves OpenAI's API at {url}/v1 (pid {pid}). Ctrl-C ends it.", flush=True)


def _print_start(url: str) -> None:
    print_address(url, os.getpid())
    _print_gpu()


def _print_gpu() -> None:
    if note := gpu_note(describe_machine()):
        print_note(note)


def _print_drain(answers: int) -> None:
    still = (
        "1 answer still runs; Ctrl-C again ends it"
        if answers == 1
        else f"{answers} answers still run; Ctrl-C again ends them"
    )
    _print_over_ctrl_c(f"ending: {still} now")


def _print_over_ctrl_c(text: str) -> None:
    """Prints a remark, on a terminal in place of the ^C that it shows."""
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    print_note(text)
