"""How many examples a test makes up for itself."""

import os


def examples(count: int) -> int:
    """So many where everything must run (CI=true), a fifth of them elsewhere: they are other ones each time."""
    return count if os.environ.get("CI") == "true" else count // 5
