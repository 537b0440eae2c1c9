"""Refuse connections to anything but this machine, in every Python that starts with this folder on PYTHONPATH."""

import ipaddress
import socket
import sys

REMOTE_CAPABLE = (socket.AF_INET, socket.AF_INET6)


def is_local(host) -> bool:
    """Whether a host, as given to a socket call, can only be this machine."""
    if isinstance(host, bytes | bytearray):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_remote(event: str, arguments: tuple) -> None:
    """Audit hook: raise PermissionError, naming the address, before anything is sent."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        connection, address = arguments
        if connection.family not in REMOTE_CAPABLE or address is None or is_local(address[0]):
            return
        target = f"{address[0]}:{address[1]}"
    elif event == "socket.getaddrinfo":
        if is_local(arguments[0]):
            return
        target = arguments[0]
    else:
        return
    raise PermissionError(f"the tests run without a network: refused to reach {target}")


sys.addaudithook(refuse_remote)
