"""The log of a program: one JSON object a line for a container, lines for people on a terminal."""

import logging
from typing import TextIO

import structlog

_OWN = ("berth_", "__main__")
"""How the names of Berth's own loggers begin."""


def configure_log(stream: TextIO, level: str, *, libraries: str | None = None, readable: bool = False) -> None:
    """Sends this process's log to the stream: what Berth's own code logs, and what libraries log.

    Both from `level` up, and libraries from the level `libraries` up, if that is higher. `readable`: lines for people,
    with the time of day here, in place of JSON.
    """
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
        shared += [structlog.stdlib.add_logger_name, structlog.processors.format_exc_info]
        last = [structlog.processors.JSONRenderer()]
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove_meta, *last]))
    if libraries is not None:
        least = logging.getLevelNamesMapping()[libraries]
        handler.addFilter(lambda record: record.levelno >= least or record.name.startswith(_OWN))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
