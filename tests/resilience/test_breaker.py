"""A breaker alone: when it opens, who probes, when it closes, and what does not count."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest

from tests.resilience._calls import Service, outcome
from undercroft._core.clock import VirtualClock
from undercroft._core.durations import DurationError
from undercroft._core.errors import ConfigError, InvalidDataError, Kind, UndercroftError
from undercroft.monitoring import get_counter, get_gauge
from undercroft.resilience import (
    CallTimeoutError,
    CircuitBreaker,
    CircuitOpenError,
    PolicyError,
    StateChange,
)

pytestmark = pytest.mark.anyio
DOWN = ConnectionError("down")


def made(clock: VirtualClock, **options: Any) -> CircuitBreaker:
    return CircuitBreaker(options.pop("name", "b"), clock=clock, is_local=True, **options)


async def call(breaker: CircuitBreaker, *answers: object) -> list[object]:
    """Call once for each answer, one after the other."""
    return [await outcome(breaker.call(Service(answer))) for answer in answers]


async def opened(clock: VirtualClock, **options: Any) -> CircuitBreaker:
    breaker = made(clock, failure_threshold=1, **options)
    await call(breaker, DOWN)
    assert breaker.state == "open"
    return breaker


def held(breaker: CircuitBreaker, answer: object = "ok") -> tuple[asyncio.Task[object], asyncio.Event]:
    """Begin a call that ends when told to."""
    gate = asyncio.Event()
    return asyncio.ensure_future(outcome(breaker.call(Service(answer, gate=gate)))), gate


# --- Opening


async def test_opens_after_so_many_failures_in_a_row(clock: VirtualClock) -> None:
    breaker = made(clock, failure_threshold=3)
    await call(breaker, DOWN, DOWN, "ok", DOWN, DOWN)
    assert breaker.state == "closed"
    await call(breaker, DOWN)
    assert breaker.state == "open"


async def test_by_default_the_fifth_opens_it_for_half_a_minute(clock: VirtualClock) -> None:
    breaker = made(clock)
    await call(breaker, *[DOWN] * 4)
    assert breaker.state == "closed"
    await call(breaker, DOWN)
    await clock.advance(29.9)
    assert breaker.state == "open"
    await clock.advance(0.1)
    assert breaker.state == "half_open"


async def test_hundred_failures_open_it_however_they_are_made(clock: VirtualClock) -> None:
    """R3 of the seeds: a breaker made anew for each failure stayed closed for ever. One that is kept does not."""
    breaker = made(clock)
    service = Service(DOWN)
    for _ in range(100):
        await outcome(breaker.call(service))
    assert service.calls == 5


async def test_open_one_refuses_without_calling(clock: VirtualClock) -> None:
    breaker = await opened(clock, name="refusing", reset_timeout=30)
    await clock.advance(10)
    service = Service()
    error = await outcome(breaker.call(service))
    assert isinstance(error, CircuitOpenError)
    assert service.calls == 0
    assert (error.kind, error.http_status, error.breaker) == (Kind.UNAVAILABLE, 503, "refusing")
    assert error.retry_after == pytest.approx(20)
    assert "open for another 20s" in error.message


async def test_time_of_failure_is_when_the_call_ended(clock: VirtualClock) -> None:
    """R1 of the seeds: it was stamped when the call began, so a slow failure was half over when it was seen."""
    breaker = made(clock, failure_threshold=1, reset_timeout=30)
    task, gate = held(breaker, DOWN)
    await clock.advance(25)
    gate.set()
    await task
    await clock.advance(29)
    assert breaker.state == "open"
    await clock.advance(1)
    assert breaker.state == "half_open"


async def test_calls_that_began_before_it_opened_do_not_count_afterwards(clock: VirtualClock) -> None:
    breaker = made(clock, failure_threshold=2, reset_timeout=10)
    late, gate = held(breaker, DOWN)
    await clock.advance(0)
    await call(breaker, DOWN, DOWN)
    await clock.advance(10)
    await call(breaker, "ok")  # the probe closes it
    gate.set()
    await late
    assert breaker.metrics().failures_in_row == 0
    await call(breaker, DOWN)
    assert breaker.state == "closed"


async def test_success_that_began_before_does_not_forgive_later_failures(clock: VirtualClock) -> None:
    breaker = made(clock, failure_threshold=2, reset_timeout=10)
    late, gate = held(breaker)
    await clock.advance(0)
    await breaker.reset()
    await call(breaker, DOWN)
    gate.set()
    assert await late == "ok"
    assert breaker.metrics().failures_in_row == 1


# --- Half open


async def test_only_so_many_probes_run_at_once(clock: VirtualClock) -> None:
    """R1 of the seeds: half open let everybody through."""
    breaker = await opened(clock, half_open_max=2, success_threshold=5, reset_timeout=10)
    await clock.advance(10)
    gate = asyncio.Event()
    service = Service("ok", gate=gate)
    tasks = [asyncio.ensure_future(outcome(breaker.call(service))) for _ in range(50)]
    await clock.advance(0)
    assert service.running == 2
    gate.set()
    outcomes = await asyncio.gather(*tasks)
    refused = [one for one in outcomes if isinstance(one, CircuitOpenError)]
    assert (outcomes.count("ok"), len(refused)) == (2, 48)
    assert {one.retry_after for one in refused} == {None}
    assert "probing" in refused[0].message


async def test_enough_successes_close_it(clock: VirtualClock) -> None:
    breaker = await opened(clock, success_threshold=3, reset_timeout=10)
    await clock.advance(10)
    await call(breaker, "ok", "ok")
    assert breaker.state == "half_open"
    await call(breaker, "ok")
    assert breaker.state == "closed"
    await call(made(clock), DOWN)


async def test_one_failed_probe_opens_it_again_for_the_whole_time(clock: VirtualClock) -> None:
    """R1 of the seeds: it took as many failures as before."""
    breaker = made(clock, failure_threshold=5, success_threshold=3, reset_timeout=10)
    await call(breaker, *[DOWN] * 5)
    await clock.advance(10)
    await call(breaker, "ok", "ok", DOWN)
    assert breaker.state == "open"
    await clock.advance(9.9)
    assert breaker.state == "open"
    await clock.advance(0.1)
    await call(breaker, "ok", "ok")
    assert breaker.state == "half_open"  # the two of before do not count any more


async def test_probe_of_an_earlier_turn_says_nothing_and_keeps_its_slot(clock: VirtualClock) -> None:
    breaker = await opened(clock, half_open_max=2, reset_timeout=10)
    await clock.advance(10)
    first, first_gate = held(breaker)
    await clock.advance(0)
    await call(breaker, DOWN)
    assert breaker.state == "open"
    await clock.advance(10)
    second, second_gate = held(breaker)
    await clock.advance(0)
    (refused,) = await call(breaker, "ok")
    assert isinstance(refused, CircuitOpenError)  # two are under way
    first_gate.set()
    assert await first == "ok"
    assert breaker.state == "half_open"
    second_gate.set()
    await second
    assert breaker.state == "closed"


async def test_cancelled_probe_frees_its_slot_and_says_nothing(clock: VirtualClock) -> None:
    breaker = await opened(clock, reset_timeout=10)
    await clock.advance(10)
    probe, _ = held(breaker)
    await clock.advance(0)
    probe.cancel()
    await asyncio.wait([probe])
    assert (breaker.state, breaker.info().probes) == ("half_open", 0)
    assert await call(breaker, "ok") == ["ok"]
    assert breaker.state == "closed"


async def test_probe_of_which_nothing_is_heard_frees_its_slot_after_its_lease(clock: VirtualClock) -> None:
    breaker = await opened(clock, reset_timeout=10, probe_lease=60)
    await clock.advance(10)
    lost, gate = held(breaker)
    await clock.advance(59)
    assert isinstance((await call(breaker, "ok"))[0], CircuitOpenError)
    await clock.advance(1)
    assert await call(breaker, "ok") == ["ok"]
    gate.set()
    assert await lost == "ok"
    assert breaker.state == "closed"


async def test_probe_that_outlives_its_lease_still_has_its_say(clock: VirtualClock) -> None:
    breaker = await opened(clock, reset_timeout=10, probe_lease=20)
    await clock.advance(10)
    late, gate = held(breaker, DOWN)
    await clock.advance(25)
    gate.set()
    await late
    assert breaker.state == "open"


async def test_refused_answer_of_a_probe_shows_that_the_service_is_there(clock: VirtualClock) -> None:
    breaker = await opened(clock, reset_timeout=10)
    await clock.advance(10)
    await call(breaker, InvalidDataError("x"))
    assert breaker.state == "closed"


# --- What counts


class DownError(UndercroftError):
    kind = Kind.UNAVAILABLE


async def test_callers_own_faults_do_not_count(clock: VirtualClock) -> None:
    breaker = made(clock, failure_threshold=2)
    await call(breaker, *[InvalidDataError("x"), ConfigError("x")] * 5)
    metrics = breaker.metrics()
    assert (metrics.failed, metrics.ignored, breaker.state) == (0, 10, "closed")
    await call(breaker, DownError("x"), InvalidDataError("x"), ValueError())
    assert breaker.state == "open"


async def test_predicate_says_what_counts(clock: VirtualClock) -> None:
    breaker = made(clock, failure_threshold=1, is_failure=lambda error: isinstance(error, KeyError))
    await call(breaker, DOWN, ValueError())
    assert breaker.state == "closed"
    await call(breaker, KeyError())
    assert breaker.state == "open"


async def test_predicate_that_raises_counts_as_a_failure(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    breaker = made(clock, failure_threshold=1, is_failure=lambda error: error.missing)  # type: ignore[attr-defined]
    assert await call(breaker, DOWN) == [DOWN]
    assert breaker.state == "open"
    assert "is_failure" in caplog.text


async def test_cancellation_never_counts(clock: VirtualClock) -> None:
    breaker = made(clock, failure_threshold=1, is_failure=lambda _: True)
    task, _ = held(breaker)
    await clock.advance(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(asyncio.CancelledError):
        await breaker.call(Service(asyncio.CancelledError()))
    assert (breaker.state, breaker.metrics().ignored) == ("closed", 2)


async def test_call_timeout_cancels_and_counts(clock: VirtualClock) -> None:
    breaker = made(clock, failure_threshold=1, call_timeout="2s", name="slow one")
    service = Service(gate=asyncio.Event())
    task = asyncio.ensure_future(outcome(breaker.call(service)))
    await clock.advance(2)
    error = await task
    assert isinstance(error, CallTimeoutError)
    assert "'slow one'" in error.message
    assert (service.cancelled, breaker.state) == (1, "open")


# --- Windows


async def test_interleaved_failures_open_it_by_their_rate(clock: VirtualClock) -> None:
    """R2 of the seeds: half of the calls failed, never several in a row, and it stayed closed."""
    breaker = made(clock, failure_rate=0.5, window=20, minimum_calls=10)
    await call(breaker, *["ok", DOWN] * 4, "ok")
    assert breaker.state == "closed"  # nine are too few to say
    await call(breaker, DOWN)
    assert breaker.state == "open"
    assert breaker.info().reason == "5 of 10 calls failed"


async def test_window_of_calls_forgets_the_oldest(clock: VirtualClock) -> None:
    breaker = made(clock, failure_rate=0.6, window=5, minimum_calls=5)
    await call(breaker, DOWN, DOWN, "ok", "ok", "ok", DOWN, DOWN)
    assert (breaker.state, breaker.metrics().failure_rate) == ("closed", 0.4)
    await call(breaker, DOWN)
    assert breaker.state == "open"


async def test_window_of_time_forgets_what_is_too_old(clock: VirtualClock) -> None:
    breaker = made(clock, failure_rate=0.5, window="60s", minimum_calls=4)
    await call(breaker, DOWN, DOWN, DOWN)
    await clock.advance(61)
    await call(breaker, "ok", "ok", "ok", DOWN, DOWN)
    assert (breaker.state, breaker.metrics().window_calls) == ("closed", 5)
    await call(breaker, DOWN)
    assert breaker.state == "open"


async def test_number_of_failures_within_a_window(clock: VirtualClock) -> None:
    breaker = made(clock, failure_threshold=3, window=timedelta(minutes=1))
    await call(breaker, DOWN, "ok", DOWN, "ok")
    await clock.advance(70)
    await call(breaker, DOWN, "ok", DOWN, "ok")
    assert breaker.state == "closed"
    await call(breaker, DOWN)
    assert (breaker.state, breaker.info().reason) == ("open", "3 failures in the window")


async def test_slow_calls_open_it_though_none_fails(clock: VirtualClock) -> None:
    breaker = made(clock, slow_call="2s", slow_rate=0.5, window=10, minimum_calls=4)

    async def take(seconds: float) -> None:
        task, gate = held(breaker)
        await clock.advance(seconds)
        gate.set()
        await task

    for seconds in (1.9, 2.0, 0.1):
        await take(seconds)
    assert breaker.state == "closed"
    await take(3)
    assert (breaker.state, breaker.metrics().slow) == ("open", 2)
    assert breaker.info().reason == "2 of 4 calls were slow"


async def test_slow_rule_leaves_the_count_in_a_row_as_it_is(clock: VirtualClock) -> None:
    breaker = made(clock, slow_call="2s", failure_threshold=3)
    await call(breaker, DOWN, "ok", DOWN, "ok", DOWN, DOWN)
    assert breaker.state == "closed"
    await call(breaker, DOWN)
    assert breaker.state == "open"


async def test_slow_probe_counts_as_failed(clock: VirtualClock) -> None:
    breaker = await opened(clock, reset_timeout=10, slow_call="2s")
    await clock.advance(10)
    probe, gate = held(breaker)
    await clock.advance(2)
    gate.set()
    assert await probe == "ok"
    assert breaker.state == "open"


async def test_counts_begin_anew_when_it_closes(clock: VirtualClock) -> None:
    breaker = made(clock, failure_rate=0.5, window=10, minimum_calls=2, reset_timeout=10)
    await call(breaker, DOWN, DOWN)
    await clock.advance(10)
    await call(breaker, "ok")
    assert (breaker.state, breaker.metrics().window_calls) == ("closed", 0)


# --- Forced


async def test_forced_open_refuses_until_reset(clock: VirtualClock) -> None:
    breaker = made(clock, name="forced")
    await breaker.force_open()
    await clock.advance("1000d")
    (error,) = await call(breaker, "ok")
    assert isinstance(error, CircuitOpenError)
    assert (error.retry_after, breaker.info().forced, breaker.info().forced_until) == (None, "open", None)
    await breaker.reset()
    assert await call(breaker, "ok") == ["ok"]


async def test_forced_open_for_a_time_probes_afterwards(clock: VirtualClock) -> None:
    breaker = made(clock)
    await breaker.force_open(for_="10m")
    await clock.advance("9m")
    (error,) = await call(breaker, "ok")
    assert isinstance(error, CircuitOpenError)
    assert error.retry_after == pytest.approx(60)
    await clock.advance("1m")
    assert breaker.state == "half_open"
    await call(breaker, "ok")
    assert breaker.state == "closed"


async def test_forced_closed_counts_nothing(clock: VirtualClock) -> None:
    breaker = made(clock, failure_threshold=1)
    await breaker.force_closed(for_="1m")
    await call(breaker, *[DOWN] * 20)
    assert (breaker.state, breaker.info().forced) == ("closed", "closed")
    await clock.advance("1m")
    await call(breaker, DOWN)
    assert breaker.state == "open"


async def test_calls_of_before_it_was_forced_do_not_undo_it(clock: VirtualClock) -> None:
    breaker = await opened(clock, reset_timeout=10)
    await clock.advance(10)
    probe, gate = held(breaker)
    await clock.advance(0)
    await breaker.force_open()
    gate.set()
    await probe
    assert breaker.state == "open"


# --- Forms


async def test_decorator_and_execute() -> None:
    breaker = CircuitBreaker("forms", failure_threshold=1, is_local=True)

    @breaker
    async def double(number: int) -> int:
        """Twice."""
        return 2 * number

    assert await double(2) == 4
    assert (double.__name__, double.__doc__) == ("double", "Twice.")
    assert await breaker.execute(double, 3) == 6


async def test_block_counts_as_a_call(clock: VirtualClock) -> None:
    breaker = made(clock, failure_threshold=2)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            async with breaker:
                raise DOWN
    with pytest.raises(CircuitOpenError):
        async with breaker:
            pytest.fail("was let in")


async def test_blocks_of_many_tasks_and_nested_ones(clock: VirtualClock) -> None:
    breaker = await opened(clock, reset_timeout=10, half_open_max=2, success_threshold=2)
    await clock.advance(10)

    async def one() -> object:
        async with breaker:
            await clock.sleep(1)
            return "ok"

    tasks = [asyncio.ensure_future(outcome(one())) for _ in range(5)]
    await clock.advance(1)
    outcomes = await asyncio.gather(*tasks)
    assert (outcomes.count("ok"), breaker.state) == (2, "closed")
    async with breaker, breaker:
        pass
    assert breaker.metrics().succeeded == 4


async def test_block_has_the_call_timeout_too(clock: VirtualClock) -> None:
    breaker = made(clock, failure_threshold=1, call_timeout="1s")

    async def run() -> None:
        async with breaker:
            await asyncio.Event().wait()

    task = asyncio.ensure_future(outcome(run()))
    await clock.advance(1)
    assert isinstance(await task, CallTimeoutError)
    assert breaker.state == "open"


async def test_plain_function_is_told_apart_and_does_not_count(clock: VirtualClock) -> None:
    breaker = made(clock, failure_threshold=1)
    for _ in range(3):
        with pytest.raises(PolicyError, match="not an async function"):
            await breaker.execute(lambda: None)  # type: ignore[arg-type,return-value]
    assert (breaker.state, breaker.metrics().failed) == ("closed", 0)
    with pytest.raises(PolicyError, match="not an async function"):
        breaker(len)  # type: ignore[arg-type]


# --- What it tells


async def test_changes_are_told_in_order(clock: VirtualClock) -> None:
    changes: list[StateChange] = []
    breaker = made(clock, failure_threshold=2, reset_timeout=10, on_state_change=changes.append)
    await call(breaker, DOWN, DOWN)
    await clock.advance(10)
    await call(breaker, DOWN)
    await clock.advance(10)
    await call(breaker, "ok")
    await breaker.force_open()
    assert [(change.before, change.after, change.reason) for change in changes] == [
        ("closed", "open", "2 failures in a row"),
        ("open", "half_open", "it is time to probe"),
        ("half_open", "open", "a probe failed"),
        ("open", "half_open", "it is time to probe"),
        ("half_open", "closed", "a probe succeeded"),
        ("closed", "open", "forced"),
    ]
    assert [change.is_forced for change in changes][-1]


async def test_listener_that_raises_does_no_harm(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: StateChange) -> None:
        raise KeyError("x")

    breaker = made(clock, failure_threshold=1, on_state_change=broken)
    assert await call(breaker, DOWN) == [DOWN]
    assert breaker.state == "open"
    assert "on_state_change" in caplog.text


async def test_calls_and_state_are_counted(clock: VirtualClock) -> None:
    breaker = made(clock, name="counted", failure_threshold=2)
    await call(breaker, "ok", InvalidDataError("x"), DOWN, DOWN, "ok")
    counts = {
        name: get_counter("undercroft_breaker_calls_total", labels={"breaker": "counted", "outcome": name})
        for name in ("succeeded", "ignored", "failed", "rejected")
    }
    assert counts == {"succeeded": 1, "ignored": 1, "failed": 2, "rejected": 1}
    assert get_gauge("undercroft_breaker_state", labels={"breaker": "counted"}) == 2
    metrics, info = breaker.metrics(), breaker.info()
    assert (metrics.calls, metrics.rejected, info.calls, info.failures, info.rejected) == (4, 1, 4, 2, 1)
    assert info.opened_at is not None
    assert info.retry_after == 30


# --- Arguments


async def test_other_names_of_the_arguments_work(clock: VirtualClock) -> None:
    breaker = made(clock, threshold=2, timeout=5)
    await call(breaker, DOWN, DOWN)
    await clock.advance(4.9)
    assert breaker.state == "open"
    await clock.advance(0.1)
    assert breaker.state == "half_open"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"failure_threshold": 0}, "failure_threshold=0 is not a whole number from 1 to 100"),
        ({"failure_threshold": 101}, "failure_threshold=101"),
        ({"threshold": True}, "failure_threshold=True"),
        ({"reset_timeout": 0}, "reset_timeout=0 is out of range"),
        ({"timeout": 30_000}, "reset_timeout=30000 is out of range"),
        ({"threshold": 5, "failure_threshold": 5}, "two names of one thing"),
        ({"timeout": 5, "reset_timeout": 5}, "two names of one thing"),
        ({"half_open_max": 0}, "half_open_max=0"),
        ({"success_threshold": 0}, "success_threshold=0"),
        ({"failure_rate": 0}, "failure_rate=0"),
        ({"failure_rate": 50}, "failure_rate=50 is not a share"),
        ({"failure_rate": 0.5, "failure_threshold": 3}, "two ways"),
        ({"slow_rate": 0.5}, "slow_rate needs"),
        ({"slow_call": "0s"}, "slow_call='0s'"),
        ({"window": 60.0}, "neither calls nor time"),
        ({"window": True}, "neither calls nor time"),
        ({"window": 0}, "window=0"),
        ({"window": "2h"}, "window='2h'"),
        ({"window": 5, "failure_rate": 0.5, "minimum_calls": 6}, "minimum_calls=6"),
        ({"call_timeout": 0}, "call_timeout=0"),
        ({"probe_lease": 0}, "probe_lease=0"),
        ({"falure_rate": 0.5}, "no option 'falure_rate'"),
    ],
)
def test_wrong_argument_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(words)):
        CircuitBreaker("b", **options)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201, 5, None])
def test_wrong_name_is_refused(name: Any) -> None:
    with pytest.raises(PolicyError, match="needs a name"):
        CircuitBreaker(name)


def test_wrong_duration_is_named() -> None:
    with pytest.raises(DurationError, match="reset_timeout"):
        CircuitBreaker("b", reset_timeout="soon")
