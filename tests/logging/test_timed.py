from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from undercroft._core.errors import UndercroftError
from undercroft.logging import Logger, logger
from undercroft.logging._timed import Timed

pytestmark = pytest.mark.anyio
SetUp = Callable[..., Any]


def taking(*seconds: float) -> Callable[[], float]:
    """Return a clock of which each second look is so much later."""

    def looks() -> Iterator[float]:
        now = 100.0
        for took in seconds:
            yield now
            now += took
            yield now

    moments = looks()
    return lambda: next(moments)


def test_a_block_tells_how_long_it_took(log_as: SetUp, lines: Any) -> None:
    log_as()
    with Timed(logger, "import", {"rows": 3}, slow_s=None, now=taking(0.25)) as block:
        block.fields["skipped"] = 1
    line = lines.objects[0]
    assert (line["level"], line["message"], line["duration_ms"]) == ("info", "import", 250.0)
    assert (line["rows"], line["skipped"]) == (3, 1)


@pytest.mark.parametrize(("took", "level"), [(0.999, "info"), (1.0, "warning"), (5.0, "warning")])
def test_a_slow_block_is_a_warning(took: float, level: str, log_as: SetUp, lines: Any) -> None:
    log_as()
    with Timed(logger, "import", {}, slow_s=1.0, now=taking(took)):
        pass
    assert lines.objects[0]["level"] == level


def test_a_block_that_raises_is_an_error_and_still_raises(log_as: SetUp, lines: Any) -> None:
    log_as()
    with pytest.raises(ValueError, match="bad"), logger.timed("import", slow="1s", rows=3):
        raise ValueError("bad")
    line = lines.objects[0]
    assert (line["level"], line["error"]["message"], line["rows"]) == ("error", "bad", 3)
    assert line["duration_ms"] >= 0


async def test_a_block_that_is_cancelled_is_cut_off(log_as: SetUp, lines: Any) -> None:
    log_as()

    async def work() -> None:
        with logger.timed("import"):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work(), 0.01)
    assert (lines.objects[0]["level"], lines.objects[0]["is_cut_off"]) == ("warning", True)


def test_a_logger_makes_blocks_of_its_own_module_and_context(log_as: SetUp, lines: Any) -> None:
    log_as()
    with Logger({"a": 1}, module="shop.import").timed("import", slow="1h"):
        pass
    line = lines.objects[0]
    assert (line["logger"], line["a"], line["level"]) == ("shop.import", 1, "info")


def test_slow_must_be_a_duration() -> None:
    with pytest.raises(UndercroftError, match="slow"):
        logger.timed("import", slow="soon")
