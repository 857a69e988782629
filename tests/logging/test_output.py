"""Which streams are written past their own buffer, and how lines are put together for a write."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undercroft.logging import logger, setup_logging
from undercroft.logging._output import _pieces, has_descriptor

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("alone")]


@given(lines=st.lists(st.binary(max_size=30), max_size=40), most=st.integers(1, 64))
def test_pieces_hold_every_line_whole_and_in_order(lines: list[bytes], most: int) -> None:
    ended = [line.replace(b"\n", b" ") + b"\n" for line in lines]
    pieces = list(_pieces(iter(ended), most))
    assert b"".join(piece for _, piece in pieces) == b"".join(ended)
    assert all(piece.count(b"\n") == count for count, piece in pieces)
    assert all(len(piece) <= most or count == 1 for count, piece in pieces)
    if pieces:
        assert len(pieces) <= 2 * sum(map(len, ended)) // most + 1  # two neighbours together are more than one


@settings(deadline=None, max_examples=30)
@given(
    levels=st.lists(st.sampled_from(["debug", "info", "warning", "error", "critical"]), max_size=60),
    size=st.integers(0, 8),
    rate=st.sampled_from([None, 0.0, 0.5, 1.0]),
)
async def test_every_line_is_written_dropped_or_left_out(levels: list[str], size: int, rate: float | None) -> None:
    from undercroft.logging import Sampling

    stream = io.StringIO()
    sampling = None if rate is None else Sampling(rate=rate)
    setup = setup_logging(level="debug", format="json", stream=stream, buffer=size, sampling=sampling, uncaught=False)
    for level in levels:
        getattr(logger, level)("x")
    setup.close()
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert sum(line["message"] == "x" for line in written) == setup.written_count
    assert setup.written_count + setup.dropped_count + setup.sampled_count == len(levels)
    assert sum(line.get("dropped", 0) for line in written) == setup.dropped_count


def test_a_file_is_written_past_its_buffer_with_or_without_one(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w", encoding="utf-8") as stream:
        assert has_descriptor(stream)
        unbuffered = io.TextIOWrapper(io.FileIO(stream.fileno(), "w", closefd=False), "utf-8")  # PYTHONUNBUFFERED=1
        assert has_descriptor(unbuffered)


def test_what_others_wrote_to_the_stream_comes_before(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("w", encoding="utf-8") as stream, setup_logging(format="json", stream=stream, uncaught=False):
        stream.write("before\n")
        logger.info("x")
    assert path.read_text().splitlines()[0] == "before"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_a_stream_with_a_byte_order_mark_writes_by_itself(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("w", encoding=encoding) as stream:
        assert not has_descriptor(stream)
        with setup_logging(format="json", stream=stream, buffer=10, uncaught=False):
            logger.info("Größe")
            logger.info("🦆")
    assert [json.loads(line)["message"] for line in path.read_text(encoding).splitlines()] == ["Größe", "🦆"]


def test_a_compressed_stream_writes_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        assert not has_descriptor(stream)  # type: ignore[arg-type]
        with setup_logging(format="json", stream=stream, buffer=10, uncaught=False):  # type: ignore[arg-type]
            logger.info("x")
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        assert json.loads(stream.read())["message"] == "x"


def test_a_descriptor_in_ascii_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("w", encoding="ascii") as stream, setup_logging(format="json", stream=stream, uncaught=False):
        logger.info("Größe 🦆")
    assert path.read_bytes().count(b"\\u00f6") == 1
    assert json.loads(path.read_text())["message"] == "Größe 🦆"


def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with open(writing, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        setup = setup_logging(format="json", stream=stream, uncaught=False)
        for _ in range(200):
            logger.info("x", padding="x" * 900)
        got = b""
        while got.count(b"\n") < 200:
            got += os.read(reading, 65_536)
        setup.close()
    os.close(reading)
    assert (setup.written_count, setup.dropped_count) == (200, 0)


@pytest.mark.parametrize("stream", [io.StringIO(), io.TextIOWrapper(io.BytesIO())], ids=["text", "bytes"])
def test_memory_has_no_descriptor(stream: Any) -> None:
    assert not has_descriptor(stream)


def test_a_closed_stream_has_no_descriptor(tmp_path: Path) -> None:
    stream: TextIO = (tmp_path / "a").open("w")
    stream.close()
    assert not has_descriptor(stream)
    assert not has_descriptor(sys.modules["io"])  # type: ignore[arg-type] # nor has what is no stream
