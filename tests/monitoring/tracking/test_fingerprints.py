"""Which errors are the same one, across messages, edits, directories, recursion and task groups."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.tracking._raising import PAY, raised
from undercroft.monitoring import fingerprint_of, similarity

DEADLINE_S = 30


def caught(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except Exception as exc:
        return exc
    raise AssertionError("nothing was raised")


def test_message_makes_no_difference() -> None:
    assert fingerprint_of(raised(call="charge(1)")) == fingerprint_of(raised(call="charge('another order')"))


def test_line_number_makes_no_difference() -> None:
    assert fingerprint_of(raised(PAY)) == fingerprint_of(raised(f"# edited\n\n\n{PAY}"))


def test_directory_makes_no_difference() -> None:
    assert fingerprint_of(raised(file="/srv/a/shop/pay.py")) == fingerprint_of(raised(file="C:\\shop\\pay.py"))


def test_another_type_is_another_error() -> None:
    assert fingerprint_of(raised(PAY)) != fingerprint_of(raised(PAY.replace("KeyError", "ValueError")))


def test_another_function_is_another_error() -> None:
    other = raised(PAY.replace("charge", "refund"), "refund(1)")
    assert fingerprint_of(raised(PAY)) != fingerprint_of(other)


def test_function_of_the_same_name_elsewhere_is_another_error() -> None:
    assert fingerprint_of(raised(module="shop.pay")) != fingerprint_of(raised(module="shop.returns"))


def test_depth_of_a_recursion_makes_no_difference() -> None:
    source = "def walk(n):\n    if n == 0:\n        raise KeyError(n)\n    walk(n - 1)\n"
    assert fingerprint_of(raised(source, "walk(1)")) == fingerprint_of(raised(source, "walk(300)"))


def test_lambdas_of_different_functions_are_told_apart() -> None:
    first = raised("def total():\n    return (lambda: 1 / 0)()\n", "total()")
    second = raised("def average():\n    return (lambda: 1 / 0)()\n", "average()")
    assert fingerprint_of(first) != fingerprint_of(second)


def test_exceptions_that_were_never_raised_do_not_share_one_fingerprint() -> None:
    fingerprints = {fingerprint_of(KeyError()), fingerprint_of(ValueError()), fingerprint_of(raised())}
    assert len(fingerprints) == 3
    assert not any(fingerprint == hashlib.sha256(b"").hexdigest()[:32] for fingerprint in fingerprints)


def test_frames_of_libraries_make_no_difference() -> None:
    source = "import json\ndef load(text):\n    return json.loads(text)\n"
    deep = raised(source, "load('[1,')")
    shallow = raised(source, "load('')")
    assert len(_frames(deep)) > 3
    assert fingerprint_of(deep) == fingerprint_of(shallow)


def test_packages_that_are_named_are_the_application_wherever_they_are_installed() -> None:
    installed = "/usr/lib/python3/site-packages/shop/pay.py"
    source = f"{PAY}\ndef other(order):\n    charge(order)\n"
    straight = raised(source, "charge(1)", file=installed)
    around = raised(source, "other(1)", file=installed)
    assert fingerprint_of(straight, in_app=["shop"]) != fingerprint_of(around, in_app=["shop"])
    assert fingerprint_of(straight, in_app=["shop.pay"]) == fingerprint_of(raised(), in_app="shop.pay")


def test_program_started_by_its_module_is_that_module(tmp_path: Path) -> None:
    (tmp_path / "shop_worker.py").write_text(
        "from undercroft.monitoring import fingerprint_of\n"
        "def work():\n    raise KeyError(1)\n"
        "def main():\n    try:\n        work()\n    except KeyError as exc:\n        print(fingerprint_of(exc))\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    as_program = _run(tmp_path, "-m", "shop_worker")
    as_module = _run(tmp_path, "-c", "import shop_worker; shop_worker.main()")
    assert as_program == as_module != ""


def test_group_of_one_is_the_error_itself() -> None:
    lonely = raised()
    assert fingerprint_of(ExceptionGroup("wrapped", [lonely])) == fingerprint_of(lonely)


@pytest.mark.anyio
async def test_error_inside_a_task_group_is_the_same_error() -> None:
    async def work() -> None:
        raise KeyError("inside")

    found: list[BaseException] = []
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(work)
    except* KeyError as exc:
        found.append(exc)
    assert fingerprint_of(found[0]) == fingerprint_of(found[0].exceptions[0])  # type: ignore[attr-defined]


def test_group_of_several_is_told_by_all_of_them_in_any_order() -> None:
    key, value = raised(), raised(PAY.replace("KeyError", "ValueError"))
    both = fingerprint_of(ExceptionGroup("a", [key, value]))
    assert both == fingerprint_of(ExceptionGroup("b", [value, key]))
    assert both not in {fingerprint_of(key), fingerprint_of(value)}


@given(st.lists(st.text(), max_size=3), st.sampled_from([KeyError, ValueError, OSError, RuntimeError]))
def test_fingerprint_is_32_hex_digits_and_depends_on_no_word(words: list[str], kind: type[Exception]) -> None:
    def fail() -> None:
        raise kind(*words)

    fingerprint = fingerprint_of(caught(fail))
    assert re.fullmatch("[0-9a-f]{32}", fingerprint)
    words.append("another")
    assert fingerprint_of(caught(fail)) == fingerprint


CHAIN = "def a(): raise KeyError\ndef b(): a()\ndef c(): b()\ndef d(): b()\ndef e(): raise ValueError\n"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("c()", "c()", 1.0), ("c()", "d()", 8 / 10), ("a()", "e()", 2 / 6)],
)
def test_similarity_is_the_share_of_what_both_have(first: str, second: str, expected: float) -> None:
    packages = ["shop"]  # so that this file's own frames do not count: type, functions and the module's top
    found = similarity(raised(CHAIN, first), raised(CHAIN, second), in_app=packages)
    assert found == pytest.approx(expected)


def test_errors_with_nothing_in_common_are_not_alike() -> None:
    assert similarity(KeyError(), ValueError()) == 0.0


CALLS = st.sampled_from(["a()", "b()", "c()", "d()", "e()"])


@given(CALLS, CALLS)
def test_similarity_is_symmetric_and_whole_for_the_same_error(first: str, second: str) -> None:
    one, other = raised(CHAIN, first), raised(CHAIN, second)
    assert similarity(one, other) == similarity(other, one)
    assert 0 <= similarity(one, other) <= 1
    assert (similarity(one, other) == 1) is (fingerprint_of(one) == fingerprint_of(other))


def _frames(exc: BaseException) -> list[object]:
    frames, traceback = [], exc.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def _run(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=directory, capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    return done.stdout.strip()
