"""Where the server of this machine listens, and who may connect."""

import ipaddress
import os
import socket
from dataclasses import dataclass

from berth_local.serve.state import StartError, WrongOptionError

_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen: the IP address of an interface, and a port."""

    host: str
    """As the user gave it."""
    ip: str
    family: socket.AddressFamily
    port: int


def resolve(host: str, port: int, *, has_key: bool) -> ListenAddress:
    """The address that the user means. Raises WrongOptionError, also where others could connect without a key."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no host has such a name"
        raise WrongOptionError(f"--host {host} is no address of this machine: {why}") from error
    ip = str(address[0])
    if not has_key and not ipaddress.ip_address(ip.partition("%")[0]).is_loopback:
        needed = "set BERTH_API_KEY to a key of your choice, which they must then send"
        raise WrongOptionError(f"--host {host} lets other machines in: {needed}")
    return ListenAddress(host, ip, family, port)


def listen(address: ListenAddress) -> socket.socket:
    """A socket that listens there. Raises StartError."""
    both_families = address.ip == "::" and socket.has_dualstack_ipv6()
    where = (address.ip, address.port)
    try:
        return socket.create_server(where, family=address.family, backlog=_BACKLOG, dualstack_ipv6=both_families)
    except OSError as error:
        other = "name another with --port (0: any free one)"
        why = os.strerror(error.errno) if error.errno else str(error)  # its own words have Python's tuple of both
        raise StartError(f"port {address.port} of {address.host} cannot be used: {why}; {other}") from error


def url_of(listener: socket.socket) -> str:
    """The URL at which a program on this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        return f"http://127.0.0.1:{port}"
    return f"http://[{host}]:{port}" if address.version == 6 else f"http://{host}:{port}"
