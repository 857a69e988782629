"""64 clients in 8 processes against one key: never more than the limit, and nearly all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ratelimit.contender import LIMIT, POLICIES, RATE, WINDOW_S

PROCESSES, CLIENTS, SECONDS = 8, 8, 2.0
ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


def contend(url: str) -> dict[str, list[tuple[int, int]]]:
    """Return what was let through, in order, by kind of limit: microseconds by the store's clock, and cost."""
    command = [sys.executable, str(Path(__file__).with_name("contender.py")), url, str(CLIENTS), str(SECONDS)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        outputs = [process.communicate(timeout=50)[0] for process in _started(processes)]
        assert [process.returncode for process in processes] == [0] * PROCESSES
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    each = [json.loads(output) for output in outputs]
    return {kind: sorted((round(at * 1e6), cost) for one in each for at, cost in one[kind]) for kind in POLICIES}


def _started(processes: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def most_in_any_window(passed: list[tuple[int, int]], window_us: int) -> int:
    most = total = first = 0
    for at, cost in passed:
        total += cost
        while passed[first][0] <= at - window_us:
            total -= passed[first][1]
            first += 1
        most = max(most, total)
    return most


def assert_never_too_much(kind: str, passed: list[tuple[int, int]]) -> None:
    spent, seconds = sum(cost for _, cost in passed), (passed[-1][0] - passed[0][0]) / 1e6
    if kind == "bucket":
        # Of every stretch between two calls: no more than the capacity and the rate. One pass: the worst beginning
        # so far is the one with the largest sum of rate * time and less what came before it.
        before, worst = 0, float("-inf")
        for at, cost in passed:
            worst = max(worst, RATE * at / 1e6 - before)
            before += cost
            assert before + worst - RATE * at / 1e6 <= LIMIT + 0.001
        assert spent >= 0.9 * RATE * seconds
        return
    assert most_in_any_window(passed, int(WINDOW_S * 1e6)) <= LIMIT
    share = 0.9 if kind == "log" else 0.8  # a call of the counter counts for up to 11/10 of the window
    assert spent >= share * LIMIT * (seconds / WINDOW_S - 1)


def test_processes_share_one_limit_in_a_file(tmp_path: Path) -> None:
    for kind, passed in contend(f"sqlite:///{tmp_path}/limits.db?busy_timeout_s=30").items():
        assert_never_too_much(kind, passed)


@pytest.mark.redis
async def test_processes_share_one_limit_in_redis(redis_url: str, prefix: str) -> None:
    for kind, passed in contend(f"{redis_url}?prefix={prefix}").items():
        assert_never_too_much(kind, passed)
