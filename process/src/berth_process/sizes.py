"""Sizes in bytes as people read them, in the decimal units that model hubs use."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def readable(size: float) -> str:
    """A number of bytes, not negative: `98 MB`, `4.7 GB`."""
    unit = 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    digits = 1 if unit >= _UNITS.index("GB") and size < 99.95 else 0
    return f"{size:.{digits}f} {_UNITS[unit]}"
