"""What a test is given, and what each kind of server must be able to tell."""

from __future__ import annotations

import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running server. Lives until the end of the session; the fixture ends it, if it started it."""

    name: str
    host: str
    port: int
    version: str
    """As the server tells it, such as `7.0.15`; `unknown` where it tells only after a login."""
    started_by_us: bool
    data_dir: Path | None = None
    """Of a server that we started."""
    pid: int | None = None
    """Of a server that we started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to start one server: what to run before it, and itself, in the foreground."""

    command: Sequence[str]
    prepare: Sequence[str] = ()
    user: str | None = None
    """The system user to run as; `None` is the one who runs the tests."""
    environ: Mapping[str, str] = field(default_factory=dict)


class Server(Protocol):
    """One kind of server. Stateless."""

    name: str
    standard_port: int
    end_with: signal.Signals
    """What ends one in order, with clients still connected."""

    def probe(self, port: int) -> str | None:
        """Return the version of what speaks this protocol on `port` of 127.0.0.1.

        `None` when nothing listens, when it speaks something else, and when it would not let us in without a password.
        """

    def missing(self) -> str | None:
        """Return what the machine lacks to start one, or `None`."""

    def launch(self, port: int, data_dir: Path) -> Launch:
        """Return how to start one on `port`, with everything it writes in the empty directory `data_dir`."""


def exchange(port: int, *messages: bytes, size: int = 65536) -> bytes:
    """Send `messages` one after the other to `port` and return what came back after the last one.

    An empty message only reads. Every step has a deadline of two seconds.

    Raises:
        OSError: Nothing listens, or no answer in time.
    """
    answer = b""
    with socket.create_connection((HOST, port), timeout=2) as connection:
        for message in messages:
            connection.sendall(message)
            answer = connection.recv(size)
    return answer
