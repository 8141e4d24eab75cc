"""Words at a terminal's edge."""

import re

import pytest

from berth_local.cli.wrapping import WordWrap

WIDTH = 10


def screen(written: str) -> list[str]:
    """What a terminal of that width shows. It breaks lines at its edge, and knows the two control sequences in use."""
    lines, column = [""], 0
    for token in re.findall(r"\x1b\[\d*[DK]|\n|.", written):
        if token == "\n":
            lines.append("")
            column = 0
        elif token.endswith("D") and len(token) > 1:
            column -= int(token[2:-1])
        elif token == "\x1b[K":
            lines[-1] = lines[-1][:column]
        else:
            if column == WIDTH:
                lines.append("")
                column = 0
            lines[-1] = lines[-1][:column] + token
            column += 1
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["Hello world again"], ["Hello", "world", "again"]),
        (["Hello wor", "ld"], ["Hello", "world"]),
        (["Hello", " ", "w", "o", "r", "l", "d", "!"], ["Hello", "world!"]),
        (["exactlyten", " more"], ["exactlyten", "more"]),
        (["a bc exact", "ly"], ["a bc", "exactly"]),
        (["abcdefghijklm n"], ["abcdefghij", "klm n"]),
        (["two\n\nlines"], ["two", "", "lines"]),
        (["  - item"], ["  - item"]),
    ],
)
def test_no_word_is_cut(pieces: list[str], shown: list[str]) -> None:
    wrap = WordWrap(WIDTH)
    assert screen("".join(wrap.feed(piece) for piece in pieces)) == shown


def test_wide_characters_take_two_columns() -> None:
    assert WordWrap(WIDTH).feed("日本 語日本語") == "日本 \n語日本語"
