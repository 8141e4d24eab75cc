"""What the container's network is like."""

from pathlib import Path

IPV6_ADDRESSES = Path("/proc/net/if_inet6")
"""Present exactly where the kernel has IPv6."""


def has_ipv6() -> bool:
    """Whether sockets for IPv6 can be made; one that listens on :: takes IPv4 too."""
    try:
        return bool(IPV6_ADDRESSES.read_text())
    except OSError:
        return False


def every_address(*, ipv6: bool) -> str:
    """The host to listen on, so that the same call serves clusters of either family and of both."""
    return "::" if ipv6 else "0.0.0.0"
