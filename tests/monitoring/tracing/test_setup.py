"""Who takes finished spans, redacted how; and undoing it."""

from __future__ import annotations

import pytest

from tests.monitoring.tracing._taken import Taken
from undercroft.monitoring import FinishedSpan, is_recording, setup_tracing, start_span, tracing_counts

pytestmark = pytest.mark.anyio


class Failing(Taken):
    def on_end(self, span: FinishedSpan) -> None:
        raise RuntimeError("broken")

    async def flush(self) -> None:
        raise RuntimeError("broken flush")

    async def aclose(self) -> None:
        await super().aclose()
        raise RuntimeError("broken close")


def test_nobody_takes_spans_without_a_setup() -> None:
    assert not is_recording()
    with start_span("work") as span:
        assert not span.is_recording


def test_setups_nest_and_may_be_released_in_any_order() -> None:
    first, second, third = Taken(), Taken(), Taken()
    one, two = setup_tracing(processors=[first]), setup_tracing(processors=[second])
    three = setup_tracing(processors=[third])
    start_span("to third").end()
    two.release()
    start_span("to third too").end()
    three.release()
    three.release()
    start_span("to first").end()
    one.release()
    start_span("to nobody").end()

    assert (first.names, second.names, third.names) == (["to first"], [], ["to third", "to third too"])
    assert not is_recording()


async def test_closing_closes_processors_once_and_in_reverse() -> None:
    order: list[str] = []

    class Ordered(Taken):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        async def aclose(self) -> None:
            order.append(self.name)

    async with setup_tracing(processors=[Ordered("a"), Ordered("b")]) as setup:
        await setup.aclose()

    assert order == ["b", "a"]


async def test_flush_reaches_every_processor() -> None:
    good = Taken()
    setup = setup_tracing(processors=[Failing(), good])
    with pytest.raises(ExceptionGroup) as caught:
        await setup.flush()
    setup.release()

    assert good.flushed == 1
    assert [str(error) for error in caught.value.exceptions] == ["broken flush"]


async def test_processor_that_fails_to_close_does_not_keep_the_others_open() -> None:
    good, bad = Taken(), Failing()
    with pytest.raises(ExceptionGroup):
        await setup_tracing(processors=[good, bad]).aclose()

    assert (good.closed, bad.closed) == (1, 1)


def test_processor_that_raises_breaks_nothing_and_is_counted() -> None:
    before, good = tracing_counts().processor_failures, Taken()
    with setup_tracing(processors=[Failing(), good]), start_span("work"):
        pass

    assert good.names == ["work"]
    assert tracing_counts().processor_failures - before == 1


def test_sync_block_leaves_processors_open() -> None:
    taken = Taken()
    with setup_tracing(processors=[taken]):
        pass

    assert taken.closed == 0


SECRET = "hunter2"


def _without_secrets(name: str, value: object) -> object:
    return value.replace(SECRET, "[redacted]") if isinstance(value, str) else value


def test_every_text_goes_through_the_redaction() -> None:
    taken = Taken()
    with setup_tracing(processors=[taken], redact=_without_secrets):
        span = start_span(f"work {SECRET}", attributes={"a": SECRET, "list": ["x", SECRET], "n": 1})
        span.add_event(f"event {SECRET}", {"a": SECRET}).add_link(start_span("other"), {"a": SECRET})
        with pytest.raises(ValueError, match=SECRET), span:
            raise ValueError(f"wrong password {SECRET}")

    done = taken.only
    assert SECRET not in repr(done)
    assert done.attributes["list"] == ["x", "[redacted]"]
    assert done.attributes["n"] == 1
    assert done.status_message == "wrong password [redacted]"
    assert done.events[0].name == "event [redacted]"
    assert "wrong password [redacted]" in str(done.events[1].attributes["exception.stacktrace"])
    assert done.links[0].attributes == {"a": "[redacted]"}


def test_redaction_is_told_the_name() -> None:
    asked: list[str] = []

    def note(name: str, value: object) -> object:
        asked.append(name)
        return value

    with setup_tracing(processors=[Taken()], redact=note), start_span("work", attributes={"user.email": "a"}) as span:
        span.add_event("e").set_status("error", "m")

    assert set(asked) == {"span.name", "user.email", "event.name", "status.message"}


def test_redaction_may_change_the_type() -> None:
    taken = Taken()
    with (
        setup_tracing(processors=[taken], redact=lambda name, value: {"was": 1} if name == "a" else value),
        start_span("work", attributes={"a": 5}),
    ):
        pass

    assert taken.only.attributes == {"a": "{'was': 1}"}


def test_only_what_is_harmless_is_not_asked_for_again() -> None:
    asked: list[object] = []

    def note(name: str, value: object) -> object:
        asked.append(value)
        return _without_secrets(name, value)

    taken = Taken()
    with setup_tracing(processors=[taken], redact=note):
        for _ in range(3):
            start_span("work", attributes={"a": SECRET, "b": "GET", "c": SECRET * 100, "d": 7}).end()

    assert [asked.count(value) for value in ("work", "GET", SECRET, SECRET * 100, 7)] == [1, 1, 3, 3, 1]
    assert SECRET not in repr(taken.spans)


def test_another_setups_redaction_is_asked_anew() -> None:
    taken = Taken()
    with setup_tracing(processors=[taken], redact=lambda name, value: value):
        start_span("work", attributes={"a": SECRET}).end()
    with setup_tracing(processors=[taken], redact=_without_secrets):
        start_span("work", attributes={"a": SECRET}).end()

    assert [span.attributes["a"] for span in taken.spans] == [SECRET, "[redacted]"]


def test_many_different_texts_are_still_redacted() -> None:
    taken = Taken()
    with setup_tracing(processors=[taken], redact=_without_secrets):
        for number in range(5_000):
            start_span("work", attributes={"a": f"{number}", "b": SECRET}).end()

    assert len(taken.spans) == 5_000
    assert SECRET not in repr(taken.spans)


def test_redaction_that_raises_keeps_nothing_of_the_value() -> None:
    def broken(name: str, value: object) -> object:
        raise RuntimeError("bug")

    taken, before = Taken(), tracing_counts().redaction_failures
    with setup_tracing(processors=[taken], redact=broken), start_span("work", attributes={"a": SECRET, "b": [SECRET]}):
        pass

    assert taken.only.attributes == {"a": "[redaction failed]", "b": ["[redaction failed]"]}
    assert taken.only.name == "[redaction failed]"
    assert tracing_counts().redaction_failures - before == 3


def test_live_span_keeps_what_its_owner_set() -> None:
    with (
        setup_tracing(processors=[Taken()], redact=_without_secrets),
        start_span("work", attributes={"a": SECRET}) as span,
    ):
        pass

    assert span.attributes == {"a": SECRET}
