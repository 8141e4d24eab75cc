"""How a program of Berth names itself to the API server."""

from importlib.metadata import version


def user_agent(program: str) -> str:
    """The program and its version. What stands before the slash is the manager of the fields that it writes."""
    return f"{program}/{version('berth-cluster')}"
