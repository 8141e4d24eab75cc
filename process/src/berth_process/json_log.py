"""The log of a program in a container: one JSON object a line on standard output."""

import logging
import sys

import structlog


def configure_json_log(libraries: int = logging.WARNING) -> None:
    """Sends what Berth logs from INFO on, and what libraries log from the level `libraries` on, to standard output."""
    logging.basicConfig(level=libraries, format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
