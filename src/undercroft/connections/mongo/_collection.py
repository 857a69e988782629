"""A collection whose documents have a type."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from undercroft.connections.mongo._errors import DocumentNotFoundError
from undercroft.connections.mongo._find import Found, NoLimit, driver_limit
from undercroft.connections.mongo._index import Index, Key, as_sort

if TYPE_CHECKING:
    from uuid import UUID

    from bson import ObjectId
    from pymongo.asynchronous.collection import AsyncCollection

    from undercroft.connections.mongo._document import DocumentType

R = TypeVar("R")
T = TypeVar("T")
Filter = Mapping[str, Any]
"""MongoDB's query language. `id` is `_id`; other names are as they are stored, and nobody checks them."""


class Source(Protocol):
    """Where a collection gets the driver's from, and what runs its operations. `Mongo` is one."""

    def open_collection(self, name: str) -> AsyncCollection[dict[str, Any]]:
        """Return the driver's collection, as typed documents need it."""

    async def run(self, operation: Awaitable[R], *, writes: bool = False) -> R:
        """Run one operation of the driver, with errors in our words, safe to cancel."""


class Collection(Generic[T]):
    """Reads and writes documents of one type. Made by `Mongo.collection`, before or after it is opened.

    Every method sends one command, except that finds read on in batches. All raise `MongoUnavailableError` and its
    kind when the server does not answer, `NotOpenError` outside of `async with mongo:`. Safe for many tasks at a time.
    Cancellation returns at once; what was on its way may still happen, also afterwards.
    """

    def __init__(
        self, name: str, documents: DocumentType[T], indexes: Sequence[Index], source: Source, *, shown: str
    ) -> None:
        self.name = name
        self.indexes = tuple(indexes)
        self._documents = documents
        self._source = source
        self._shown = shown

    @property
    def raw(self) -> AsyncCollection[dict[str, Any]]:
        """The driver's own collection, for all that is not here; its errors and documents are the driver's."""
        return self._source.open_collection(self.name).database[self.name]

    async def insert(self, document: T) -> T:
        """Store a new document and return it as it will be read: with its id, and dates cut to milliseconds.

        An id is generated where the document's is `None` or not set, by its type: an ObjectId, a UUID (version 4), or
        for `str` one that sorts by time. To try again after `may_have_been_applied`, give the document an id before
        the first time: the second raises `DuplicateKeyError` when the first was applied.

        Raises:
            InvalidDocumentError: It does not fit its own type, or BSON; nothing was sent.
            DuplicateKeyError: A unique index, or the id, is taken.
        """
        stored, as_read = self._documents.encode(document)
        await self._source.run(self._collection.insert_one(stored), writes=True)
        return as_read

    async def insert_many(self, documents: Iterable[T]) -> list[T]:
        """Store documents in order and return them as `insert` does. All are checked before the first is sent.

        Raises:
            InvalidDocumentError: One does not fit; nothing was sent.
            DuplicateKeyError: One is taken; those before it (`inserted` of them) are stored, those after it are not.
        """
        pairs = [self._documents.encode(document) for document in documents]
        if pairs:
            await self._source.run(self._collection.insert_many([stored for stored, _ in pairs]), writes=True)
        return [as_read for _, as_read in pairs]

    async def get(self, id: ObjectId | UUID | str) -> T | None:  # noqa: A002 - it is the field's name
        """Return the document with this id, or `None`. The text of an ObjectId or UUID will do.

        Raises:
            InvalidDocumentError: It cannot be an id here, such as text that is no ObjectId.
            DamagedDocumentError: The stored document does not fit the type.
        """
        return await self.find_one({"_id": self._documents.as_id(id)})

    async def require(self, id: ObjectId | UUID | str) -> T:  # noqa: A002
        """Return the document with this id.

        Raises:
            DocumentNotFoundError: There is none.
            InvalidDocumentError, DamagedDocumentError: As `get`.
        """
        document = await self.get(id)
        if document is None:
            raise DocumentNotFoundError(self.name, id)
        return document

    def find(
        self,
        filter: Filter | None = None,  # noqa: A002 - the driver's word
        *,
        sort: Key | Sequence[Key] | None = None,
        limit: int | NoLimit | None = None,
        skip: int = 0,
    ) -> Found[T]:
        """Return the documents that match, to iterate over: `async for document in notes.find({…}):`.

        Args:
            sort: `"name"`, `("created_at", -1)`, or several of them. Without it, in any order.
            limit: At most so many. Without it up to 1000, and then an error rather than a part of the truth;
                `NO_LIMIT` for all.

        Raises:
            InvalidDocumentError: A value in the filter has no BSON form.
            MongoUsageError: A sort or limit that is none. See `Found` for what iterating raises.
        """
        cursor = self._collection.find(
            self._documents.as_filter(filter), sort=as_sort(sort) or None, limit=driver_limit(limit), skip=skip
        )
        return Found(
            cursor,
            self._documents.decode,
            self._source.run,
            collection=self.name,
            is_bounded=limit is None,
        )

    async def find_one(self, filter: Filter | None = None, *, sort: Key | Sequence[Key] | None = None) -> T | None:  # noqa: A002
        """Return the first document that matches, or `None`.

        Raises:
            InvalidDocumentError, DamagedDocumentError: As `find`.
        """
        wanted = self._documents.as_filter(filter)
        stored = await self._source.run(self._collection.find_one(wanted, sort=as_sort(sort) or None))
        return None if stored is None else self._documents.decode(stored)

    async def update(self, id: ObjectId | UUID | str, changes: Mapping[str, Any]) -> T:  # noqa: A002
        """Change a document in one step and return it as it is then. Keys that the type does not have stay.

        Args:
            changes: Fields with their new values, checked against the type; or MongoDB's update operators (`$inc`,
                `$push`, …), which are not.

        Raises:
            DocumentNotFoundError: There is no such document.
            InvalidDocumentError: A field that the type does not have, or a value that does not fit.
            DuplicateKeyError: A unique index is taken.
            DamagedDocumentError: What is stored now does not fit the type; the change was made.
        """
        wanted, update = {"_id": self._documents.as_id(id)}, self._documents.as_update(changes)
        stored = await self._source.run(
            self._collection.find_one_and_update(wanted, update, return_document=True), writes=True
        )
        if stored is None:
            raise DocumentNotFoundError(self.name, id)
        return self._documents.decode(stored)

    async def replace(self, document: T) -> T:
        """Store a document in place of the one with its id, whole: keys that the type does not have are gone.

        Raises:
            DocumentNotFoundError: There is none with this id; nothing was stored.
            InvalidDocumentError, DuplicateKeyError: As `insert`.
            MongoUsageError: The document has no id.
        """
        stored, as_read = self._documents.encode_existing(document)
        result = await self._source.run(self._collection.replace_one({"_id": stored["_id"]}, stored), writes=True)
        if not result.matched_count:
            raise DocumentNotFoundError(self.name, stored["_id"])
        return as_read

    async def delete(self, id: ObjectId | UUID | str) -> bool:  # noqa: A002
        """Delete a document; return whether it was there."""
        wanted = {"_id": self._documents.as_id(id)}
        result = await self._source.run(self._collection.delete_one(wanted), writes=True)
        return bool(result.deleted_count)

    async def count(self, filter: Filter | None = None) -> int:  # noqa: A002
        """Count the documents that match."""
        wanted = self._documents.as_filter(filter)
        return await self._source.run(self._collection.count_documents(wanted))

    def __repr__(self) -> str:
        return f"Collection({self.name!r} of {self._shown})"

    @property
    def _collection(self) -> AsyncCollection[dict[str, Any]]:
        return self._source.open_collection(self.name)
