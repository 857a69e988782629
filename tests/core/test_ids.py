"""Ids that sort by time of creation."""

from __future__ import annotations

import os
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.clock import VirtualClock
from undercroft._core.ids import IdSource, is_id


class SettableClock(VirtualClock):
    """A clock whose host sets it."""

    def set(self, seconds: float) -> None:
        self._now = seconds


def test_ids_of_one_millisecond_sort_in_the_order_they_were_made() -> None:
    make = IdSource(VirtualClock())
    ids = [make() for _ in range(5000)]

    assert all(a < b for a, b in pairwise(ids))


@given(st.lists(st.floats(min_value=0, max_value=4e9), min_size=2, max_size=30))
def test_ids_grow_however_the_clock_steps(instants: list[float]) -> None:
    clock = SettableClock()
    make = IdSource(clock)
    ids = []
    for instant in instants:
        clock.set(instant)
        ids.append(make())

    assert all(a < b for a, b in pairwise(ids))


def test_ids_of_other_sources_sort_by_their_milliseconds() -> None:
    earlier, later = IdSource(VirtualClock(1000.000)), IdSource(VirtualClock(1000.001))

    assert all(earlier() < later() for _ in range(100))


def test_ids_grow_when_the_random_part_is_used_up() -> None:
    make = IdSource(VirtualClock(), random_bytes=lambda n: b"\xff" * n)
    ids = [make(), make(), make()]

    assert ids == sorted(set(ids))


def test_threads_never_get_the_same_id() -> None:
    make = IdSource(VirtualClock())
    start = threading.Barrier(8)
    made: list[list[str]] = []

    def run() -> None:
        start.wait(10)
        made.append([make() for _ in range(2000)])

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len({id_ for ids in made for id_ in ids}) == 8 * 2000


def test_each_thread_gets_growing_ids() -> None:
    make = IdSource()
    made: list[list[str]] = []
    threads = [threading.Thread(target=lambda: made.append([make() for _ in range(2000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [ids == sorted(ids) for ids in made] == [True] * 4


def test_layout_is_that_of_the_ulid_specification() -> None:
    """48 bits of milliseconds are the first 10 characters; example time of https://github.com/ulid/spec."""
    make = IdSource(VirtualClock(1469918176.385), random_bytes=bytes)

    assert make() == "01ARYZ6S41" + "0" * 16


def test_random_part_is_fresh_in_each_millisecond() -> None:
    clock = SettableClock()
    make = IdSource(clock)
    ids = []
    for millisecond in range(50):
        clock.set(1000 + millisecond / 1000)
        ids.append(make())

    assert len({id_[10:] for id_ in ids}) == 50


def test_first_id_at_the_epoch_is_random_too() -> None:
    assert IdSource(VirtualClock(0))() != IdSource(VirtualClock(0))()


@given(st.floats(min_value=0, max_value=4e9))
def test_id_has_the_form_of_an_id(instant: float) -> None:
    assert is_id(IdSource(VirtualClock(instant))())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "01ARYZ6S41TSV4RRFFQ69G5FA",  # 25
        "01ARYZ6S41TSV4RRFFQ69G5FAVX",  # 27
        "81ARYZ6S41TSV4RRFFQ69G5FAV",  # past 128 bits
        "01ARYZ6S41TSV4RRFFQ69G5FAI",  # I, L, O and U are not in the alphabet
        "01aryz6s41tsv4rrffq69g5fav",
        "01ARYZ6S41TSV4RRFFQ69G5FAV\n",
        " 01ARYZ6S41TSV4RRFFQ69G5FAV",
    ],
)
def test_other_text_has_not_the_form_of_an_id(text: str) -> None:
    assert not is_id(text)


def test_forked_process_does_not_repeat_its_parents_ids() -> None:
    ids = IdSource(VirtualClock())
    ids()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, ids().encode())
        os._exit(0)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        os.close(writing)
        assert pipe.read() != ids()
