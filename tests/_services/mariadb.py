"""MariaDB, or MySQL: asked by reading its greeting (https://mariadb.com/kb/en/connection/)."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests._services._binaries import find, is_root, require
from tests._services._server import HOST, Launch, exchange

_SERVER = ("mariadbd", "mysqld")
_INSTALL = ("mariadb-install-db", "mysql_install_db")
_PROTOCOL = 10


class MariaDB:
    name = "mariadb"
    standard_port = 3306
    end_with = signal.SIGTERM

    def probe(self, port: int) -> str | None:
        try:
            greeting = exchange(port, b"")
        except OSError:
            return None
        # Three bytes of length, one of sequence, one of protocol, the version up to a zero byte.
        size = int.from_bytes(greeting[:3], "little")
        if len(greeting) < 6 or greeting[3] != 0 or greeting[4] != _PROTOCOL or size != len(greeting) - 4:
            return None
        text = greeting[5:].partition(b"\0")[0].decode(errors="replace")
        # MariaDB says 5.5.5- first, for old replicas.
        version = re.match(r"(?:5\.5\.5-)?(\d[\d.]*)", text)
        return version.group(1) if version else None

    def missing(self) -> str | None:
        return None if find(*_SERVER) and find(*_INSTALL) else "mariadbd and mariadb-install-db (mariadb-server)"

    def launch(self, port: int, data_dir: Path) -> Launch:
        # As root it must be told that root is meant.
        common = ["--no-defaults", f"--datadir={data_dir / 'data'}", *(["--user=root"] if is_root() else [])]
        install = [require(*_INSTALL), *common, "--auth-root-authentication-method=normal", "--skip-test-db"]
        serve = [
            require(*_SERVER),
            *common,
            f"--port={port}",
            f"--bind-address={HOST}",
            f"--socket={data_dir / 's.sock'}",
            f"--pid-file={data_dir / 'pid'}",
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=0",
            "--skip-log-bin",
        ]
        # A starting MariaDB removes the temporary tables it finds, those of other servers too: not the machine's /tmp.
        return Launch(command=serve, prepare=install, environ={"TMPDIR": str(data_dir)})
