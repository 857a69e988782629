"""The page on metrics lists every metric that undercroft counts by itself, and only these."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
DECLARED = re.compile(r'(?:Counter|Gauge|Histogram|Reading|increment)\(\s*"((?:undercroft|http_server)_[a-z_]+)"')
NAMED = re.compile(r'^[A-Z_]+(?:: Final)? = "(undercroft_[a-z_]+_total)"', re.MULTILINE)
LISTED = re.compile(r"`((?:undercroft|http_server)_[a-z_]+)`")


def in_the_source() -> set[str]:
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / "src" / "undercroft").rglob("*.py")]
    return {name for text in texts for name in (*DECLARED.findall(text), *NAMED.findall(text))}


def on_the_page() -> set[str]:
    table = PAGE.read_text(encoding="utf-8").partition("## What undercroft counts")[2].partition("\n## ")[0]
    return set(LISTED.findall(table))


def test_every_metric_is_on_the_page() -> None:
    assert in_the_source() - on_the_page() == set()


def test_the_page_has_no_metric_that_there_is_not() -> None:
    assert on_the_page() - in_the_source() == set()
