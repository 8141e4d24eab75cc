"""Models from a hub: selection, trust, and the program of a download Job."""

import os

# Read when the hub's client is first imported. Nobody is told what is downloaded here, or by what.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
