"""The program `berth`: what is there before its first module is loaded, and after its last word."""

import signal

# Python's own handler would print a traceback while modules are loaded.
_INTERRUPTS = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _INTERRUPTS:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import gc  # noqa: E402 (as above)
import sys  # noqa: E402

_NEW_OBJECTS = 50_000
"""So many objects more are there before Python looks for garbage: it would do so sixty times while modules load."""

_INTERRUPTED = 130


def main() -> None:
    """Runs the command and ends the process with its exit code."""
    gc.set_threshold(_NEW_OBJECTS)
    from berth_local.cli.app import exit_code  # noqa: PLC0415 (as above)

    if _INTERRUPTS:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = exit_code(sys.argv[1:])
    except KeyboardInterrupt:  # once more, while the first one was answered
        code = _INTERRUPTED
    if _INTERRUPTS:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.freeze()  # what is there goes with the process: Python need not look through it as it ends
    sys.exit(code)


if __name__ == "__main__":
    main()
