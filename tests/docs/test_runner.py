"""The runner itself: what it runs, and that it fails where a page is wrong, with the right line."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.docs import _make, _shell
from tests.docs._blocks import PageError, blocks_of
from tests.docs._expect import matches
from tests.docs._page import run_page


class Runner:
    """Runs a page given as text; `¬` stands for a fence of three backticks."""

    def __init__(self, tmp_path: Path) -> None:
        self.page = tmp_path / "guide.md"
        self.base = tmp_path / "base"
        self.directory = self.base / "page"

    def write(self, text: str) -> Path:
        self.page.write_text(text.replace("¬", "```"), encoding="utf-8")
        return self.page

    def run(self, text: str) -> None:
        self.base.mkdir()
        run_page(self.write(text), self.base)

    def fails_at(self, line: int, text: str) -> str:
        with pytest.raises(PageError) as caught:
            self.run(text)
        assert caught.value.line == line, str(caught.value)
        assert f"guide.md:{line}: " in str(caught.value)
        return str(caught.value)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


# Finding blocks


def test_blocks_have_their_lines_titles_and_text_without_indentation(runner: Runner) -> None:
    page = runner.write(
        '# Title\n\n1. A list\n\n    ¬python title="a b.py" hl_lines="1"\n    x = 1\n\n      y\n    ¬\n'
    )
    (block,) = blocks_of(page)
    assert (block.language, block.title, block.line) == ("python", "a b.py", 6)
    assert block.text == "x = 1\n\n  y\n"


def test_longer_fence_holds_shorter_ones(runner: Runner) -> None:
    (block,) = blocks_of(runner.write("````markdown\n¬python\n1/0\n¬\n````\n"))
    assert block.text == "```python\n1/0\n```\n"


@pytest.mark.parametrize("language", ["js", "bash", "", "{.python}"])
def test_unknown_language_is_an_error(runner: Runner, language: str) -> None:
    problem = runner.fails_at(3, f"¬text\n¬\n¬{language}\nx\n¬\n")
    assert "a block's language is one of console, env, json, markdown, python, sh" in problem


def test_any_language_is_fine_for_a_file(runner: Runner) -> None:
    runner.run('¬js title="static/app.js"\nalert(1)\n¬\n')
    assert (runner.directory / "static/app.js").read_text() == "alert(1)\n"


def test_open_fence_is_an_error(runner: Runner) -> None:
    assert "never closed" in runner.fails_at(2, "text\n¬python\nx = 1\n")


@pytest.mark.parametrize("title", ["/etc/passwd", "../x", "a/../../x", ""])
def test_title_outside_the_directory_is_an_error(runner: Runner, title: str) -> None:
    assert "not a path inside" in runner.fails_at(1, f'¬text title="{title}"\nx\n¬\n')


# Python


def test_python_blocks_share_namespace_loop_and_context(runner: Runner) -> None:
    runner.run(
        """
¬python
from __future__ import annotations
import asyncio, contextvars
name = contextvars.ContextVar("name")
name.set("kept")
loop = asyncio.get_running_loop()
await asyncio.sleep(0)
¬
¬python
async def read() -> Undefined: return name.get()
assert await read() == "kept"
assert name.get() == "kept"
assert loop is asyncio.get_running_loop()
assert __name__ == "__main__"
¬
"""
    )


def test_python_block_may_run_a_loop_of_its_own(runner: Runner) -> None:
    runner.run(
        """
¬python
import asyncio
async def main():
    await asyncio.sleep(0)
    return 5
¬
¬python
result = asyncio.run(main())
¬
¬python
assert result == 5
assert await main() == 5
¬
"""
    )


def test_tasks_go_on_between_blocks(runner: Runner) -> None:
    runner.run(
        """
¬python
import asyncio, pathlib
async def serve():
    await asyncio.sleep(0.05)
    pathlib.Path("served").touch()
task = asyncio.create_task(serve())
¬
¬sh
for i in $(seq 100); do [ -e served ] && exit 0; sleep 0.05; done
exit 1
¬
¬python
await task
¬
"""
    )


def test_annotations_resolve_across_blocks(runner: Runner) -> None:
    runner.run(
        """
¬python
from __future__ import annotations
from dataclasses import dataclass
from typing import get_type_hints
@dataclass
class A: ...
¬
¬python
@dataclass
class B:
    a: A
assert get_type_hints(B) == {"a": A}
¬
"""
    )


def test_python_imports_files_of_the_page(runner: Runner) -> None:
    runner.run('¬python title="shop/jobs.py"\nname = "jobs"\n¬\n¬python\nfrom shop import jobs\nassert jobs.name\n¬\n')


def test_python_error_has_its_line_and_its_source(runner: Runner) -> None:
    problem = runner.fails_at(7, "¬python\ndef f():\n    return 1 / 0\n¬\ntext\n¬python\nf()  # here\n¬\n")
    assert "ZeroDivisionError" in problem
    assert re.search(r'guide\.md", line 7.*\n\s+f\(\)  # here', problem)
    assert re.search(r'guide\.md", line 3.*\n\s+return 1 / 0', problem)
    assert "_worker.py" not in problem


def test_python_error_after_an_await_has_its_line(runner: Runner) -> None:
    runner.fails_at(4, "¬python\nimport asyncio\nawait asyncio.sleep(0)\nassert False\n¬\n")


def test_syntax_error_has_its_line(runner: Runner) -> None:
    assert "SyntaxError" in runner.fails_at(3, "¬python\nx = 1\nx = = 2\n¬\n")


def test_exit_is_an_error(runner: Runner) -> None:
    assert "SystemExit" in runner.fails_at(2, "¬python\nraise SystemExit(0)\n¬\n")


def test_end_of_the_process_is_an_error(runner: Runner) -> None:
    assert "ended with 9" in runner.fails_at(2, "¬python\nimport os; os._exit(9)\n¬\n")


def test_print_is_shown_with_the_error(runner: Runner) -> None:
    assert "printed:\nhello" in runner.fails_at(3, "¬python\nprint('hello')\nassert False\n¬\n")


def test_forgotten_await_is_an_error(runner: Runner) -> None:
    assert "was never awaited" in runner.fails_at(2, "¬python\nasync def f(): ...\nf()\n¬\n")


def test_hanging_python_block_shows_where(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs._workplace.PAGE_S", 2.0)
    problem = runner.fails_at(2, "¬python\nimport time\ntime.sleep(99)\n¬\n")
    assert "did not end in time" in problem
    assert 'guide.md", line 3' in problem


# Shell


def test_sh_runs_in_the_page_directory_after_the_files_before_it(runner: Runner) -> None:
    runner.run('¬text title="a.txt"\nhello\n¬\n¬sh\n# a comment\nif true; then\n  cat a.txt >b.txt\nfi\n¬\n')
    assert (runner.directory / "b.txt").read_text() == "hello\n"


def test_sh_uses_the_environment_of_the_tests(runner: Runner) -> None:
    runner.run(
        '¬sh\npython -c "import pytest, os; assert not os.environ.get(\'REDIS_URL\')"\ntest "$HOME" != /root\n¬\n'
    )


@pytest.mark.parametrize("failing", ["false", "false | cat", "echo $undefined_name", "(exit 3)"])
def test_failing_sh_line_is_named(runner: Runner, failing: str) -> None:
    unbound = "undefined" in failing  # bash itself says the line of this one
    problem = runner.fails_at(2 if unbound else 3, f"¬sh\ntrue\n{failing}\ntrue\n¬\n")
    assert "ended with" in problem


def test_console_output_must_match(runner: Runner) -> None:
    runner.run(
        """
¬console
$ printf 'one\\ntwo\\n\\nthree 42 ms\\n'
one
...
three … ms
$ echo wrong >&2
wrong
$ echo free
$ echo a \\
> b
a b
¬
"""
    )


def test_console_output_that_differs_is_an_error_at_its_command(runner: Runner) -> None:
    problem = runner.fails_at(4, "¬console\n$ echo one\none\n$ echo two; echo\nthree\n¬\n")
    assert "-three" in problem
    assert "+two" in problem


def test_failing_console_command_is_named(runner: Runner) -> None:
    problem = runner.fails_at(4, "¬console\n$ echo one\none\n$ echo oh no; exit 7\n$ echo never\n¬\n")
    assert "ended with 7" in problem
    assert "oh no" in problem
    assert "never" not in problem


def test_console_commands_share_a_shell(runner: Runner) -> None:
    runner.run("¬console\n$ mkdir d && cd d\n$ X=5\n$ echo $X $(basename $PWD)\n5 d\n¬\n")


def test_console_without_a_command_is_an_error(runner: Runner) -> None:
    runner.fails_at(2, "¬console\nhello\n$ true\n¬\n")


def test_background_command_runs_until_the_end_of_the_page(runner: Runner) -> None:
    runner.run(
        """
¬console
$ python -c "import os, time; print('pid', os.getpid()); print('ready'); print('more'); time.sleep(60)" >pid.txt &
¬
¬console
$ python -c "import time; time.sleep(0.1); print('ready 1'); print('later'); time.sleep(60)" &
ready …
$ echo after
after
¬
"""
    )
    assert _ends(int((runner.directory / "pid.txt").read_text().split()[1]))


def test_background_command_is_ended_when_the_page_fails(runner: Runner) -> None:
    runner.fails_at(5, "¬console\n$ bash -c 'echo $$ >pid; echo up; exec sleep 60' &\nup\n$ true\n$ false\n¬\n")
    assert _ends(int((runner.directory / "pid").read_text()))


def test_background_command_that_does_not_print_is_an_error(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shell, "_READY_S", 0.5)
    assert "did not print this in time" in runner.fails_at(2, "¬console\n$ sleep 60 &\nready\n¬\n")


def test_background_command_that_fails_is_an_error(runner: Runner) -> None:
    problem = runner.fails_at(2, "¬console\n$ bash -c 'echo broken; exit 3' &\nbroken\n$ sleep 0.3\n¬\n")
    assert "ended with 3 before the end of the page" in problem


def test_background_command_in_sh_is_an_error(runner: Runner) -> None:
    assert "needs a console block" in runner.fails_at(3, "¬sh\ntrue\nsleep 60 &\n¬\n")


def test_first_error_of_a_page_wins(runner: Runner) -> None:
    with pytest.raises(PageError) as caught:
        runner.run("¬python\nasync def f(): ...\nf()\n1 / 0\n¬\n")
    assert caught.value.line == 4
    assert "was never awaited" in caught.value.__notes__[0]


# make and pip


MAKEFILE = """
demo:
\t@exec python -u demo.py $(ARGS)
hello:
\t@pwd; echo $(ARGS) $(MAKELEVEL)
test check:
\t@false
"""
DEMO = """
import sys, time
if "--once" in sys.argv:
    sys.exit("once")
print("open http://127.0.0.1:4242/ in a browser")
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("bye")
    sys.exit(int(sys.argv[1]) if sys.argv[1:] else 0)
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "Makefile").write_text(MAKEFILE)
    (root / "demo.py").write_text(DEMO)
    monkeypatch.setattr(_make, "ROOT", root)
    monkeypatch.setattr(_make, "UNDER_MAKE_TEST", False)
    return root


def test_make_runs_in_the_root(runner: Runner, repository: Path) -> None:
    runner.run(f"¬console\n$ make hello ARGS='a b'\n{repository}\na b 0\n$ pwd\n…/page\n¬\n")


def test_failing_make_is_an_error(runner: Runner, repository: Path) -> None:
    assert "No rule to make target" in runner.fails_at(3, "¬sh\ntrue\nmake nothing\n¬\n")


def test_make_demo_is_interrupted_and_must_end_in_order(runner: Runner, repository: Path) -> None:
    began = time.monotonic()
    runner.run("¬console\n$ make demo\nopen http://127.0.0.1:…\nbye\n¬\n")
    assert time.monotonic() - began < 30


def test_make_demo_that_fails_on_interrupt_is_an_error(runner: Runner, repository: Path) -> None:
    assert "on SIGINT" in runner.fails_at(2, "¬sh\nmake demo ARGS=5\n¬\n")


def test_make_demo_once_is_only_run(runner: Runner, repository: Path) -> None:
    assert "once" in runner.fails_at(2, "¬sh\nmake demo ARGS=--once\n¬\n")


def test_make_test_is_not_run_again(runner: Runner, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner.run("¬sh\nmake test ARGS='-k x'\nmake check\n¬\n")
    (repository / "Makefile").write_text("")
    monkeypatch.setattr(_make, "UNDER_MAKE_TEST", True)
    runner.base = runner.base.with_name("again")
    runner.run("¬sh\nmake test\n¬\n")


def test_looked_up_target_must_exist(runner: Runner, repository: Path) -> None:
    assert "make has no such command" in runner.fails_at(2, "¬sh\nmake bench\n¬\n")


def test_output_of_a_looked_up_command_is_an_error(runner: Runner, repository: Path) -> None:
    assert "cannot be checked" in runner.fails_at(2, "¬console\n$ make check\nAll checks passed!\n¬\n")


def test_pip_lines_are_looked_up(runner: Runner) -> None:
    runner.run("¬sh\npip install undercroft\npip install -q 'undercroft[cli,email]' pytest  # both\n¬\n")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("pip install 'undercroft[cli,emial]'", "no extra emial; it has all, "),
        ("python -m pip install not-a-package-of-ours", "not installed here"),
        ("pip install =", "not a requirement"),
    ],
)
def test_wrong_pip_line_is_an_error(runner: Runner, line: str, problem: str) -> None:
    assert problem in runner.fails_at(2, f"¬console\n$ {line}\n¬\n")


# Matching


@pytest.mark.parametrize(
    ("expected", "actual", "is_match"),
    [
        (["a", "...", "b"], "a\nb\n", True),
        (["a", "...", "b"], "a\n1\n2\nb\n", True),
        (["a", "...", "b"], "a\n1\nc\n", False),
        (["..."], "", True),
        (["a…c"], "abbc", True),
        (["a…c"], "a\nc", False),
        (["a.c"], "abc", False),
        (["a", ""], "\na  \n\n", True),
        (["a"], "a\nb", False),
    ],
)
def test_matching(expected: list[str], actual: str, is_match: bool) -> None:
    assert matches(expected, actual) is is_match


def test_prefix_matches_while_more_follows() -> None:
    assert matches(["a"], "a\nb\n", is_prefix=True)
    assert not matches(["b"], "a\nb\n", is_prefix=True)


def _ends(pid: int) -> bool:
    """Tell whether a process that nobody waits for is gone, now or in a moment."""
    deadline = time.monotonic() + 5
    while (is_running := _is_running(pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else True
