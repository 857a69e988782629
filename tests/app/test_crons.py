"""Crons in an `Infra`, and what a worker in its process tells its health."""

import pytest

from tests.app import _crons_here, _jobs_here
from tests.app._crons_here import report
from undercroft import Infra
from undercroft._core.errors import InvalidSettingsError
from undercroft.app import JobsNotFoundError
from undercroft.queue import Worker, get_cron_jobs

pytestmark = pytest.mark.anyio


def names(crons: object) -> list[str]:
    infra = Infra(environ={}, queue="memory://", crons=crons)  # type: ignore[arg-type]  # whatever a test gives
    with infra.bind():
        return [name for name in infra.queue.jobs if name.startswith("shop.")]


def test_crons_can_be_named_in_every_way() -> None:
    module = "tests.app._crons_here"
    assert names(module) == names(_crons_here) == names([module]) == ["shop.report", "shop.sweep"]
    assert names(report) == names([report]) == ["shop.report"]


def test_module_without_crons_is_named() -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        Infra(environ={}, crons=_jobs_here)
    (problem,) = caught.value.problems
    assert isinstance(problem, JobsNotFoundError)
    assert problem.message.startswith("crons: the module tests.app._jobs_here holds no crons")


async def test_bound_functions_act_on_its_crons() -> None:
    async with Infra(environ={}, queue="memory://", crons="tests.app._crons_here"):
        assert [cron.name for cron in get_cron_jobs()] == ["shop.report", "shop.sweep"]


async def test_cron_runs_in_the_worker_of_its_process() -> None:
    async with Infra(environ={}, queue="memory://", crons=report, process="all") as infra:
        handle = await infra.queue.crons.run_now("shop.report")
        assert await handle.result() is None


async def test_health_tells_what_a_worker_of_this_process_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Infra(environ={}, queue="memory://", crons=report, process="all") as infra:
        assert (await infra.health.run()).checks["queue"].status == "healthy"

        monkeypatch.setattr(Worker, "_problems", lambda *_: ["claimed nothing while work waits"])

        check = (await infra.health.run()).checks["queue"]
        assert (check.status, check.message) == ("unhealthy", "claimed nothing while work waits")
