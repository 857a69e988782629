"""What a scrape says while worker processes come and go: `bench/scripts/recycle/drill.py`.

`--rounds 1` is enough to know whether the promises hold: outcomes are the worst of all drills, never a median.
"""

import atexit
import os
import shutil
import tempfile
import time

from bench._frame import Group, Script, Work
from bench._goal import Limit, Promise

_SETTINGS = {
    "drill": "10 000 processes are forked, 64 alive at once; each counts 50 times; every third ends by SIGKILL",
    "scrapes": "20 a second, by the process that forks, while the workers keep both processors busy",
    "outcomes": "the worst of all drills",
}
# Takes the drills' outcomes from one process to the next.
_FOLDER = f"{tempfile.gettempdir()}/undercroft-bench-recycle-{os.getpid()}-{time.time_ns()}"
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


def _work(name: str, outcome: str, unit: str, goal: Promise | None) -> Work:
    return Work(
        name=name,
        unit=unit,
        ours=Script("recycle/drill.py", [outcome, _FOLDER]),
        goal=goal,
        better="lower",
        settings=_SETTINGS,
        deadline_s=600,
    )


GROUP = Group(
    "recycle",
    [
        _work("all of a drill", "seconds", "s", None),
        _work("counts lost or doubled", "lost", "counts", Limit("<=", 0)),
        _work("scrapes in which a counter went back", "backwards", "scrapes", Limit("<=", 0)),
        _work("files", "files", "files", Limit("<=", 65)),
        _work("scrape, p99", "p99", "ms", Limit("<=", 50)),
    ],
)
