"""Models from a hub: selection, trust, and the program of a download Job."""

import os

# The hub's client reads this when it is first imported. It then reports nothing of what is downloaded here.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
