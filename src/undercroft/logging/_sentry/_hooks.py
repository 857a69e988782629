"""What happens to all that the SDK is about to send, whoever captured it: names are put on, secrets taken off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from undercroft._core.context import Correlation, Trace, correlation
from undercroft.logging._sentry._handler import tags_of
from undercroft.logging._sentry._scrub import Scrubber
from undercroft.logging._sentry._trail import MAX_CRUMBS, Trail

Hook = Callable[[Any, Any], Any]
User = Callable[[], Mapping[str, object] | None]
"""Returns whom the work going on is done for, such as `{"id": "42"}`; `None`: nobody, or it is not known."""

NAMES_OF_ERROR = "__undercroft_names__"
"""An exception's attribute: the `Correlation` of the request that it left, set by the middleware."""
_HIDDEN_SPAN = "<not shown: it could not be redacted>"


class Hooks:
    """Puts itself into a client's options, behind the application's own hooks, and takes itself out again."""

    def __init__(
        self,
        scrubber: Scrubber,
        trail: Trail,
        *,
        user: User | None,
        has_span: Callable[[], bool],
        note_failure: Callable[[], None],
    ) -> None:
        self._scrubber = scrubber
        self._trail = trail
        self._user = user
        self._has_span = has_span
        self._note_failure = note_failure
        self._replaced: dict[str, tuple[Hook, Hook | None]] = {}

    def install(self, options: dict[str, Any]) -> None:
        """Let everything that a client with these `options` sends go through here."""
        ours: dict[str, Hook] = {
            "before_send": self._event,
            "before_send_transaction": self._event,
            "before_send_log": self._telemetry,
            "before_send_metric": self._telemetry,
            "before_send_span": self._telemetry,
            "before_breadcrumb": self._breadcrumb,
        }
        for name, hook in ours.items():
            if name not in options:
                continue  # this version of the SDK does not know it
            theirs = options.get(name)
            # Where the SDK looks for it next; ours in the first place would hide it.
            before = theirs or (options.get("_experiments") or {}).get(name)
            chained = self._behind(before, hook, may_drop=name != "before_send_span")
            self._replaced[name] = (chained, theirs)
            options[name] = chained

    def remove(self, options: dict[str, Any]) -> None:
        """Put back what `install` found, except where someone has replaced ours since."""
        for name, (chained, theirs) in self._replaced.items():
            if options.get(name) is chained:
                options[name] = theirs
        self._replaced.clear()

    def _behind(self, theirs: Hook | None, ours: Hook, *, may_drop: bool) -> Hook:
        def chained(item: Any, hint: Any) -> Any:
            try:
                kept = item if theirs is None else theirs(item, hint)
                return None if kept is None and may_drop else ours(item if kept is None else kept, hint)
            except Exception:
                # Never the item itself: what could not be redacted must not be sent. A span cannot be dropped here.
                self._note_failure()
                return None if may_drop else {"name": _HIDDEN_SPAN, "attributes": {}}

        return chained

    def _telemetry(self, item: dict[str, Any], _: Any) -> dict[str, Any]:
        return self._scrubber.event(item)

    def _breadcrumb(self, crumb: dict[str, Any], _: Any) -> dict[str, Any]:
        return self._scrubber.breadcrumb(crumb)

    def _event(self, event: dict[str, Any], hint: Any) -> dict[str, Any]:
        named = self._named(event, _names_for(hint))
        if event.get("type") is None:
            named["breadcrumbs"] = {"values": self._crumbs(named)}
        return self._scrubber.event(named)

    def _named(self, event: dict[str, Any], names: Correlation) -> dict[str, Any]:
        """Return a copy of `event` that says whose work it came from; what it says already stays."""
        tags = event.get("tags") or {}
        named = {**event, "tags": {**tags_of(names.fields()), **(tags if isinstance(tags, Mapping) else dict(tags))}}
        if isinstance(named.get("extra"), Mapping):  # what a record carries for our own formatters
            named["extra"] = {key: value for key, value in named["extra"].items() if key != "undercroft"}
        # A span of the SDK's own is a position in a trace of its own, which the event belongs to then.
        if names.trace is not None and not self._has_span() and event.get("type") is None:
            named["contexts"] = {**(event.get("contexts") or {}), "trace": _trace_context(names.trace)}
        if self._user is not None and not event.get("user"):
            user = self._user()
            if user:
                named["user"] = dict(user)
        return named

    def _crumbs(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        there = event.get("breadcrumbs") or {}
        values = there.get("values") if isinstance(there, Mapping) else there
        theirs = [crumb for crumb in values or () if isinstance(crumb, Mapping)]
        merged = sorted([*theirs, *self._trail.of(event["tags"])], key=lambda crumb: str(crumb.get("timestamp", "")))
        return [dict(crumb) for crumb in merged[-2 * MAX_CRUMBS :]]


def _names_for(hint: Any) -> Correlation:
    """Return the names of the work going on, or where it is over, of the work that the exception has left."""
    here = correlation()
    if here.request_id is not None or here.job_id is not None or here.trace is not None:
        return here
    exc_info = hint.get("exc_info") if isinstance(hint, Mapping) else None
    left_from = getattr(exc_info[1], NAMES_OF_ERROR, None) if exc_info else None
    return left_from if isinstance(left_from, Correlation) else here


def _trace_context(trace: Trace) -> dict[str, str]:
    return {"type": "trace", "trace_id": trace.trace_id, "span_id": trace.span_id}
