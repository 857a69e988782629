"""The store: takes spans and lines from any thread, and tells one request's story."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import NotOpenError, near_names
from undercroft._core.url import Url, UrlError
from undercroft.monitoring._recent._buffer import Buffer
from undercroft.monitoring._recent._errors import RecentLevelError
from undercroft.monitoring._recent._reading import Wanted, read_lines, read_new_lines, read_story, read_traces
from undercroft.monitoring._recent._rows import LEVELS, level_number
from undercroft.monitoring._recent._values import LineFilter, RecentOptions, Story, StoryLine, TraceSummary
from undercroft.monitoring._tracing._protocol import FinishedSpan

if TYPE_CHECKING:
    from undercroft._core.clock import Clock
    from undercroft.monitoring._recent._writer import Writer

_WRITE_AT = 500
_FOLLOW_S = 1.0
"""How long a follower waits for news before it looks by itself."""


class RecentStore:
    """The last spans and log lines of this machine's processes, in one SQLite file that they share.

    Opened and closed by `async with`, in one event loop; lives as long as its `Infra`. `on_end` and `on_line` may be
    called from any thread, and before it is opened: they never wait, and never raise. What they take is written a
    quarter of a second later, or as soon as 500 wait. It holds what it was given and hides nothing: give it spans and
    lines that are redacted.

    It fails open: when the file cannot be written (a full disk, a lock held too long) what was taken is dropped and
    counted, a line says so once, and writing is tried again. A power cut may cost the last moments, a crash of the
    process the last quarter of a second. Reading raises `RecentUnavailableError` then. Entering raises
    `StoreNotWritableError` and `StoreVersionError`, since the path is wrong then.

    Args:
        path: The file; its directory is made when it is missing.
    """

    def __init__(self, path: Path, *, options: RecentOptions | None = None, clock: Clock | None = None) -> None:
        self.path = path
        self.options = options or RecentOptions()
        self._clock = clock or _system_clock()
        self._buffer = Buffer(limit=self.options.max_waiting, wake_at=_WRITE_AT, wake=self._wake)
        self._writer: Writer | None = None

    @classmethod
    def from_url(cls, url: Url | str, *, what: str = "recent", clock: Clock | None = None) -> Self:
        """Build the store for a `sqlite:///` URL, whose options are the fields of `RecentOptions`. Opens nothing yet.

        Raises:
            UrlError: It is of another scheme, has no path, or an option that there is not.
        """
        url = Url.parse(url, what=what) if isinstance(url, str) else url
        if url.scheme != "sqlite":
            raise UrlError(
                f"{what}: recent spans and lines are not kept at {url.scheme}://",
                hint="sqlite:///var/recent.db is relative, sqlite:////srv/recent.db is absolute",
            )
        return cls(Path(url.file_path(what=what)), options=url.options_as(RecentOptions, what=what), clock=clock)

    async def __aenter__(self) -> Self:
        from undercroft.monitoring._recent._writer import Writer

        self._buffer.open()
        writer = Writer(self.path, self._buffer, options=self.options, clock=self._clock)
        self._writer = await writer.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.__aexit__()

    # --- Taking -------------------------------------------------------------------------------------------------------

    def on_end(self, span: FinishedSpan) -> None:
        """Take a finished span: this is a `SpanProcessor`."""
        self._buffer.add(span)

    def on_line(self, line: Mapping[str, Any]) -> None:
        """Take a log line, as `undercroft.logging`'s JSON format has it; for `setup_logging(also=store.on_line)`.

        It is read a moment later: whoever gives it must not change it any more.
        """
        self._buffer.add(line)

    async def flush(self) -> None:
        """Return when what was taken before is written, or dropped. Waits no longer than for one lock at a time."""
        if self._writer is not None:
            await self._writer.flush()

    async def aclose(self) -> None:
        """Write what is left, when the tracer closes. Lines still come then, so the file stays open for its block."""
        await self.flush()

    @property
    def dropped_count(self) -> int:
        """Spans and lines of this process that were lost: no room, no disk, or not to be written as JSON."""
        return self._buffer.dropped_count

    @property
    def written_count(self) -> int:
        """Spans and lines that this process has written since it was opened."""
        return self._writer.written_count if self._writer is not None else 0

    @property
    def problem(self) -> str | None:
        """Why nothing is written at the moment; `None` when all is well."""
        return self._writer.problem if self._writer is not None else None

    def _wake(self) -> None:
        if (writer := self._writer) is not None:
            writer.wake()

    # --- Reading ------------------------------------------------------------------------------------------------------

    async def story(self, id: str) -> Story:  # noqa: A002 - the plainest word
        """Return all that is kept of one request or job: its spans, the lines they wrote, and what they led to.

        Args:
            id: A trace, request, job or span id, or the first six characters or more of one; or a `traceparent`.

        Raises:
            StoryNotFoundError: Nothing has this id: it is older than what is kept, or not written yet.
            StoryAmbiguousError: Several ids begin like this, of different stories.
            RecentUnavailableError: The file did not answer.
        """
        return await self._opened.read(lambda db: read_story(db, id))

    async def recent_lines(self, *, limit: int = 100, **wanted: Unpack[LineFilter]) -> list[StoryLine]:
        """Return the last lines that match all that is given (see `LineFilter`), in order of time.

        Raises:
            RecentLevelError: `level` is none.
            RecentUnavailableError: The file did not answer.
        """
        read = self._wanted(wanted)
        lines, _ = await self._opened.read(lambda db: read_lines(db, read, limit=limit))
        return lines

    async def follow_lines(self, *, last: int = 10, **wanted: Unpack[LineFilter]) -> AsyncIterator[StoryLine]:
        """Yield the last lines and then those that come, of all processes, until the caller stops.

        Each line once, in the order of writing: lines of one process as it wrote them, those of several a quarter of a
        second apart at worst. Raises as `recent_lines`.
        """
        read = self._wanted(wanted)
        lines, seen = await self._opened.read(lambda db: read_lines(db, read, limit=last))
        while True:
            for line in lines:
                yield line
            news = self._opened.news()  # before looking: what comes meanwhile must not be waited for
            after = seen
            lines, seen = await self._opened.read(lambda db: read_new_lines(db, read, after))  # noqa: B023 - at once
            if seen == after:
                with self._clock.cancel_after(_FOLLOW_S):
                    await news.wait()

    async def recent_traces(
        self, *, limit: int = 20, min_duration_ms: float = 0, only_errors: bool = False
    ) -> list[TraceSummary]:
        """Return the traces that were written to last, the newest first.

        Args:
            only_errors: Those with a span whose status is `error`.

        Raises:
            RecentUnavailableError: The file did not answer.
        """
        return await self._opened.read(
            lambda db: read_traces(db, limit=limit, min_duration_ms=min_duration_ms, only_errors=only_errors)
        )

    async def ping(self) -> None:
        """Return when the file can be read.

        Raises:
            RecentUnavailableError: It cannot.
        """
        await self._opened.read(lambda db: db.execute("SELECT 1 FROM lines LIMIT 1").fetchone())

    @property
    def _opened(self) -> Writer:
        if self._writer is None:
            raise NotOpenError("the store of recent spans and lines is not open", hint="use it inside `async with`")
        return self._writer

    def _wanted(self, wanted: LineFilter) -> Wanted:
        level, since = wanted.get("level"), wanted.get("since")
        return Wanted(
            least_level=0 if level is None else _least(level),
            since_ms=0 if since is None else self._ms_of(since),
            contains=wanted.get("contains", "").casefold(),
            logger=wanted.get("logger"),
            request_id=wanted.get("request_id"),
            trace_id=wanted.get("trace_id"),
            job_id=wanted.get("job_id"),
        )

    def _ms_of(self, since: Duration | datetime) -> int:
        at = since.timestamp() if isinstance(since, datetime) else self._clock.time() - to_seconds(since, name="since")
        return int(at * 1000)


def _system_clock() -> Clock:
    from undercroft._core.clock import SystemClock  # loads anyio, which the module's face does without

    return SystemClock()


def _least(level: str) -> int:
    number = level_number(level)
    if number is None:
        raise RecentLevelError(
            f"level {level!r} is not a log level", near=near_names(level, LEVELS), hint=f"levels: {', '.join(LEVELS)}"
        )
    return number
