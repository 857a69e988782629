"""The heartbeat of a worker: keeps its leases, and hears of jobs that were lost or cancelled.

Where the engine can (`Engine.pulse`), it beats from a thread of its own, so that a handler that blocks the event loop
does not make the worker look dead. Elsewhere it beats in the loop.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import anyio

from undercroft._core.clock import Clock
from undercroft.logging import Logger
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._protocol import Pulse
from undercroft.queue._values import Beat, ClaimedJob
from undercroft.queue._worker._context import Workplace
from undercroft.queue._worker._loop_watch import BlockWatch, LoopTicks
from undercroft.queue._worker._running import Run

BEAT_S = 1.0
_LOOK_S = 0.25
_JOIN_S = 10.0
_NAMED = 5
_log = Logger(module="undercroft.queue")
Runs = Callable[[], "list[Run]"]


class Heartbeat:
    """Beats for one worker while it is entered. `failing_since` tells since when no beat has got through."""

    def __init__(self, place: Workplace, runs: Runs, *, clock: Clock) -> None:
        self._place = place
        self._runs = runs
        self._clock = clock
        self._interval_s = min(BEAT_S, place.lease_s / 3)
        self.failing_since: float | None = None
        """By the worker's monotonic clock."""

    @asynccontextmanager
    async def beating(self, ticks: LoopTicks) -> AsyncIterator[None]:
        """Beat for the block."""
        pulse = self._place.engine.pulse(self._place.id)
        if pulse is None:
            async with anyio.create_task_group() as group:
                group.start_soon(self._beat_in_loop, name="undercroft heartbeat")
                try:
                    yield
                finally:
                    group.cancel_scope.cancel()
        else:
            watch = BlockWatch(ticks, self._suspects)
            thread = _HeartbeatThread(self, pulse, watch, name=f"undercroft heartbeat {self._place.id}")
            thread.start()
            try:
                yield
            finally:
                await thread.end()

    def beat_by(self, pulse: Pulse) -> Beat:
        """Beat once, from the thread."""
        return pulse.beat(self._held(), lease_s=self._place.lease_s)

    def note(self, problem: Exception | None) -> None:
        """Note how a beat went, and log what is new. From any thread."""
        if problem is None:
            if self.failing_since is not None:
                _log.info("heartbeat gets through again")
            self.failing_since = None
            return
        if self.failing_since is None:
            self.failing_since = self._clock.monotonic()
            text = problem.message if isinstance(problem, QueueUnavailableError) else repr(problem)
            _log.warning("heartbeat does not get through, will try again", error_text=text)

    def heed(self, beat: Beat) -> None:
        """Act on a beat, in the loop."""
        self._place.heed(beat)

    @property
    def interval_s(self) -> float:
        """Seconds between two beats."""
        return self._interval_s

    async def _beat_in_loop(self) -> None:
        while True:
            await self._clock.sleep(self._interval_s * random.uniform(0.9, 1.0))
            try:
                held = self._held()
                self.heed(await self._place.engine.beat(self._place.id, held, lease_s=self._place.lease_s))
            except Exception as exc:  # it must go on: jobs whose leases end run twice
                self.note(exc)
            else:
                self.note(None)

    def _held(self) -> list[ClaimedJob]:
        return [run.claimed for run in self._runs()]

    def _suspects(self) -> list[str]:
        """Name the job whose task the loop is in, or else all that run."""
        runs = [run for run in self._runs() if run.scope is not None]
        guilty = [run for run in runs if run.task is not None and _is_current(run.task)]
        return [f"{run.claimed.name} {run.claimed.id}" for run in (guilty or runs)[:_NAMED]]


class _HeartbeatThread(threading.Thread):
    def __init__(self, heartbeat: Heartbeat, pulse: Pulse, watch: BlockWatch, *, name: str) -> None:
        # A daemon: a process whose loop has died must be able to end.
        super().__init__(name=name, daemon=True)
        self._heartbeat = heartbeat
        self._pulse = pulse
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._ended = anyio.Event()

    async def end(self) -> None:
        """Stop it, and return when it has ended; a beat that is under way may take a few seconds."""
        self._stopping.set()
        with anyio.move_on_after(_JOIN_S, shield=True) as scope:
            await self._ended.wait()
        if scope.cancelled_caught:
            _log.error("heartbeat thread does not end: a beat hangs", thread=self.name)

    def run(self) -> None:
        """Beat until told to stop."""
        try:
            next_beat = time.monotonic()
            while not self._stopping.is_set():
                if time.monotonic() >= next_beat:
                    self._beat()
                    next_beat = time.monotonic() + self._heartbeat.interval_s * random.uniform(0.9, 1.0)
                self._look()
                self._sleep(min(_LOOK_S, max(0.0, next_beat - time.monotonic())))
        finally:
            with suppress(Exception):
                self._pulse.close()
            self._tell(self._ended.set)

    def _sleep(self, seconds: float) -> None:
        asleep = time.monotonic()
        self._stopping.wait(seconds)
        if time.monotonic() - asleep > seconds + 1.0:
            self._watch.was_stopped()

    def _beat(self) -> None:
        try:
            beat = self._heartbeat.beat_by(self._pulse)
        except Exception as exc:  # it must go on: a worker that does not beat is dead to the others
            self._heartbeat.note(exc)
            return
        self._heartbeat.note(None)
        if beat.lost or beat.cancelled:
            self._tell(self._heartbeat.heed, beat)

    def _look(self) -> None:
        try:
            self._watch.look()
        except Exception:  # a diagnosis must not end the heartbeat
            _log.exception("looking at the event loop failed")

    def _tell(self, call: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(call, *args)


def _is_current(task: asyncio.Task[object]) -> bool:
    return asyncio.current_task(task.get_loop()) is task
