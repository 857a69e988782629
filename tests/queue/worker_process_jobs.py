"""Jobs that run in processes of their own, in a module that those can import."""

import os
import signal
import time
from pathlib import Path

from undercroft._core.context import correlation
from undercroft.queue import Job, RetryLater, job


@job("pid", run_in="process")
def pid(number: int) -> list[object]:
    return [os.getpid(), number + 1, correlation().job_id]


@job("works", run_in="process")
def works() -> str:
    return "done"


@job("raises", run_in="process", attempts=1)
def raises() -> None:
    raise ZeroDivisionError("by nothing")


@job("later", run_in="process")
def later() -> None:
    raise RetryLater("1h")


@job("crashes", run_in="process", attempts=1)
def crashes() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@job("endless", run_in="process", attempts=1, timeout="1s")
def endless(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)


JOBS: list[Job[..., object]] = [pid, works, raises, later, crashes, endless]
