"""Retries: which errors, how often, after how long, and what is raised in the end."""

from __future__ import annotations

import asyncio
import functools
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.resilience._calls import Service, driven, gaps, outcome
from undercroft._core.clock import VirtualClock
from undercroft._core.durations import DurationError
from undercroft._core.errors import ConfigError, InvalidDataError, Kind, UndercroftError
from undercroft.connections.redis import RedisUnavailableError
from undercroft.monitoring import get_counter
from undercroft.resilience import (
    BulkheadFullError,
    CallTimeoutError,
    CircuitOpenError,
    PolicyError,
    Retry,
    RetryBudget,
    is_transient,
    retry,
    retry_with_backoff,
)

pytestmark = pytest.mark.anyio


class ServiceDownError(UndercroftError):
    kind = Kind.UNAVAILABLE


def always(value: float) -> Any:
    return lambda: value


async def test_first_answer_is_returned_without_waiting(clock: VirtualClock) -> None:
    service = Service("ok")
    assert await Retry(clock=clock).call(service, 1, two=2) == "ok"
    assert service.calls == 1


async def test_error_that_passes_is_retried(clock: VirtualClock) -> None:
    service = Service(ConnectionError(), TimeoutError(), "ok", clock=clock)
    assert await driven(clock, lambda: Retry(clock=clock).call(service)) == "ok"
    assert service.calls == 3


async def test_last_error_is_raised_as_it_is_with_a_note(clock: VirtualClock) -> None:
    errors = [ConnectionError("a"), ConnectionError("b"), ConnectionResetError("c")]
    service = Service(*errors)
    error = await driven(clock, lambda: outcome(Retry(clock=clock, name="fetch").call(service)))
    assert error is errors[2]
    (note,) = errors[2].__notes__
    assert re.fullmatch(r"fetch: 3 attempts in [0-9.]+m?s; that was the last", note)
    assert not hasattr(errors[0], "__notes__")


async def test_error_that_is_not_retried_and_was_the_first_has_no_note() -> None:
    error = ValueError("x")
    assert await outcome(Retry().call(Service(error))) is error
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (ServiceDownError("x"), True),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (CallTimeoutError("x", timeout_s=1), True),
        (CircuitOpenError("x", breaker="b", retry_after=None), True),
        (BulkheadFullError("x", bulkhead="b"), False),
        (ConfigError("x"), False),
        (InvalidDataError("x"), False),
        (ValueError("connection timed out, please retry"), False),
        (OSError(), False),
        (asyncio.CancelledError(), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_only_types_tell_what_is_transient(error: BaseException, is_one: bool) -> None:
    assert is_transient(error) is is_one


async def test_command_that_may_have_run_is_retried_only_when_that_does_no_harm(clock: VirtualClock) -> None:
    lost = RedisUnavailableError("x", may_have_run=True)
    first, second = Service(lost, "ok"), Service(lost, "ok")
    assert await outcome(Retry(clock=clock).call(first)) is lost
    assert await driven(clock, lambda: Retry(clock=clock, idempotent=True).call(second)) == "ok"
    assert await driven(clock, lambda: Retry(clock=clock).call(Service(RedisUnavailableError("x"), "ok"))) == "ok"


async def test_explicit_types_do_not_make_a_lost_answer_safe(clock: VirtualClock) -> None:
    lost = RedisUnavailableError("x", may_have_run=True)
    assert await outcome(Retry(on=RedisUnavailableError, clock=clock).call(Service(lost))) is lost


async def test_errors_by_type_by_predicate_and_those_that_end_it(clock: VirtualClock) -> None:
    async def calls(error: Exception, **options: Any) -> int:
        service = Service(error)
        await driven(clock, lambda: outcome(Retry(clock=clock, **options).call(service)))
        return service.calls

    assert await calls(KeyError(), on=LookupError) == 3
    assert await calls(KeyError(), on=(ValueError, KeyError)) == 3
    assert await calls(ConnectionError(), on=ValueError) == 1
    assert await calls(KeyError("x"), on=lambda error: error.args == ("x",)) == 3
    assert await calls(ConnectionResetError(), give_up=ConnectionResetError) == 1
    assert await calls(ConnectionError(), on=OSError, give_up=lambda error: isinstance(error, ConnectionError)) == 1


async def test_cancellation_is_never_retried_and_ends_a_sleep(clock: VirtualClock) -> None:
    service = Service(ConnectionError())
    task = asyncio.ensure_future(Retry(base="1h", cap="1h", jitter="none", clock=clock).call(service))
    await clock.advance(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert service.calls == 1
    with pytest.raises(asyncio.CancelledError):
        await Retry(on=lambda _: True).call(Service(asyncio.CancelledError()))


# --- How long it waits


async def test_without_jitter_the_wait_doubles_up_to_the_cap(clock: VirtualClock) -> None:
    service = Service(ConnectionError(), clock=clock)
    policy = Retry(7, base="100ms", cap="1s", jitter="none", clock=clock)
    await driven(clock, lambda: outcome(policy.call(service)))
    assert gaps(service.times) == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


async def test_full_jitter_takes_a_share_of_the_whole(clock: VirtualClock) -> None:
    service = Service(ConnectionError(), clock=clock)
    policy = Retry(4, base="100ms", cap="10s", random=always(0.25), clock=clock)
    await driven(clock, lambda: outcome(policy.call(service)))
    assert gaps(service.times) == [0.025, 0.05, 0.1]


@given(seed=st.integers(0, 2**32), number=st.integers(1, 2000), base=st.floats(0, 100), cap=st.floats(0, 1000))
def test_wait_is_never_longer_than_the_formula_says(seed: int, number: int, base: float, cap: float) -> None:
    policy = Retry(base=base, cap=max(base, cap), random=random.Random(seed).random)
    wait = policy.backoff_s(number, ConnectionError())
    assert wait is not None
    assert 0 <= wait <= min(max(base, cap), base * 2.0 ** min(number - 1, 64))


def test_waits_of_many_callers_are_spread_evenly() -> None:
    """What full jitter is for: an eighth of a thousand callers in each eighth of the time."""
    policy = Retry(base=8, cap=8, random=random.Random(1).random)
    waits = [policy.backoff_s(1, ConnectionError()) or 0.0 for _ in range(8000)]
    buckets = [sum(1 for wait in waits if int(wait) == part) for part in range(8)]
    assert all(850 < count < 1150 for count in buckets)


async def test_retry_after_of_the_error_is_heeded(clock: VirtualClock) -> None:
    service = Service(ServiceDownError("x", retry_after=7.0), "ok", clock=clock)
    await driven(clock, lambda: Retry(clock=clock, random=always(0.5)).call(service))
    assert gaps(service.times) == [7.05]


class _Response:
    def __init__(self, value: str) -> None:
        self.headers = {"retry-after": value}


class HttpError(Exception):
    """As httpx raises them."""

    def __init__(self, value: str) -> None:
        self.response = _Response(value)


async def test_header_of_the_response_is_heeded(clock: VirtualClock) -> None:
    service = Service(HttpError("30"), "ok", clock=clock)
    await driven(clock, lambda: Retry(on=HttpError, clock=clock, random=always(0)).call(service))
    assert gaps(service.times) == [30]


async def test_retry_after_can_be_left_alone(clock: VirtualClock) -> None:
    service = Service(ServiceDownError("x", retry_after=7.0), "ok", clock=clock)
    await driven(clock, lambda: Retry(clock=clock, retry_after=False, jitter="none").call(service))
    assert gaps(service.times) == [0.1]


async def test_service_that_asks_for_too_long_is_not_asked_again(clock: VirtualClock) -> None:
    service = Service(ServiceDownError("x", retry_after=61))
    error = await outcome(Retry(clock=clock).call(service))
    assert isinstance(error, ServiceDownError)
    assert service.calls == 1
    assert "longer wait" in error.__notes__[0]


async def test_no_sleep_goes_past_the_deadline(clock: VirtualClock) -> None:
    service = Service(ConnectionError(), clock=clock)
    began = clock.monotonic()
    policy = Retry(100, base=1, cap=64, jitter="none", deadline="10s", clock=clock)
    error = await driven(clock, lambda: outcome(policy.call(service)))
    assert isinstance(error, ConnectionError)
    assert gaps([began, *service.times]) == [0, 1, 2, 4]  # 7 s; another 8 would end at 15
    assert "deadline" in error.__notes__[0]


async def test_deadline_counts_what_attempts_took(clock: VirtualClock) -> None:
    calls = 0

    async def slow() -> None:
        nonlocal calls
        calls += 1
        await clock.sleep(3)
        raise ConnectionError

    error = await driven(clock, lambda: outcome(Retry(9, base=0, deadline="7s", clock=clock).call(slow)))
    assert isinstance(error, ConnectionError)
    assert calls == 3  # ended at 3, 6 and 9


async def test_deadline_with_retry_after_beyond_it_raises_at_once(clock: VirtualClock) -> None:
    service = Service(ServiceDownError("x", retry_after=30))
    assert isinstance(await outcome(Retry(deadline="10s", clock=clock).call(service)), ServiceDownError)
    assert service.calls == 1


# --- Forms


async def test_decorator_keeps_name_signature_and_doc(clock: VirtualClock) -> None:
    failures = [ConnectionError()]

    @retry(attempts=2, clock=clock, base=0)
    async def double(number: int) -> int:
        """Twice."""
        if failures:
            raise failures.pop()
        return 2 * number

    assert await double(4) == 8
    assert (double.__name__, double.__doc__) == ("double", "Twice.")


async def test_bare_decorator() -> None:
    @retry
    async def one() -> int:
        return 1

    assert await one() == 1


def test_plain_function_is_refused_where_it_is_decorated() -> None:
    with pytest.raises(PolicyError, match="not an async function"):
        retry(lambda: 1)  # type: ignore[arg-type,return-value]
    with pytest.raises(PolicyError, match="to_thread"):
        Retry()(len)  # type: ignore[arg-type]


async def test_partial_and_callable_objects_are_async_functions() -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    assert await Retry()(functools.partial(add, 1))(2) == 3
    assert await Retry()(Service("ok"))() == "ok"


async def test_seed_spelling() -> None:
    assert await retry_with_backoff(Service(ConnectionError(), "ok"), attempts=2, base=0) == "ok"


async def test_block_is_retried(clock: VirtualClock) -> None:
    seen: list[int] = []

    async def run() -> str:
        async for attempt in Retry(clock=clock):
            with attempt:
                seen.append(attempt.number)
                if attempt.number < 3:
                    raise ConnectionError
                return "done"
        return "not reached"

    assert await driven(clock, run) == "done"
    assert seen == [1, 2, 3]


async def test_block_raises_its_last_error(clock: VirtualClock) -> None:
    async def run() -> None:
        async for attempt in Retry(2, clock=clock):
            with attempt:
                raise ConnectionError(str(attempt.number))

    error = await driven(clock, lambda: outcome(run()))
    assert isinstance(error, ConnectionError)
    assert (str(error), len(error.__notes__)) == ("2", 1)


async def test_block_that_succeeds_ends_the_loop() -> None:
    numbers = []
    async for attempt in Retry():
        with attempt:
            numbers.append(attempt.number)
    assert numbers == [1]


async def test_block_lets_other_errors_and_cancellation_through() -> None:
    async def run(error: BaseException) -> None:
        async for attempt in Retry():
            with attempt:
                raise error

    for error in (ValueError(), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await run(error)


async def test_loop_without_a_block_is_a_mistake_that_is_told() -> None:
    with pytest.raises(PolicyError, match="with attempt"):
        async for _ in Retry():
            pass


async def test_one_policy_serves_many_calls_at_once(clock: VirtualClock) -> None:
    policy = Retry(3, clock=clock)
    services = [Service(*[ConnectionError()] * (n % 3), "ok") for n in range(60)]

    async def run() -> list[str]:
        return await asyncio.gather(*(policy.call(service) for service in services))

    assert await driven(clock, run) == ["ok"] * 60
    assert [service.calls for service in services] == [n % 3 + 1 for n in range(60)]


async def test_on_retry_is_told_before_each_sleep(clock: VirtualClock) -> None:
    told: list[tuple[str, float]] = []
    policy = Retry(
        jitter="none", clock=clock, on_retry=lambda error, delay_s: told.append((type(error).__name__, delay_s))
    )
    await driven(clock, lambda: policy.call(Service(ConnectionError(), TimeoutError(), "ok")))
    assert told == [("ConnectionError", 0.1), ("TimeoutError", 0.2)]


async def test_retries_and_what_got_none_are_counted(clock: VirtualClock) -> None:
    policy = Retry(2, clock=clock, name="counted")
    await driven(clock, lambda: outcome(policy.call(Service(ConnectionError()))))
    assert get_counter("undercroft_retries_total", labels={"retry": "counted"}) == 1
    labels = {"retry": "counted", "reason": "attempts"}
    assert get_counter("undercroft_retries_given_up_total", labels=labels) == 1


# --- Arguments


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attempts": 0}, "attempts=0"),
        ({"attempts": 1001}, "from 1 to 1000"),
        ({"attempts": True}, "attempts=True"),
        ({"jitter": "some"}, "jitter='some'"),
        ({"base": "2s", "cap": "1s"}, "cap='1s'"),
        ({"on": "timeout"}, "names no errors"),
        ({"on": ()}, "names no errors"),
        ({"on": (ValueError, "x")}, "names no errors"),
        ({"give_up": int}, "names no errors"),
    ],
)
def test_wrong_argument_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(words)):
        Retry(**options)


def test_wrong_duration_is_named() -> None:
    with pytest.raises(DurationError, match="deadline"):
        Retry(deadline="soon")


# --- Budgets


@given(
    calls=st.integers(0, 300),
    ratio=st.sampled_from([0.0, 0.05, 0.1, 0.5, 1.0]),
    reserve=st.integers(0, 20),
)
def test_budget_bounds_the_extra_calls(calls: int, ratio: float, reserve: int) -> None:
    budget = RetryBudget(ratio, reserve=reserve)
    extra = 0
    for _ in range(calls):
        budget.deposit()
        while budget.withdraw():
            extra += 1
    assert extra <= reserve + ratio * calls + 1e-6


async def test_outage_adds_no_more_calls_than_the_budget_allows(clock: VirtualClock) -> None:
    budget = RetryBudget(0.1, reserve=5)
    policies = [Retry(5, base=0, budget=budget, clock=clock) for _ in range(2)]
    service = Service(ConnectionError())

    for n in range(200):
        await outcome(policies[n % 2].call(service))

    assert service.calls <= 200 + 5 + 20
    assert service.calls >= 200 + 20


async def test_what_the_budget_denied_says_so(clock: VirtualClock) -> None:
    error = await outcome(Retry(budget=RetryBudget(0, reserve=0), clock=clock).call(Service(ConnectionError())))
    assert isinstance(error, ConnectionError)
    assert "budget" in error.__notes__[0]


@pytest.mark.parametrize("options", [{"ratio": -0.1}, {"ratio": 1.5}, {"reserve": -1}, {"reserve": 1e9}])
def test_wrong_budget_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        RetryBudget(**options)
