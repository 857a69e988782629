"""Entries on their way to the one thread that writes them, so that whoever logs does not wait for the disk."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence

from undercroft.logging._entry import Entry
from undercroft.logging._report import report_failure

WriteEntries = Callable[[Sequence[Entry]], None]
"""Writes entries; never raises."""

CLOSE_S = 2.0
"""How long closing waits for a slow stream."""
_WARNING = 30
_BATCH = 512
_WAIT_S = 1.0
"""How long a thread without an event loop waits for room, while the writer gets on."""
_NAP_S = 0.002
_THREAD_NAME = "undercroft-log-writer"


class _Mark:
    """Stands in the queue for: everything before me was written."""

    def __init__(self, *, is_last: bool = False) -> None:
        self.reached = threading.Event()
        self.is_last = is_last


class _Life:
    """Queue and thread of one process. A forked child begins another: locks and threads do not come along."""

    def __init__(self, pid: int, run: Callable[[_Life], None]) -> None:
        self.pid = pid
        # In C and reentrant: a signal's handler or a finalizer may log while this thread is in the middle of a put.
        self.queue: queue.SimpleQueue[Entry | _Mark] = queue.SimpleQueue()
        # A daemon, so that a stream that hangs cannot keep the process from ending; whoever made the buffer closes it
        # at exit, and until then nothing is lost.
        self.thread = threading.Thread(target=run, args=(self,), name=_THREAD_NAME, daemon=True)
        self.batches = 0
        self.is_stuck = False


class EntryBuffer:
    """A bounded queue and its writer thread, which starts with the first entry. Closed by whoever made it.

    Args:
        write: Called in the writer's thread only, and after `close` in the caller's.
        size: How many entries may wait. A tenth more may, if they are warnings or worse.
        drop: Called for each entry for which there is no room.
    """

    def __init__(self, write: WriteEntries, *, size: int, drop: Callable[[], None]) -> None:
        self._write = write
        self._size = size
        self._drop = drop
        self._lives: dict[int, _Life] = {}
        self._life = _Life(0, self._run)  # of no process
        self._is_closed = False

    def put(self, entry: Entry) -> None:
        """Have `entry` written soon. Never waits in a thread that runs an event loop.

        Without room the entry is dropped. Elsewhere it first waits up to a second for room, unless the writer is stuck.
        """
        life = self._life
        if life.pid != os.getpid() or self._is_closed:
            begun = self._begin()
            if begun is None:
                self._write([entry])
                return
            life = begun
        if life.queue.qsize() >= self._size and not self._has_room(life, entry):
            self._drop()
        else:
            life.queue.put(entry)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was put before is written, at most so long. Return whether it is."""
        life = self._life
        if self._is_closed or life.pid != os.getpid() or threading.current_thread() is life.thread:
            return True
        mark = _Mark()
        life.queue.put(mark)
        return mark.reached.wait(timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Write what waits, for at most so long, and end the thread. Return whether all was written.

        Entries that come later are written at once, in the thread they come from.
        """
        life = self._life
        was_closed, self._is_closed = self._is_closed, True
        if was_closed or life.pid != os.getpid() or threading.current_thread() is life.thread:
            return True
        mark = _Mark(is_last=True)
        life.queue.put(mark)
        return mark.reached.wait(timeout_s)

    def join(self, timeout_s: float) -> None:
        """Wait until the thread is gone, after `close`."""
        if self._life.pid == os.getpid() and threading.current_thread() is not self._life.thread:
            self._life.thread.join(timeout_s)

    def _begin(self) -> _Life | None:
        """Start the thread, once in each process; `None` when it cannot be, or must not any more."""
        if self._is_closed:
            return None
        pid = os.getpid()
        made = _Life(pid, self._run)
        life = self._lives.setdefault(pid, made)  # one step: of several threads, one begins
        if life is made:
            try:
                life.thread.start()
            except RuntimeError:  # the interpreter is going down
                del self._lives[pid]
                return None
            self._close_with_child()
        self._life = life
        return life

    def _close_with_child(self) -> None:
        """Have a child of `multiprocessing` write what waits when it ends: it runs no functions of `atexit`."""
        process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
        if process is not None and util is not None and process.parent_process() is not None:
            util.Finalize(None, self.close, args=(CLOSE_S,), exitpriority=0)

    def _has_room(self, life: _Life, entry: Entry) -> bool:
        limit = self._size + (self._size // 10 + 1 if entry.level >= _WARNING else 0)
        if life.queue.qsize() < limit:
            return True
        if life.is_stuck or _runs_event_loop() or threading.current_thread() is life.thread:
            return False
        seen, until = life.batches, time.monotonic() + _WAIT_S
        while time.monotonic() < until:
            time.sleep(_NAP_S)
            if life.queue.qsize() < limit:
                return True
        life.is_stuck = life.batches == seen
        return False

    def _run(self, life: _Life) -> None:
        is_over = False
        while not is_over:
            entries, marks = _batch(life.queue)
            if entries:
                self._write_surely(entries)
            life.batches += 1
            life.is_stuck = False
            is_over = any(mark.is_last for mark in marks)
            for mark in marks:
                mark.reached.set()

    def _write_surely(self, entries: Sequence[Entry]) -> None:
        try:
            self._write(entries)
        except Exception as failure:  # a loop that must go on: without it no line would be written any more
            for _ in entries:
                self._drop()
            report_failure(failure)


def _batch(waiting: queue.SimpleQueue[Entry | _Mark]) -> tuple[list[Entry], list[_Mark]]:
    """Return what waits, at least one thing, up to the first mark."""
    entries: list[Entry] = []
    item = waiting.get()
    while not isinstance(item, _Mark):
        entries.append(item)
        if len(entries) == _BATCH:
            return entries, []
        try:
            item = waiting.get_nowait()
        except queue.Empty:
            return entries, []
    return entries, [item]


def _runs_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")  # not there, so nothing runs
    try:
        return asyncio is not None and asyncio.get_running_loop() is not None
    except RuntimeError:
        return False
