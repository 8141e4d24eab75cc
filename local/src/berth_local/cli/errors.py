"""The errors with which a command ends, and their exit codes.

CommandError
├── FailedError             1  it failed, and another try does not mend it: a broken file, too little memory for ever
├── UsageError              2  the command line, or a variable of the environment, is wrong, whoever finds it
├── UnknownNameError        3  no such model, profile, deployment or download, or no such program
├── NoServerError           4  no server answers at that address
├── KeyRefusedError         5  the API key is missing, not valid, or lacks a scope
├── NotNowError             6  not now: the model cannot start or there is no room; trying again later may work
└── InterruptedByUserError  130  Ctrl-C
"""


class CommandError(Exception):
    """A command has failed. `message` says in one line what is wrong and what would be right.

    `exit_code`: the exit code of the process.
    """

    exit_code = 1

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        """The API's code of the error, if the error comes from the API."""


class FailedError(CommandError):
    """It failed, and another try does not mend it: a broken file, or a model that can never fit."""


class UsageError(CommandError):
    """The command line, or a variable of the environment, is wrong, whether the command finds it or the server."""

    exit_code = 2


class UnknownNameError(CommandError):
    """There is no such model, profile, deployment or download, or the program is not installed."""

    exit_code = 3


class NoServerError(CommandError):
    """No server answers."""

    exit_code = 4


class KeyRefusedError(CommandError):
    """The API key does not allow it."""

    exit_code = 5


class NotNowError(CommandError):
    """It cannot be done now; another try later may work."""

    exit_code = 6


class InterruptedByUserError(CommandError):
    """The user pressed Ctrl-C."""

    exit_code = 130
