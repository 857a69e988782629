"""Use the shop as its visitors would, and count what happened. Every number comes from a response, a row or a file."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import anyio
import httpx2
import msgspec

from undercroft.app import Infra
from undercroft.demo._processes import DemoFailedError, Processes
from undercroft.demo.shop import inbox_of
from undercroft.monitoring import StoryNotFoundError, StorySpan
from undercroft.queue import JobRecord, JobState

SIGNUPS = 25
_DEADLINE_S = 60.0
_SPANS = 4
_KEPT_S = 5.0


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the jobs of accepted sign-ups."""

    completed: int
    failed: int
    retried: int
    """Completed after a run that raised."""
    recovered_after_kill: int
    """Completed after a run that ended with its worker."""
    lost: int
    """Accepted, and neither completed nor failed."""


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-up, found again everywhere it went."""

    request_id: str
    log_lines: int
    job_id: str
    email_id: str | None
    spans: int
    """The request, the enqueueing, the job's run and its mail are one each."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the demonstration counted."""

    signups: int
    rejected: int
    emails: int
    jobs: Jobs
    followed: Followed
    health: str
    backends: dict[str, str]
    seconds: float

    def problems(self) -> list[str]:
        """Return what did not hold; nothing is what one wants."""
        checks = {
            f"{SIGNUPS} sign-ups accepted": self.signups == SIGNUPS,
            "the malformed address refused": self.rejected == 1,
            "one mail for each sign-up": self.emails == SIGNUPS,
            "every job completed": self.jobs.completed == SIGNUPS,
            "no job failed": self.jobs.failed == 0,
            "no job lost": self.jobs.lost == 0,
            "a failing job retried": self.jobs.retried >= 1,
            "a killed worker's job recovered": self.jobs.recovered_after_kill >= 1,
            "one request followed from its log lines to its mail": bool(
                self.followed.email_id and self.followed.log_lines > 1
            ),
            "its story is kept: request, job and mail": self.followed.spans >= _SPANS,
            "healthy": self.health == "healthy",
        }
        return [check for check, is_held in checks.items() if not is_held]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A sign-up that the shop took."""

    request_id: str
    job_id: str


async def run_drill(processes: Processes, infra: Infra) -> Result:
    """Start the shop, sign up, kill a worker at work, and wait until everything is done.

    `infra` is open and looks at the same queue and inbox as the shop.
    """
    started = time.perf_counter()
    processes.start_server()
    victim = processes.start_worker()
    async with httpx2.AsyncClient(base_url=processes.url, timeout=10.0) as client:
        await _until(lambda: _is_ready(client), processes)
        held = await _sign_up(client, "Ida", "ida@example.com", drill="hold")
        await _until(lambda: _is_in(infra, held.job_id, JobState.ACTIVE), processes)
        processes.start_worker()
        accepted = [held, *await _sign_up_many(client)]
        rejected = await _try_malformed(client)
        await _until(lambda: _has_finished(infra, len(accepted) - 1), processes)
        processes.kill(victim)
        await _until(lambda: _has_finished(infra, len(accepted)), processes)
        health = (await client.get("/health")).json()["status"]
    return Result(
        signups=len(accepted),
        rejected=rejected,
        emails=len(await inbox_of(infra).list_messages(10 * SIGNUPS)),
        jobs=_count([await infra.queue.get_job(one.job_id) for one in accepted]),
        followed=await _follow(held, infra, processes),
        health=health,
        backends={part.part: part.backend for part in infra.describe() if part.part in ("queue", "email")},
        seconds=round(time.perf_counter() - started, 1),
    )


async def _sign_up_many(client: httpx2.AsyncClient) -> list[Accepted]:
    accepted: list[Accepted] = []

    async def visitor(number: int) -> None:
        drill = "fail_twice" if number == 2 else ""
        accepted.append(await _sign_up(client, f"Visitor {number}", f"visitor{number}@example.com", drill=drill))

    async with anyio.create_task_group() as visitors:
        for number in range(2, SIGNUPS + 1):
            visitors.start_soon(visitor, number)
    return accepted


async def _sign_up(client: httpx2.AsyncClient, name: str, email: str, *, drill: str = "") -> Accepted:
    response = await client.post("/signups", json={"name": name, "email": email, "drill": drill})
    if response.status_code != 202:
        raise DemoFailedError(f"a sign-up was answered with {response.status_code}: {response.text}")
    return Accepted(response.headers["x-request-id"], response.json()["job_id"])


async def _try_malformed(client: httpx2.AsyncClient) -> int:
    response = await client.post("/signups", json={"name": "Mallory", "email": "mallory@@example"})
    is_useful = response.headers["content-type"] == "application/problem+json" and bool(response.json()["detail"])
    return int(response.status_code == 422 and is_useful)


async def _follow(one: Accepted, infra: Infra, processes: Processes) -> Followed:
    mails = [mail for mail in await inbox_of(infra).list_messages(10 * SIGNUPS) if mail.request_id == one.request_id]
    lines = 0
    for log in processes.logs():
        for line in (await anyio.Path(log).read_text()).splitlines():
            lines += line.startswith("{") and msgspec.json.decode(line).get("request_id") == one.request_id
    return Followed(
        spans=await _spans_of(one, infra),
        request_id=one.request_id,
        log_lines=lines,
        job_id=one.job_id,
        email_id=mails[0].id if mails and mails[0].job_id == one.job_id else None,
    )


async def _spans_of(one: Accepted, infra: Infra) -> int:
    """Return how many spans are kept of a sign-up; what its processes took is written a moment later."""
    recent, found = infra.observability.recent, 0
    with anyio.move_on_after(_KEPT_S):
        while recent is not None and found < _SPANS:
            with suppress(StoryNotFoundError):
                story = await recent.story(one.request_id)
                found = sum(isinstance(entry, StorySpan) for _, entry in story.walk())
            await anyio.sleep(0.05)
    return found


def _count(records: list[JobRecord | None]) -> Jobs:
    found = [record for record in records if record is not None]
    completed = [record for record in found if record.state is JobState.COMPLETED]
    failed = [record for record in found if record.state is JobState.FAILED]
    return Jobs(
        completed=len(completed),
        failed=len(failed),
        retried=sum(record.failures > 0 for record in completed),
        recovered_after_kill=sum(record.crashes > 0 for record in completed),
        lost=len(records) - len(completed) - len(failed),
    )


async def _is_ready(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


async def _is_in(infra: Infra, job_id: str, state: JobState) -> bool:
    record = await infra.queue.get_job(job_id)
    return record is not None and record.state is state


async def _has_finished(infra: Infra, count: int) -> bool:
    counts = await infra.queue.counts()
    return counts.completed + counts.failed >= count


async def _until(is_so: Callable[[], Awaitable[bool]], processes: Processes) -> None:
    with anyio.move_on_after(_DEADLINE_S):
        while not await is_so():
            processes.require_running()
            await anyio.sleep(0.02)
        return
    raise DemoFailedError("the demo did not get on within a minute", hint=f"the logs are in {processes.home}")
