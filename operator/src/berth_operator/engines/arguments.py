"""Which arguments of an engine's own command line a deployment may use: those that the administrator allows."""

import re
from collections.abc import Collection, Sequence

_VALUE = re.compile(r"[^-]|-?[0-9.]|$")
"""A text that begins like this is the value of the name before it. A negative number is a value too."""


def refused_arguments(arguments: Sequence[str], allowed: Collection[str]) -> list[str]:
    """The names among the arguments that are not allowed, in order; a value without a name before it counts as a name.

    Names are compared as they are written, up to a `=`: an engine may accept other spellings of a name that is refused.
    """
    refused: list[str] = []
    for at, argument in enumerate(arguments):
        if _VALUE.match(argument) and at > 0:
            continue
        name = argument.split("=", 1)[0]
        if name not in allowed and name not in refused:
            refused.append(name)
    return refused
