"""Numbers of bytes as people read them."""


def readable(size: float) -> str:
    """In the unit that fits, of powers of 1024: `4.7 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
