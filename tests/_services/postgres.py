"""PostgreSQL: asked with an SSLRequest (https://www.postgresql.org/docs/current/protocol-message-formats.html)."""

from __future__ import annotations

import pwd
import re
import signal
import struct
from pathlib import Path

from tests._services._binaries import find, is_root, require
from tests._services._server import HOST, Launch, exchange

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_USER = "postgres"


class Postgres:
    name = "postgres"
    standard_port = 5432
    end_with = signal.SIGINT  # SIGTERM would wait for its clients

    def probe(self, port: int) -> str | None:
        try:
            if exchange(port, _SSL_REQUEST, size=1) not in (b"S", b"N"):
                return None
            answer = exchange(port, _startup())
        except OSError:
            return None
        if answer.startswith(b"E") and b"57P03" in answer:
            return None  # starting up or shutting down
        version = re.search(rb"server_version\0([\d.]+)", answer)
        return version.group(1).decode() if version else "unknown"

    def missing(self) -> str | None:
        if not (find("initdb", places=_places()) and find("postgres", places=_places())):
            return "initdb and postgres (Debian package postgresql)"
        return "the system user postgres, since PostgreSQL refuses root" if is_root() and not _has_user() else None

    def launch(self, port: int, data_dir: Path) -> Launch:
        data = str(data_dir / "data")
        settings = {"fsync": "off", "listen_addresses": HOST, "unix_socket_directories": str(data_dir)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Launch(
            prepare=[require("initdb", places=_places()), "-D", data, "-A", "trust", "-U", _USER, "-E", "UTF8"],
            command=[require("postgres", places=_places()), "-D", data, "-p", str(port), *options],
            user=_USER if is_root() else None,
            # No locale of the machine's: it may not be installed.
            environ={"LC_ALL": "C.UTF-8"},
        )


def _startup() -> bytes:
    # Protocol 3.0. Where no password is asked for, the server's settings follow, its version among them.
    body = struct.pack("!i", 196608) + b"user\0" + _USER.encode() + b"\0database\0postgres\0\0"
    return struct.pack("!i", len(body) + 4) + body


def _places() -> tuple[str, ...]:
    """Debian keeps each version's binaries in a directory of its own; the newest first."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    return tuple(str(path) for path in sorted(versions, key=lambda path: _number(path.parent.name), reverse=True))


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else 0.0


def _has_user() -> bool:
    try:
        pwd.getpwnam(_USER)
    except KeyError:
        return False
    return True
