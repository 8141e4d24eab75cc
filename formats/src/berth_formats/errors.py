"""The one error of this package."""


class FormatError(Exception):
    """A file or directory is no model that an engine could load; the message names the file and says why."""
