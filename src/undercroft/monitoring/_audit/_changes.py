"""What changed between two states of a thing, as plain data without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from undercroft._core.codec import to_json
from undercroft.monitoring._audit._errors import AuditEntryError
from undercroft.monitoring._tracking._ports import Redact

_Plain = dict[str, object]
_MAX_DEPTH = 20
_MAX_BYTES = 65_536


def changes_between(
    before: Mapping[str, object] | None, after: Mapping[str, object] | None, redact: Redact
) -> tuple[Mapping[str, object] | None, Mapping[str, object] | None]:
    """Return both states with only what differs, at any depth, each redacted; a state that is `None` stays so.

    Compared first and redacted then: that a password was changed is seen, and neither the old one nor the new one is.

    Raises:
        AuditEntryError: A value has no JSON form, or one of the states is larger than 64 KiB as JSON.
    """
    old, new = _plain(before, "before"), _plain(after, "after")
    if old is not None and new is not None:
        old, new = _differing(old, new)
    return _redacted(old, "before", redact), _redacted(new, "after", redact)


def _plain(state: Mapping[str, object] | None, what: str) -> _Plain | None:
    if state is None:
        return None
    if not isinstance(state, Mapping):
        raise AuditEntryError(
            f"{what} is a {type(state).__name__}, not a mapping", hint=f'name what changed: {what}={{"status": "paid"}}'
        )
    try:
        return cast("_Plain", msgspec.json.decode(to_json(dict(state))))
    except (TypeError, UnicodeError) as exc:
        raise AuditEntryError(f"{what} has no JSON form: {exc}") from None


def _differing(old: _Plain, new: _Plain, depth: int = 0) -> tuple[_Plain, _Plain]:
    old_only, new_only = {}, {}
    for key in dict.fromkeys([*old, *new]):
        was, is_ = old.get(key), new.get(key)
        if key in old and key in new and was == is_ and type(was) is type(is_):
            continue
        if isinstance(was, dict) and isinstance(is_, dict) and depth < _MAX_DEPTH:
            was, is_ = _differing(was, is_, depth + 1)
        if key in old:
            old_only[key] = was
        if key in new:
            new_only[key] = is_
    return old_only, new_only


def _redacted(state: _Plain | None, what: str, redact: Redact) -> Mapping[str, object] | None:
    if state is None:
        return None
    shown = _plain(redact(state), f"{what}, redacted,")
    size = len(msgspec.json.encode(shown))
    if size > _MAX_BYTES:
        raise AuditEntryError(
            f"{what} is {size} bytes of JSON, and {_MAX_BYTES} are the most",
            hint="pass the fields that matter, or the name of where the rest is kept",
        )
    return shown
