"""berth down: end the server of this machine."""

import click

from berth_local.cli.errors import FailedError
from berth_local.cli.printing import print_note
from berth_local.serve.interface import end_server, holder


@click.command()
@click.option("--now", is_flag=True, help="Cut the answers under way off.")
def down(now: bool) -> None:
    """End this machine's server, and every model with it.

    Answers under way end first, within 5 s.
    """
    has = holder()
    if has is None:
        print_note("no server of yours runs")
        return
    if not has.lasts:
        raise FailedError(
            f"no `berth up` runs: the server of another command (pid {has.pid}) ends when that has its answer"
        )
    try:
        end_server(has.pid, now=now, on_wait=lambda: print_note(f"waiting for the answers under way (pid {has.pid})"))
    except PermissionError:
        raise FailedError(f"the server (pid {has.pid}) is another user's") from None
    print(f"Berth has ended (pid {has.pid}).")
