"""The page of errors is the errors' own words, and codes are never used twice."""

from collections import Counter

from tests.workshop.errors_page import PAGE, all_errors, expected


def test_page_lists_every_error_as_it_is() -> None:
    assert PAGE.read_text(encoding="utf-8") == expected(), "run: python -m tests.workshop.errors_page"


def test_codes_are_unique() -> None:
    assert [code for code, count in Counter(error.code for error in all_errors()).items() if count > 1] == []


def test_every_code_is_two_letters_and_four_digits() -> None:
    assert all(error.code[:2] == "UC" and error.code[2:].isdecimal() and len(error.code) == 6 for error in all_errors())


def test_every_error_says_what_it_means() -> None:
    assert [error.__name__ for error in all_errors() if not vars(error).get("__doc__")] == []
