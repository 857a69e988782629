"""Crons as the engine's ledger has them: read all, write one if nobody else has written it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from undercroft._core.errors import UndercroftError
from undercroft.logging import Logger
from undercroft.queue._cron._definition import CronJob, define_cron
from undercroft.queue._cron._state import FORMAT, PREFIX, CronState, StoredCron, decode_state, encode_state, job_id_of
from undercroft.queue._job import Job
from undercroft.queue._options import ResolvedOptions
from undercroft.queue._protocol import Engine
from undercroft.queue._values import Entry, NewJob

_log = Logger(module="undercroft.queue")


class MakeJob(Protocol):
    """How a queue makes what it stores of one run of a job."""

    def __call__(
        self,
        job: Job[..., Any],
        options: ResolvedOptions,
        /,
        *,
        id: str,  # noqa: A002
        data: bytes,
        due_at: float,
        created_at: float,
    ) -> NewJob: ...


@dataclass(frozen=True, slots=True)
class Known:
    """A cron and what is remembered of it."""

    cron: CronJob[..., Any]
    state: CronState | None
    """`None`: no scheduler has seen it."""
    version: int = 0
    """Of the ledger's entry; 0: there is none."""


class CronLedger:
    """The crons of one queue object. Lives as long as it; `definitions` may change meanwhile."""

    def __init__(
        self,
        engine: Engine,
        definitions: dict[str, CronJob[..., Any]],
        *,
        jobs: Mapping[str, Job[..., Any]],
        make_job: MakeJob,
    ) -> None:
        self.engine = engine
        self.definitions = definitions
        self._jobs = jobs
        self._make_job = make_job
        self._complained: set[tuple[str, str, int]] = set()
        self._built: dict[tuple[str, str], tuple[bytes, CronJob[..., Any]]] = {}

    @property
    def queues(self) -> set[str]:
        """Where crons of the code, and crons of jobs of the code, may be."""
        return {job.options.queue for job in self._jobs.values()} | {cron.queue for cron in self.definitions.values()}

    async def load(self, queues: Iterable[str]) -> list[Known]:
        """Return the crons of the code, in order, then those that are stored in these queues, by name.

        Entries that cannot be used here (written by a later version, damaged, of a job that is not known here) are
        left out, and logged once.
        """
        entries = {
            queue: await self.engine.entries(queue, prefix=PREFIX) for queue in sorted(set(queues) | self.queues)
        }
        found = [self._of_code(cron, entries[cron.queue].get(PREFIX + cron.name)) for cron in self._definitions()]
        found += [
            self._stored(queue, key.removeprefix(PREFIX), entry)
            for queue, of_queue in entries.items()
            for key, entry in sorted(of_queue.items())
            if key.removeprefix(PREFIX) not in self.definitions
        ]
        return [known for known in found if known is not None]

    async def save(self, known: Known, state: CronState | None, jobs: Iterable[NewJob] = ()) -> bool:
        """In one step: write what is remembered (`None` forgets it) and add jobs. False, and nothing happens, when
        somebody else has written since `known` was loaded."""
        return await self.replace(known.cron.queue, known.cron.name, state, version=known.version, jobs=jobs)

    async def entry(self, queue: str, name: str) -> Entry | None:
        """Return the entry of a cron as it is, or `None`."""
        return (await self.engine.entries(queue, prefix=PREFIX + name)).get(PREFIX + name)

    async def replace(
        self, queue: str, name: str, state: CronState | None, *, version: int, jobs: Iterable[NewJob] = ()
    ) -> bool:
        """As `save`, for an entry that need not be usable."""
        data = None if state is None else encode_state(state)
        return await self.engine.save_entry(queue, PREFIX + name, data, version=version, jobs=tuple(jobs))

    @staticmethod
    def definition_in(entry: Entry) -> StoredCron | None:
        """Return the definition that an entry holds, if it holds one that can be read."""
        try:
            return decode_state(entry.data).definition
        except msgspec.MsgspecError:
            return None

    def new_job(self, cron: CronJob[..., Any], *, due_at: float, id: str) -> NewJob:  # noqa: A002
        """Return one run of a cron's job."""
        return self._make_job(
            cron.job, cron.options, id=id, data=cron.data, due_at=due_at, created_at=self.engine.time()
        )

    def slot_job(self, cron: CronJob[..., Any], slot: int) -> NewJob:
        """Return the job of a slot: the same from every scheduler, but for the instant it was made."""
        return self.new_job(cron, id=job_id_of(cron.name, slot), due_at=cron.due_at(slot))

    @property
    def jobs(self) -> Mapping[str, Job[..., Any]]:
        """The jobs that are known here, by name."""
        return self._jobs

    def _definitions(self) -> list[CronJob[..., Any]]:
        return list(self.definitions.values())

    def _of_code(self, cron: CronJob[..., Any], entry: Entry | None) -> Known | None:
        if entry is None:
            return Known(cron, None)
        state = self._state(cron.queue, cron.name, entry)
        return None if state is None else Known(cron, state, entry.version)

    def _stored(self, queue: str, name: str, entry: Entry) -> Known | None:
        state = self._state(queue, name, entry)
        if state is None or state.definition is None:
            return None
        job = self._jobs.get(state.definition.job)
        if job is None:
            self._complain("cron left to others: its job is not known here", queue, name, entry)
            return None
        try:
            return Known(self._built_cron(queue, name, job, state.definition), state, entry.version)
        except UndercroftError as exc:
            self._complain("cron cannot be used as it is stored", queue, name, entry, error_text=exc.message)
            return None

    def _built_cron(self, queue: str, name: str, job: Job[..., Any], definition: StoredCron) -> CronJob[..., Any]:
        source = msgspec.json.encode(definition)
        seen, cron = self._built.get((queue, name), (b"", None))
        if cron is None or seen != source:
            cron = define_cron(name, job=job, queue=queue, **definition.options())
            self._built[queue, name] = (source, cron)
        return cron

    def _state(self, queue: str, name: str, entry: Entry) -> CronState | None:
        try:
            state = decode_state(entry.data)
        except msgspec.MsgspecError as exc:
            self._complain("cron's entry cannot be read; clear it", queue, name, entry, error_text=str(exc))
            return None
        if state.v > FORMAT:
            self._complain("cron left alone: its entry is of a later version", queue, name, entry)
            return None
        return state

    def _complain(self, note: str, queue: str, name: str, entry: Entry, **fields: Any) -> None:
        about = (queue, name, entry.version)
        if about not in self._complained:
            self._complained.add(about)
            _log.warning(note, cron=name, queue=queue, **fields)
