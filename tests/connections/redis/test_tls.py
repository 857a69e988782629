"""Certificates: trusted or not, for the right name or not, ours and theirs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connections.redis._servers import RedisServer, Tls, tls_server
from tests.email._certificates import make_certificate
from undercroft._core.errors import Kind
from undercroft.connections.redis import RedisCertificateError, RedisConnection, RedisUnavailableError

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    """A server that wants certificates of its clients."""
    with tls_server(tmp_path_factory.mktemp("strict"), "--tls-auth-clients", "yes") as tls:
        yield tls


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    with tls_server(tmp_path_factory.mktemp("tls")) as tls:
        yield tls


async def test_certificate_that_nobody_vouches_for_is_refused(tls: Tls) -> None:
    async with RedisConnection(f"rediss://:s3cret@localhost:{tls.port}") as connection:
        with pytest.raises(RedisCertificateError, match="is not trusted, so nothing was sent") as caught:
            await connection.ping()
    assert caught.value.kind is Kind.REFUSED
    assert "s3cret" not in str(caught.value)


async def test_certificate_for_another_name_is_refused(tls: Tls) -> None:
    url = f"rediss://127.0.0.2:{tls.port}?ca_file={tls.certificate.certificate}"
    async with RedisConnection(url) as connection:
        with pytest.raises((RedisCertificateError, RedisUnavailableError)):
            await connection.ping()


async def test_certificate_is_not_checked_when_told_so(tls: Tls) -> None:
    async with RedisConnection(f"rediss://localhost:{tls.port}?verify=no") as connection:
        await connection.ping()


async def test_own_certificate_is_shown_to_a_server_that_wants_one(strict: Tls) -> None:
    files = strict.certificate
    url = f"rediss://localhost:{strict.port}?ca_file={files.certificate}"
    async with RedisConnection(url) as connection:
        with pytest.raises(RedisUnavailableError):
            await connection.ping()
    async with RedisConnection(f"{url}&cert_file={files.certificate}&key_file={files.key}") as connection:
        await connection.ping()


async def test_plain_server_is_no_tls_server(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    made = make_certificate(tmp_path_factory.mktemp("ca"))
    url = f"rediss://localhost:{server.port}?ca_file={made.certificate}&connect_timeout_s=0.5"
    async with RedisConnection(url) as connection:
        with pytest.raises(RedisUnavailableError):
            await connection.ping()


async def test_tls_port_is_no_plain_server(tls: Tls) -> None:
    async with RedisConnection(f"redis://localhost:{tls.port}?connect_timeout_s=0.5") as connection:
        with pytest.raises(RedisUnavailableError):
            await connection.ping()
