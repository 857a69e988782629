"""What the engine and its operations talk to Redis with: commands, scripts and transactions, in our errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import anyio

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.errors import NotOpenError
from undercroft.connections.redis import RedisConnection, RedisError
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._pipe import Command, Lost, Pipe, Refused
from undercroft.queue.redis._scripts import Scripts

_ATTEMPTS = 3
"""For what was refused before it ran: the server knows no such script, or the slot has moved."""
_CONFLICTS = 50
"""How often a transaction is tried that others keep disturbing."""
Read = Callable[..., Awaitable[Any]]


class Store:
    """One Redis and one prefix of BullMQ. Lives from `open` to `close`; for one event loop, any number of tasks.

    Every method raises `QueueUnavailableError` when Redis does not answer or does not take a command; then a write's
    outcome is unknown. Replies are those of RESP2: bytes, int, flat lists and `None`, whatever the URL's `protocol`.
    """

    def __init__(self, connection: RedisConnection, *, prefix: str, clock: Clock, scripts: Scripts) -> None:
        self.connection = connection
        self.prefix = prefix
        self.clock = clock
        self.scripts = scripts
        self.offset_s = 0.0
        """What Redis's clock is ahead of `clock`."""
        self.outages = 0
        """How many connections were lost; grows when the outcome of something may be unknown."""
        self._keys: dict[str, QueueKeys] = {}
        self._line = _Line(self)
        self._private = _Line(self)
        self._transaction = anyio.Lock()

    def time(self) -> float:
        """Return the instant by Redis's clock, as well as it is known here."""
        return self.clock.time() + self.offset_s

    def now_ms(self) -> int:
        """Return `time()` as BullMQ has it: in whole milliseconds."""
        return int((self.clock.time() + self.offset_s) * 1000)

    def keys(self, queue: str) -> QueueKeys:
        """Return the keys of a queue; the same object each time."""
        keys = self._keys.get(queue)
        if keys is None:
            keys = self._keys[queue] = QueueKeys(self.prefix, queue)
        return keys

    def worker_key(self, worker_id: str) -> str:
        """Return the key that exists as long as a worker reports."""
        return f"{self.prefix}:uc:worker:{worker_id}"

    # --- Commands ---------------------------------------------------------------------------------------------------

    async def pipe(self) -> Pipe:
        """Return the connection that is open now, or a new one."""
        pipe = self._line.pipe
        if pipe is None or pipe.lost is not None:
            pipe = await self._line.connect()
        return pipe

    @property
    def open_pipe(self) -> Pipe | None:
        """The connection that is open now, if there is one."""
        pipe = self._line.pipe
        return None if pipe is None or pipe.lost is not None else pipe

    async def command(self, *command: Any) -> Any:
        """Run one command."""
        reply: Any = await (await self.pipe()).request(command)
        if reply.__class__ is Refused or reply.__class__ is Lost:
            return await self.again(command, reply)
        return reply

    async def run(self, name: str, keys: Sequence[str | bytes], args: Sequence[Any]) -> Any:
        """Run one of BullMQ's scripts. Its error codes (-1 … -9) come back as ints."""
        return await self.command(*self.call(name, keys, args))

    def call(self, name: str, keys: Sequence[str | bytes], args: Sequence[Any]) -> tuple[Any, ...]:
        """Return the command that runs a script, for `pipeline` and `watch_and_run`."""
        return (b"EVALSHA", self.scripts[name].sha.encode(), len(keys), *keys, *args)

    async def pipeline(self, commands: Sequence[Command], *, atomic: bool = False) -> list[Any]:
        """Run several commands in one round trip and return their replies.

        With `atomic` as one transaction: nobody's commands come in between, and all are executed or none. Without, an
        error is raised when all have been executed as far as they can be.
        """
        if not commands:
            return []
        if atomic:
            shas = {command[1] for command in commands if command[0] == b"EVALSHA"}
            return await self._unwatched(commands, shas)
        replies: Any = await (await self.pipe()).request_all(commands)
        if replies.__class__ is Lost:
            raise self.unavailable(replies)
        return [
            await self.again(command, reply) if reply.__class__ is Refused else reply
            for command, reply in zip(commands, replies, strict=True)
        ]

    async def transaction(self, commands: Iterable[Command], *, scripts: Iterable[str]) -> list[Any]:
        """As `pipeline(atomic=True)`, for many commands, each of which is made when it is its turn to be sent.

        Args:
            commands: Iterated over again when the keys have moved to another server.
            scripts: Which scripts there are among them.
        """
        return await self._unwatched(commands, {self.scripts[name].sha.encode() for name in scripts})

    async def _unwatched(self, commands: Iterable[Command], shas: set[bytes]) -> list[Any]:
        done = await self._run_transaction(self._line, commands, shas)
        assert done is not None  # nothing is watched
        return done

    async def watch_and_run(
        self, keys: Sequence[str], plan: Callable[[Read], Awaitable[Sequence[Command] | None]]
    ) -> list[Any] | None:
        """Read, decide and write in one step.

        `plan(read)` looks at what is there with `await read("HGET", key, field)` and returns the commands to run in a
        transaction, or `None` to do nothing. It is called again when one of `keys` was changed meanwhile.

        Returns:
            The replies to the commands; `None` when there were none.
        """
        async with self._transaction:
            for _ in range(_CONFLICTS):
                if keys:
                    await self._private_command("WATCH", *keys)
                commands = await plan(self._private_command)
                if not commands:
                    await self._private_command("UNWATCH")
                    return None
                shas = {command[1] for command in commands if command[0] == b"EVALSHA"}
                replies = await self._run_transaction(self._private, commands, shas)
                if replies is not None:
                    return replies
        raise QueueUnavailableError(
            f"{self.connection.place}: others changed the same jobs {_CONFLICTS} times over", retry_after=1.0
        )

    async def _private_command(self, *command: Any) -> Any:
        reply: Any = await (await self._private.live()).request(command)
        if reply.__class__ is Refused or reply.__class__ is Lost:
            raise self.unavailable(reply)
        return reply

    async def _run_transaction(self, line: _Line, commands: Iterable[Command], shas: set[bytes]) -> list[Any] | None:
        """Return the replies, or `None` when a watched key was changed."""
        # Loaded inside the transaction: a server that has forgotten a script would skip it and run the rest.
        loads = [(b"SCRIPT", b"LOAD", self.scripts.by_sha[sha].text) for sha in shas]
        for attempt in range(_ATTEMPTS):
            pipe = await line.live()
            answers: Any = await pipe.request_all(chain([(b"MULTI",), *loads], commands, [(b"EXEC",)]))
            refused = answers if answers.__class__ is Lost else _first_refused(answers)
            if refused is None:
                results = answers[-1]
                if results is None:
                    return None
                wrong = _first_refused(results)
                if wrong is not None:
                    raise self.unavailable(wrong)
                return list(results[len(loads) :])
            if not await self._follow(refused, line) or attempt == _ATTEMPTS - 1:
                raise self.unavailable(refused)
        raise AssertionError

    # --- What went wrong --------------------------------------------------------------------------------------------

    async def again(self, command: Command, reply: Any) -> Any:
        """Return the reply of a command that was refused for a reason that can be mended; otherwise raise."""
        for _ in range(_ATTEMPTS):
            if reply.__class__ is not Refused:
                break
            if str(reply).startswith("NOSCRIPT") and command[0] == b"EVALSHA":
                # The whole text: on exactly the server that lacks it, and nothing can come in between.
                command = (b"EVAL", self.scripts.by_sha[command[1]].text, *command[2:])
            elif not await self._follow(reply, self._line):
                break
            reply = await (await self.pipe()).request(command)
        if reply.__class__ is Refused or reply.__class__ is Lost:
            raise self.unavailable(reply)
        return reply

    async def _follow(self, refused: Any, line: _Line) -> bool:
        """Go where the keys are by now; false when that is not what is wrong."""
        if refused.__class__ is not Refused or not str(refused).startswith("MOVED"):
            return False
        client: Any = self.connection.client
        if line.pipe is not None:
            line.pipe.retire(_exception(refused))
        try:
            with self.connection.translated():
                await client.nodes_manager.initialize()
        except RedisError as exc:
            raise self.unavailable(exc) from exc
        return True

    def unavailable(self, problem: Any) -> QueueUnavailableError:
        """Return what to raise for a `Refused`, a `Lost` or an error of a `RedisConnection`."""
        cause = _exception(problem)
        if isinstance(problem, Refused) and "READONLY" in str(problem):
            self._line.retire(cause)  # whoever answers to this name now may be another server
            self._private.retire(cause)
        try:
            with self.connection.translated():
                raise cause
        except RedisError as exc:
            error = QueueUnavailableError(exc.message, hint=exc.hint, retry_after=exc.retry_after)
            error.__cause__ = exc
        return error

    async def connect(self) -> Pipe:
        """Return a new connection. Not for users of the store: see `pipe`."""
        try:
            with self.connection.translated():
                return await Pipe.open(self.connection, key=f"{self.prefix}:")
        except RedisError as exc:
            raise self.unavailable(exc) from exc

    async def measure_offset(self) -> None:
        """Ask Redis for its time, as far as `clock` is the host's."""
        if not isinstance(self.clock, SystemClock):
            return
        before = self.clock.time()
        seconds, micros = await self.command("TIME")
        after = self.clock.time()
        self.offset_s = int(seconds) + int(micros) / 1e6 - (before + after) / 2

    async def close(self) -> None:
        """Close the connections of the pipes; whoever still waits gets a `QueueUnavailableError`."""
        await self._line.close()
        await self._private.close()


class _Line:
    """A pipe that is opened when it is needed, and again when it was lost."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = anyio.Lock()
        self._failures = 0
        self._failure: QueueUnavailableError | None = None
        self._is_closed = False
        self.pipe: Pipe | None = None

    async def live(self) -> Pipe:
        pipe = self.pipe
        return await self.connect() if pipe is None or pipe.lost is not None else pipe

    async def connect(self) -> Pipe:
        """Connect anew. Those who come while somebody tries share the failure, and do not try one after the other."""
        failures = self._failures
        async with self._lock:
            if self._failure is not None and self._failures != failures:
                raise QueueUnavailableError(
                    self._failure.message, hint=self._failure.hint, retry_after=self._failure.retry_after
                ) from self._failure.__cause__
            if self._is_closed:
                raise NotOpenError("the queue's engine is not open", hint="use it inside `async with`")
            if self.pipe is not None and self.pipe.lost is None:
                return self.pipe
            await self._drop()
            try:
                self.pipe = await self._store.connect()
            except QueueUnavailableError as exc:
                self._failures += 1
                self._failure = exc
                raise
            return self.pipe

    def retire(self, cause: Exception) -> None:
        if self.pipe is not None:
            self.pipe.retire(cause)

    async def close(self) -> None:
        self._is_closed = True
        await self._drop()

    async def _drop(self) -> None:
        pipe, self.pipe = self.pipe, None
        if pipe is not None:
            self._store.outages += 1
            await pipe.close()


def _first_refused(replies: Sequence[Any]) -> Refused | None:
    return next((reply for reply in replies if reply.__class__ is Refused), None)


def _exception(problem: Any) -> Exception:
    if isinstance(problem, Lost):
        cause: Any = problem.cause
        if not hasattr(cause, "may_have_run"):
            cause.may_have_run = True
        return cause  # type: ignore[no-any-return]
    if isinstance(problem, Refused):
        from redis._parsers.base import BaseParser

        error: Exception = BaseParser.parse_error(str(problem))  # type: ignore[no-untyped-call]
        return error
    assert isinstance(problem, Exception)
    return problem
