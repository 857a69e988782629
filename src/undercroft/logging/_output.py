"""Where lines go: a stream's own `write`, or the file descriptor below it."""

from __future__ import annotations

import io
import os
import select
import stat
from collections.abc import Iterator, Sequence
from typing import Protocol, TextIO

from undercroft.logging._escape import escape_non_ascii

_PIPE_BYTES = 4_096
"""What a pipe takes in one piece (`PIPE_BUF`, pipe(7)): lines of several processes do not mix, and where there is room
for it, a write does not block."""
_FILE_BYTES = 65_536
_TICK_MS = 50.0


class Output(Protocol):
    """Takes lines."""

    def write(self, lines: Sequence[str]) -> tuple[int, Exception | None]:
        """Write `lines`, each with its end, and return how many surely went out whole, and what stopped the rest."""

    def give_up(self) -> None:
        """Have a write that waits for a slow reader end, and those after it: the deadline has passed."""

    def close(self) -> None:
        """Let go of what it opened itself."""


class StreamOutput:
    """Any stream, by its own `write` and `flush`. A stream that blocks blocks the writer."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_unicode = is_unicode(stream)
        self._has_given_up = False

    def write(self, lines: Sequence[str]) -> tuple[int, Exception | None]:
        if self._has_given_up:
            return 0, TimeoutError("the deadline of closing has passed")
        text = f"{lines[0]}\n" if len(lines) == 1 else "\n".join(lines) + "\n"
        try:
            self._stream.write(text if self._is_unicode else escape_non_ascii(text))
            self._stream.flush()
        except Exception as exc:
            return 0, exc
        return len(lines), None

    def give_up(self) -> None:
        self._has_given_up = True

    def close(self) -> None:
        """Nothing: the stream is somebody else's."""


class DescriptorOutput:
    """A file descriptor. Waits for a reader in short steps, so that it can always be told to give up.

    Subclasses say which one.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.lower()
        self._is_unicode = self._encoding.startswith("utf")
        self._has_given_up = False
        self._is_torn = False

    def write(self, lines: Sequence[str]) -> tuple[int, Exception | None]:
        written = 0
        try:
            size = _piece_bytes(self._descriptor(0))
            for count, piece in _pieces(self._encoded(lines), size):
                self._write_all(self._descriptor(len(piece)), piece, size)
                written += count
        except Exception as exc:
            return written, exc
        return written, None

    def close(self) -> None:
        """Nothing: the descriptor is somebody else's."""

    def _descriptor(self, size_bytes: int) -> int:
        """Return where to write so many bytes."""
        raise NotImplementedError

    def give_up(self) -> None:
        self._has_given_up = True

    def _encoded(self, lines: Sequence[str]) -> Iterator[bytes]:
        for line in lines:
            yield f"{line if self._is_unicode else escape_non_ascii(line)}\n".encode(self._encoding)

    def _write_all(self, descriptor: int, data: bytes, size: int) -> None:
        # First the end of a line of which a disk without room took only the beginning.
        rest = memoryview(b"\n" + data if self._is_torn else data)
        while rest:
            self._wait(descriptor)
            try:
                taken = os.write(descriptor, rest[:size])
            except BlockingIOError:  # made non-blocking by a process that shares it
                continue
            rest = rest[taken:]
            self._is_torn = bool(rest)

    def _wait(self, descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        while True:
            if self._has_given_up:
                raise TimeoutError("the deadline of closing has passed")
            if poll.poll(_TICK_MS):  # or an error, which the write tells
                return


class StreamDescriptorOutput(DescriptorOutput):
    """The descriptor below a stream.

    The stream's own buffer is passed by: a thread that blocks inside of it would hold its lock, and Python aborts when
    it cannot get that lock at exit.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream.encoding)
        self._stream = stream

    def _descriptor(self, size_bytes: int) -> int:  # noqa: ARG002 - there is but one
        self._stream.flush()  # what others wrote to it comes first
        return self._stream.fileno()


def output_for(stream: TextIO) -> Output:
    """Return the descriptor of a file or pipe, else the stream itself."""
    return StreamDescriptorOutput(stream) if has_descriptor(stream) else StreamOutput(stream)


def has_descriptor(stream: TextIO) -> bool:
    """Tell whether what is written to `stream` reaches a file descriptor as it is: no compression, no capture."""
    if type(stream) is not io.TextIOWrapper:
        return False
    below = stream.buffer
    lowest = below.raw if type(below) is io.BufferedWriter else below
    if type(lowest) is not io.FileIO:
        return False  # PYTHONUNBUFFERED leaves out the buffer in between
    try:
        # Not UTF-16, nor a byte order mark: lines are encoded one by one.
        return stream.fileno() >= 0 and "x".encode(stream.encoding) == b"x"
    except (OSError, ValueError):
        return False


def is_unicode(stream: TextIO) -> bool:
    """Tell whether `stream` can write any character."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return str(encoding).lower().startswith("utf")


def _piece_bytes(descriptor: int) -> int:
    return _FILE_BYTES if stat.S_ISREG(os.fstat(descriptor).st_mode) else _PIPE_BYTES


def _pieces(lines: Iterator[bytes], most: int) -> Iterator[tuple[int, bytes]]:
    """Join whole lines into pieces of at most so many bytes; a longer line is a piece of its own."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        if waiting and size + len(line) > most:
            yield len(waiting), b"".join(waiting)
            waiting, size = [], 0
        waiting.append(line)
        size += len(line)
    if waiting:
        yield len(waiting), b"".join(waiting)
