"""The local inbox: messages become files, nothing leaves the machine.

The default where no server or vendor is configured. The console, the command line and tests read it; any mail program
opens the `.eml` files. See `_inbox_files` for the layout.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio.to_thread
import msgspec

from undercroft._core.url import Url
from undercroft.email._errors import InboxError
from undercroft.email._headers import unfold
from undercroft.email._inbox_files import InboxFiles
from undercroft.email._mime import to_bytes
from undercroft.email._protocol import OutgoingEmail, SendReceipt

VERSION = 1


class InboxOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of an `inbox://` URL: none yet."""


class InboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What the inbox knows about a message; the contents of its `.json` file."""

    id: str
    message_id: str
    from_: str = msgspec.field(name="from")
    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    reply_to: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    """Every address that would receive it, without names."""
    subject: str
    created_at: datetime
    template: str | None = None
    locale: str | None = None
    attachments: tuple[str, ...] = ()
    """Their names."""
    size_bytes: int
    request_id: str | None = None
    trace_id: str | None = None
    traceparent: str | None = None
    job_id: str | None = None
    idempotency_key: str | None = None
    version: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxMessage:
    """One message with everything in it."""

    entry: InboxEntry
    raw: bytes = field(repr=False)
    """RFC 5322 bytes, as another transport would send them."""
    text: str = field(repr=False)
    html: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    """Decoded, in order."""
    attachments: Mapping[str, bytes] = field(repr=False)
    """Contents by file name."""


class InboxTransport:
    """Writes messages to a directory. Holds nothing open: any number of processes may share the directory.

    Files are readable by their owner only: messages hold password links. A write that was begun is finished, also when
    the caller is cancelled; it has no deadline but the disk's.
    """

    name = "inbox"
    default_from: str | None = "noreply@localhost"
    is_idempotent = True

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Take the directory; it is made when the inbox is entered, not now."""
        self.directory = Path(directory)
        self._files = InboxFiles(self.directory)

    @classmethod
    def from_url(cls, url: Url, *, what: str = "URL") -> Self:
        """Return the inbox of `inbox:///relative/dir` or `inbox:////absolute/dir`.

        Raises:
            UrlError: No path, or an option.
        """
        url.options_as(InboxOptions, what=what)
        return cls(url.file_path(what=what))

    async def send(self, message: OutgoingEmail) -> SendReceipt:
        """Store `message`. On return it is on the disk, flushed.

        Raises:
            InboxError: The directory cannot be written, or the disk is full.
        """
        data = to_bytes(message)
        record = msgspec.json.encode(_entry(message, len(data)))
        return await anyio.to_thread.run_sync(lambda: self._store(message, data, record))

    async def ping(self) -> None:
        """Return if the directory can be written.

        Raises:
            InboxError: It cannot.
        """
        await anyio.to_thread.run_sync(self._files.prepare)

    async def list_messages(self, limit: int = 50) -> tuple[InboxEntry, ...]:
        """Return what is known about the newest messages, newest first.

        Raises:
            InboxError: The directory cannot be read, or a record in it is damaged.
        """
        return await anyio.to_thread.run_sync(lambda: self._list(limit), abandon_on_cancel=True)

    async def get_message(self, id_: str) -> InboxMessage | None:
        """Return one message, `None` when there is none with this id.

        Raises:
            InboxError: The directory cannot be read, or the message is damaged.
        """
        return await anyio.to_thread.run_sync(lambda: self._get(id_), abandon_on_cancel=True)

    async def __aenter__(self) -> Self:
        await self.ping()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Do nothing: nothing is held open."""

    def __repr__(self) -> str:
        return f"InboxTransport({str(self.directory)!r})"

    def _store(self, message: OutgoingEmail, data: bytes, record: bytes) -> SendReceipt:
        id_ = self._files.add(message.id, data, record, key=message.idempotency_key)
        first = None if id_ == message.id else self._entry(id_)
        return SendReceipt(
            id=id_, transport=self.name, accepted=message.recipients if first is None else first.recipients
        )

    def _list(self, limit: int) -> tuple[InboxEntry, ...]:
        found = (self._entry(id_) for id_ in self._files.ids()[: max(0, limit)])
        return tuple(entry for entry in found if entry is not None)

    def _entry(self, id_: str) -> InboxEntry | None:
        record = self._files.record(id_)
        if record is None:
            return None
        try:
            return msgspec.json.decode(record, type=InboxEntry)
        except msgspec.DecodeError as exc:
            raise InboxError(
                f"{id_}.json in the inbox {str(self.directory)!r} is damaged: {exc}",
                transport=self.name,
                hint="remove the file",
            ) from exc

    def _get(self, id_: str) -> InboxMessage | None:
        entry, raw = self._entry(id_), self._files.message(id_)
        return None if entry is None or raw is None else _read(entry, raw)


def _entry(message: OutgoingEmail, size_bytes: int) -> InboxEntry:
    names = message.correlation
    return InboxEntry(
        id=message.id,
        message_id=message.message_id,
        from_=str(message.sender),
        to=tuple(map(str, message.to)),
        cc=tuple(map(str, message.cc)),
        bcc=tuple(map(str, message.bcc)),
        reply_to=tuple(map(str, message.reply_to)),
        recipients=message.recipients,
        subject=message.subject,
        created_at=message.created_at,
        template=message.template,
        locale=message.locale,
        attachments=tuple(attachment.filename for attachment in message.attachments),
        size_bytes=size_bytes,
        request_id=names.request_id,
        trace_id=names.trace.trace_id if names.trace else None,
        traceparent=str(names.trace) if names.trace else None,
        job_id=names.job_id,
        idempotency_key=message.idempotency_key,
    )


def _decode(value: str) -> str:
    # Not by policy.default: on Python 3.11 it keeps the folding between encoded words of a long name as a space.
    from email.header import decode_header, make_header

    return str(make_header(decode_header(unfold(value))))


def _read(entry: InboxEntry, raw: bytes) -> InboxMessage:
    from email import message_from_bytes, policy

    parsed = message_from_bytes(raw, policy=policy.default)
    bodies: dict[str, str] = {}
    attachments: dict[str, bytes] = {}
    for part in parsed.walk():
        name = part.get_filename()
        if name is not None:
            content = part.get_payload(decode=True)
            attachments[name] = content if isinstance(content, bytes) else b""
        elif not part.is_multipart():
            bodies[part.get_content_type()] = part.get_content().replace("\r\n", "\n")
    return InboxMessage(
        entry=entry,
        raw=raw,
        text=bodies.get("text/plain", ""),
        html=bodies.get("text/html", ""),
        headers={name: _decode(value) for name, value in message_from_bytes(raw).items()},
        attachments=attachments,
    )
