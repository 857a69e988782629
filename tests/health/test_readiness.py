"""`perform_readiness_check`, in the words of those who ask one service after the other."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from undercroft import Infra
from undercroft.health import health_check, perform_readiness_check

pytestmark = pytest.mark.anyio


@health_check("broken", critical=False)
async def broken() -> None:
    raise ConnectionError("no route")


@health_check("hung", timeout="50ms")
async def hung() -> None:
    await anyio.sleep_forever()


async def test_each_check_has_an_entry_and_a_hung_one_does_not_hold_the_others(home: Path) -> None:
    async with Infra(home=home, environ={}, health_checks=[broken, hung]):
        checks = await perform_readiness_check()

    assert checks["queue"]["status"] == "ok"
    assert isinstance(checks["queue"]["latency"], float)
    assert checks["broken"]["status"] == "error"
    assert "no route" in str(checks["broken"]["message"])
    assert "timed out" in str(checks["hung"]["message"])
