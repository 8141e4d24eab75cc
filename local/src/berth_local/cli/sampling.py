"""--sample: the small model, put into the store with a word about it."""

import sys
from pathlib import Path

from berth_local.errors import FailedError
from berth_local.output import size
from berth_local.sample import FILE_BYTES, MODEL, SampleError, is_there, put_sample
from berth_local.waiting import WaitingLine


def ensure_sample(store: Path) -> str:
    """The name of the sample, which is in the store afterwards. Raises FailedError."""
    if not is_there(store):
        with WaitingLine(sys.stderr) as waiting:
            try:
                put_sample(store, fetching=lambda: waiting.show(f"fetching {MODEL} ({size(FILE_BYTES)}), once"))
            except SampleError as error:
                raise FailedError(str(error)) from None
            except OSError as error:
                raise FailedError(f"the sample cannot be put into {store}: {error.strerror or error}") from None
    return MODEL
