"""What several of these tests have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.email._certificates import Certificate, make_certificate
from undercroft.email import Email
from undercroft.email.inbox import InboxTransport

WELCOME = """\
---
subject: Welcome to {{appName}}!
---

Hi {{name}},

Welcome to **{{appName}}**! We're excited to have you.

[Sign in to your account]({{loginUrl}})

Cheers,
The {{appName}} Team
"""
"""The template of the seeds, letter by letter."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the seeds' template in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "emails").mkdir()
    (tmp_path / "emails" / "welcome.md").write_text(WELCOME)
    return tmp_path


@pytest.fixture
def inbox(project: Path) -> InboxTransport:
    return InboxTransport(project / "inbox")


@pytest.fixture
async def email(inbox: InboxTransport) -> AsyncIterator[Email]:
    async with Email(inbox, from_="Shop <shop@example.com>") as email:
        yield email
