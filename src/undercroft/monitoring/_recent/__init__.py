"""The last spans and log lines of this machine's processes, so that one request's whole story can be told.

    _store.py      what others hold: taking from any thread, reading
    _values.py     options, and what reading gives: all that a console needs to know
    _buffer.py     what was taken and is not written yet
    _writer.py     the background that writes it, loaded when the store is opened
    _rows.py, _writing.py, schema_1.sql    rows, and the transaction that adds and removes them
    _finding.py, _reading.py, _tree.py     from an id to a tree of spans and lines

URL: `sqlite:///.undercroft/recent.db?max_spans=20000&max_lines=50000&max_age_s=86400&max_size_mb=256`
"""

from undercroft.monitoring._recent._errors import (
    RecentLevelError,
    RecentMissingError,
    RecentUnavailableError,
    StoryAmbiguousError,
    StoryNotFoundError,
)
from undercroft.monitoring._recent._store import RecentStore
from undercroft.monitoring._recent._values import (
    LineFilter,
    RecentOptions,
    Story,
    StoryEntry,
    StoryLine,
    StorySpan,
    TraceSummary,
)

__all__ = [
    "LineFilter",
    "RecentLevelError",
    "RecentMissingError",
    "RecentOptions",
    "RecentStore",
    "RecentUnavailableError",
    "Story",
    "StoryAmbiguousError",
    "StoryEntry",
    "StoryLine",
    "StoryNotFoundError",
    "StorySpan",
    "TraceSummary",
]
