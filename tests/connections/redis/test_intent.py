"""What may be sent twice, and how long a server may keep silent."""

from __future__ import annotations

import math
from typing import Any

import pytest

from undercroft.connections.redis._intent import intent_of, intent_of_all


@pytest.mark.parametrize("name", ["GET", "get", b"get", "HGETALL", "EXISTS", "SCAN", "TTL", "EVALSHA_RO"])
def test_reads_may_be_sent_twice(name: Any) -> None:
    assert intent_of([name, "key"]).is_read


@pytest.mark.parametrize(
    "name",
    ["INCR", "SET", "EVALSHA", "eval", "FCALL", "GETDEL", "GETEX", "SPOP", "PUBLISH", "EXEC", "MULTI", "NEW.ONE"],
)
def test_what_is_not_known_as_a_read_is_never_sent_twice(name: str) -> None:
    assert not intent_of([name, "key"]).is_read


@pytest.mark.parametrize(
    ("args", "seconds"),
    [
        (["BLPOP", "a", "b", 8], 8),
        (["blpop", b"a", b"0.5"], 0.5),
        (["BZPOPMIN", "a", 0], math.inf),
        (["BLMOVE", "a", "b", "LEFT", "RIGHT", 3], 3),
        (["BRPOPLPUSH", "a", "b", 0], math.inf),
        (["BLMPOP", 7, 2, "a", "b", "LEFT"], 7),
        (["BZMPOP", "1.5", 1, "a", "MIN"], 1.5),
        (["WAIT", 1, 2500], 2.5),
        (["WAITAOF", 1, 0, 0], math.inf),
        (["XREAD", b"BLOCK", 1500, b"STREAMS", "a", "$"], 1.5),
        (["XREAD", b"BLOCK", b"0", b"STREAMS", "a", "$"], math.inf),
        (["XREADGROUP", "GROUP", "block", "me", "COUNT", 1, "block", "200", "STREAMS", "a", ">"], 0.2),
        (["XREAD", b"STREAMS", "BLOCK", "5000"], 0),
        (["XREAD", b"BLOCK"], 0),
        (["BLPOP", "a", "soon"], 0),
        (["BLPOP", "a", -1], 0),
        (["BLPOP", "a", "nan"], 0),
        (["GET", "a"], 0),
    ],
)
def test_blocking_commands_are_waited_for(args: list[Any], seconds: float) -> None:
    intent = intent_of(args)

    assert intent.waits_s == seconds
    assert not intent.is_read or args[0] == "GET"


def test_timeout_is_added_to_what_the_command_waits() -> None:
    assert intent_of(["BLPOP", "a", 8]).timeout_s(5) == 13
    assert intent_of(["BLPOP", "a", 0]).timeout_s(5) is None
    assert intent_of(["GET", "a"]).timeout_s(5) == 5


def test_pipeline_is_never_sent_twice_and_adds_its_waits() -> None:
    intent = intent_of_all([("GET", "a"), ("BLPOP", "a", 2), ("BLPOP", "b", 3)])

    assert (intent.is_read, intent.is_single, intent.waits_s) == (False, False, 5)
