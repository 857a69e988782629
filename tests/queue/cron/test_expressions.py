"""Expressions: what is read, what is refused and in which words, and what holds for every one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.queue.cron._oracle import is_day, values
from undercroft._core.errors import MissingExtraError
from undercroft.queue._cron._definition import is_valid_cron_expression
from undercroft.queue._cron._expression import NICKNAMES, parse_expression
from undercroft.queue._cron._slots import FieldSlots, field_slots
from undercroft.queue._errors import JobDefinitionError

NOW = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def slots_of(expression: str, tz: str = "UTC") -> FieldSlots:
    return field_slots(parse_expression(expression), tz, what="cron")


def refusal_of(expression: str) -> str | None:
    try:
        slots_of(expression)
    except JobDefinitionError as exc:
        return str(exc)
    return None


# --- What is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 * * *", "*/5 * * * *", "0 0,6,12,18 * * *", "0 * * * *", "5/10 * * * *", "1-30/2 * * * *", "* * L * *",
        "* * LW * *", "* * * * 5L", "0 9 * * mon#1", "0 0 * JAN,jul MON-FRI", "*/10 * * * * *", "  0  3 * * 7 ",
        "@daily", "@HOURLY", "0 0 29 2 *", "5-5/10 * * * *",
    ],
)  # fmt: skip
def test_expression_is_valid(expression: str) -> None:
    assert is_valid_cron_expression(expression)


@pytest.mark.parametrize(
    "expression",
    ["bad", "0 * *", "99 99 99 99 99", "* * * * * * *", "", " ", "60 * * * *", "* * 31 2 *", "a b c d e", 5, None],
)  # fmt: skip
def test_five_words_of_nonsense_are_not(expression: object) -> None:
    assert not is_valid_cron_expression(expression)


def test_nicknames_are_what_they_stand_for() -> None:
    for nickname, expression in NICKNAMES.items():
        assert parse_expression(nickname).canonical == expression


def test_range_of_one_value_with_a_step_is_that_value() -> None:
    """cronsim reads `5-5/10` as `5/10`; no cron does."""
    assert [slot % 3600 for slot in islice(slots_of("5-5/10 * * * *").after(NOW), 3)] == [300, 300, 300]


def test_sunday_is_0_and_7_and_its_name() -> None:
    firings = [list(islice(slots_of(f"0 0 * * {day}").after(NOW), 5)) for day in ("0", "7", "SUN", "6-7")]
    assert firings[0] == firings[1] == firings[2]
    assert datetime.fromtimestamp(firings[3][1], UTC).isoweekday() == 7


NEW_YORK, LORD_HOWE, APIA = "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"


@pytest.mark.parametrize(
    ("expression", "zone", "day", "fires"),
    [
        ("30 2 * * *", NEW_YORK, "2026-03-08", ["03:00-0400"]),
        ("15,45 2 * * *", NEW_YORK, "2026-03-08", ["03:00-0400"]),
        ("30 2 * * *", NEW_YORK, "2026-11-01", ["02:30-0500"]),
        ("30 1 * * *", NEW_YORK, "2026-11-01", ["01:30-0400"]),
        ("*/30 0-2 * * *", NEW_YORK, "2026-11-01",
         ["00:00-0400", "00:30-0400", "01:00-0400", "01:30-0400",
          "01:00-0500", "01:30-0500", "02:00-0500", "02:30-0500"]),
        ("0 30 1 * * *", NEW_YORK, "2026-11-01", ["01:30-0400", "01:30-0500"]),
        ("*/15 2 * * *", LORD_HOWE, "2026-10-04", ["02:30+1100", "02:45+1100"]),
        ("0 9 * * *", APIA, "2011-12-30", []),
        ("0 9 * * *", APIA, "2011-12-31", ["00:00+1400", "09:00+1400"]),
    ],
)  # fmt: skip
def test_examples_of_the_page(expression: str, zone: str, day: str, fires: list[str]) -> None:
    begin = datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=ZoneInfo(zone))
    slots = slots_of(expression, zone).after(int(begin.timestamp()) - 7200)
    shown = (datetime.fromtimestamp(slot, ZoneInfo(zone)) for slot in islice(slots, 20))
    assert [f"{at:%H:%M%z}" for at in shown if f"{at:%Y-%m-%d}" == day] == fires


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "says", "near"),
    [
        ("99 * * * *", "minute '99' in '99 * * * *': 99 is not within 0-59", "59"),
        ("60 * * * *", "60 is not within 0-59", "0"),
        ("* 24 * * *", "hour '24' in '* 24 * * *': 24 is not within 0-23", "0"),
        ("* * 0 * *", "day of month '0' in '* * 0 * *': 0 is not within 1-31", "1"),
        ("* * * 13 *", "month '13' in '* * * 13 *': 13 is not within 1-12", "12"),
        ("* * * * 8", "day of week '8' in '* * * * 8': 8 is not within 0-7", "0"),
        ("61 * * * * *", "second '61'", "59"),
        ("* * * MRA *", "'MRA' is not a value", "MAR"),
        ("* * * * MOM", "'MOM' is not a value", "MON"),
        ("* * * * MONL", "'MONL' is written with a number", "1L"),
        ("* * * * FRI-MON", "the range FRI-MON ends before it begins", "5-6,0-1"),
        ("* * * * SAT-SUN", "the range SAT-SUN ends before it begins", "6-7"),
        ("* 22-4 * * *", "the range 22-4 ends before it begins", "22-23,0-4"),
        ("* * ? * *", "'?' is written '*' here", "*"),
        ("@dayly", "there is no '@dayly'", "@daily"),
    ],
)
def test_error_names_field_value_range_and_near_fix(expression: str, says: str, near: str) -> None:
    with pytest.raises(JobDefinitionError) as caught:
        parse_expression(expression, what="cron 'x'")
    assert caught.value.message.startswith("cron 'x': ")
    assert says in caught.value.message
    assert near in caught.value.near


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("*/0 * * * *", "the step 0 is not within 1-60"),
        ("*/90 * * * *", 'every="90m"'),
        ("* */48 * * *", 'every="48h"'),
        ("1,,2 * * * *", "a value is missing beside a comma"),
        ("1-2-3 * * * *", "'1-2-3' cannot be read"),
        ("* * * * 1#6", "'1#6' cannot be read"),
        ("* * 15W * *", "'15W' is not a value"),
        ("-1 * * * *", "'-1' cannot be read"),
        ("* * * *", "has 4 fields, not 5 or 6"),
        ("0 0 0 1 1 ? 2030", "the year of Quartz is not known here"),
        ("5 minutes", 'for a rhythm write every="5m"'),
        ("every 5m", 'for a rhythm write every="5m"'),
        ("@reboot", "start a job from your application's start"),
        ("٣ * * * *", "characters that no cron expression has"),
        ("* * * * *" * 30, "an expression of 270 characters"),
    ],
)
def test_error_says_what_to_do(expression: str, says: str) -> None:
    with pytest.raises(JobDefinitionError) as caught:
        parse_expression(expression)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    ["0 0 31 2 *", "0 0 30-31 2 *", "0 0 31 4,6,9,11 *", "0 0 */16 2 MON#5", "*/1 * */28 2 1#2", "0 0 0 */30 2 5#2"],
)
def test_day_that_never_comes_is_refused_at_once(expression: str) -> None:
    begin = time.perf_counter()
    with pytest.raises(JobDefinitionError, match="never fires"):
        slots_of(expression, "Europe/Berlin")
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize(
    "expression",
    [
        "1," * 99 + "1 * * * *", "*" * 200, "/" * 200, "-" * 100, "1-" * 100, "#" * 200, "* " * 100, "@" * 200,
        "L" * 200, "9" * 200, "*/" + "9" * 150 + " * * * *", "1" + "0" * 150 + " * * * *", "\x00 * * * *",
        "* * * * \ud800", "1\n2 3", "0 0 0 0 0", "*,*,*,* * * * *,", "1-9/0 * * * *", "a" * 10**6,
    ],
)  # fmt: skip
def test_hostile_expression_is_answered_at_once_and_in_few_words(expression: str) -> None:
    begin = time.perf_counter()
    assert len(refusal_of(expression) or "") < 1000
    assert time.perf_counter() - begin < 1


def test_firing_that_a_zone_always_skips_ends_the_search() -> None:
    """02:30 on the second Sunday of March, with seconds: New York's clock jumps over it, every year."""
    slots = slots_of("0 30 2 * 3 SUN#2", "America/New_York")
    begin = time.perf_counter()
    assert next(slots.after(NOW), None) is None
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize("tz", ["europe/berlin", "Mars/Base", "", "America", "../etc/passwd", "/etc/passwd", None, 5])
def test_zone_that_there_is_not_is_refused(tz: object) -> None:
    with pytest.raises(JobDefinitionError, match="there is no time zone"):
        field_slots(parse_expression("0 0 * * *"), tz, what="cron")


def test_missing_cronsim_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cronsim", None)
    with pytest.raises(MissingExtraError, match="undercroft\\[cron\\]"):
        is_valid_cron_expression("0 0 * * *")


# --- What holds for every expression ----------------------------------------------------------------------------------


def field_texts(low: int, high: int, *, special: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    ranges = st.tuples(numbers, numbers).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    steps = st.integers(1, max(1, high - low))
    terms = st.one_of(
        st.just("*"),
        numbers.map(str),
        ranges,
        steps.map("*/{}".format),
        st.tuples(ranges, steps).filter(lambda pair: len(set(pair[0].split("-"))) == 2).map("{0[0]}/{0[1]}".format),
        *([st.sampled_from(special)] if special else []),
    )
    return st.lists(terms, min_size=1, max_size=3).map(",".join)


EXPRESSIONS = st.tuples(
    field_texts(0, 59),
    field_texts(0, 23),
    field_texts(1, 28, special=("L", "LW")),
    field_texts(1, 12),
    field_texts(0, 6, special=("5L", "1#2", "MON")),
).map(" ".join)
ZONES = st.sampled_from(["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"])
INSTANTS = st.integers(NOW, NOW + 400 * 86400)


def may_never_fire(expression: str, zone: str) -> FieldSlots | None:
    refusal = refusal_of(expression)
    assert refusal is None or "never fires" in refusal
    return slots_of(expression, zone) if refusal is None else None


@given(EXPRESSIONS)
@settings(max_examples=200, deadline=None)
def test_canonical_form_is_read_as_itself(expression: str) -> None:
    canonical = parse_expression(expression).canonical
    assert parse_expression(canonical).canonical == canonical
    assert parse_expression(f" {canonical.lower()} ").canonical == canonical


@given(EXPRESSIONS, ZONES, INSTANTS)
@settings(max_examples=150, deadline=None)
def test_slots_grow_and_go_on_from_each_other(expression: str, zone: str, instant: int) -> None:
    slots = may_never_fire(expression, zone)
    if slots is None:
        return
    found = list(islice(slots.after(instant), 8))
    assert found
    assert instant < found[0]
    assert all(first < second for first, second in pairwise(found))
    for first, second in pairwise(found):
        assert next(slots.after(first)) == second == next(slots.after(second - 1))
        assert next(slots.before(second - 1)) == first == next(slots.before(first))


@given(EXPRESSIONS, ZONES, INSTANTS)
@settings(max_examples=150, deadline=None)
def test_wall_shows_what_the_fields_say(expression: str, zone: str, instant: int) -> None:
    slots = may_never_fire(expression, zone)
    if slots is None:
        return
    minutes, hours, *days = parse_expression(expression).canonical.split()
    for slot in islice(slots.after(instant), 8):
        wall = datetime.fromtimestamp(slot, ZoneInfo(zone))
        just_before = datetime.fromtimestamp(slot - 60, ZoneInfo(zone))
        if slots.expression.is_fixed and wall.utcoffset() != just_before.utcoffset():
            continue  # the clock has just been set: it stands for times that were skipped
        assert wall.minute in values(minutes, 0, 59)
        assert wall.hour in values(hours, 0, 23)
        assert is_day(wall.date(), *days)


@given(st.text(max_size=40) | st.text("0123456789*/,-#LW? @MONJAN", max_size=30))
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    assert is_valid_cron_expression(text) is (refusal_of(text) is None)
