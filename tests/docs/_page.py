"""Run one page, top to bottom."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.docs._blocks import PROSE, Block, PageError, blocks_of
from tests.docs._commands import How, Step, steps_of
from tests.docs._make import run_make
from tests.docs._pip import check_pip
from tests.docs._python import PythonPage
from tests.docs._shell import Background, run_script
from tests.docs._workplace import Workplace


def run_page(page: Path, base: Path) -> None:
    """Run every block of `page`, in the empty directory `base`.

    Raises:
        PageError: At the first thing that does not work, with its line.
    """
    blocks = blocks_of(page)  # first of all, so that a page with a mistake in it runs nothing
    steps = {block.line: steps_of(block) for block in blocks if _is_shell(block)}
    ending = ExitStack()
    run = _PageRun(Workplace(base), ending)
    try:
        for block in blocks:
            run.block(block, steps.get(block.line, []))
    except BaseException as first:
        try:
            ending.close()
        except PageError as later:
            first.add_note(str(later))  # often a consequence of the first
        raise
    ending.close()


def _is_shell(block: Block) -> bool:
    return block.title is None and block.language in ("sh", "console")


class _PageRun:
    def __init__(self, workplace: Workplace, ending: ExitStack) -> None:
        self._workplace = workplace
        self._ending = ending
        self._python: PythonPage | None = None

    def block(self, block: Block, steps: list[Step]) -> None:
        if block.title is not None:
            self._write(block, block.title)
        elif block.language == "python":
            self._python_page().run(block)
        elif block.language not in PROSE:
            for step in steps:
                self._step(step)

    def _write(self, block: Block, title: str) -> None:
        target = self._workplace.directory / title
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text, encoding="utf-8")

    def _python_page(self) -> PythonPage:
        if self._python is None:
            self._python = PythonPage(self._workplace)
            self._ending.callback(self._python.end)
        return self._python

    def _step(self, step: Step) -> None:
        if step.how is How.SCRIPT:
            run_script(step.commands, self._workplace)
            return
        for command in step.commands:
            if step.how is How.BACKGROUND:
                self._ending.callback(Background.begin(command, self._workplace).end)
            elif step.how is How.MAKE:
                run_make(command, self._workplace)
            else:
                check_pip(command)
