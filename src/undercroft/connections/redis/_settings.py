"""What a Redis URL says.

`redis://[user[:password]@]host[:6379][/db]`, `rediss://` with TLS, `redis+unix:///path/of.sock`,
`redis+sentinel://host[:26379],…/name[/db]` and `redis+cluster://host[:6379],…`, the last two also as `rediss+…`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from undercroft._core.errors import near_names
from undercroft._core.url import Url, UrlError
from undercroft.connections.redis._errors import RedisUrlError

SCHEMES = (
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
_SHAPES = {
    "": "redis://host[:port][/db], or with user:password@ before the host",
    "unix": "redis+unix:///run/redis.sock",
    "sentinel": "redis+sentinel://host[:port],host[:port]/name-of-the-primary[/db]",
    "cluster": "redis+cluster://host[:port],host[:port]",
}
_PORTS = {"": 6379, "sentinel": 26379, "cluster": 6379}
# An address in brackets or a name, then perhaps a port.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:\s]+)(?::([0-9]{1,5}))?")


class RedisOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a Redis URL."""

    socket_timeout_s: _Seconds = 5.0
    """How long an answer may take, on top of what a blocking command asks the server to wait."""
    connect_timeout_s: _Seconds = 5.0
    """For connecting, and again for each step of the handshake."""
    pool_size: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 50
    """Connections at a time, over all; on a cluster: calls at a time."""
    pool_timeout_s: _Seconds = 5.0
    """How long a call waits for a connection when all are in use."""
    health_check_s: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 30.0
    """A connection that was not used for so long is checked with a PING first; 0 never does."""
    protocol: Literal["2", "3"] = "3"
    """Of RESP."""
    client_name: str | None = None
    """What `CLIENT LIST` shows; without spaces."""
    ca_file: str | None = None
    """PEM certificates to trust instead of the system's."""
    cert_file: str | None = None
    """Our own certificate, in PEM, perhaps with its key."""
    key_file: str | None = None
    """The key of our own certificate, without a passphrase."""
    verify: Literal["yes", "no"] = "yes"
    """`no` trusts any certificate."""
    db: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Of a Unix socket, whose URL has no other place for it."""
    sentinel_user: str | None = None
    sentinel_password: str | None = None
    """Of the Sentinels, which have users of their own."""


Kind = Literal["", "unix", "sentinel", "cluster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """Where a Redis is, and how to talk to it."""

    kind: Kind
    """The scheme's variant; empty for one server."""
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    """Of the Unix socket."""
    primary: str = ""
    """The name that the Sentinels know the primary by."""
    db: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    is_tls: bool = False
    options: RedisOptions = field(default_factory=RedisOptions, repr=False)

    @classmethod
    def from_url(cls, url: Url, *, what: str) -> RedisSettings:
        """Read `url`.

        Raises:
            RedisUrlError: A scheme that is not Redis's, no host, a database that is not a number, an unknown option, …
        """
        if url.scheme not in SCHEMES:
            raise RedisUrlError(
                f"{what}: {url.scheme}:// is not a Redis URL",
                near=near_names(url.scheme, SCHEMES),
                hint=f"schemes: {', '.join(f'{name}://' for name in SCHEMES)}",
            )
        try:
            options = url.options_as(RedisOptions, what=what)
        except UrlError as exc:
            raise RedisUrlError(exc.message, near=exc.near, hint=exc.hint) from None
        base, _, kind = url.scheme.partition("+")
        reader = _Reader(url, kind, what)
        settings = cls(
            kind=kind,  # type: ignore[arg-type]  # of SCHEMES
            hosts=reader.hosts(),
            path=reader.socket_path(),
            primary=reader.primary(),
            db=reader.db(options),
            user=url.user,
            password=url.password,
            is_tls=base == "rediss",
            options=options,
        )
        _check(settings, what)
        return settings

    @property
    def place(self) -> str:
        """The servers in words, for messages."""
        addresses = ", ".join(f"{host}:{port}" for host, port in self.hosts)
        if self.kind == "unix":
            return f"the Redis at {self.path}"
        if self.kind == "sentinel":
            return f"the Redis {self.primary!r} of the Sentinels {addresses}"
        return f"the Redis cluster of {addresses}" if self.kind == "cluster" else f"the Redis at {addresses}"


class _Reader:
    """Takes the parts of one URL apart."""

    def __init__(self, url: Url, kind: str, what: str) -> None:
        self._url, self._kind, self._what = url, kind, what
        self._steps = [] if kind == "unix" else [step for step in url.path.split("/") if step]

    def hosts(self) -> tuple[tuple[str, int], ...]:
        if self._kind == "unix":
            if self._url.host:
                raise self._error("a Unix socket has no host")
            return ()
        url = self._url
        text = url.host if url.port is None else f"{url.host}:{url.port}"
        found = tuple(self._host(part) for part in text.split(","))
        if len(found) > 1 and self._kind == "":
            raise self._error("one server is one host")
        return found

    def socket_path(self) -> str:
        if self._kind != "unix":
            return ""
        if len(self._url.path) < 2:
            raise self._error("the path of the socket is missing")
        return self._url.path

    def primary(self) -> str:
        if self._kind != "sentinel":
            return ""
        if not self._steps:
            raise self._error("the name of the primary is missing")
        return self._steps[0]

    def db(self, options: RedisOptions) -> int:
        if self._kind == "unix":
            return options.db or 0
        if options.db is not None:
            raise self._error("the database belongs into the path, not into ?db=")
        steps = self._steps[1:] if self._kind == "sentinel" else self._steps
        if len(steps) > 1 or not all(re.fullmatch(r"[0-9]{1,9}", step) for step in steps):
            raise self._error("the path is not the number of a database")
        number = int(steps[0]) if steps else 0
        if self._kind == "cluster" and number:
            raise self._error("a cluster has database 0 only")
        return number

    def _host(self, text: str) -> tuple[str, int]:
        match = _HOST.fullmatch(text)
        port = int(match[2]) if match and match[2] else _PORTS[self._kind]
        if match is None or not 0 < port < 65536:
            raise self._error("a host is missing, or is not host or host:port")
        return match[1].strip("[]"), port

    def _error(self, problem: str) -> RedisUrlError:
        return RedisUrlError(f"{self._what}: {problem}", hint=f"write {_SHAPES[self._kind]}")


def _check(settings: RedisSettings, what: str) -> None:
    options = settings.options
    tls_only = [name for name in ("ca_file", "cert_file", "key_file") if getattr(options, name)]
    if options.verify == "no":
        tls_only.append("verify")
    if tls_only and not settings.is_tls:
        raise RedisUrlError(f"{what}: {tls_only[0]} means nothing without TLS", hint="write rediss:// for TLS")
    if options.key_file and not options.cert_file:
        raise RedisUrlError(f"{what}: key_file without cert_file", hint="give both, or cert_file alone")
    if settings.user and settings.password is None:
        raise RedisUrlError(f"{what}: a user without a password", hint="write user:password@, or :password@")
    if (options.sentinel_user or options.sentinel_password) and settings.kind != "sentinel":
        raise RedisUrlError(f"{what}: sentinel_user and sentinel_password are for redis+sentinel://")
    if options.client_name is not None and not re.fullmatch(r"[!-~]+", options.client_name):
        raise RedisUrlError(f"{what}: client_name must be printable ASCII without spaces")
