"""What the commands act on: mongomock's databases, and the cursors that are open."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import bson
import mongomock

from undercroft.testing._mongo.errors import Code, CommandFailed

Command = Mapping[str, Any]
Reply = dict[str, Any]
Document = dict[str, Any]
_FIRST_BATCH = 101  # as the real server


class Store:
    """Databases and cursors. Lives as long as its `MongoServer`; used from one thread."""

    def __init__(self) -> None:
        self.client: Any = mongomock.MongoClient()
        self._cursors: dict[int, tuple[str, list[Document]]] = {}
        self._cursor_ids = itertools.count(1_000_000_001)

    def database(self, command: Command) -> Any:
        """Return mongomock's database for a command."""
        return self.client[command.get("$db", "admin")]

    def collection(self, command: Command) -> Any:
        """Return mongomock's collection for a command; its name is the value of the command's first key.

        Raises:
            CommandFailed: The value is not a name.
        """
        name = next(iter(command.values()))
        if not isinstance(name, str) or not name or "$" in name:
            raise CommandFailed(Code.InvalidNamespace, f"{name!r} is not the name of a collection")
        return self.database(command)[name]

    def has_collection(self, collection: Any) -> bool:
        """Tell whether the collection was created, by a write, an index or a command."""
        return collection.name in collection.database.list_collection_names()

    def create_if_new(self, collection: Any) -> bool:
        """Create a collection, so that it stays when it is empty again; return whether it was not there."""
        if self.has_collection(collection):
            return False
        collection.database.create_collection(collection.name)
        return True

    def open_cursor(
        self, namespace: str, documents: list[Document], *, batch_size: int | None, is_single: bool
    ) -> Reply:
        """Return a reply with the first batch; the rest waits in a cursor, unless `is_single`."""
        size = _FIRST_BATCH if batch_size is None else batch_size
        first, rest = documents[:size], documents[size:]
        cursor_id = 0
        if rest and not is_single:
            cursor_id = next(self._cursor_ids)
            self._cursors[cursor_id] = (namespace, rest)
        return _cursor_reply("firstBatch", first, cursor_id, namespace)

    def next_batch(self, cursor_id: int, batch_size: int | None) -> Reply:
        """Return a reply with the next batch, and forget the cursor with the last.

        Raises:
            CommandFailed: There is no such cursor: exhausted, killed, or the server was restarted.
        """
        if cursor_id not in self._cursors:
            raise CommandFailed(Code.CursorNotFound, f"cursor id {cursor_id} not found")
        namespace, documents = self._cursors.pop(cursor_id)
        size = batch_size or len(documents)
        if documents[size:]:
            self._cursors[cursor_id] = (namespace, documents[size:])
        is_open = cursor_id in self._cursors
        return _cursor_reply("nextBatch", documents[:size], cursor_id if is_open else 0, namespace)

    def kill_cursors(self, cursor_ids: list[int]) -> tuple[list[int], list[int]]:
        """Forget cursors; return the ids that were open, and those that were not."""
        killed = [cursor_id for cursor_id in cursor_ids if self._cursors.pop(cursor_id, None) is not None]
        return killed, [cursor_id for cursor_id in cursor_ids if cursor_id not in killed]

    def forget_cursors(self) -> None:
        """Forget all cursors, as a restart does."""
        self._cursors.clear()

    @property
    def cursor_count(self) -> int:
        return len(self._cursors)


def scratch_collection(*documents: Document) -> Any:
    """Return a collection of its own that holds copies of `documents`, to try something on."""
    collection: Any = mongomock.MongoClient()["scratch"]["scratch"]
    for document in documents:
        collection.insert_one(dict(document))
    return collection


def namespace_of(collection: Any) -> str:
    """Return `database.collection`."""
    return f"{collection.database.name}.{collection.name}"


Handler = Callable[[Store, Command], Reply]


def _cursor_reply(batch: str, documents: list[Document], cursor_id: int, namespace: str) -> Reply:
    return {"cursor": {batch: documents, "id": bson.Int64(cursor_id), "ns": namespace}, "ok": 1.0}
