"""What is in the folder of models that is no model."""

import re
from collections.abc import Iterator, Set
from pathlib import Path

from berth_api.model_deployment import MODEL_PATH_PATTERN


def left_out(store: Path, names: Set[str]) -> Iterator[str]:
    """What somebody has put into the store that no request can name, and why. `names`: those of its models."""
    for entry in sorted(store.iterdir()) if store.is_dir() else ():
        if entry.name.startswith(".") or entry.name in names:
            continue
        if not re.match(MODEL_PATH_PATTERN, f"/models/{entry.name}"):
            yield f"{entry} is no model: its name may have letters from a to z, digits and . _ + = - alone"
        elif not entry.exists():
            yield f"{entry} is no model: it is a link to what is not there"
