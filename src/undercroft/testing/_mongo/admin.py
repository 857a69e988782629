"""hello, ping, buildInfo, endSessions, and the commands about collections and databases."""

from __future__ import annotations

from datetime import UTC, datetime

from undercroft.testing._mongo.errors import Code, CommandFailed
from undercroft.testing._mongo.store import Command, Document, Reply, Store, namespace_of, scratch_collection
from undercroft.testing._mongo.wire import MAX_MESSAGE_BYTES

VERSION = (7, 0, 0)
"""The MongoDB whose answers these are."""
_MAX_WIRE_VERSION = 21
_NOT_OPTIONS = ("lsid", "writeConcern", "comment", "maxTimeMS")


def hello(_: Store, command: Command) -> Reply:
    """Describe a stand-alone server, without replica set, compression or streaming heartbeats."""
    return {
        "helloOk": True,
        "isWritablePrimary": True,
        "ismaster": True,
        "maxBsonObjectSize": 16 * 1024 * 1024,
        "maxMessageSizeBytes": MAX_MESSAGE_BYTES,
        "maxWriteBatchSize": 100_000,
        "localTime": datetime.now(UTC),
        "logicalSessionTimeoutMinutes": 30,
        "minWireVersion": 0,
        "maxWireVersion": _MAX_WIRE_VERSION,
        "readOnly": False,
        **({"saslSupportedMechs": ["SCRAM-SHA-256"]} if command.get("saslSupportedMechs") else {}),
        "ok": 1.0,
    }


def ping(_: Store, __: Command) -> Reply:
    """Answer."""
    return {"ok": 1.0}


def build_info(_: Store, __: Command) -> Reply:
    """Answer with the version that this server imitates, and say that it does."""
    return {
        "version": ".".join(map(str, VERSION)),
        "versionArray": [*VERSION, 0],
        "gitVersion": "undercroft.testing.mongo_server",
        "modules": [],
        "bits": 64,
        "maxBsonObjectSize": 16 * 1024 * 1024,
        "ok": 1.0,
    }


def create(store: Store, command: Command) -> Reply:
    """Create a plain collection; capped, time series, views and validators are refused."""
    collection = store.collection(command)
    options = [key for key in list(command)[1:] if not key.startswith("$") and key not in _NOT_OPTIONS]
    if options:
        raise CommandFailed(Code.NotImplemented, f"this server stands in for MongoDB and has no {options[0]!r}")
    if store.has_collection(collection):
        raise CommandFailed(Code.NamespaceExists, f"Collection {namespace_of(collection)} already exists.")
    store.database(command).create_collection(collection.name)
    return {"ok": 1.0}


def list_collections(store: Store, command: Command) -> Reply:
    """Answer with the collections that match the filter."""
    database = store.database(command)
    found: list[Document] = [
        {"name": name, "type": "collection", "options": {}, "info": {"readOnly": False}, "_id": name}
        for name in sorted(database.list_collection_names())
    ]
    keys = ("name", "type") if command.get("nameOnly") else ("name", "type", "options", "info")
    matching = scratch_collection(*found).find(command.get("filter") or {})
    documents = [{key: document[key] for key in keys} for document in matching]
    batch_size = (command.get("cursor") or {}).get("batchSize")
    namespace = f"{database.name}.$cmd.listCollections"
    return store.open_cursor(namespace, documents, batch_size=batch_size, is_single=False)


def drop(store: Store, command: Command) -> Reply:
    """Drop a collection; one that does not exist is dropped already."""
    collection = store.collection(command)
    collection.drop()
    return {"ns": namespace_of(collection), "ok": 1.0}


def drop_database(store: Store, command: Command) -> Reply:
    """Drop a database."""
    name = store.database(command).name
    store.client.drop_database(name)
    return {"dropped": name, "ok": 1.0}
