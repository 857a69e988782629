"""Fallbacks: for which errors, and with what."""

from __future__ import annotations

import asyncio

import pytest

from tests.resilience._calls import Service, outcome
from undercroft.monitoring import get_counter
from undercroft.resilience import BulkheadFullError, CircuitOpenError, Fallback, PolicyError

pytestmark = pytest.mark.anyio


async def test_answer_of_the_function_is_kept() -> None:
    assert await Fallback("other").call(Service("ok")) == "ok"


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError(),
        TimeoutError(),
        CircuitOpenError("x", breaker="b", retry_after=1),
        BulkheadFullError("x", bulkhead="b"),
    ],
)
async def test_service_that_is_away_is_answered_for(error: Exception) -> None:
    assert await Fallback("other", name="f").call(Service(error)) == "other"
    assert (get_counter("undercroft_fallbacks_total", labels={"fallback": "f"}) or 0) >= 1


async def test_mistakes_and_cancellation_are_raised_as_ever() -> None:
    error = ValueError()
    assert await outcome(Fallback("other").call(Service(error))) is error
    with pytest.raises(asyncio.CancelledError):
        await Fallback("other", on=lambda _: True).call(Service(asyncio.CancelledError()))


async def test_function_is_called_with_the_error() -> None:
    async def later(error: Exception) -> str:
        return f"after {type(error).__name__}"

    assert await Fallback(later).call(Service(ConnectionError())) == "after ConnectionError"
    assert await Fallback(lambda error: [error.args]).call(Service(TimeoutError(1))) == [(1,)]


async def test_none_is_an_answer() -> None:
    assert await Fallback(None).call(Service(ConnectionError())) is None


async def test_error_of_the_fallback_comes_from_the_first() -> None:
    def broken(_: Exception) -> str:
        raise KeyError("b")

    first = ConnectionError("a")
    error = await outcome(Fallback(broken).call(Service(first)))
    assert isinstance(error, KeyError)
    assert error.__context__ is first


async def test_chosen_errors_and_decorator() -> None:
    @Fallback(0, on=LookupError)
    async def count(name: str) -> int:
        return {"a": 1}[name]

    assert (await count("a"), await count("b")) == (1, 0)


def test_wrong_filter_is_refused() -> None:
    with pytest.raises(PolicyError):
        Fallback(0, on="x")  # type: ignore[arg-type]
