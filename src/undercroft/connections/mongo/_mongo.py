"""The connection users hold. Imports no pymongo before one is made."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import ConfigError, NotOpenError
from undercroft._core.extras import require_module
from undercroft._core.ids import IdSource
from undercroft._core.url import Url
from undercroft.connections.mongo._calls import Calls
from undercroft.connections.mongo._collection import Collection
from undercroft.connections.mongo._errors import CollectionDefinitionError, MongoUsageError, NoDatabaseError
from undercroft.connections.mongo._index import Index, IndexReport

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient
    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.database import AsyncDatabase

    from undercroft.connections.mongo._address import MongoAddress

R = TypeVar("R")
T = TypeVar("T")
_CLOSE_S = 5.0
_HERE = "undercroft.connections.mongo"


class Mongo:
    """A connection to MongoDB: pymongo's asynchronous client, opened, bounded in time, with errors in our words.

    Opened and closed by `async with`, as often as you like, one at a time; used from the event loop that opened it.
    """

    def __init__(
        self,
        url: Url | str,
        *,
        what: str = "MONGODB_URI",
        default_database: str | None = None,
        server_selection_timeout: Duration = "5s",
        operation_timeout: Duration = "30s",
        clock: Clock | None = None,
    ) -> None:
        """Take the settings; does no I/O.

        Args:
            url: `mongodb://user:password@host:27017,host2/database?option=value`, or `mongodb+srv://`. The options are
                MongoDB's own, and win over the arguments here.
            what: The setting the URL came from; named in errors.
            default_database: The database where the URL names none.
            server_selection_timeout: How long a server may take to be found, connected to, or to answer a ping
                (`serverSelectionTimeoutMS`, `connectTimeoutMS`).
            operation_timeout: How long one command may take, retries included (`timeoutMS`); not set when the URL has
                `timeoutMS` or `socketTimeoutMS`.
            clock: Where the time in generated `str` ids comes from.

        Raises:
            UrlError: The URL or an option of it is wrong.
            ConfigError: A timeout is 0.
            MissingExtraError: pymongo is not installed.
        """
        require_module("pymongo", extra="mongo", needed_for="mongodb://")
        self._address: MongoAddress = _part("_address").read_address(url, what=what)
        self._what = what
        self._default_database = default_database
        self._selection_timeout_s = _positive(server_selection_timeout, "server_selection_timeout")
        self._operation_timeout_s = _positive(operation_timeout, "operation_timeout")
        self._ids = IdSource(clock)
        self._calls = Calls(grace_s=self._selection_timeout_s)
        self._place = _part("_driver_errors").Place(server=self._address.shown, setting=what)
        self._client: AsyncMongoClient[dict[str, Any]] | None = None
        self._is_opening = False

    @classmethod
    def from_url(
        cls,
        url: Url,
        *,
        what: str = "MONGODB_URI",
        default_database: str | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Return the connection that `url` names. Raises as the constructor."""
        return cls(url, what=what, default_database=default_database, clock=clock)

    async def __aenter__(self) -> Self:
        """Connect, log in and ping; when that fails nothing is left open, and it may be entered again.

        Raises:
            NoServerError: No server was found within the selection timeout.
            MongoUnavailableError: One was, and does not answer.
            MongoAuthError: It does not accept the user and password.
            MongoUsageError: It is open already.
        """
        if self._client is not None or self._is_opening:
            raise MongoUsageError("this Mongo is open already", hint="open it once, or make another")
        self._is_opening = True
        try:
            self._client = await self._connect()
        finally:
            self._is_opening = False
        return self

    async def __aexit__(self, *_: object) -> None:
        client, self._client = self._client, None
        if client is not None:
            await self._close(client)

    @property
    def client(self) -> AsyncMongoClient[dict[str, Any]]:
        """The driver's own client. Reads dates as aware UTC and UUIDs as UUIDs, unless the URL says otherwise.

        Raises:
            NotOpenError: It is not open.
        """
        if self._client is None:
            raise NotOpenError("the connection to MongoDB is not open", hint="use it inside `async with mongo:`")
        return self._client

    @property
    def database(self) -> AsyncDatabase[dict[str, Any]]:
        """The driver's own database: the one in the URL's path, else `default_database`.

        Raises:
            NoDatabaseError: Neither names one.
            NotOpenError: It is not open.
        """
        name = self._address.database or self._default_database
        if not name:
            raise NoDatabaseError(
                f"{self._what} names no database",
                hint="add it behind the hosts, mongodb://host:27017/shop, or give default_database",
            )
        return self.client[name]

    async def ping(self) -> None:
        """Return when a server answers, within the selection timeout.

        Raises:
            MongoUnavailableError: None does.
            MongoAuthError: It does not accept the user and password.
        """
        await self._ping(self.client)

    async def server_version(self) -> str:
        """Return the server's version, such as `"8.0.4"`.

        Raises:
            MongoUnavailableError: No server answers.
        """
        return str((await self.run(self.client.server_info()))["version"])

    async def run(self, operation: Awaitable[R], *, writes: bool = False) -> R:
        """Run one operation of the driver: `await mongo.run(mongo.database["notes"].find_one())`.

        Use it, rather than awaiting the driver itself, wherever a caller may be cancelled by anyio, as requests and
        jobs are: pymongo does not survive that. Cancellation returns at once; the operation goes on for up to the
        selection timeout. The driver's errors become ours.

        Args:
            writes: A broken connection leaves it open whether it happened (`may_have_been_applied`).

        Raises:
            MongoError: What `connections.mongo` has for it.
        """
        with self.translate(writes=writes):
            return await self._calls.run(operation)

    def translate(self, *, writes: bool = False) -> AbstractContextManager[None]:
        """Turn what the driver raises in a block into our errors; for loops over its own cursors."""
        translated: AbstractContextManager[None] = _part("_driver_errors").translated(self._place, writes=writes)
        return translated

    def collection(self, name: str, type_: type[T], *, indexes: Iterable[Index] = ()) -> Collection[T]:
        """Return a collection whose documents are `type_`. Does no I/O, and may be called before it is opened.

        Args:
            type_: A dataclass, msgspec.Struct, TypedDict or pydantic model with a field `id`, stored as `_id`: an
                `ObjectId`, `str` or `UUID`. One that may be `None` (or is `NotRequired`) is generated where absent.
            indexes: What `sync_indexes` will create; nothing is created here.

        Raises:
            CollectionDefinitionError: The name or the type cannot be used.
        """
        if not name or name.startswith(("system.", ".")) or name.endswith(".") or "$" in name or "\0" in name:
            raise CollectionDefinitionError(f"{name!r} is not the name of a collection")
        documents = _part("_document").DocumentType(type_, collection=name, ids=self._ids)
        return Collection(name, documents, tuple(indexes), self, shown=self._address.shown)

    def open_collection(self, name: str) -> AsyncCollection[dict[str, Any]]:
        """Return the driver's collection as typed documents need it: aware dates, UUIDs, decimals.

        Raises:
            NotOpenError, NoDatabaseError: As `database`.
        """
        return self.database.get_collection(name, codec_options=_part("_bson").CODEC)

    async def sync_indexes(
        self,
        collections: Iterable[Collection[Any]],
        *,
        drop_unknown: bool = False,
        dry_run: bool = False,
        timeout: Duration = "10m",
    ) -> IndexReport:
        """Create the indexes that `collections` declare and that are not there. Any number of processes may do so.

        An index that is there with other keys or options, or on the same keys under another name, is a conflict: it is
        reported and logged, and left as it is. So is a unique index that the documents do not allow.

        Args:
            drop_unknown: Also drop what is there and not declared exactly so, conflicts included, and create them
                anew. Between the two the index is missing; try `dry_run` first.
            dry_run: Change nothing; report what would be done.
            timeout: How long building one index may take.

        Raises:
            CollectionDefinitionError: Two declarations clash; nothing was done.
            MongoUnavailableError: The server did not answer; what was created stays. Call it again.
            MongoRefusedError: It refuses an index for another reason.
        """
        sync = _part("_sync")
        declared = sync.declared_indexes(collections)
        run = sync.IndexSync(self.database, self, timeout_s=_positive(timeout, "timeout"))
        report: IndexReport = await run.run(declared, drop_unknown=drop_unknown, dry_run=dry_run)
        return report

    def __repr__(self) -> str:
        return f"Mongo({self._address.shown!r})"

    async def _connect(self) -> AsyncMongoClient[dict[str, Any]]:
        """Return a client that has pinged the server."""
        options = self._address.client_options(self._selection_timeout_s, self._operation_timeout_s)
        client = await self._connect_with(options)
        if "retrywrites" in self._address.options or not _is_stand_alone(client):
            return client
        # A stand-alone server cannot retry writes. Trying to all the same, pymongo 4.20 marks the server unknown for
        # each write that waited for it; with several at once it does not come back after a restart.
        await self._close(client)
        return await self._connect_with({**options, "retryWrites": False})

    async def _connect_with(self, options: dict[str, Any]) -> AsyncMongoClient[dict[str, Any]]:
        with self.translate():
            client: AsyncMongoClient[dict[str, Any]] = import_module("pymongo").AsyncMongoClient(
                self._address.text, **options
            )
        try:
            await self._ping(client)
        except BaseException:
            await self._close(client)
            raise
        return client

    async def _close(self, client: AsyncMongoClient[dict[str, Any]]) -> None:
        await self._calls.finish()
        with anyio.move_on_after(_CLOSE_S, shield=True):
            await client.close()

    async def _ping(self, client: AsyncMongoClient[dict[str, Any]]) -> None:
        options = self._address.options
        timeout_s = options.get("serverselectiontimeoutms", self._selection_timeout_s)
        with import_module("pymongo").timeout(timeout_s):
            await self.run(client.admin.command("ping"))


def _is_stand_alone(client: AsyncMongoClient[dict[str, Any]]) -> bool:
    servers = client.topology_description.server_descriptions().values()
    return {server.server_type_name for server in servers} == {"Standalone"}


def _positive(duration: Duration, name: str) -> float:
    seconds = to_seconds(duration, name=name)
    if seconds <= 0:
        raise ConfigError(f"{name} is 0", hint="every wait has an end: give a time")
    return seconds


def _part(name: str) -> Any:
    """Return a file of this module that imports pymongo."""
    return import_module(f"{_HERE}.{name}")
