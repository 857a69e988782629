"""The address that `undercroft dev` listens on, taken before anything is started."""

from __future__ import annotations

import errno
import socket
from contextlib import closing

from undercroft.cli._errors import AddressError, PortTakenError

_TRIES = 100


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host` and `port`; port 0 takes a free one. Whoever asked closes it.

    Raises:
        PortTakenError: Another program listens there; names the next free port.
        AddressError: The host or the port cannot be used.
    """
    try:
        return _open(host, port)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise _taken(host, port) from exc
        hint = "ports below 1024 are kept for root: give --port 8000" if exc.errno == errno.EACCES else None
        raise AddressError(
            f"cannot listen on {shown(host, port)}: {exc.strerror or exc}",
            hint=hint or "give an address of this machine, as in --host 127.0.0.1, or --host 0.0.0.0 for all of them",
        ) from exc


def shown(host: str, port: int) -> str:
    """Write an address the way URLs do."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _open(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Listening from here on: while the application restarts, requests wait instead of being refused.
    return socket.create_server((host, port), family=family, backlog=2048)


def _taken(host: str, port: int) -> PortTakenError:
    next_free = next((port for port in range(port + 1, min(port + _TRIES, 65536)) if _is_free(host, port)), None)
    hint = "stop the program that listens there, or give another --port"
    if next_free is not None:
        hint = f"add --port {next_free}, which is free, or stop the program that listens there"
    return PortTakenError(f"port {port} of {host} is taken", port=port, next_free=next_free, hint=hint)


def _is_free(host: str, port: int) -> bool:
    try:
        with closing(_open(host, port)):
            return True
    except OSError:
        return False
