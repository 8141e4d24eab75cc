"""Where the server's log goes, and in which form: for people on a terminal, one JSON object a line elsewhere.

It never goes to stdout, which belongs to the command.
"""

import logging
from typing import TextIO

import structlog


def configure_log(stream: TextIO, level: str) -> None:
    """Sends the log of the server and its libraries to the stream, from this level up."""
    readable = stream.isatty()
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if readable else "iso", utc=not readable),
    ]
    if readable:
        # Tracebacks are printed as Python prints them. structlog's frames around them break in narrow terminals.
        last: list[structlog.types.Processor] = [
            structlog.dev.ConsoleRenderer(pad_event_to=0, exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove_meta, *last]))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # uvicorn starts and ends with Berth. Below a warning it logs nothing that Berth does not log.
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLogger().level))
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
