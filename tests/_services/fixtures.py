"""The fixtures; a pytest plugin, named in `tests/conftest.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests._services._provide import ServerMissingError, is_ci, provide, skip_or_fail
from tests._services._server import Server, Service
from tests._services.mariadb import MariaDB
from tests._services.postgres import Postgres
from tests._services.redis import Redis


@pytest.fixture(scope="session")
def service_ports() -> Mapping[str, int]:
    """Ports to look on, by server, where they are not the standard ones. Override to force servers of our own."""
    return {}


@pytest.fixture(scope="session")
def redis(service_ports: Mapping[str, int]) -> Iterator[Service]:
    """A Redis, for the session."""
    yield from _session(Redis(), service_ports)


@pytest.fixture(scope="session")
def mariadb(service_ports: Mapping[str, int]) -> Iterator[Service]:
    """A MariaDB, for the session."""
    yield from _session(MariaDB(), service_ports)


@pytest.fixture(scope="session")
def postgres(service_ports: Mapping[str, int]) -> Iterator[Service]:
    """A PostgreSQL, for the session."""
    yield from _session(Postgres(), service_ports)


def _session(server: Server, ports: Mapping[str, int]) -> Iterator[Service]:
    try:
        with provide(server, port=ports.get(server.name)) as service:
            yield service
    except ServerMissingError as exc:
        skip_or_fail(str(exc), is_ci=is_ci())
