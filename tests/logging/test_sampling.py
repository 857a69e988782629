from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.context import Correlation, Trace, correlate
from undercroft.logging import LogLevelError, LogSamplingError, Sampling, logger
from undercroft.logging._sampling import Sampler

SetUp = Callable[..., Any]
NOBODY = Correlation()


def test_lines_of_one_request_are_kept_or_left_out_together(log_as: SetUp, lines: Any) -> None:
    setup = log_as(sampling=Sampling(rate=0.5))
    for number in range(200):
        with correlate(Correlation(trace=Trace.new(), request_id=f"req-{number}")):
            for step in range(3):
                logger.info("x", step=step)
    per_request = Counter(line["request_id"] for line in lines.objects)
    assert set(per_request.values()) == {3}
    assert 60 < len(per_request) < 140
    assert setup.sampled_count == 600 - len(lines.objects)


def test_warnings_and_errors_are_always_written(log_as: SetUp, lines: Any) -> None:
    setup = log_as(sampling=Sampling(rate=0))
    for method in ("debug", "info", "warning", "error", "critical"):
        getattr(logger, method)("x")
    assert [line["level"] for line in lines.objects] == ["warning", "error", "critical"]
    assert (setup.sampled_count, setup.dropped_count) == (2, 0)


def test_keep_moves_the_line_between(log_as: SetUp, lines: Any) -> None:
    log_as(sampling=Sampling(rate=0, keep="error"))
    logger.warning("no")
    logger.error("yes")
    assert [line["message"] for line in lines.objects] == ["yes"]


def test_left_out_lines_are_counted_by_the_callback(log_as: SetUp) -> None:
    words: Counter[str] = Counter()
    log_as(sampling=Sampling(rate=0), count=lambda word: words.update([word]))
    logger.info("x")
    logger.error("y")
    assert words == {"sampled": 1, "error": 1}


@given(trace=st.integers(1, 2**128 - 1), rate=st.floats(0, 1), request=st.text(max_size=10))
def test_the_same_trace_has_the_same_answer_everywhere(trace: int, rate: float, request: str) -> None:
    position = Trace(trace_id=f"{trace:032x}", span_id="00f067aa0ba902b7")
    names = Correlation(trace=position, request_id=request)
    elsewhere = Correlation(trace=position.child(), request_id="other", job_id="job-1")
    samplers = [Sampler(Sampling(rate=rate), draw=pytest.fail) for _ in range(2)]
    assert samplers[0].keeps(20, names) == samplers[1].keeps(20, elsewhere)


@given(trace=st.integers(1, 2**128 - 1), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_higher_rate_keeps_what_a_lower_one_keeps(trace: int, low: float, high: float) -> None:
    low, high = sorted((low, high))
    names = Correlation(trace=Trace(trace_id=f"{trace:032x}", span_id="00f067aa0ba902b7"))
    if Sampler(Sampling(rate=low)).keeps(20, names):
        assert Sampler(Sampling(rate=high)).keeps(20, names)


@pytest.mark.parametrize("ids", [lambda n: f"req-{n}", lambda n: f"{n:026d}", lambda n: str(n)])
def test_the_share_is_about_the_rate_whatever_the_ids_look_like(ids: Callable[[int], str]) -> None:
    sampler = Sampler(Sampling(rate=0.1, per="request"))
    kept = sum(sampler.keeps(20, Correlation(request_id=ids(number))) for number in range(10_000))
    assert 850 < kept < 1_150


def test_per_request_prefers_the_request_and_per_trace_the_trace() -> None:
    one = Correlation(trace=Trace.new(), request_id="one")
    same_request = [Correlation(trace=Trace.new(), request_id="one") for _ in range(50)]
    same_trace = [Correlation(trace=one.trace, request_id=str(n)) for n in range(50)]
    by_request, by_trace = Sampler(Sampling(rate=0.5, per="request")), Sampler(Sampling(rate=0.5))
    assert len({by_request.keeps(20, names) for names in same_request}) == 1
    assert len({by_trace.keeps(20, names) for names in same_request}) == 2
    assert len({by_trace.keeps(20, names) for names in same_trace}) == 1


def test_lines_of_a_job_go_together_and_lines_of_nobody_are_drawn() -> None:
    draws = iter([0.05, 0.5, 0.09])
    sampler = Sampler(Sampling(rate=0.1), draw=lambda: next(draws))
    assert [sampler.keeps(20, NOBODY) for _ in range(3)] == [True, False, True]
    job = Correlation(job_id="job-7")
    assert len({sampler.keeps(20, job) for _ in range(5)}) == 1


@pytest.mark.parametrize("rate", [-0.1, 1.1, 10, "0.1", True, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate: Any) -> None:
    with pytest.raises(LogSamplingError, match="between 0 and 1"):
        Sampling(rate=rate)


def test_other_options_are_checked_too() -> None:
    with pytest.raises(LogSamplingError, match="per 'line'"):
        Sampling(rate=0.1, per="line")  # type: ignore[arg-type]
    with pytest.raises(LogLevelError, match="keep 'loud'"):
        Sampling(rate=0.1, keep="loud")
