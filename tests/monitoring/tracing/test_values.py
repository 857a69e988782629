"""Whatever is given as an attribute, what is kept is bounded, and every exporter can write it."""

from __future__ import annotations

import math
from enum import Enum, StrEnum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.tracing._taken import Taken
from undercroft.monitoring import FinishedSpan, setup_tracing, start_span

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates()
_anything = st.recursive(
    _scalars, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
_surrogates = st.text(st.characters(categories=("Cs", "Cc", "L")), max_size=20)


class Colour(StrEnum):
    RED = "red"


class Size(Enum):
    BIG = 1


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def _kept(value: object) -> Any:
    return start_span("work", attributes={"it": value}).attributes.get("it")


@pytest.mark.parametrize("value", ["text", "", "é", True, False, 0, -1, 2**63 - 1, -(2**63), 1.5, [1, 2], ["a"], []])
def test_value_of_a_kind_there_is_stays_as_it_is(value: object) -> None:
    assert _kept(value) == value
    assert type(_kept(value)) is type(value)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (2**63, "9223372036854775808"),
        (math.inf, "inf"),
        (Colour.RED, "red"),
        (Size.BIG, "Size.BIG"),
        (b"bytes\xff", "bytes\\xff"),
        ({"a": 1}, "{'a': 1}"),
        (Broken(), "<Broken whose text cannot be made>"),
        ((1, 2), [1, 2]),
        ([1, "a", None], ["1", "a", "None"]),
        ([1, True], ["1", "True"]),
        ([Broken()], ["<Broken whose text cannot be made>"]),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
    ],
)
def test_anything_else_becomes_text(value: object, kept: object) -> None:
    assert _kept(value) == kept


def test_nan_becomes_text() -> None:
    assert _kept(math.nan) == "nan"


def test_none_sets_nothing() -> None:
    assert start_span("work", attributes={"it": None}).attributes == {}


@pytest.mark.parametrize("character", ["a", "é"])
def test_long_text_is_cut(character: str) -> None:
    assert _kept(character * 4_096) == character * 4_096
    assert _kept(character * 4_097) == character * 4_095 + "…"


def test_long_list_is_cut() -> None:
    assert _kept(list(range(1_000))) == list(range(128))


def test_callers_list_may_change_afterwards() -> None:
    given = [1]
    span = start_span("work", attributes={"it": given})
    given.append(2)

    assert span.attributes == {"it": [1]}


def test_attribute_129_is_dropped_and_counted(taken: Taken) -> None:
    with start_span("work", attributes={f"a{n}": n for n in range(130)}) as span:
        span.set_attributes({"a0": "changed", "one more": 1})

    assert (len(taken.only.attributes), taken.only.dropped_attributes) == (128, 3)
    assert taken.only.attributes["a0"] == "changed"


def test_event_129_and_link_129_are_dropped_and_counted(taken: Taken) -> None:
    with start_span("work") as span:
        for number in range(130):
            span.add_event(f"e{number}").add_link(span)

    done = taken.only
    assert (len(done.events), done.dropped_events, len(done.links), done.dropped_links) == (128, 2, 128, 2)


@given(name=st.text() | _surrogates, attributes=st.dictionaries(st.text() | _surrogates, _anything | _surrogates))
def test_any_attributes_are_written_and_read_back(name: str, attributes: dict[str, Any]) -> None:
    taken = Taken()
    with setup_tracing(processors=[taken]), start_span(name, attributes=attributes) as span:
        span.add_event(name, attributes).set_status("error", name)

    assert msgspec.json.decode(msgspec.json.encode(taken.only), type=FinishedSpan) == taken.only


def test_names_of_attributes_that_are_no_texts_become_text() -> None:
    assert start_span("work", attributes={1: "a"}).attributes == {"1": "a"}  # type: ignore[dict-item]
