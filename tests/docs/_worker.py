"""The process in which a page's Python blocks run: `python _worker.py COMMANDS_FD ANSWERS_FD`.

It reads one JSON object per line, `{"file": …, "line": …, "text": …}`, runs it, and answers with one,
`{"error": null}` or `{"error": "the traceback", "line": 42}`, until there are no more. All blocks share one namespace
(the module `__main__`), one event loop and one context. Between blocks the loop goes on, for the page's own tasks.

A block that calls `asyncio.run` or `anyio.run` itself runs outside of the loop, which Python would refuse inside.
"""

from __future__ import annotations
import __future__

import ast
import asyncio
import builtins
import contextvars
import faulthandler
import inspect
import json
import sys
import traceback
import types
from typing import Any, BinaryIO

_FUTURES = [getattr(__future__, name).compiler_flag for name in __future__.all_feature_names]


class Page:
    """The state that the blocks share."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._context = contextvars.copy_context()
        self._flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._module = types.ModuleType("__main__")
        self._module.__dict__["__builtins__"] = builtins
        # Where dataclasses, msgspec and typing look names of annotations up.
        sys.modules["__main__"] = self._module

    def run(self, file: str, line: int, text: str) -> None:
        source = "\n" * (line - 1) + text  # so that every line has the number it has on the page
        tree = compile(source, file, "exec", self._flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        code = compile(tree, file, "exec", self._flags, dont_inherit=True)
        for flag in _FUTURES:
            self._flags |= code.co_flags & flag  # `from __future__ import …` holds for the rest of the page
        function = types.FunctionType(code, self._module.__dict__)
        if _runs_a_loop(tree) and not code.co_flags & inspect.CO_COROUTINE:
            self._context.run(function)
        else:
            self._runner.run(_in_loop(function), context=self._context)


async def _in_loop(function: types.FunctionType) -> None:
    result = function()
    if inspect.iscoroutine(result):
        await result


def _runs_a_loop(tree: ast.AST) -> bool:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(ast.unparse(function) in {"asyncio.run", "anyio.run"} for function in calls)


def _answer(page: Page, block: dict[str, Any]) -> dict[str, object]:
    try:
        page.run(**block)
    except BaseException as exc:
        return _described(exc, block["file"], block["line"])
    return {"error": None}


def _described(exc: BaseException, file: str, line: int) -> dict[str, object]:
    place = exc.__traceback__
    while place is not None and place.tb_frame.f_code.co_filename != file:
        place = place.tb_next
    if place is not None:
        line = place.tb_lineno
    elif isinstance(exc, SyntaxError) and exc.filename == file:
        line = exc.lineno or line
    return {"error": "".join(traceback.format_exception(exc.with_traceback(place))), "line": line}


async def _next_line(commands: BinaryIO) -> bytes:
    return await asyncio.get_running_loop().run_in_executor(None, commands.readline)


def main(commands_fd: int, answers_fd: int) -> None:
    faulthandler.enable()  # SIGABRT shows where a block hangs
    sys.path[0] = ""  # the page's directory, as in a session at the prompt
    sys.argv[:] = [""]
    with (
        open(commands_fd, "rb") as commands,
        open(answers_fd, "w", encoding="utf-8") as answers,
        asyncio.Runner() as runner,
    ):
        page = Page(runner)
        while line := runner.run(_next_line(commands)):
            answers.write(json.dumps(_answer(page, json.loads(line))) + "\n")
            answers.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
