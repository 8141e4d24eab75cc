"""The one error of this package."""


class FormatError(Exception):
    """No engine could load the file or directory. The message names the file and says why."""
