"""Where the periods of a quota begin and end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.clock import VirtualClock
from undercroft.ratelimit import Quota, QuotaLimiter, RateLimitDefinitionError, create_rate_limits
from undercroft.ratelimit._calendar import PERIODS, Period, boundaries, zone

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/Havana", "Asia/Beirut", "Pacific/Apia"]


def period(of: Period, zone_name: str, when: datetime, week_start: int = 0) -> tuple[str, str]:
    tz = zone(zone_name)
    _, start, end, _ = boundaries(of, tz, week_start, int(when.timestamp() * 1e6))
    return (
        datetime.fromtimestamp(start / 1e6, tz).isoformat(sep=" "),
        datetime.fromtimestamp(end / 1e6, tz).isoformat(sep=" "),
    )


def at(text: str, zone_name: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone_name))


@pytest.mark.parametrize(
    ("of", "zone_name", "when", "start", "end"),
    [
        ("hour", "UTC", "2024-02-29 23:59:59", "2024-02-29 23:00:00+00:00", "2024-03-01 00:00:00+00:00"),
        ("hour", "Asia/Kolkata", "2024-05-01 10:15:00", "2024-05-01 10:00:00+05:30", "2024-05-01 11:00:00+05:30"),
        ("day", "Europe/Berlin", "2024-03-31 12:00:00", "2024-03-31 00:00:00+01:00", "2024-04-01 00:00:00+02:00"),
        ("day", "Europe/Berlin", "2024-10-27 12:00:00", "2024-10-27 00:00:00+02:00", "2024-10-28 00:00:00+01:00"),
        # A Sunday whose week ends in the next month, and not a month later.
        ("week", "UTC", "2024-02-25 12:00:00", "2024-02-19 00:00:00+00:00", "2024-02-26 00:00:00+00:00"),
        ("week", "UTC", "2024-12-31 12:00:00", "2024-12-30 00:00:00+00:00", "2025-01-06 00:00:00+00:00"),
        ("month", "UTC", "2024-02-29 00:00:00", "2024-02-01 00:00:00+00:00", "2024-03-01 00:00:00+00:00"),
        ("month", "UTC", "2024-12-31 23:59:59", "2024-12-01 00:00:00+00:00", "2025-01-01 00:00:00+00:00"),
        ("month", "America/New_York", "2024-11-03 12:00", "2024-11-01 00:00:00-04:00", "2024-12-01 00:00:00-05:00"),
        ("year", "Asia/Kolkata", "2024-06-01 00:00:00", "2024-01-01 00:00:00+05:30", "2025-01-01 00:00:00+05:30"),
        # Clocks go from 0:00 to 1:00: the day begins at one.
        ("day", "Asia/Beirut", "2024-03-31 12:00:00", "2024-03-31 01:00:00+03:00", "2024-04-01 00:00:00+03:00"),
        # Clocks go from 1:00 to 0:00: the day begins at the first of two midnights.
        ("day", "America/Havana", "2024-11-03 12:00", "2024-11-03 00:00:00-04:00", "2024-11-04 00:00:00-05:00"),
        # Samoa had no 30th of December.
        ("day", "Pacific/Apia", "2011-12-29 12:00:00", "2011-12-29 00:00:00-10:00", "2011-12-31 00:00:00+14:00"),
    ],
)
def test_period_ends_where_the_calendar_says(of: Period, zone_name: str, when: str, start: str, end: str) -> None:
    assert period(of, zone_name, at(when, zone_name)) == (start, end)


def test_week_begins_on_the_chosen_day() -> None:
    assert period("week", "UTC", at("2024-02-25 12:00:00"), week_start=6)[0] == "2024-02-25 00:00:00+00:00"
    assert period("week", "UTC", at("2024-02-24 12:00:00"), week_start=6)[0] == "2024-02-18 00:00:00+00:00"


@given(
    of=st.sampled_from(PERIODS),
    zone_name=st.sampled_from(ZONES),
    week_start=st.integers(0, 6),
    when=st.datetimes(datetime(2010, 1, 1), datetime(2040, 1, 1)),
)
def test_periods_follow_one_another_around_every_instant(
    of: Period, zone_name: str, week_start: int, when: datetime
) -> None:
    tz, now = zone(zone_name), int(when.replace(tzinfo=UTC).timestamp()) * 1_000_000
    before, start, end, last = boundaries(of, tz, week_start, now)
    assert before < start <= now < end <= last
    for inside in (start, end - 1):
        assert boundaries(of, tz, week_start, inside)[1:3] == (start, end)
    if of != "hour":
        assert boundaries(of, tz, week_start, end)[1] == end
        assert datetime.fromtimestamp(start // 10**6, tz).date() > datetime.fromtimestamp(start // 10**6 - 1, tz).date()


@pytest.mark.anyio
async def test_quota_begins_anew_with_the_month_of_its_zone() -> None:
    clock = VirtualClock(at("2024-03-31 20:00:00", "Europe/Berlin").timestamp())
    async with create_rate_limits("memory://", clock=clock) as limits:
        quota = QuotaLimiter(3, "month", tz="Europe/Berlin", store=limits)
        for _ in range(3):
            assert (await quota.check("key")).allowed
        refused = await quota.check("key")
        assert (refused.allowed, refused.used, refused.retry_after) == (False, 3, 4 * 3600)
        assert refused.reset_at == at("2024-04-01 00:00:00", "Europe/Berlin")
        await clock.advance(timedelta(hours=4))
        assert (await quota.check("key")).remaining == 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Quota(1, "fortnight"),  # type: ignore[arg-type] # what is tested
        lambda: Quota(1, "day", tz="Mars/Olympus"),
        lambda: Quota(1, "week", week_start="moonday"),
        lambda: Quota(1, "day", warn_at=80),
        lambda: Quota(0, "day"),
    ],
)
def test_wrong_quota_is_refused_when_it_is_made(wrong: object) -> None:
    with pytest.raises(RateLimitDefinitionError):
        wrong()  # type: ignore[operator] # a lambda
