"""What policies say of themselves in a debugger and in a failing test."""

from __future__ import annotations

from undercroft.resilience import Bulkhead, CircuitBreaker, Hedge, Pipeline, Retry, Timeout


def test_a_pipeline_says_what_it_is_made_of() -> None:
    pipeline = Pipeline(Timeout("5s"), Retry(attempts=4), Hedge("50ms"), Bulkhead(10), CircuitBreaker("payments"))
    shown = repr(pipeline)
    assert shown.startswith("Pipeline(Timeout('5s'), Retry(attempts=4, deadline=None), Hedge('50ms', name=")
    assert "Bulkhead(10, max_waiting=" in shown
    assert "payments" in shown
    assert " at 0x" not in shown
