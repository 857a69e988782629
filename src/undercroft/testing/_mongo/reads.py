"""find, getMore, killCursors, aggregate, count, distinct."""

from __future__ import annotations

from typing import Any

from undercroft.testing._mongo.errors import Code, CommandFailed, refuse
from undercroft.testing._mongo.store import Command, Reply, Store, namespace_of

_UNKNOWN_TO_FIND = ("collation", "let", "min", "max", "returnKey", "showRecordId", "tailable", "awaitData")


def find(store: Store, command: Command) -> Reply:
    """Answer with the documents that match; `hint`, `comment`, `maxTimeMS` and the like change nothing here."""
    refuse(command, *_UNKNOWN_TO_FIND)
    collection = store.collection(command)
    limit = command.get("limit") or 0
    found = collection.find(command.get("filter") or {}, command.get("projection") or None)
    if command.get("sort"):
        found = found.sort(list(command["sort"].items()))
    documents = list(found.skip(command.get("skip") or 0).limit(abs(limit)))
    return store.open_cursor(
        namespace_of(collection),
        documents,
        batch_size=command.get("batchSize"),
        is_single=bool(command.get("singleBatch")) or limit < 0,
    )


def get_more(store: Store, command: Command) -> Reply:
    """Answer with the next batch of a cursor."""
    return store.next_batch(command["getMore"], command.get("batchSize"))


def kill_cursors(store: Store, command: Command) -> Reply:
    """Forget cursors, and say which of them were open."""
    killed, unknown = store.kill_cursors(list(command["cursors"]))
    return {
        "cursorsKilled": killed,
        "cursorsNotFound": unknown,
        "cursorsAlive": [],
        "cursorsUnknown": [],
        "ok": 1.0,
    }


def aggregate(store: Store, command: Command) -> Reply:
    """Run a pipeline on a collection; stages and expressions are those that mongomock has."""
    refuse(command, "collation", "let", "explain")
    pipeline = list(command["pipeline"])
    if pipeline and "$changeStream" in pipeline[0]:
        raise CommandFailed(Code.Location40573, "The $changeStream stage is only supported on replica sets")
    collection = store.collection(command)
    documents: list[dict[str, Any]] = list(collection.aggregate(pipeline))
    batch_size = (command.get("cursor") or {}).get("batchSize")
    return store.open_cursor(namespace_of(collection), documents, batch_size=batch_size, is_single=False)


def count(store: Store, command: Command) -> Reply:
    """Count the documents that match."""
    refuse(command, "collation")
    found = store.collection(command).find(command.get("query") or {})
    documents = list(found.skip(command.get("skip") or 0).limit(abs(command.get("limit") or 0)))
    return {"n": len(documents), "ok": 1.0}


def distinct(store: Store, command: Command) -> Reply:
    """Answer with the different values of a field."""
    refuse(command, "collation")
    values = store.collection(command).distinct(command["key"], command.get("query") or {})
    return {"values": list(values), "ok": 1.0}
