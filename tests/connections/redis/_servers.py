"""Redis servers of our own, on ports of our own, that tests may stop, kill and starve."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.email._certificates import Certificate, make_certificate

HOST = "127.0.0.1"
SLOTS = 16384
_READY_S = 20.0


class RedisServer:
    """One server. `start` and `stop` as often as you like; the port and the directory stay."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.folder = folder / str(self.port)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    def start(self, *options: str, wait: bool = True) -> None:
        command = [
            *_dies_with_us(),
            *("redis-server", "--port", str(self.port), "--bind", HOST, "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", *self.options, *options),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(lambda: not wait or self._is_up())
        except BaseException:
            self.stop()
            raise

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()[-500:]
        return listens(self.port)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            process.wait(_READY_S)

    def send(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)

    def cli(self, *words: str | int) -> str:
        """Run a command by `redis-cli` and return what it printed."""
        return cli(self.port, *words)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class SentinelGroup:
    """A primary, a replica, and one Sentinel that decides alone."""

    name = "mymaster"

    def __init__(self, folder: Path) -> None:
        at_once = ("--repl-diskless-sync-delay", "0")
        self.primary = RedisServer(folder, *at_once)
        self.replica = RedisServer(folder, *at_once, "--replicaof", HOST, str(self.primary.port))
        self.sentinel = RedisServer(folder)
        config = self.sentinel.folder / "sentinel.conf"
        config.write_text(
            f"port {self.sentinel.port}\nbind {HOST}\ndir {self.sentinel.folder}\n"
            f"sentinel monitor {self.name} {HOST} {self.primary.port} 1\n"
            f"sentinel down-after-milliseconds {self.name} 500\n"
            f"sentinel failover-timeout {self.name} 3000\n"
        )
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis+sentinel://{HOST}:{self.sentinel.port}/{self.name}"

    def __enter__(self) -> Self:
        self.primary.start()
        self.replica.start()
        until(lambda: "master_link_status:up" in self.replica.cli("info", "replication"))
        self._process = subprocess.Popen(
            [*_dies_with_us(), "redis-server", str(self._config), "--sentinel"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        until(lambda: listens(self.sentinel.port))
        until(lambda: "num-slaves\n1\n" in cli(self.sentinel.port, "sentinel", "master", self.name))
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.replica.stop()
        self.primary.stop()


class Cluster:
    """Three primaries that share the slots."""

    def __init__(self, folder: Path) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000")
        self.nodes = [RedisServer(folder, *options, port=free_port(below=20000)) for _ in range(3)]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def __enter__(self) -> Self:
        for number, node in enumerate(self.nodes):
            node.start()
            first, last = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
            node.cli("cluster", "addslotsrange", first, last)
            node.cli("cluster", "set-config-epoch", number + 1)
        for node in self.nodes[1:]:
            self.nodes[0].cli("cluster", "meet", HOST, node.port)
        until(lambda: all(self.is_whole(node) for node in self.nodes))
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.stop()

    def is_whole(self, node: RedisServer) -> bool:
        info = node.cli("cluster", "info")
        return "cluster_state:ok" in info and "cluster_known_nodes:3" in info


@contextmanager
def unix_server(folder: Path) -> Iterator[str]:
    """Run a server on a Unix socket too, and give the socket's URL."""
    path = folder / "r.sock"
    with RedisServer(folder, "--unixsocket", str(path)):
        yield f"redis+unix://{path}"


@dataclass(frozen=True, slots=True)
class Tls:
    port: int
    certificate: Certificate


@contextmanager
def tls_server(folder: Path, *options: str) -> Iterator[Tls]:
    """Run a server that speaks TLS on a port of its own."""
    made = make_certificate(folder)
    port = free_port()
    files = ("--tls-cert-file", str(made.certificate), "--tls-key-file", str(made.key))
    asks = options or ("--tls-auth-clients", "no")
    with RedisServer(folder, "--tls-port", str(port), *files, "--tls-ca-cert-file", str(made.certificate), *asks):
        until(lambda: listens(port))
        yield Tls(port, made)


def cli(port: int, *words: str | int) -> str:
    command = ["redis-cli", "-h", HOST, "-p", str(port), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def until(condition: object, *, seconds: float = _READY_S) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g}s"
        time.sleep(0.02)


def free_port(*, below: int = 32000) -> int:
    """Return a port that nothing listens on, and that no outgoing connection gets by chance.

    A cluster's node also needs the port 10000 above its own.
    """
    for _ in range(100):
        port = random.randrange(15000, below)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind((HOST, port))
            other.bind((HOST, port + 10000))
            return port
    raise RuntimeError("no free port")


def _dies_with_us() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []
