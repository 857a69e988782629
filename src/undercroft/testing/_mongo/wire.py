"""MongoDB's wire protocol: OP_MSG, and OP_QUERY for a driver's first hello.

Layout (mongodb.com/docs/manual/reference/mongodb-wire-protocol, and the OP_MSG specification): a header of four
little-endian int32 (length of the whole message, request id, id of the request that is answered, opcode), then the
body. OP_MSG's body is flag bits and sections: kind 0 is the command, kind 1 a named sequence of documents that belongs
into it. A checksum at the end is allowed and not looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bson

_HEADER = struct.Struct("<iiii")
_INT32 = struct.Struct("<i")
_REPLY_FIELDS = struct.Struct("<iqii")
_OP_REPLY, _OP_QUERY, _OP_COMPRESSED, _OP_MSG = 1, 2004, 2012, 2013
_CHECKSUM_PRESENT, _MORE_TO_COME, _REQUIRED_BITS = 1 << 0, 1 << 1, 0xFFFF
_CHECKSUM_BYTES = 4
_QUERY_NUMBERS_BYTES = 8
_AWAIT_CAPABLE = 8
MAX_MESSAGE_BYTES = 48_000_000


class WireError(Exception):
    """What came is not the protocol, or a part of it that this server refuses. `request_id` is that of the message."""

    def __init__(self, message: str, request_id: int = 0) -> None:
        super().__init__(message)
        self.request_id = request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One message from a client."""

    id: int
    command: dict[str, Any]
    """The command's document, with the sequences that came beside it put in their places."""
    is_legacy: bool = False
    """It came as OP_QUERY, and must be answered as such."""
    wants_reply: bool = True


def take_requests(buffer: bytearray) -> Iterator[Request]:
    """Take every whole message from the front of `buffer`; what is left is the beginning of the next.

    Raises:
        WireError: The connection cannot be used any more.
    """
    while len(buffer) >= _HEADER.size:
        length, request_id, _, opcode = _HEADER.unpack_from(buffer)
        if not _HEADER.size <= length <= MAX_MESSAGE_BYTES:
            raise WireError(f"a message says that it has {length} bytes", request_id)
        if len(buffer) < length:
            return
        body = bytes(buffer[_HEADER.size : length])
        del buffer[:length]
        yield _read(opcode, request_id, body)


def write_reply(reply: dict[str, Any], *, request_id: int, reply_id: int, is_legacy: bool = False) -> bytes:
    """Return the message that answers a request with the document `reply`."""
    document = bson.encode(reply)
    if is_legacy:
        opcode, body = _OP_REPLY, _REPLY_FIELDS.pack(_AWAIT_CAPABLE, 0, 0, 1) + document
    else:
        opcode, body = _OP_MSG, _INT32.pack(0) + b"\0" + document
    return _HEADER.pack(_HEADER.size + len(body), reply_id, request_id, opcode) + body


def _read(opcode: int, request_id: int, body: bytes) -> Request:
    try:
        if opcode == _OP_MSG:
            return _read_msg(request_id, body)
        if opcode == _OP_QUERY:
            return _read_query(request_id, body)
    except (bson.errors.BSONError, struct.error, ValueError, IndexError) as exc:
        raise WireError(f"a message is malformed: {exc}", request_id) from exc
    what = "OP_COMPRESSED" if opcode == _OP_COMPRESSED else f"opcode {opcode}"
    raise WireError(f"{what} is not spoken here: compression is never offered, nor what came before OP_MSG", request_id)


def _read_query(request_id: int, body: bytes) -> Request:
    start = body.index(b"\0", 4) + 1 + _QUERY_NUMBERS_BYTES
    document, _ = _take_document(body, start)
    return Request(id=request_id, command=document, is_legacy=True)


def _read_msg(request_id: int, body: bytes) -> Request:
    (flags,) = _INT32.unpack_from(body)
    if flags & _REQUIRED_BITS & ~(_CHECKSUM_PRESENT | _MORE_TO_COME):
        raise ValueError(f"unknown flag bits {flags:#x}")
    end = len(body) - (_CHECKSUM_BYTES if flags & _CHECKSUM_PRESENT else 0)
    command: dict[str, Any] | None = None
    sequences: dict[str, list[dict[str, Any]]] = {}
    position = _INT32.size
    while position < end:
        kind, position = body[position], position + 1
        if kind == 0:
            command, position = _take_document(body, position)
        elif kind == 1:
            name, documents, position = _take_sequence(body, position)
            sequences[name] = documents
        else:
            raise ValueError(f"unknown section kind {kind}")
    if not command:
        raise ValueError("there is no command in it")
    return Request(id=request_id, command={**command, **sequences}, wants_reply=not flags & _MORE_TO_COME)


def _take_sequence(body: bytes, start: int) -> tuple[str, list[dict[str, Any]], int]:
    end = start + _INT32.unpack_from(body, start)[0]
    name_end = body.index(b"\0", start + _INT32.size)
    name = body[start + _INT32.size : name_end].decode()
    documents, position = [], name_end + 1
    while position < end:
        document, position = _take_document(body, position)
        documents.append(document)
    return name, documents, end


def _take_document(body: bytes, start: int) -> tuple[dict[str, Any], int]:
    end = start + _INT32.unpack_from(body, start)[0]
    return bson.decode(body[start:end]), end
