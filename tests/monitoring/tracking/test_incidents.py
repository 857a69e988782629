"""Incidents: which step may follow which, and how alerts open and resolve them."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise, product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.tracking._metrics import Board
from undercroft._core.clock import VirtualClock, utc
from undercroft.monitoring import (
    AlertRule,
    Alerts,
    Incident,
    IncidentNotFoundError,
    Incidents,
    IncidentStatus,
    IncidentTransitionError,
    TrackingError,
)

O, I, R, C = IncidentStatus  # noqa: E741
ALLOWED = {(O, I), (O, R), (I, R), (R, I), (R, C)}
WAYS = {O: [], I: [I], R: [R], C: [R, C]}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def incidents(clock: VirtualClock) -> Incidents:
    return Incidents(clock=clock)


@pytest.mark.parametrize(("start", "end"), [*product(IncidentStatus, repeat=2)])
def test_incident_goes_where_the_table_lets_it(start: IncidentStatus, end: IncidentStatus) -> None:
    incidents = Incidents()
    incident = incidents.open("payments are down", by="ada")
    for step in WAYS[start]:
        incidents.move(incident.id, step, by="ada")
    if (start, end) in ALLOWED:
        assert incidents.move(incident.id, end, by="ada").status is end
    else:
        with pytest.raises(IncidentTransitionError, match=f"is {start} and cannot become '{end}'"):
            incidents.move(incident.id, end, by="ada")
        found = incidents.get(incident.id)
        assert found is not None
        assert found.status is start


@given(st.lists(st.sampled_from(IncidentStatus)))
def test_steps_are_a_way_through_the_table(wanted: list[IncidentStatus]) -> None:
    incidents = Incidents()
    incident = incidents.open("a", by="ada")
    for status in wanted:
        try:
            incident = incidents.move(incident.id, status, by="ada")
        except IncidentTransitionError:
            continue
    way = [step.status for step in incident.steps]
    assert way[0] is O
    assert set(pairwise(way)) <= ALLOWED


@pytest.mark.anyio
async def test_each_step_says_who_when_and_why(incidents: Incidents, clock: VirtualClock) -> None:
    opened = incidents.open("payments are down", by="ada", severity="critical", note="customers call")
    await clock.advance("5m")
    moved = incidents.move(opened.id, "investigating", by="bob", note="looking at the bank")

    assert [(step.status, step.by, step.note) for step in moved.steps] == [
        (O, "ada", "customers call"),
        (I, "bob", "looking at the bank"),
    ]
    assert moved.steps[1].at - moved.opened_at == timedelta(minutes=5)
    assert incidents.get(opened.id) == moved
    assert msgspec.json.decode(msgspec.json.encode(moved), type=Incident) == moved


def test_refusal_says_where_it_can_go(incidents: Incidents) -> None:
    incident = incidents.open("a", by="ada")
    with pytest.raises(IncidentTransitionError) as refused:
        incidents.move(incident.id, "closed", by="ada")
    assert refused.value.hint == "from here: investigating, resolved"
    with pytest.raises(IncidentTransitionError) as unknown:
        incidents.move(incident.id, "resolve", by="ada")  # type: ignore[arg-type]
    assert unknown.value.near == ("resolved",)


def test_unknown_incident_is_an_error_that_names_it(incidents: Incidents) -> None:
    with pytest.raises(IncidentNotFoundError) as caught:
        incidents.move("01ABC", "resolved", by="ada")
    assert caught.value.incident_id == "01ABC"
    assert incidents.get("01ABC") is None


def test_unknown_severity_is_refused(incidents: Incidents) -> None:
    with pytest.raises(TrackingError) as caught:
        incidents.open("a", by="ada", severity="critcal")  # type: ignore[arg-type]
    assert caught.value.near == ("critical",)


def test_incidents_are_listed_the_newest_first(incidents: Incidents) -> None:
    second = [incidents.open(title, by="ada") for title in "abc"][1]
    incidents.move(second.id, "resolved", by="ada")
    assert [one.title for one in incidents.list_incidents()] == ["c", "b", "a"]
    assert [one.title for one in incidents.list_incidents(status="open")] == ["c", "a"]
    assert [one.title for one in incidents.list_incidents(limit=1)] == ["c"]


def test_what_is_over_is_forgotten_first_and_what_is_worked_on_never() -> None:
    incidents = Incidents(max_incidents=3)
    incidents.open("worked on", by="ada")
    resolved, closed = (incidents.open(title, by="ada") for title in ("resolved", "closed"))
    incidents.move(resolved.id, "resolved", by="ada")
    incidents.move(closed.id, "resolved", by="ada")
    incidents.move(closed.id, "closed", by="ada")

    incidents.open("d", by="ada")
    assert [one.title for one in incidents.list_incidents()] == ["d", "resolved", "worked on"]
    incidents.open("e", by="ada")
    assert [one.title for one in incidents.list_incidents()] == ["e", "d", "worked on"]
    with pytest.raises(TrackingError, match="all of them are being worked on"):
        incidents.open("f", by="ada")
    with pytest.raises(TrackingError, match="max_incidents 0"):
        Incidents(max_incidents=0)


def test_room_for_one_is_enough_for_one_after_the_other() -> None:
    incidents = Incidents(max_incidents=1)
    first = incidents.open("a", by="ada")
    incidents.move(first.id, "resolved", by="ada")
    second = incidents.open("b", by="ada")
    assert incidents.list_incidents() == [second]


@pytest.mark.anyio
async def test_alerts_open_resolve_and_reopen_one_incident(incidents: Incidents, clock: VirtualClock) -> None:
    board = Board()
    alerts = Alerts(
        [AlertRule("high", "level", "gt", 1, measure="last", severity="critical")],
        metrics=board,
        notify=[incidents.follow],
        clock=clock,
    )
    way: list[list[IncidentStatus]] = []
    for level in (2, 0, 2, 0):
        board.set("level", level)
        for event in alerts.evaluate():
            incidents.follow(event)  # the outbox brings it a second time
        await alerts.deliver()
        [incident] = incidents.list_incidents()
        way.append([step.status for step in incident.steps])
    assert way == [[O], [O, R], [O, R, I], [O, R, I, R]]
    assert (incident.alert, incident.severity, incident.steps[0].by) == ("high", "critical", "high")
    assert incident.title.startswith("high: firing (critical); level last")
    assert incident.opened_at == utc(clock.time())


@pytest.mark.anyio
async def test_alert_after_a_closed_incident_opens_another(incidents: Incidents, clock: VirtualClock) -> None:
    board = Board()
    alerts = Alerts(
        [AlertRule("high", "level", "gt", 1, measure="last")], metrics=board, notify=[incidents.follow], clock=clock
    )
    for level in (2, 0):
        board.set("level", level)
        alerts.evaluate()
    await alerts.deliver()
    incidents.move(incidents.list_incidents()[0].id, "closed", by="ada")
    board.set("level", 2)
    [event] = alerts.evaluate()
    await alerts.deliver()
    assert [one.status for one in incidents.list_incidents()] == [O, C]
    incidents.follow(event)
    assert len(incidents.list_incidents()) == 2


def test_end_of_an_alert_without_an_incident_opens_none(incidents: Incidents, clock: VirtualClock) -> None:
    board = Board()
    alerts = Alerts([AlertRule("high", "level", "gt", 1, measure="last")], metrics=board, clock=clock)
    events = []
    for level in (2, 0):
        board.set("level", level)
        events += alerts.evaluate()
    incidents.follow(events[1])
    assert incidents.list_incidents() == []
