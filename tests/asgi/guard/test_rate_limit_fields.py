"""The rate-limit fields of every generation: as they are written, and as a client reads them."""

from __future__ import annotations

import email.utils

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.clock import utc
from undercroft.asgi import RateLimitInfo, parse_rate_limit_headers, parse_retry_after, rate_limit_headers
from undercroft.asgi._guard._errors import GuardConfigError
from undercroft.asgi._guard._fields import Generation, nearest_of

NOW = 1_795_000_000.25
COUNTS = st.integers(0, 999_999_999_999_999)
SECONDS = st.integers(0, 10**8)
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30)
INFOS = st.lists(
    st.builds(
        RateLimitInfo,
        policy=NAMES,
        limit=COUNTS,
        remaining=COUNTS,
        reset_after=st.none() | SECONDS,
        window=st.none() | st.integers(1, 10**8),
        unit=st.none() | st.sampled_from(["requests", "content-bytes", "concurrent-requests"]),
        partition_key=st.none() | st.binary(max_size=16),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda info: info.policy,
)
BURST = RateLimitInfo(policy="burst", limit=100, remaining=12, reset_after=30, window=60)
GONE = {"X-RateLimit-Remaining": "0"}
DAILY = RateLimitInfo(policy="daily", limit=1000, remaining=900, reset_after=80000, window=86400)


def written(headers: Generation, *infos: RateLimitInfo) -> dict[str, str]:
    fields = rate_limit_headers(infos, headers=headers, now=NOW)
    return {name.decode(): value.decode() for name, value in fields}


def test_draft_11_names_each_policy() -> None:
    assert written("draft-11", BURST, DAILY) == {
        "ratelimit-policy": '"burst";q=100;w=60, "daily";q=1000;w=86400',
        "ratelimit": '"burst";r=12;t=30, "daily";r=900;t=80000',
    }


def test_draft_11_carries_unit_and_partition() -> None:
    info = RateLimitInfo(policy="p", limit=9, remaining=1, unit="content-bytes", window=10, partition_key=b"abc")
    assert written("draft-11", info) == {
        "ratelimit-policy": '"p";q=9;qu="content-bytes";w=10;pk=:YWJj:',
        "ratelimit": '"p";r=1;pk=:YWJj:',
    }


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("draft-7", {"ratelimit": "limit=100, remaining=12, reset=30", "ratelimit-policy": "1000;w=86400, 100;w=60"}),
        (
            "draft-6",
            {
                "ratelimit-limit": "100",
                "ratelimit-remaining": "12",
                "ratelimit-reset": "30",
                "ratelimit-policy": "1000;w=86400, 100;w=60",
            },
        ),
        ("legacy-delta", {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "12", "x-ratelimit-reset": "30"}),
        (
            "legacy-epoch",
            {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "12", "x-ratelimit-reset": "1795000031"},
        ),
        ("off", {}),
    ],
)
def test_older_generations_tell_the_policy_that_is_nearest_to_its_end(
    headers: Generation, expected: dict[str, str]
) -> None:
    assert written(headers, DAILY, BURST) == expected


def test_several_generations_stand_side_by_side() -> None:
    fields = rate_limit_headers([BURST], headers=("draft-11", "legacy-delta"), now=NOW)
    assert [name for name, _ in fields] == [
        b"ratelimit-policy",
        b"ratelimit",
        b"x-ratelimit-limit",
        b"x-ratelimit-remaining",
        b"x-ratelimit-reset",
    ]


@pytest.mark.parametrize("headers", [("draft-11", "draft-6"), ("legacy-delta", "legacy-epoch")])
def test_generations_that_write_the_same_fields_are_refused(headers: tuple[Generation, ...]) -> None:
    with pytest.raises(GuardConfigError, match="write the same fields"):
        rate_limit_headers([BURST], headers=headers, now=NOW)


def test_an_unknown_generation_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(GuardConfigError, match="near: draft-1"):
        rate_limit_headers([BURST], headers="draft-12", now=NOW)  # type: ignore[arg-type]  # on purpose


@given(INFOS)
def test_draft_11_reads_back_what_was_written(infos: list[RateLimitInfo]) -> None:
    fields = rate_limit_headers(infos, headers="draft-11", now=NOW)
    assert parse_rate_limit_headers(fields) == infos


@given(INFOS)
def test_draft_11_is_what_another_implementation_reads(infos: list[RateLimitInfo]) -> None:
    fields = dict(rate_limit_headers(infos, headers="draft-11", now=NOW))
    limits = http_sf.parse(fields[b"ratelimit"], tltype="list")
    policies = http_sf.parse(fields[b"ratelimit-policy"], tltype="list")
    assert [(name, parameters["r"]) for name, parameters in limits] == [(info.policy, info.remaining) for info in infos]
    assert [(name, parameters["q"]) for name, parameters in policies] == [(info.policy, info.limit) for info in infos]


@given(INFOS, st.sampled_from(["draft-7", "draft-6", "legacy-delta", "legacy-epoch"]))
def test_older_generations_read_back_what_they_can_carry(infos: list[RateLimitInfo], headers: Generation) -> None:
    nearest = nearest_of(infos)
    (read,) = parse_rate_limit_headers(rate_limit_headers(infos, headers=headers, now=NOW), now=NOW)
    assert (read.limit, read.remaining, read.policy) == (nearest.limit, nearest.remaining, "")
    if headers == "legacy-epoch" and nearest.reset_after is not None:
        assert read.reset_after in (nearest.reset_after, nearest.reset_after + 1)  # never early
    else:
        assert read.reset_after == nearest.reset_after


NAMES_OF_FIELDS = st.sampled_from(
    [
        *("RateLimit", "RateLimit-Policy", "RateLimit-Remaining", "RateLimit-Reset"),
        *("X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After", "Date"),
    ]
)


@given(st.lists(st.tuples(NAMES_OF_FIELDS, st.text(max_size=40))))
def test_nothing_that_a_server_sends_raises(headers: list[tuple[str, str]]) -> None:
    parse_rate_limit_headers(headers)
    parse_retry_after(headers)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        # The draft's own examples (§3.2, §4.2).
        (
            {"RateLimit": '"default";r=50;t=30', "RateLimit-Policy": '"permin";q=50;w=60,"perhr";q=1000;w=3600'},
            [
                RateLimitInfo(policy="default", remaining=50, reset_after=30),
                RateLimitInfo(policy="permin", limit=50, window=60),
                RateLimitInfo(policy="perhr", limit=1000, window=3600),
            ],
        ),
        (
            {"ratelimit": '"default";r=999;pk=:dHJpYWwxMjEzMjM=:'},
            [RateLimitInfo(policy="default", remaining=999, partition_key=b"trial121323")],
        ),
        # draft-06 §5: a policy in front of the figures of the others
        (
            {"RateLimit-Limit": "10", "RateLimit-Policy": "10;w=1, 50;w=60"}
            | {"RateLimit-Remaining": "9", "RateLimit-Reset": "1"},
            [RateLimitInfo(limit=10, remaining=9, reset_after=1, window=1)],
        ),
        # up to -05 the policies stood in the limit itself
        (
            {"ratelimit-limit": "100, 100;w=10", "ratelimit-remaining": "70", "ratelimit-reset": "10"},
            [RateLimitInfo(limit=100, remaining=70, reset_after=10)],
        ),
        # as Discord, Laravel and Flask-Limiter write it; with milliseconds; as Atlassian does; with fractions
        ({**GONE, "X-RateLimit-Reset": "1795000060"}, [RateLimitInfo(remaining=0, reset_after=60)]),
        ({**GONE, "X-RateLimit-Reset": "1795000060250"}, [RateLimitInfo(remaining=0, reset_after=60)]),
        ({**GONE, "X-RateLimit-Reset": utc(NOW + 20).isoformat()}, [RateLimitInfo(remaining=0, reset_after=20)]),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "0.35"}, [RateLimitInfo(remaining=3, reset_after=1)]),
        ({"x-rate-limit-limit": "15", "x-rate-limit-remaining": "3"}, [RateLimitInfo(limit=15, remaining=3)]),
        # the newest that is well formed
        ({"ratelimit": "nonsense,", "x-ratelimit-remaining": "3"}, [RateLimitInfo(remaining=3)]),
        ({"ratelimit": '"a";r=1', "x-ratelimit-remaining": "3"}, [RateLimitInfo(policy="a", remaining=1)]),
        ({"ratelimit": '"a";r=-1'}, []),
        ({"ratelimit": "a;r=1"}, []),
        ({}, []),
    ],
)  # fmt: skip
def test_fields_of_others_are_read(headers: dict[str, str], expected: list[RateLimitInfo]) -> None:
    assert parse_rate_limit_headers(headers, now=NOW) == expected


def test_a_time_of_day_is_taken_by_the_servers_own_clock() -> None:
    date = email.utils.formatdate(1_700_000_000, usegmt=True)
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1700000007", "date": date}
    assert parse_rate_limit_headers(headers)[0].reset_after == 7


def test_lines_of_one_field_are_one_list() -> None:
    lines = [(b"RateLimit", b'"a";r=1;t=2'), (b"ratelimit", b'"b";r=3;t=4')]
    assert [info.policy for info in parse_rate_limit_headers(lines)] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (email.utils.formatdate(NOW + 30.75, usegmt=True), 30.75),
        (email.utils.formatdate(NOW - 30, usegmt=True), 0.0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, expected: float | None) -> None:
    assert parse_retry_after({"Retry-After": text}, now=NOW) == expected


def test_no_retry_after_is_none() -> None:
    assert parse_retry_after({}) is None
