"""Nobody who logs waits for whoever reads: a bounded buffer, one thread, and every line accounted for."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import io
import json
import logging
import logging.config
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import pytest

from undercroft.logging import LogBufferError, Logger, LoggingSetup, logger, setup_logging
from undercroft.logging._buffer import EntryBuffer
from undercroft.logging._entry import Entry
from undercroft.logging._format import our_entry

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("alone")]
DEADLINE_S = 20.0


class Gate(io.StringIO):
    """A stream whose reader waits until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waiting = threading.Event()
        self.open = threading.Event()

    def write(self, text: str) -> int:
        self.is_waiting.set()
        assert self.open.wait(DEADLINE_S)
        return super().write(text)

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """A pipe of 4,096 bytes: the end to read, and a stream onto the end to write."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with open(writing, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        yield reading, stream
    os.close(reading)


def writer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "undercroft-log-writer"]


def held_up(gate: Gate, **options: Any) -> LoggingSetup:
    """Set up logging with a writer that holds one line and waits at the gate."""
    setup = setup_logging(format="json", stream=gate, uncaught=False, **options)
    logger.info("first")
    assert gate.is_waiting.wait(DEADLINE_S)
    return setup


def test_a_line_waits_in_the_buffer_and_is_written_by_a_thread_with_a_name(gate: Gate) -> None:
    with held_up(gate, buffer=10) as setup:
        logger.info("second")
        assert setup.written_count == 0
        assert len(writer_threads()) == 1
        gate.open.set()
        assert setup.flush()
        assert [line["message"] for line in gate.objects] == ["first", "second"]
        assert (setup.written_count, setup.dropped_count) == (2, 0)
    assert writer_threads() == []


async def test_a_full_buffer_drops_lines_and_holds_up_no_event_loop(gate: Gate) -> None:
    setup = held_up(gate, buffer=10)
    for number in range(25):
        logger.info("x", number=number)
    assert setup.dropped_count == 15
    gate.open.set()
    setup.close()
    assert [line.get("number") for line in gate.objects if line["message"] == "x"] == list(range(10))


async def test_a_later_line_tells_how_many_were_dropped(gate: Gate) -> None:
    setup = held_up(gate, buffer=10)
    for _ in range(25):
        logger.info("x")
    gate.open.set()
    setup.close()
    told = [line for line in gate.objects if line["logger"] == "undercroft.logging"]
    assert [(line["level"], line["message"], line["dropped"]) for line in told] == [
        ("warning", "15 log lines were dropped", 15)
    ]
    assert setup.written_count == 11  # those of the program


async def test_the_last_tenth_is_kept_for_warnings_and_errors(gate: Gate) -> None:
    setup = held_up(gate, buffer=100)
    for _ in range(101):
        logger.info("x")
    for _ in range(20):
        logger.error("y")
    gate.open.set()
    setup.close()
    assert Counter(line["message"] for line in gate.objects)["y"] == 11
    assert setup.dropped_count == 1 + 9


def test_a_thread_without_an_event_loop_waits_for_room(gate: Gate) -> None:
    setup = held_up(gate, buffer=10)
    for _ in range(10):
        logger.info("x")
    threading.Timer(0.2, gate.open.set).start()
    for _ in range(1000):
        logger.info("y")
    setup.close()
    assert (len(gate.objects), setup.dropped_count) == (1011, 0)


def test_a_thread_waits_for_a_stuck_writer_only_once(gate: Gate) -> None:
    setup = held_up(gate, buffer=10)
    for _ in range(10):
        logger.info("x")
    start = time.monotonic()
    for _ in range(50):
        logger.info("y")
    took = time.monotonic() - start
    assert setup.dropped_count == 50
    assert 0.9 < took < 25  # not a second for each
    gate.open.set()
    setup.close()


async def test_an_event_loop_goes_on_while_nobody_reads_the_pipe(pipe: tuple[int, TextIO]) -> None:
    _, stream = pipe
    setup = setup_logging(format="json", stream=stream, buffer=100, uncaught=False)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    longest = 0.0
    for number in range(2_000):
        start = time.perf_counter()
        logger.info("nobody reads this", number=number, padding="x" * 200)
        longest = max(longest, time.perf_counter() - start)
        await asyncio.sleep(0)
    ticking.cancel()
    assert ticks >= 1_900
    assert longest < 5  # a write into this pipe would never return
    dropped = setup.dropped_count
    assert dropped > 1_500
    start = time.monotonic()
    await asyncio.to_thread(setup.close)
    assert time.monotonic() - start < 10
    assert setup.dropped_count + setup.written_count == 2_000
    assert writer_threads() == []


def test_a_slow_reader_gets_every_line_whole(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    got: list[bytes] = []

    def read() -> None:
        while piece := os.read(reading, 512):
            got.append(piece)

    reader = threading.Thread(target=read)
    with setup_logging(format="json", stream=stream, uncaught=False) as setup:
        for number in range(500):
            logger.info("x", number=number, padding="é" * (number % 700))
        reader.start()
        assert setup.flush(DEADLINE_S)
        assert (setup.written_count, setup.dropped_count) == (500, 0)
    stream.close()
    reader.join(DEADLINE_S)
    lines = b"".join(got).decode().splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(500))


def test_a_pipe_whose_reader_is_gone_loses_lines_and_raises_nothing(
    pipe: tuple[int, TextIO], capsys: pytest.CaptureFixture[str]
) -> None:
    reading, stream = pipe
    os.close(os.dup(reading))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, reading)  # closes the pipe's only reader
    os.close(null)
    setup = setup_logging(format="json", stream=stream, uncaught=False)
    for _ in range(3):
        logger.info("x")
        assert setup.flush()
    setup.close()
    assert (setup.written_count, setup.dropped_count) == (0, 3)
    assert capsys.readouterr().err.count("BrokenPipeError") == 1


@pytest.mark.parametrize("buffer", [0, 100])
def test_a_full_disk_loses_lines_and_raises_nothing(buffer: int, capsys: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as stream:  # noqa: PTH123 - a device
        setup = setup_logging(format="json", stream=stream, buffer=buffer, uncaught=False)
        for _ in range(3):
            logger.info("x")
            assert setup.flush()
        setup.close()
        with contextlib.suppress(OSError):
            stream.close()  # which tries once more
    assert setup.dropped_count >= 3
    assert setup.written_count == 0
    assert capsys.readouterr().err.count("No space left") == 1


def test_a_disk_that_has_room_again_gets_lines_that_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "small.log"
    program = f"""
import resource, signal, sys
from undercroft.logging import logger, setup_logging
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (700, resource.RLIM_INFINITY))
stream = open({str(path)!r}, "a", encoding="utf-8")
setup = setup_logging(format="json", stream=stream)
for number in range(20):
    logger.info("x", number=number)
    setup.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
logger.info("room again")
setup.close()
print(setup.written_count, setup.dropped_count)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    written, dropped = map(int, done.stdout.split())
    assert written + dropped == 21
    assert dropped > 10
    *before, told, last = path.read_text().splitlines()
    assert json.loads(last)["message"] == "room again"
    assert json.loads(told)["dropped"] == dropped
    torn = [line for line in before if not line.endswith("}")]
    assert len(torn) <= 1  # the one that the limit cut


def test_a_stream_that_is_closed_loses_lines_and_raises_nothing(tmp_path: Path) -> None:
    stream = (tmp_path / "a.log").open("w")
    setup = setup_logging(format="json", stream=stream, uncaught=False)
    logger.info("x")
    assert setup.flush()
    stream.close()
    logger.info("y")
    setup.close()
    assert (setup.written_count, setup.dropped_count) == (1, 1)


def test_lines_of_many_threads_are_all_written_and_none_is_mixed(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("w") as stream, setup_logging(format="json", stream=stream, buffer=50, uncaught=False) as setup:
        threads = [
            threading.Thread(target=lambda name=name: [logger.info("x", thread=name, n=n) for n in range(300)])
            for name in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert setup.dropped_count == 0
    for name in range(8):
        assert [line["n"] for line in lines if line.get("thread") == name] == list(range(300))


@pytest.mark.parametrize("buffer", [0, 10])
def test_lines_of_many_threads_onto_memory_are_counted_exactly(buffer: int) -> None:
    stream = io.StringIO()
    words: Counter[str] = Counter()
    setup = setup_logging(format="json", stream=stream, buffer=buffer, count=lambda word: words.update([word]))
    threads = [threading.Thread(target=lambda: [logger.info("x") for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    setup.close()
    assert stream.getvalue().count('"message":"x"') == setup.written_count == words["info"] == 4_000


def test_memory_is_written_at_once_and_a_file_by_the_thread(tmp_path: Path) -> None:
    with setup_logging(format="json", stream=io.StringIO(), uncaught=False) as setup:
        logger.info("x")
        assert setup.written_count == 1
        assert writer_threads() == []
    with (tmp_path / "a.log").open("w") as stream, setup_logging(stream=stream, uncaught=False):
        logger.info("x")
        assert len(writer_threads()) == 1


@pytest.mark.parametrize("buffer", [-1, True, 1.5, "100"])
def test_a_buffer_that_is_no_number_of_lines_is_refused(buffer: Any) -> None:
    with pytest.raises(LogBufferError, match="UC1105"):
        setup_logging(buffer=buffer)


def test_a_critical_line_is_written_before_the_call_returns(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("w") as stream, setup_logging(format="json", stream=stream, uncaught=False):
        logger.info("x")
        logger.critical("the end")
        assert json.loads(path.read_text().splitlines()[-1])["message"] == "the end"


async def test_a_critical_line_waits_little_when_nobody_reads(pipe: tuple[int, TextIO]) -> None:
    _, stream = pipe
    setup = setup_logging(format="json", stream=stream, uncaught=False)
    for _ in range(100):
        logger.info("x", padding="x" * 500)
    start = time.monotonic()
    logger.critical("the end")
    assert time.monotonic() - start < 2
    await asyncio.to_thread(setup.close)


def test_what_is_logged_after_closing_changes_no_count(tmp_path: Path) -> None:
    with (tmp_path / "a.log").open("w") as stream:
        setup = setup_logging(format="json", stream=stream, uncaught=False)
        logger.info("x")
        setup.close()
        logger.info("y")
    assert setup.written_count == 1


def test_a_setup_that_was_replaced_writes_what_it_had(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("w") as stream:
        first = setup_logging(format="json", stream=stream, uncaught=False)
        logger.info("x")
        second = setup_logging(stream=io.StringIO(), uncaught=False)
        first.close()
        assert "x" in path.read_text()
        second.close()


async def test_aclose_holds_up_no_event_loop_while_nobody_reads(pipe: tuple[int, TextIO]) -> None:
    _, stream = pipe
    setup = setup_logging(format="json", stream=stream, uncaught=False)
    for _ in range(100):
        logger.info("x", padding="x" * 500)
    longest, last = 0.0, time.monotonic()
    closing = asyncio.create_task(setup.aclose())
    while not closing.done():
        await asyncio.sleep(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert longest < 1.9  # closing waits two seconds for the pipe
    assert setup.dropped_count + setup.written_count == 100


def test_dict_config_closes_every_handler_and_ours_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with setup_logging(format="json", file=path, uncaught=False) as setup:
        logger.info("before")
        logging.config.dictConfig({"version": 1, "incremental": False, "disable_existing_loggers": False})
        assert "before" in path.read_text()
        logger.info("after")
        assert len(writer_threads()) == 1
        assert setup.flush()
    assert len(path.read_text().splitlines()) == 2


async def test_aclose_closes(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("w") as stream:
        setup = setup_logging(format="json", stream=stream, uncaught=False)
        logger.info("x")
        await setup.aclose()
    assert json.loads(path.read_text())["message"] == "x"
    assert writer_threads() == []


def run(program: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False, **options
    )


def test_lines_are_written_when_the_program_ends_without_closing() -> None:
    done = run(
        "import atexit, time\n"
        "ended = time.monotonic()\n"
        "atexit.register(lambda: print(time.monotonic() - ended))\n"  # the last one: they run in reverse
        "from undercroft.logging import logger, setup_logging\n"
        "atexit.register(lambda: logger.info('at exit'))\n"
        "setup_logging(format='json')\n"
        "for n in range(1000): logger.info('x', n=n)\n"
        "ended = time.monotonic()\n"
    )
    assert done.returncode == 0
    messages = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    assert messages == ["x"] * 1000 + ["at exit"]
    assert float(done.stdout) < 1.9  # nothing waited for a deadline


def test_lines_of_threads_that_outlive_the_main_thread_are_written() -> None:
    done = run(
        "import threading, time\n"
        "from undercroft.logging import logger, setup_logging\n"
        "setup_logging(format='json')\n"
        "def late():\n"
        "    threading.main_thread().join()\n"
        "    for n in range(100): logger.info('late', n=n)\n"
        "threading.Thread(target=late).start()\n"
    )
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 100


def test_a_program_whose_lines_nobody_reads_still_ends() -> None:
    reading, writing = os.pipe()
    program = (
        "from undercroft.logging import logger, setup_logging\n"
        "setup_logging(format='json')\n"
        "for n in range(1000): logger.info('x', padding='x' * 900)\n"
        "raise SystemExit(7)\n"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], stderr=writing, timeout=30, check=False)
    os.close(writing)
    os.close(reading)
    assert done.returncode == 7
    assert time.monotonic() - start < 20


def test_a_forked_child_has_a_thread_of_its_own_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    done = run(
        "import os, sys\n"
        "from undercroft.logging import logger, setup_logging\n"
        f"setup_logging(format='json', file={str(path)!r})\n"
        "for n in range(2000): logger.info('parent', n=n)\n"
        "children = []\n"
        "for child in range(4):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        for n in range(200): logger.info('child', child=child, n=n)\n"
        "        sys.exit(0)\n"
        "    children.append(pid)\n"
        "for pid in children: assert os.waitpid(pid, 0)[1] == 0\n"
        "logger.info('parent', n=2000)\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["n"] for line in lines if line["message"] == "parent"] == list(range(2001))
    for child in range(4):
        assert [line["n"] for line in lines if line.get("child") == child] == list(range(200))


@pytest.mark.parametrize("buffer", [0, 20])
def test_a_fork_while_other_threads_log_leaves_a_child_that_can(buffer: int, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    done = run(
        "import os, sys, threading\n"
        "from undercroft.logging import logger, setup_logging\n"
        f"setup_logging(format='json', file={str(path)!r}, buffer={buffer}, count=lambda word: None)\n"
        "stop = threading.Event()\n"
        "def busy():\n"
        "    while not stop.is_set(): logger.info('busy')\n"
        "threads = [threading.Thread(target=busy) for _ in range(3)]\n"
        "for thread in threads: thread.start()\n"
        "for child in range(50):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        logger.info('child', child=child)\n"
        "        logger.critical('flushed')\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "stop.set()\n"
        "for thread in threads: thread.join()\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["child"] for line in lines if line["message"] == "child"] == list(range(50))


def _log_in_a_child(number: int) -> None:
    for n in range(100):
        logger.info("x", child=number, n=n)


def test_a_child_of_multiprocessing_writes_what_it_had(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with setup_logging(format="json", file=path, uncaught=False):
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=_log_in_a_child, args=(number,)) for number in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join(DEADLINE_S)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert Counter(line["child"] for line in lines) == {0: 100, 1: 100, 2: 100}


def test_a_signals_handler_may_log_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    heard = 0

    def hear(number: int, frame: object) -> None:
        nonlocal heard
        heard += 1
        logger.warning("signal")

    before = signal.signal(signal.SIGALRM, hear)
    try:
        with setup_logging(format="json", file=path, buffer=100_000, uncaught=False):
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                logger.info("x")
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    lines = [json.loads(line)["message"] for line in path.read_text().splitlines()]
    assert heard > 10
    assert lines.count("signal") == heard


def test_a_finalizer_may_log(tmp_path: Path) -> None:
    class Loud:
        def __init__(self) -> None:
            self.around = self

        def __del__(self) -> None:
            logger.info("gone")

    path = tmp_path / "a.log"
    with setup_logging(format="json", file=path, uncaught=False):
        for _ in range(100):
            Loud()
        gc.collect()
    assert len(path.read_text().splitlines()) == 100


def test_also_gets_each_line_that_was_written_as_an_object_in_the_writers_thread(tmp_path: Path) -> None:
    got: list[tuple[str, dict[str, Any]]] = []
    path = tmp_path / "a.log"
    with setup_logging(
        format="text", file=path, also=lambda line: got.append((threading.current_thread().name, dict(line)))
    ):
        logger.info("x", password="hunter2", text="\ud800")
        logging.getLogger("theirs").warning("y")
    assert [thread for thread, _ in got] == ["undercroft-log-writer"] * 2
    assert [line["message"] for _, line in got] == ["x", "y"]
    assert (got[0][1]["password"], got[0][1]["text"], got[0][1]["level"]) == ("***", "\\ud800", "info")


@pytest.mark.parametrize("buffer", [0, 10])
def test_a_failing_callback_is_counted_and_the_line_is_written(buffer: int, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(given: object) -> None:
        raise RuntimeError("no")

    stream = io.StringIO()
    setup = setup_logging(format="json", stream=stream, buffer=buffer, also=fail, count=fail, uncaught=False)
    logger.info("x")
    logger.info("y")
    setup.close()
    assert (setup.written_count, setup.failed_count) == (2, 4)
    assert capsys.readouterr().err.count("RuntimeError: no") == 1


@pytest.mark.parametrize("buffer", [0, 10])
def test_a_callback_that_logs_makes_no_endless_lines(buffer: int) -> None:
    stream = io.StringIO()
    words: Counter[str] = Counter()
    setup = setup_logging(
        format="json",
        stream=stream,
        buffer=buffer,
        also=lambda line: logger.info("again"),
        count=lambda word: words.update([word]),
        uncaught=False,
    )
    logger.info("x")
    assert setup.flush()
    assert (words["info"], setup.dropped_count) == (1, 1)
    setup.close()


async def test_every_line_is_counted_by_its_level_or_as_dropped(gate: Gate) -> None:
    words: Counter[str] = Counter()
    setup = held_up(gate, buffer=10, count=lambda word: words.update([word]))
    for _ in range(15):
        logger.info("x")
    Logger().error("y")
    gate.open.set()
    setup.close()
    assert words == {"info": 11, "error": 1, "dropped": 5}


def test_the_writers_thread_survives_a_writer_that_raises(capsys: pytest.CaptureFixture[str]) -> None:
    written: list[str] = []
    dropped: list[None] = []

    def write(entries: Sequence[Entry]) -> None:
        if entries[0].message == "bad":
            raise RuntimeError("no")
        written.extend(entry.message for entry in entries)

    buffer = EntryBuffer(write, size=10, drop=lambda: dropped.append(None))
    for message in ("bad", "good"):
        buffer.put(our_entry(logging.INFO, "info", message))
        assert buffer.flush(DEADLINE_S)
    assert buffer.close(DEADLINE_S)
    buffer.join(DEADLINE_S)
    assert (written, len(dropped)) == (["good"], 1)
    assert "RuntimeError: no" in capsys.readouterr().err


def test_the_buffer_is_bounded_in_memory_too(gate: Gate) -> None:
    setup = held_up(gate, buffer=1_000)
    huge = "x" * 1_000_000
    for _ in range(50):
        logger.info(huge, value=huge, nested=[huge])
    del huge
    gate.open.set()
    setup.close()
    assert len(gate.getvalue()) < 50 * 30_000
