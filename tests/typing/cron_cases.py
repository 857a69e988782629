from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from undercroft.queue import (
    CronInfo,
    CronJob,
    CronRecord,
    Crons,
    Job,
    JobHandle,
    clear_cron_jobs,
    cron,
    define_cron,
    get_cron_job,
    get_cron_jobs,
    is_valid_cron_expression,
    job,
)


# defining
@cron("cleanup", "0 3 * * *", tz="Europe/Berlin", description="old sessions", retries=2)
async def cleanup() -> int:
    return 0


@cron("report", every=timedelta(hours=1), data={"month": "May"}, overlap="queue", misfire="all", jitter="30s")
async def report(month: str, *, copies: int = 1) -> str:
    return month * copies


@cron("count", pattern="@hourly", max_runs=5, start=datetime(2030, 1, 1, tzinfo=UTC))
def count(numbers: list[int] | None = None) -> int:
    return sum(numbers or [])


assert_type(cleanup.name, str)
assert_type(cleanup.after(datetime.now(UTC)).__next__(), datetime)
crons: list[CronJob[..., Any]] = [cleanup, report, count]
jobs: list[Job[..., Any]] = [cleanup.job, report.job]
assert_type(is_valid_cron_expression("* * * * *"), bool)

shout = define_cron(name="shout", schedule="0 0 * * *", handler=str.upper, data={})


@job("mail")
async def mail(to: str) -> bool:
    return bool(to)


mailed = define_cron("mail.daily", "@daily", job=mail, data={"to": "a@example.org"})


@cron  # E: arg-type
async def unnamed() -> None: ...


@cron("typo", "* * * * *", overlp="skip")  # E: call-arg
async def typo() -> None: ...


@cron("wrong", "* * * * *", overlap="never")  # E: arg-type
async def wrong() -> None: ...


@cron("wrong", every=[5])  # E: arg-type
async def wrong_interval() -> None: ...


cron("no function", "* * * * *")(5)  # E: call-overload
define_cron("nothing", "* * * * *")  # E: call-overload
define_cron("both", "* * * * *", job=mail, handler=cleanup)  # E: call-overload
cleanup.name = "other"  # E: misc


# calling: the handler's own parameters, and what it returns
async def calling() -> None:
    assert_type(await cleanup(), int)
    assert_type(await report("May", copies=2), str)
    assert_type(await count([1]), int)
    assert_type(await mailed("a@example.org"), bool)
    assert_type(await report.job.enqueue("May"), JobHandle[str])
    await cleanup(1)  # E: call-arg
    await report(5)  # E: arg-type
    await report("May", 2)  # E: call-arg
    await count(["1"])  # E: list-item


# what a queue holds
async def holding(held: Crons) -> None:
    assert_type(await held.list(), tuple[CronInfo, ...])
    assert_type(await held.get("cleanup"), CronInfo | None)
    assert_type(await held.next("cleanup", 3), tuple[datetime, ...])
    assert_type(await held.history("cleanup"), tuple[CronRecord, ...])
    assert_type(await held.run_now("cleanup"), JobHandle[Any])
    assert_type(await held.schedule("daily", "@daily", job=mail, data={"to": "b@example.org"}), CronInfo)
    assert_type(await held.unschedule("daily"), bool)
    await held.schedule("daily", "@daily", job=5)  # E: arg-type
    await held.schedule("daily", "@daily", retries=2)  # E: call-arg
    await held.run_now(cleanup)  # E: arg-type


assert_type(get_cron_jobs(), tuple[CronJob[..., Any], ...])
assert_type(get_cron_job("cleanup"), CronJob[..., Any] | None)
clear_cron_jobs()




get_cron_job(5)  # E: arg-type
