"""Requests that come together are one piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from undercroft._core.sqlite_errors import copy_of, is_about_the_file

Request = TypeVar("Request")
Answer = TypeVar("Answer")
_Batch = list[tuple[Request, asyncio.Future[Answer]]]


class Batches(Generic[Request, Answer]):
    """Gathers the requests of one turn of the event loop, and those that come while a batch is under way, into one.

    Under load the batches thus become as large as the store is slow; alone, a request waits for nothing.

    Args:
        submit: Begins the work for a batch; its future gives one answer per request, in their order, and whatever.
        on_unwanted: Called with an answer whose caller was cancelled meanwhile.
    """

    def __init__(
        self,
        submit: Callable[[Sequence[Request]], asyncio.Future[tuple[Sequence[Answer], Any]]],
        *,
        on_unwanted: Callable[[Answer], None] = lambda _: None,
    ) -> None:
        self._submit = submit
        self._on_unwanted = on_unwanted
        self._waiting: _Batch[Request, Answer] = []
        self._is_under_way = False

    def ask(self, request: Request) -> asyncio.Future[Answer]:
        """Put a request in the next batch. Its future raises what the batch raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((request, future))
        if not self._is_under_way:
            self._is_under_way = True
            loop.call_soon(self._begin)  # after whatever else is ready in this turn
        return future

    def _begin(self) -> None:
        batch, self._waiting = self._waiting, []
        self._try(batch)

    def _try(self, batch: _Batch[Request, Answer]) -> None:
        try:
            work = self._submit([request for request, _ in batch])
        except Exception as exc:  # the store is not open: each caller is told
            self._is_under_way = False
            _fail(batch, exc)
            return
        work.add_done_callback(lambda done: self._end(batch, done))

    def _end(self, batch: _Batch[Request, Answer], done: asyncio.Future[tuple[Sequence[Answer], Any]]) -> None:
        error = done.exception()
        if error is None:
            self._answer(batch, done.result()[0])
        elif len(batch) > 1 and not is_about_the_file(error):
            for one in batch:  # something is wrong with one of them: the others must not suffer
                self._try([one])
        else:
            _fail(batch, error)
        self._is_under_way = bool(self._waiting)
        if self._waiting:
            self._begin()

    def _answer(self, batch: _Batch[Request, Answer], answers: Sequence[Answer]) -> None:
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                self._on_unwanted(answer)
            else:
                future.set_result(answer)


def _fail(batch: _Batch[Request, Answer], error: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(copy_of(error))
