"""One Redis, whatever it is made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.errors import NotOpenError
from undercroft._core.extras import require_module
from undercroft._core.url import Url
from undercroft.connections.redis._errors import CrossSlotError
from undercroft.connections.redis._script import Script
from undercroft.connections.redis._settings import RedisSettings
from undercroft.connections.redis._translate import translated

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster
    from redis.asyncio.client import PubSub

    from undercroft.connections.redis._client import Built

_CLOSE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """How busy the connections are now. On a cluster: the calls, of all nodes together, but for `idle`."""

    size: int
    """How many there can be."""
    in_use: int
    idle: int
    """How many are open and not in use."""
    waiting: int
    """How many tasks wait for one."""
    oldest_use_s: float | None
    """How long the longest use lasts; `None` when there is none."""


class RedisConnection:
    """A Redis: one server, a primary behind Sentinels, or a cluster. For one event loop; safe for many tasks.

    Entering does no network I/O: the first call connects, and so does the first one after an outage, so that a program
    starts, and recovers, whatever order things come up in. Leaving closes every connection.
    """

    def __init__(self, url: Url | str, *, what: str = "redis", clock: Clock | None = None) -> None:
        """Take the settings; does no I/O.

        Args:
            what: The setting the URL came from; named in errors.
            clock: Measures how long connections are held and waited for. Sockets have the loop's time.

        Raises:
            RedisUrlError: It names no server, or has a part or an option that its scheme does not know.
            UrlError: It is not a URL at all.
            MissingExtraError: redis-py is not installed.
        """
        for module in ("redis", "redis.asyncio.maint_notifications"):  # the second came with version 8.1
            require_module(module, extra="redis", needed_for="Redis")
        self._settings = RedisSettings.from_url(Url.parse(url, what=what) if isinstance(url, str) else url, what=what)
        self._clock = clock or SystemClock()
        self._built: Built | None = None

    @classmethod
    def from_url(cls, url: Url, *, what: str, clock: Clock | None = None) -> Self:
        """Return the connection of `url`; see the constructor."""
        return cls(url, what=what, clock=clock)

    @property
    def place(self) -> str:
        """The servers in words, without secrets, for messages."""
        return self._settings.place

    @property
    def is_cluster(self) -> bool:
        """Whether the keys are spread over several servers by their hash slots."""
        return self._settings.kind == "cluster"

    @property
    def client(self) -> Redis | RedisCluster:
        """redis-py's client, all of its commands; answers are `bytes`. Its errors are redis-py's: see `translated`.

        Raises:
            NotOpenError: The connection is not open.
        """
        return self._require_open().client

    @property
    def pool_status(self) -> PoolStatus:
        """How busy the connections are now.

        Raises:
            NotOpenError: The connection is not open.
        """
        built = self._require_open()
        slots = built.slots
        return PoolStatus(
            size=slots.size,
            in_use=slots.in_use,
            idle=built.idle,
            waiting=slots.waiting,
            oldest_use_s=slots.oldest_s,
        )

    def translated(self) -> translated:
        """Turn what redis-py raises in the block into a `RedisError` that names this server."""
        return translated(self.place)

    async def ping(self) -> float:
        """Ask for a sign of life, on a cluster of every node, and return the seconds it took.

        Raises:
            RedisUnavailableError: There was none within the timeouts.
            RedisRefusedError: The server does not let us in.
        """
        client: Any = self.client
        start = self._clock.monotonic()
        with self.translated():
            await client.ping()
        return self._clock.monotonic() - start

    async def server_version(self) -> tuple[int, ...]:
        """Return the server's version, as in `(7, 0, 15)`; on a cluster, one node's.

        Raises:
            RedisError: As `ping`.
        """
        client: Any = self.client
        with self.translated():
            info = await client.info("server")
        return tuple(int(number) for number in re.findall(r"\d+", str(info.get("redis_version", ""))))

    async def run_script(
        self, script: Script, keys: Sequence[str | bytes] = (), args: Sequence[str | bytes | float] = ()
    ) -> Any:
        """Run `script`, in one round trip unless the server does not know it yet, and return its answer.

        A server that does not know it, or has forgotten it, gets the whole text once: it keeps it, and runs it. A
        script is never sent again when its answer was lost: that raises, with `may_have_run`.

        Args:
            keys: Every key that the script uses. On a cluster all of one hash slot.

        Raises:
            CrossSlotError: They are not; nothing was sent.
            RedisCommandError: The script is broken, or failed by itself.
            RedisError: As `ping`.
        """
        client: Any = self.client
        if self.is_cluster and len(keys) > 1:
            self._require_one_slot(keys)
        from redis.exceptions import NoScriptError

        with self.translated():
            try:
                return await client.evalsha(script.sha, len(keys), *keys, *args)
            except NoScriptError:
                # The whole text, and not SCRIPT LOAD: on exactly the node that lacks it, and nothing can come between.
                return await client.eval(script.text, len(keys), *keys, *args)

    def pubsub(self) -> PubSub:
        """Return redis-py's listener, on a connection of its own that no command waits for. Use it by `async with`.

        After an error its next read connects and subscribes again; what was published meanwhile is lost, as Redis
        keeps nothing for listeners.
        """
        built = self._require_open()
        if built.listeners is None:
            return built.client.pubsub()
        from redis.asyncio.client import PubSub

        return PubSub(built.listeners)

    async def __aenter__(self) -> Self:
        if self._built is not None:
            raise NotOpenError(f"the connection to {self.place} is open already", hint="enter it in one place only")
        from undercroft.connections.redis._client import build

        if self._settings.is_tls:
            self._built = await anyio.to_thread.run_sync(lambda: build(self._settings, clock=self._clock))
        else:
            self._built = build(self._settings, clock=self._clock)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        built, self._built = self._built, None
        if built is not None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_S):
                await built.aclose()

    def __repr__(self) -> str:
        return f"<RedisConnection to {self.place}>"

    def _require_open(self) -> Built:
        if self._built is None:
            raise NotOpenError(f"the connection to {self.place} is not open", hint="use it inside `async with`")
        return self._built

    def _require_one_slot(self, keys: Sequence[str | bytes]) -> None:
        from redis.crc import key_slot

        texts = [key.encode() if isinstance(key, str) else key for key in keys]
        other = next((key for key in texts if key_slot(key) != key_slot(texts[0])), None)
        if other is not None:
            shown = [key.decode(errors="replace") for key in (texts[0], other)]
            raise CrossSlotError(
                f"{self.place}: the keys of one script must lie in one hash slot, and these do not: "
                f"{shown[0]!r}, {shown[1]!r}",
                keys=shown,
                hint="write what they share in braces: {cart:7}:items and {cart:7}:total lie in one slot",
            )
