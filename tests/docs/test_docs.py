"""Every code block of README.md and of docs/ runs here. One test per page.

A page runs in an empty directory, with a home of its own, the virtual environment's commands first on PATH, and none
of the shell's settings (`REDIS_URL`, `UNDERCROFT_…`). Its blocks run in the order they are read:

- `python`: all blocks of a page run in one process, in one namespace, in one event loop; `await` works at top level,
  and state and context variables live on from block to block. (A block that calls `asyncio.run` or `anyio.run` itself
  runs outside that loop.) After the last block the loop is closed as `asyncio.run` does; a coroutine that was never
  awaited, or a task's error that nobody saw, fails the page.
- any language with `title="path"`: is written to that file, below the page's directory, and not run. Python blocks can
  import it, commands can use it.
- `sh`: every line is part of one script for `bash -euo pipefail`.
- `console`: lines that start with `$ ` are commands; those of one block are one script for `bash -euo pipefail`. The
  lines after a command are the output it must have, standard error included; a line `...` stands for any lines, `…`
  within a line for any text. A command without output lines may print anything.
- `console`, a command that ends in ` &`: runs until the end of the page, then gets SIGTERM and must end. With output
  lines, the page waits until they were printed, and more may follow; it starts a new script.
- `make …`, in both: runs in the root of the repository. `make demo` without `--once` is started, waited for until it
  prints an address (`http://127.0.0.1:…`), gets what Ctrl-C sends, and must then end with 0 within 30 seconds.
  `make test` is what runs this, so it is only looked up, and so are `check`, `bench` and `clean`.
- `pip install …`, `uv add …`, in both: is not run; undercroft's extras must exist, and other packages must be installed
  where the tests run.
- `text`, `json`, `env`, `toml`, `markdown`, `yaml`: are read by people only.

Any other language, and a block without one, is an error. A page has four minutes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs._blocks import PageError
from tests.docs._page import run_page
from tests.docs._workplace import PAGE_S, ROOT

PAGES = sorted(path for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")] if path.is_file())


@pytest.mark.timeout(PAGE_S + 120)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_works_as_it_is_written(page: Path, tmp_path: Path) -> None:
    problem = _problem_of(page, tmp_path)
    if problem is not None:
        pytest.fail(problem, pytrace=False)


def _problem_of(page: Path, base: Path) -> str | None:
    try:
        run_page(page, base)
    except PageError as exc:
        return "\n".join([str(exc), *getattr(exc, "__notes__", [])])
    return None
