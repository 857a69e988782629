"""What is said when a package is not installed, and what importing the module costs nobody."""

from __future__ import annotations

import subprocess
import sys

import pytest

from undercroft._core.errors import MissingExtraError
from undercroft.email import Url, _markdown, open_transport, parse_template, render_template


@pytest.mark.parametrize(
    ("package", "url", "pip"),
    [
        ("aiosmtplib", "smtp://mail.example.com", "undercroft[smtp]"),
        ("httpx2", "resend://:key@api.resend.com", "undercroft[resend]"),
    ],
)
def test_missing_package_of_a_transport_names_the_pip_line(
    package: str, url: str, pip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtraError) as error:
        open_transport(Url.parse(url), what="UNDERCROFT_EMAIL")

    assert pip in str(error.value)


@pytest.mark.parametrize("package", ["markdown_it", "linkify_it"])
def test_missing_markdown_names_the_pip_line(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    _markdown._parser.cache_clear()

    with pytest.raises(MissingExtraError, match=r"undercroft\[email\]"):
        render_template(parse_template("x"), {})


def test_import_loads_no_client_no_markdown_and_no_mail_library() -> None:
    code = "import sys, undercroft.email; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-Ic", code], capture_output=True, text=True, check=True).stdout.split()
    )

    assert (
        loaded & {"aiosmtplib", "httpx2", "markdown_it", "linkify_it", "email", "ssl", "undercroft.email.inbox"}
        == set()
    )
