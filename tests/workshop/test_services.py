"""The services: a running server is used, otherwise one is started and ended, otherwise skip or fail."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests._services import Server, ServerMissingError, Service, provide
from tests._services._own import StartError, free_port, own_server
from tests._services._provide import is_ci, skip_or_fail
from tests._services._server import HOST, Launch
from tests._services.mariadb import MariaDB
from tests._services.postgres import Postgres
from tests._services.redis import Redis

ROOT = Path(__file__).parents[2]
SERVERS = [Redis(), MariaDB(), Postgres()]
each_server = pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)


@contextmanager
def own_or_skip(server: Server) -> Iterator[Service]:
    lacking = server.missing()
    if lacking is not None:
        skip_or_fail(f"not installed: {lacking}", is_ci=is_ci())
    with own_server(server) as service:
        yield service


@contextmanager
def listener(greeting: bytes) -> Iterator[int]:
    """Something that says `greeting` to everybody: a port taken by another protocol."""
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(greeting)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@each_server
def test_running_server_is_used_and_left_alone(server: Server) -> None:
    with own_or_skip(server) as running:
        with provide(server, port=running.port) as service:
            assert (service.name, service.host, service.port) == (server.name, HOST, running.port)
            assert service.version == running.version
            assert not service.started_by_us
            assert service.data_dir is None
        assert server.probe(running.port) == running.version


@each_server
def test_own_server_is_started_where_none_runs_and_ended(server: Server) -> None:
    closed = free_port()
    try:
        with provide(server, port=closed) as service:
            assert service.started_by_us
            assert service.port != closed
            assert service.version[0].isdigit()
            assert service.data_dir is not None
            assert service.data_dir.is_dir()
            assert service.pid is not None
            assert is_running(service.pid)
    except ServerMissingError as exc:
        skip_or_fail(str(exc), is_ci=is_ci())
    assert not is_running(service.pid)
    assert not service.data_dir.exists()
    assert server.probe(service.port) is None


@each_server
def test_own_server_is_ended_when_the_test_fails(server: Server) -> None:
    with pytest.raises(ZeroDivisionError), own_or_skip(server) as service:
        raise ZeroDivisionError
    assert service.pid is not None
    assert not is_running(service.pid)


@each_server
@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail ESMTP\r\n", b"", b"-NOAUTH\r\n"])
def test_other_protocol_on_the_port_is_not_the_server(server: Server, greeting: bytes) -> None:
    with listener(greeting) as port:
        assert server.probe(port) is None


def test_server_that_cannot_start_says_what_it_printed() -> None:
    class Broken(Redis):
        def launch(self, port: int, data_dir: Path) -> Launch:
            return Launch(command=["sh", "-c", "echo out of order; exit 3"])

    with pytest.raises(StartError, match=r"redis did not start: it ended with 3: out of order"), own_server(Broken()):
        pytest.fail("it started")


class Absent(Redis):
    def missing(self) -> str:
        return "redis-server (Debian package redis-server)"


def test_absent_server_is_an_error_that_names_the_package() -> None:
    with pytest.raises(ServerMissingError, match="Debian package redis-server"), provide(Absent(), port=free_port()):
        pytest.fail("it was provided")


def test_reason_is_printed_and_skips(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(pytest.skip.Exception, match="no redis here"):
        skip_or_fail("no redis here", is_ci=False)
    assert "no redis here" in capsys.readouterr().out


def test_reason_fails_under_ci() -> None:
    with pytest.raises(pytest.fail.Exception, match="no redis here"):
        skip_or_fail("no redis here", is_ci=True)


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_ci_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("CI", value)
    assert is_ci() is expected


PROJECT = """
import pytest
from tests._services import _binaries
from tests._services._own import free_port

pytest_plugins = ["tests._services.fixtures"]
_binaries._PLACES = ()

@pytest.fixture(scope="session")
def service_ports():
    return {"redis": free_port()}
"""


@pytest.mark.parametrize(("ci", "code", "outcome"), [("", 0, "1 skipped"), ("true", 1, "1 error")])
def test_fixture_without_any_server_skips_or_fails(tmp_path: Path, ci: str, code: int, outcome: str) -> None:
    (tmp_path / "conftest.py").write_text(PROJECT)
    (tmp_path / "test_it.py").write_text("def test_it(redis):\n    assert redis.port\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path,
        env={"PATH": "/nowhere", "PYTHONPATH": str(ROOT), "CI": ci},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert outcome in done.stdout
    assert "redis-server (Debian package redis-server) is not installed" in done.stdout


@pytest.mark.redis
def test_redis_fixture(redis: Service) -> None:
    assert Redis().probe(redis.port) == redis.version


@pytest.mark.mariadb
def test_mariadb_fixture(mariadb: Service) -> None:
    assert MariaDB().probe(mariadb.port) == mariadb.version


@pytest.mark.postgres
def test_postgres_fixture(postgres: Service) -> None:
    assert Postgres().probe(postgres.port) == postgres.version
