"""tests/unit/router/test_inference_paths.py, on a real API server."""

from tests.unit.router.test_inference_paths import *  # noqa: F403
