"""The one place that builds redis-py's clients."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from undercroft._core.clock import Clock
from undercroft._core.errors import ConfigError
from undercroft.connections.redis._careful import SentinelConnection, TcpConnection, UnixConnection
from undercroft.connections.redis._cluster import WaitingCluster
from undercroft.connections.redis._pool import SentinelPool, WaitingPool
from undercroft.connections.redis._settings import RedisOptions, RedisSettings
from undercroft.connections.redis._slots import Slots

_SPARE_NODE_CONNECTIONS = 64
"""Of each node of a cluster, for listeners, which are not calls."""
_UNACKED_MS = 30_000


@dataclass(slots=True)
class Built:
    """A client, and what belongs to it."""

    client: Redis | RedisCluster
    slots: Slots
    pool: WaitingPool | None = None
    """`None` on a cluster, whose client has the connections itself."""
    listeners: WaitingPool | None = None
    """For Pub/Sub: a listener must not take a connection away from commands."""
    sentinel: Sentinel | None = None

    @property
    def idle(self) -> int:
        holder: Any = self.pool or self.client
        return int(holder.idle)

    async def aclose(self) -> None:
        """Close every connection."""
        pools = [pool for pool in (self.pool, self.listeners) if pool is not None]
        for part in [*pools, self.sentinel, self.client]:
            if part is not None:
                await part.aclose()


def build(settings: RedisSettings, *, clock: Clock) -> Built:
    """Build the client of `settings`. Connects to nothing; reads the files of TLS.

    Raises:
        ConfigError: A file of TLS cannot be read, or is not what it should be.
    """
    options = settings.options
    slots = Slots(options.pool_size, wait_s=options.pool_timeout_s, clock=clock)
    if settings.kind == "cluster":
        return Built(client=_cluster(settings, slots), slots=slots)
    shared = _shared(settings)
    sentinel = _sentinel(settings) if settings.kind == "sentinel" else None
    pools = [
        _pool(settings, own, shared, sentinel)
        for own in (slots, Slots(options.pool_size, wait_s=options.pool_timeout_s, clock=clock))
    ]
    return Built(
        client=Redis(connection_pool=pools[0]), slots=slots, pool=pools[0], listeners=pools[1], sentinel=sentinel
    )


def _pool(settings: RedisSettings, slots: Slots, shared: dict[str, Any], sentinel: Sentinel | None) -> WaitingPool:
    if settings.kind == "unix":
        return WaitingPool(slots=slots, connection_class=UnixConnection, path=settings.path, **shared)
    shared = {
        **shared,
        "tls": make_tls(settings) if settings.is_tls else None,
        "socket_keepalive_options": _keepalive(),
    }
    if sentinel is not None:
        return SentinelPool(
            slots=slots,
            connection_class=SentinelConnection,
            service_name=settings.primary,
            sentinel_manager=sentinel,
            **shared,
        )
    host, port = settings.hosts[0]
    return WaitingPool(slots=slots, connection_class=TcpConnection, host=host, port=port, **shared)


def _sentinel(settings: RedisSettings) -> Sentinel:
    options = settings.options
    return Sentinel(  # type: ignore[no-untyped-call]
        settings.hosts,
        sentinel_kwargs={
            "username": options.sentinel_user,
            "password": options.sentinel_password,
            "socket_timeout": options.connect_timeout_s,
            "socket_connect_timeout": options.connect_timeout_s,
            "retry": Retry(NoBackoff(), 0),
            "driver_info": None,
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        },
    )


def _cluster(settings: RedisSettings, slots: Slots) -> WaitingCluster:
    client = WaitingCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in settings.hosts],
        max_connections=settings.options.pool_size + _SPARE_NODE_CONNECTIONS,
        socket_keepalive_options=_keepalive(),
        reinitialize_steps=0,  # after so many keys that moved it would close the connections that others are using
        **{name: value for name, value in _shared(settings).items() if name != "db"},
    )
    client.slots = slots
    # It takes no class for its connections: the nodes it has, and those it is going to find, are told here.
    ours = {"connection_class": TcpConnection, "tls": make_tls(settings) if settings.is_tls else None}
    client.connection_kwargs.update(ours)
    for node in client.nodes_manager.startup_nodes.values():
        node.connection_class = TcpConnection
        node.connection_kwargs["tls"] = ours["tls"]
    return client


def _shared(settings: RedisSettings) -> dict[str, Any]:
    options = settings.options
    return {
        "db": settings.db,
        "username": settings.user,
        "password": settings.password,
        "socket_timeout": options.socket_timeout_s,
        "socket_connect_timeout": options.connect_timeout_s,
        "health_check_interval": options.health_check_s,
        "protocol": int(options.protocol),
        "client_name": options.client_name,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,  # two commands less for each connection
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),  # it would hide leftovers of a reply
    }


def make_tls(settings: RedisSettings) -> ssl.SSLContext:
    """Read the certificates; takes tens of milliseconds of disk and CPU."""
    options = settings.options
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.cert_file:
            context.load_cert_chain(options.cert_file, options.key_file, password=_no_passphrase)
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigError(
            f"the certificates for {settings.place} cannot be read: {exc.strerror or exc.reason}",  # type: ignore[attr-defined]
            hint=f"check {_tls_files(options)}: PEM files that this process may read",
        ) from exc
    if options.verify == "no":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_passphrase() -> str:
    return ""  # otherwise OpenSSL asks whoever sits at the terminal


def _tls_files(options: RedisOptions) -> str:
    return ", ".join(name for name in ("ca_file", "cert_file", "key_file") if getattr(options, name)) or "the system's"


def _keepalive() -> dict[int, int]:
    """Settings by which the kernel notices within half a minute that the other side is gone, where it has them."""
    wanted = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": _UNACKED_MS}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
