"""Options that several commands have."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click

from berth_local.cli.model_names import complete_model

FC = TypeVar("FC", bound=Callable[..., Any] | click.Command)
"""What click's decorators take."""

Value = TypeVar("Value", bound=StrEnum)


class OneOf(click.Choice[Value]):
    """One of an enum's values, as it is written. Click itself would take the names of its members."""

    def __init__(self, values: Iterable[Value]) -> None:
        super().__init__(values)

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """The text that means this value."""
        return str(choice)


class OutputFormat(StrEnum):
    """How a command prints its result: for people, or for programs."""

    TABLE = "table"
    JSON = "json"


url_option = click.option(
    "--url", metavar="URL", envvar="BERTH_URL", show_envvar=True, help="The server, if not this machine's own."
)
api_key_option = click.option(
    "--api-key", metavar="KEY", envvar="BERTH_API_KEY", show_envvar=True, help="The key that the server asks for."
)
output_option = click.option(
    "--output",
    "-o",
    type=OneOf(OutputFormat),
    default=OutputFormat.TABLE.value,
    show_default=True,
    metavar="FORMAT",
    help="table, for people, or json, for programs.",
)
model_argument = click.argument(
    "model", metavar="MODEL", shell_complete=complete_model, help="Its directory's name in the model store."
)


def optional_model(help_text: str) -> Callable[[FC], FC]:
    """The argument MODEL that may be left out; `help_text` says what that means."""
    return click.argument("model", required=False, metavar="[MODEL]", shell_complete=complete_model, help=help_text)


models_option = click.option(
    "--models",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A directory of models to serve instead of Berth's own.",
)
sample_option = click.option(
    "--sample", is_flag=True, help="Put a small model (SmolLM2-135M-Instruct, 98 MB) into the store first."
)
