"""The option --sample: it puts a small model into the store, and shows that it is fetched."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from berth_local.cli.errors import FailedError
from berth_local.cli.printing import size
from berth_local.cli.sample_model import FILE_BYTES, MODEL, SampleError, is_there, put_sample
from berth_local.cli.waiting import WaitingLine


def ensure_sample(store: Path) -> str:
    """Puts the sample into the store, unless it is there. The sample's name. Raises FailedError."""
    if not is_there(store):
        with WaitingLine(sys.stderr) as waiting:
            try:
                put_sample(store, fetching=lambda: waiting.show(f"fetching {MODEL} ({size(FILE_BYTES)}), once"))
            except SampleError as error:
                raise FailedError(f"{error}{network_hint(str(error))}") from None
            except OSError as error:
                raise FailedError(f"the sample cannot be put into {store}: {error.strerror or error}") from None
    return MODEL


def prompt_words(words: Sequence[str]) -> list[str]:
    """The prompt of a command that has --sample. The first word may name the sample, though it need not."""
    first, *rest = words
    return rest if first.casefold() in ("", MODEL.casefold()) else [first, *rest]


_HINTS = (
    (
        re.compile("certificate|UnknownIssuer", re.IGNORECASE),
        "behind a proxy with an authority of its own, SSL_CERT_FILE must name the file of that authority's certificate",
    ),
    (
        re.compile("dns error|lookup address|name resolution|connect error|timed out", re.IGNORECASE),
        "is this machine online? HTTPS_PROXY names a proxy to go through, UV_DEFAULT_INDEX a mirror of the index",
    ),
)


def network_hint(text: str) -> str:
    """What may help where an installer could not reach the index, as the end of a sentence. Empty: something else."""
    hint = next((hint for pattern, hint in _HINTS if pattern.search(text)), None)
    return f": {hint}" if hint else ""
