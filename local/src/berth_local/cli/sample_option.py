"""The option --sample: it puts a small model into the store, and shows that it is fetched."""

import sys
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
                raise FailedError(str(error)) from None
            except OSError as error:
                raise FailedError(f"the sample cannot be put into {store}: {error.strerror or error}") from None
    return MODEL
