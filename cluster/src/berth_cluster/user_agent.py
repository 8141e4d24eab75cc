"""How a program of Berth names itself to the API server."""

from berth_process.release import release


def user_agent(program: str) -> str:
    """The program and its version. What stands before the slash is the manager of the fields that it writes."""
    return f"{program}/{release('berth-cluster')}"
