"""What a line of a conversation means."""

import pytest

from berth_local.cli.chat.lines import COMMANDS, HELP, SlashCommand, UnknownSlash, is_open, meaning


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("", ""),
        ("  Hi  ", "Hi"),
        ("one\ntwo", "one\ntwo"),
        ("/bye", SlashCommand("bye")),
        ("/exit", SlashCommand("bye")),
        ("/?", SlashCommand("help")),
        ("/set temperature 0.5", SlashCommand("set", "temperature 0.5")),
        ("/set parameter num_ctx 4096", SlashCommand("set", "num_ctx 4096")),
        ("/set nothink", SlashCommand("set", "think off")),
        ("/set think", SlashCommand("set", "think on")),
        ('/set system "Be brief."', SlashCommand("set", "system Be brief.")),
        ('/set system """Be brief.\nBe kind."""', SlashCommand("set", "system Be brief.\nBe kind.")),
        ("/save  a talk ", SlashCommand("save", "a talk")),
        ("/frob", UnknownSlash("frob", None)),
        ("/sett temperature 1", UnknownSlash("sett", "set")),
        ("/etc/passwd: what is it?", "/etc/passwd: what is it?"),
        ("/tmp is full", "/tmp is full"),
        ("/clear\nwas the first line of a text", "/clear\nwas the first line of a text"),
        ('"""\none\ntwo\n"""', "one\ntwo"),
        ('He said "no".', 'He said "no".'),
    ],
)
def test_a_line_is_a_question_or_a_command(typed: str, means: object) -> None:
    assert meaning(typed) == means


@pytest.mark.parametrize(
    ("typed", "open_"),
    [
        ("Hi", False),
        ('"""', True),
        ('"""one\ntwo', True),
        ('"""one\ntwo"""', False),
        ('/set system """Be', True),
        ('/set system """Be brief."""', False),
        ('a = """', False),
    ],
)
def test_triple_quotes_at_the_beginning_go_on_until_the_next(typed: str, open_: bool) -> None:
    assert is_open(typed) is open_


def test_help_has_every_command_and_fits_a_narrow_terminal() -> None:
    assert all(f"/{name} " in HELP for name in COMMANDS)
    assert max(map(len, HELP.splitlines())) < 60
