"""Real processes: recycled, killed, forked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

NURSERY = Path(__file__).with_name("_nursery.py")


def run(scenario: str, directory: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(NURSERY), scenario, str(directory)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_counters_stay_exact_and_monotonic_while_workers_are_recycled_and_killed(directory: Path) -> None:
    found = run("recycle", directory)
    assert found["killed"] > 50
    # Whoever is killed after counting and before noting it has done one more than it noted.
    assert found["did"] <= found["counted"] <= found["did"] + found["killed"]
    assert found["did"] > 50 * 200
    assert found["scrapes"] > 15
    assert found["backwards"] == 0
    assert found["most_slots"] <= found["processes"]


def test_child_counts_from_zero_into_a_segment_of_its_own(directory: Path) -> None:
    found = run("fork", directory)
    assert found["child_before"] == [1, 0, 5], "no segment before it counts, and it sees its parent's"
    assert found["child_after"] == [2, 2, 8, 7]
    assert found["parent"] == [2, 5, 8, 3], "what the child counted stays, its gauge does not"


def test_segment_of_a_killed_process_is_free_while_its_child_lives(directory: Path) -> None:
    assert run("orphan", directory) == {"slots": 1, "counted": 1}


def test_what_was_counted_before_forking_is_not_counted_by_each_child(directory: Path) -> None:
    assert run("unattached", directory) == {"counted": 3, "loaded": 3, "own": 5}


def test_directory_serves_one_run_after_another(directory: Path) -> None:
    run("fork", directory)
    found = run("fork", directory)
    assert found["child_before"] == [2, 0, 13]
    assert found["parent"][2] == 16


def test_child_without_a_directory_counts_for_itself(directory: Path) -> None:
    assert run("stranded", directory) == {"child": [2, 3, 5], "parent": 5}
