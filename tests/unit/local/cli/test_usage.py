"""What a command says of a command line that is wrong, and its help."""

from pathlib import Path

import pytest

from tests.unit.local.cli.conftest import Command, Ran, run_command
from tests.unit.router.conftest import Serving


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["stop"], "name one MODEL, or all with --all"),
        (["stop", "tiny", "--all"], "name one MODEL, or all with --all"),
        (["run"], "MODEL is missing"),
        (["run", "tiny"], "the prompt is empty"),
        (["run", "", "Hi"], "MODEL is '': it must have at least 1 character"),
        (["run", "./tiny", "Hi"], "--models DIR serves a directory of models"),
        (["run", "--sample", "Hi"], "leave --url out"),
        (["pull", "name"], "names no repository"),
        (["pull", "org/name:"], "names no quantization after the colon"),
        (["nothing"], "no such command 'nothing' (berth --help)"),
        (["serve"], "no such command 'serve': did you mean up? (berth --help)"),
        (["runn"], "no such command 'runn': did you mean run? (berth --help)"),
        (["ps", "--nothing"], "no such option '--nothing' (berth ps --help)"),
        (["--url", "x", "ps"], "no such option '--url': those of a command follow it (berth --help)"),
        (["ps", "--outptu", "json"], "no such option '--outptu': did you mean --output? (berth ps --help)"),
        (["up", "--port", "x"], "--port is 'x': it must be a whole number (berth up --help)"),
        (["up", "--port=70000"], "--port is '70000': it must be from 0 to 65535 (berth up --help)"),
        (["up", "--models", ""], "--models is '': it must be a folder of models"),
        (["up", "--models=/nowhere"], "--models is '/nowhere': there is no such folder (berth up --help)"),
        (["completion", "ksh"], "SHELL is 'ksh': it must be one of 'bash', 'zsh', 'fish' (berth completion --help)"),
        (["up", "--memory", "8XB"], "--memory is '8XB': it must be a size like 8GB or 512MiB"),
        (["run", "tiny", "Hi", "--temperature", "x"], "--temperature is 'x': it must be a number"),
        (["ps", "-o", "x"], "--output is 'x': it must be one of 'table', 'json' (berth ps --help)"),
        *(
            ([*command, "\udcff"], "'\\udcff' is not text in UTF-8")
            for command in (["stop"], ["run"], ["run", "tiny"], ["rm"], ["get"], ["logs"], ["pull"])
        ),
        (["pull", "acme/tiny", "--name", "\udcff"], "'\\udcff' is not text in UTF-8"),
    ],
)
async def test_a_wrong_command_line_is_told_in_one_line(berth: Command, arguments: list[str], told: str) -> None:
    ran = await berth(*arguments)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert told in ran.err


def test_a_wrong_value_is_told_by_the_name_that_was_typed(tmp_path: Path) -> None:
    right = "it must be a whole number from 256 to 1048576, or auto"
    home = {"BERTH_HOME": str(tmp_path), "DEFAULT_N_CTX": ""}
    assert run_command(("up", "--port", "0", "--n-ctx", "foo"), home) == Ran(
        2, "", f"berth: --n-ctx is 'foo': {right}\n"
    )
    alias = run_command(("up", "--port", "0", "--alias", "a b=tiny"), home)
    assert alias.code == 2
    assert alias.err.startswith("berth: --alias a b is the name 'a b': it must be letters, digits")
    by_variable = {**home, "DEFAULT_N_CTX": "foo"}
    assert run_command(("up", "--port", "0"), by_variable) == Ran(2, "", f"berth: DEFAULT_N_CTX is 'foo': {right}\n")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--n-ctx", "foo"], 2, "berth: --n-ctx is 'foo': it must be a whole number or 'auto'\n"),
        (["--n-ctx", "99999999"], 2, "berth: --n-ctx is '99999999': it must be at most 1048576\n"),
        (["--ttl", "9" * 20], 2, f"berth: --ttl is '{'9' * 20}': it must be at most 31536000\n"),
        (["--plan", "--ttl", "9" * 20], 2, f"berth: --ttl is '{'9' * 20}': it must be at most 31536000\n"),
        (["--backend", "x"], 2, "berth: --backend is 'x': it must be 'vllm', 'transformers' or 'llamacpp'\n"),
        (["--device", "tpu"], 2, "berth: --device is 'tpu': it must be 'cuda' or 'cpu'\n"),
    ],
)
async def test_a_wrong_option_that_the_server_finds_is_told_as_one(
    ready: Serving, berth: Command, arguments: list[str], code: int, told: str
) -> None:
    assert await berth("run", "tiny", "Hi", *arguments) == Ran(code, "", told)


@pytest.mark.parametrize("command", [(), ("service",), ("engines",)])
@pytest.mark.parametrize("columns", ["60", "120"])
def test_the_help_cuts_nothing_off(command: tuple[str, ...], columns: str) -> None:
    ran = run_command((*command, "--help"), {"COLUMNS": columns})
    assert ran.code == 0
    assert "..." not in ran.out.partition("Commands:")[2]
