"""The options of a database's URL, and what every server's URL must have."""

from __future__ import annotations

import ssl
from typing import Annotated, Literal

import msgspec

from undercroft._core.errors import ConfigError
from undercroft._core.url import Url, UrlError
from undercroft.connections.sql._protocol import PoolLimits

MAX_POOL_SIZE = 1000
_PoolSize = Annotated[int, msgspec.Meta(ge=1, le=MAX_POOL_SIZE)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
_OptionalSeconds = Annotated[float, msgspec.Meta(ge=0, le=86400)]


class PoolOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of every database's URL."""

    pool_size: _PoolSize | None = None
    """The most connections there may be, 1 to 1000; otherwise the argument of `Database`, 10 by default."""
    pool_timeout_s: _Seconds | None = None
    """How long to wait for a free one; otherwise the argument of `Database`, 30 by default."""

    @property
    def limits(self) -> PoolLimits:
        """Those of the pool."""
        return PoolLimits(size=self.pool_size, timeout_s=self.pool_timeout_s)


class SqliteOptions(PoolOptions, frozen=True, kw_only=True):
    """Options of a `sqlite:///` URL."""

    synchronous: Literal["full", "normal"] = "full"
    """`full` survives a power cut; `normal` is faster and may lose the last commits then (never on a mere crash)."""
    busy_timeout_s: _OptionalSeconds = 5.0
    """How long a transaction waits for another one's write lock."""


class ServerOptions(PoolOptions, frozen=True, kw_only=True):
    """Options of every server's URL."""

    connect_timeout_s: _Seconds = 5.0
    """For one connection, from the first packet to the end of the login, and for the test of one that was idle."""
    statement_timeout_s: _OptionalSeconds = 60.0
    """For one statement, kept by the server and, two seconds later, by us; 0 is without limit."""
    ssl_ca: str | None = None
    """PEM certificates to trust with `ssl=verify`, instead of the system's."""


class MysqlOptions(ServerOptions, frozen=True, kw_only=True):
    """Options of a `mysql://` or `mariadb://` URL."""

    ssl: Literal["off", "require", "verify"] = "off"
    """`require` encrypts without looking at the certificate; `verify` checks it and the host's name."""


class PostgresOptions(ServerOptions, frozen=True, kw_only=True):
    """Options of a `postgresql://` URL."""

    ssl: Literal["off", "prefer", "require", "verify"] = "prefer"
    """As for MySQL; `prefer`, the default as in libpq, encrypts where the server offers it."""


def check_server(url: Url, *, what: str) -> str:
    """Return the database's name of a server's URL.

    Raises:
        UrlError: There is no host, several of them, or no database name.
    """
    example = f"{url.base_scheme}://user:password@db.example.com/shop"
    if not url.host or "," in url.host:
        raise UrlError(f"{what}: {url.scheme}:// needs one host", hint=f"for example {example}")
    name = url.path[1:]
    if not name or "/" in name:
        raise UrlError(f"{what}: {url.scheme}:// needs the name of one database as its path", hint=f"such as {example}")
    return name


def bare_host(host: str) -> str:
    """Return the host as the drivers want it: an IPv6 address without its brackets."""
    return host.removeprefix("[").removesuffix("]")


def tls_context(mode: str, ca_file: str | None) -> ssl.SSLContext:
    """Return the TLS settings for `require`, which checks no certificate, or `verify`.

    Raises:
        ConfigError: The file of certificates cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as exc:  # ssl.SSLError is one: the file is there and holds no certificate
        raise ConfigError(f"ssl_ca {ca_file!r} cannot be used: {exc}", hint="name a file of PEM certificates") from exc
    if mode == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
