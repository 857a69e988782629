"""Jobs a second through huey on SQLite: `sqlite_queue_huey.py drain|enqueue full|normal`.

huey pops a job before it runs: a killed worker loses it. Results are not kept; ours are.
"""

import json
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from huey import SqliteHuey

WORK, SYNCHRONOUS = sys.argv[1:]
JOBS = 300 if os.environ.get("BENCH_QUICK") else 10_000
PAYLOAD = {"user_id": 100_000, "email": "someone@example.com", "template": "welcome", "lang": "en"}
runs: list[float] = []
all_ran = threading.Event()
folder = tempfile.mkdtemp()
huey = SqliteHuey("q", filename=f"{folder}/huey.db", results=False, fsync=SYNCHRONOUS == "full")


@huey.task()
def noop(user_id: int, email: str, template: str, lang: str) -> None:
    runs.append(time.perf_counter())
    if len(runs) == JOBS:
        all_ran.set()


def enqueue(count: int) -> None:
    for _ in range(count):
        noop(**PAYLOAD)


def main() -> float:
    threads = 1 if WORK == "drain" else 8
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(enqueue, [JOBS // threads] * threads))
    if WORK == "enqueue":
        return JOBS / (time.perf_counter() - start)
    # One worker: the best of a sweep over 1, 2, 4 and 8 threads.
    consumer = huey.create_consumer(workers=1, worker_type="thread", periodic=False, initial_delay=0.01)
    consumer.start()
    all_ran.wait()
    return (JOBS - 1) / (runs[-1] - runs[0])


value = main()
settings = {"jobs": JOBS, "synchronous": SYNCHRONOUS, "workers": 1, "results": "not kept"}
print(json.dumps({"value": value, "settings": settings}), flush=True)
os._exit(0)  # the consumer's threads have no end of their own
