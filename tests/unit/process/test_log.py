"""The log of a program, for a container and for a terminal."""

import json
import subprocess
import sys

PROGRAM = """
import logging, sys
import structlog
from berth_process.log import configure_log

configure_log(sys.stdout, "INFO", {settings})
structlog.get_logger("berth_router.app").info("router_started", port=8080)
structlog.get_logger("berth_router.app").debug("too_small")
logging.getLogger("kopf").info("a library's remark")
logging.getLogger("kopf").warning("a library's %s", "warning")
try:
    raise ValueError("wrong")
except ValueError:
    structlog.get_logger("__main__").exception("unexpected")
"""


def logged(settings: str) -> str:
    """What a program logs with these settings, whose log is a whole process's."""
    call = [sys.executable, "-c", PROGRAM.format(settings=settings)]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout


def test_a_container_logs_one_json_object_a_line_from_its_code_and_from_libraries() -> None:
    lines = [json.loads(line) for line in logged("").splitlines()]
    assert [(line["level"], line["logger"], line["event"]) for line in lines] == [
        ("info", "berth_router.app", "router_started"),
        ("info", "kopf", "a library's remark"),
        ("warning", "kopf", "a library's warning"),
        ("error", "__main__", "unexpected"),
    ]
    assert lines[0]["port"] == 8080
    assert "ValueError: wrong" in lines[-1]["exception"]


def test_libraries_may_have_a_level_of_their_own() -> None:
    events = [json.loads(line)["event"] for line in logged('libraries="WARNING"').splitlines()]
    assert events == ["router_started", "a library's warning", "unexpected"]


def test_a_terminal_shows_lines_for_people() -> None:
    text = logged("readable=True")
    assert "router_started" in text
    assert "ValueError: wrong" in text
    assert "{" not in text
