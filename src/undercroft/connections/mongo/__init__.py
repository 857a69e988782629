"""MongoDB: pymongo's client with a life cycle and clear errors, typed documents, declared indexes.

    from undercroft.connections.mongo import Index, Mongo

    @dataclass
    class Notification:
        user_id: str
        created_at: datetime
        id: ObjectId | None = None

    mongo = Mongo("mongodb://localhost:27017/shop")
    notifications = mongo.collection("notifications", Notification, indexes=[Index("user_id", ("created_at", -1))])

    async with mongo:                                                   # connects and pings
        await mongo.sync_indexes([notifications])
        note = await notifications.insert(Notification("u1", datetime.now(UTC)))
        async for note in notifications.find({"user_id": "u1"}, sort=("created_at", -1), limit=20):
            ...
        await mongo.database["anything"].find_one()                     # the driver itself

Needs `pip install 'undercroft[mongo]'`; importing this loads no driver.
"""

from __future__ import annotations

from undercroft._core.url import Url
from undercroft.connections.mongo._collection import Collection
from undercroft.connections.mongo._errors import (
    CollectionDefinitionError,
    DamagedDocumentError,
    DocumentNotFoundError,
    DocumentRefusedError,
    DuplicateKeyError,
    FindBoundError,
    InvalidDocumentError,
    MongoAuthError,
    MongoError,
    MongoRefusedError,
    MongoTimeoutError,
    MongoUnavailableError,
    MongoUsageError,
    NoDatabaseError,
    NoServerError,
    NotPrimaryError,
)
from undercroft.connections.mongo._find import FIND_BOUND, NO_LIMIT, Found
from undercroft.connections.mongo._index import Index, IndexConflict, IndexPlace, IndexReport
from undercroft.connections.mongo._mongo import Mongo

__all__ = [
    "FIND_BOUND",
    "NO_LIMIT",
    "Collection",
    "CollectionDefinitionError",
    "DamagedDocumentError",
    "DocumentNotFoundError",
    "DocumentRefusedError",
    "DuplicateKeyError",
    "FindBoundError",
    "Found",
    "Index",
    "IndexConflict",
    "IndexPlace",
    "IndexReport",
    "InvalidDocumentError",
    "Mongo",
    "MongoAuthError",
    "MongoError",
    "MongoRefusedError",
    "MongoTimeoutError",
    "MongoUnavailableError",
    "MongoUsageError",
    "NoDatabaseError",
    "NoServerError",
    "NotPrimaryError",
    "Url",
]
