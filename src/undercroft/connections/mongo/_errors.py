"""What can go wrong with MongoDB.

UndercroftError
├── UrlError (ConfigError)                       UC0202  misuse       the URL or one of its options is wrong
└── MongoError                                   UC4300
    ├── MongoUnavailableError (ConnectionError)  UC4310  unavailable  the connection broke
    │   ├── NoServerError                        UC4311  unavailable  no server was found in time
    │   ├── NotPrimaryError                      UC4312  unavailable  the server is no primary, or recovers
    │   └── MongoTimeoutError (TimeoutError)     UC4313  unavailable  the server did not answer in time
    ├── MongoRefusedError                        UC4320  refused      the server will not run the command
    │   ├── MongoAuthError                       UC4321  refused      … for this user and password
    │   ├── DuplicateKeyError                    UC4322  refused      … since a unique index has that key already
    │   └── DocumentRefusedError                 UC4323  refused      … since the collection's validator says no
    ├── InvalidDocumentError (ValueError)        UC4330  refused      a value that cannot be stored; nothing was sent
    ├── DocumentNotFoundError (LookupError)      UC4331  refused      no document has this id
    ├── DamagedDocumentError (ValueError)        UC4332  misuse       a stored document does not fit its type
    ├── CollectionDefinitionError (ConfigError)  UC4340  misuse       a type, a name or an index that cannot be used
    ├── NoDatabaseError (ConfigError)            UC4341  misuse       no database is named
    ├── FindBoundError                           UC4342  misuse       more documents than an unlimited find gives
    └── MongoUsageError (ValueError)             UC4343  misuse       a call that makes no sense
"""

from __future__ import annotations

from collections.abc import Mapping

from undercroft._core.errors import ConfigError, Kind, UndercroftError


class MongoError(UndercroftError):
    """Base of every error of this module."""

    code = "UC4300"


class MongoUnavailableError(MongoError, ConnectionError):
    """The connection to MongoDB broke, or none could be made.

    `may_have_been_applied` is True when a write was on its way: whether it happened is not known.
    """

    code = "UC4310"
    kind = Kind.UNAVAILABLE
    http_status = 503

    def __init__(self, message: str, *, may_have_been_applied: bool = False, hint: str | None = None) -> None:
        self.may_have_been_applied = may_have_been_applied
        super().__init__(message, hint=hint)


class NoServerError(MongoUnavailableError):
    """No MongoDB server that suits was found within the selection timeout; nothing was sent."""

    code = "UC4311"


class NotPrimaryError(MongoUnavailableError):
    """The server that was asked is no primary any more, or is recovering."""

    code = "UC4312"


class MongoTimeoutError(MongoUnavailableError, TimeoutError):
    """The server, or a free connection to it, was not there within the operation's timeout."""

    code = "UC4313"
    http_status = 504


class MongoRefusedError(MongoError):
    """The server understood the command and will not run it. `server_code` and `server_name` are its own code."""

    code = "UC4320"
    kind = Kind.REFUSED
    http_status = 502

    def __init__(
        self, message: str, *, server_code: int | None = None, server_name: str | None = None, hint: str | None = None
    ) -> None:
        self.server_code = server_code
        self.server_name = server_name
        super().__init__(message, hint=hint)


class MongoAuthError(MongoRefusedError):
    """The server does not accept our user and password, or they lack the right to do this."""

    code = "UC4321"


class DuplicateKeyError(MongoRefusedError):
    """A unique index has a document with the same key already.

    `key_pattern` is the index's keys (`{"email": 1}`), `index` its name; the values are in neither the error nor its
    text. `inserted` is how many documents of an `insert_many` were stored before this one.
    """

    code = "UC4322"
    http_status = 409

    def __init__(
        self,
        message: str,
        *,
        key_pattern: Mapping[str, object],
        index: str | None,
        inserted: int = 0,
        server_code: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.key_pattern = dict(key_pattern)
        self.index = index
        self.inserted = inserted
        super().__init__(message, server_code=server_code, server_name="DuplicateKey", hint=hint)


class DocumentRefusedError(MongoRefusedError):
    """The collection's validator, a rule kept by the server, refuses the document."""

    code = "UC4323"
    http_status = 422


class InvalidDocumentError(MongoError, ValueError):
    """A document, an id or a value in a filter cannot be stored or asked for; nothing was sent.

    `field` is the place inside of it, where there is one.
    """

    code = "UC4330"
    kind = Kind.REFUSED
    http_status = 422

    def __init__(
        self, message: str, *, field: str | None = None, near: tuple[str, ...] = (), hint: str | None = None
    ) -> None:
        self.field = field
        super().__init__(message, near=near, hint=hint)


class DocumentNotFoundError(MongoError, LookupError):
    """No document has this id. `collection` and `document_id` name it."""

    code = "UC4331"
    kind = Kind.REFUSED
    http_status = 404

    def __init__(self, collection: str, document_id: object) -> None:
        self.collection = collection
        self.document_id = document_id
        super().__init__(f"there is no document {document_id!s} in {collection!r}")


class DamagedDocumentError(MongoError, ValueError):
    """A stored document does not fit its type. `collection`, `document_id` and `field` say which, and where."""

    code = "UC4332"

    def __init__(self, problem: str, *, collection: str, document_id: object, field: str | None) -> None:
        self.collection = collection
        self.document_id = document_id
        self.field = field
        super().__init__(
            f"document {document_id!s} in {collection!r} does not fit its type: {problem}",
            hint="correct the document, or give the field a default or a wider type",
        )


class CollectionDefinitionError(MongoError, ConfigError):
    """A collection's name, its documents' type or one of its indexes cannot be used; nothing was sent."""

    code = "UC4340"


class NoDatabaseError(MongoError, ConfigError):
    """Neither the URL nor the code names a database."""

    code = "UC4341"


class FindBoundError(MongoError):
    """A find without a limit matched more documents than it gives. `bound` were given; the rest was not."""

    code = "UC4342"

    def __init__(self, collection: str, bound: int) -> None:
        self.collection = collection
        self.bound = bound
        super().__init__(
            f"more than {bound} documents of {collection!r} match, and the find names no limit",
            hint="give limit=…, or limit=NO_LIMIT for all of them",
        )


class MongoUsageError(MongoError, ValueError):
    """A call makes no sense: an update without changes, a limit of 0, a client that is opened twice."""

    code = "UC4343"
