"""From a command to its reply."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from pymongo.errors import OperationFailure

from undercroft.logging import Logger
from undercroft.testing._mongo import admin, indexes, reads, writes
from undercroft.testing._mongo.auth import Login
from undercroft.testing._mongo.errors import Code, CommandFailed
from undercroft.testing._mongo.store import Command, Handler, Reply, Store

_log = Logger(module="undercroft.testing.mongo_server")

HANDLERS: Mapping[str, Handler] = {
    "aggregate": reads.aggregate,
    "buildInfo": admin.build_info,
    "buildinfo": admin.build_info,
    "count": reads.count,
    "create": admin.create,
    "createIndexes": indexes.create_indexes,
    "delete": writes.delete,
    "distinct": reads.distinct,
    "drop": admin.drop,
    "dropDatabase": admin.drop_database,
    "dropIndexes": indexes.drop_indexes,
    "endSessions": admin.ping,
    "find": reads.find,
    "findAndModify": writes.find_and_modify,
    "getMore": reads.get_more,
    "hello": admin.hello,
    "insert": writes.insert,
    "isMaster": admin.hello,
    "ismaster": admin.hello,
    "killCursors": reads.kill_cursors,
    "listCollections": admin.list_collections,
    "listIndexes": indexes.list_indexes,
    "ping": admin.ping,
    "update": writes.update,
}


def run(store: Store, login: Login, command: Command) -> Reply:
    """Return the reply to a command. Never raises: what goes wrong is a reply too."""
    name = next(iter(command))
    try:
        login.require(name)
        if name == "saslStart":
            return login.start(command)
        if name == "saslContinue":
            return login.go_on(command)
        return _run(store, name, command)
    except CommandFailed as failure:
        return failure.as_reply()
    except NotImplementedError as exc:
        return CommandFailed(Code.NotImplemented, f"mongomock has no such thing: {exc}").as_reply()
    except (OperationFailure, ValueError, TypeError, KeyError) as exc:
        return CommandFailed(Code.BadValue, f"{type(exc).__name__}: {exc}").as_reply()
    except Exception as exc:  # a mistake in here or in mongomock must not end the connection without a word
        _log.exception("a command failed inside the server", command=name)
        return CommandFailed(Code.InternalError, f"{type(exc).__name__}: {exc}").as_reply()


def _run(store: Store, name: str, command: Command) -> Reply:
    if "startTransaction" in command or "autocommit" in command:
        raise CommandFailed(
            Code.IllegalOperation, "Transaction numbers are only allowed on a replica set member or mongos"
        )
    if name not in HANDLERS:
        raise CommandFailed(Code.CommandNotFound, f"no such command: '{name}'")
    with warnings.catch_warnings():
        # mongomock uses datetime.utcnow and the old form of generator.throw, which Python 3.12 warns about.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"mongomock\.")
        return HANDLERS[name](store, command)
