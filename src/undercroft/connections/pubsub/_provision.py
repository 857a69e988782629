"""Provisioning: the server gets the topics and subscriptions that the code declares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Literal

from undercroft.connections.pubsub._errors import PubSubUnavailableError
from undercroft.connections.pubsub._protocol import Engine, SubscriptionSpec
from undercroft.connections.pubsub._subscription import Subscription
from undercroft.logging import Logger

_FIXED = ("topic", "has_ordering")
"""What a server never changes in a subscription."""
_TRIES = 3
_log = Logger(module="undercroft.connections.pubsub")


class Action(StrEnum):
    """What was done, or in a dry run would be done."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DRIFTED = "drifted"
    """The server has it otherwise, and will not change it: delete it by hand, or rename it in the code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One topic or subscription."""

    kind: Literal["topic", "subscription"]
    name: str
    action: Action
    details: tuple[str, ...] = ()
    """What differs: `ack_deadline_s: 10.0 -> 60.0`."""


@dataclass(frozen=True, slots=True)
class ProvisionReport:
    """What provisioning found and did."""

    changes: tuple[Change, ...]
    is_dry_run: bool

    def named(self, action: Action | str) -> list[str]:
        """Return the names of what was created, updated, left unchanged or has drifted, in order."""
        return [change.name for change in self.changes if change.action == action]

    @property
    def has_drift(self) -> bool:
        """Whether the server has something otherwise and will not change it."""
        return bool(self.named(Action.DRIFTED))


class Provisioner:
    """Creates and updates. Any number of processes may do it at the same time: whoever comes second finds it done."""

    def __init__(self, engine: Engine, *, is_dry_run: bool) -> None:
        self._engine = engine
        self._is_dry_run = is_dry_run

    async def run(self, topics: Iterable[str], subscriptions: Sequence[Subscription[Any, Any]]) -> ProvisionReport:
        """Provision topics first, then subscriptions.

        A dead-letter topic that nobody reads would drop what it gets: it also gets a subscription of its own name,
        which keeps the dead messages until someone looks at them, unless one of `subscriptions` reads it.
        """
        specs = [each.spec() for each in subscriptions]
        dead = {spec.dead_letter for spec in specs if spec.dead_letter}
        read = {spec.topic for spec in specs}
        specs += [SubscriptionSpec(name=topic, topic=topic) for topic in sorted(dead - read)]
        changes = [await self._topic(name) for name in sorted({*topics, *read, *dead})]
        changes += [await self._subscription(spec) for spec in specs]
        report = ProvisionReport(tuple(changes), self._is_dry_run)
        for change in report.changes:
            if change.action is Action.DRIFTED:
                _log.warning("subscription differs and cannot be changed", name=change.name, differs=change.details)
        return report

    async def _topic(self, name: str) -> Change:
        if self._is_dry_run:
            is_new = not await self._engine.has_topic(name)
        else:
            is_new = await self._engine.create_topic(name)
        return Change(kind="topic", name=name, action=Action.CREATED if is_new else Action.UNCHANGED)

    async def _subscription(self, spec: SubscriptionSpec) -> Change:
        for _ in range(_TRIES):
            found = await self._engine.get_subscription(spec.name)
            if found is not None:
                return await self._changed(found, spec)
            if self._is_dry_run or await self._engine.create_subscription(spec):
                return Change(kind="subscription", name=spec.name, action=Action.CREATED)
        raise PubSubUnavailableError(f"subscription {spec.name!r} comes and goes while it is provisioned")

    async def _changed(self, found: SubscriptionSpec, wanted: SubscriptionSpec) -> Change:
        fixed = _differences(found, wanted, only=_FIXED)
        kept = {name: getattr(found, name) for name in _FIXED}
        changed = _differences(found, replace(wanted, **kept))
        if changed and not self._is_dry_run:
            await self._engine.update_subscription(replace(wanted, **kept))
        action = Action.DRIFTED if fixed else Action.UPDATED if changed else Action.UNCHANGED
        return Change(kind="subscription", name=wanted.name, action=action, details=(*fixed, *changed))


def _differences(
    found: SubscriptionSpec, wanted: SubscriptionSpec, *, only: Sequence[str] | None = None
) -> tuple[str, ...]:
    names = only or [field.name for field in fields(SubscriptionSpec)]
    pairs = [(name, getattr(found, name), getattr(wanted, name)) for name in names]
    return tuple(f"{name}: {old} -> {new}" for name, old, new in pairs if old != new)
