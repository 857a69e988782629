"""The shop's two pages. Everything that visitors typed is escaped; a mail is shown in a sandbox."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import HTMLResponse

from undercroft.queue import Counts

if TYPE_CHECKING:
    from undercroft.demo.shop import InboxEntry

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem .3rem 0 }
input, button { font: inherit; padding: .3rem .6rem } code { color: #55606e }
"""


def home_page(shop: str, counts: Counts, mails: Iterable[InboxEntry]) -> str:
    """Return the page with the form, the queue and the inbox."""
    states = (
        " · ".join(f"{count} {state}" for state, count in msgspec.structs.asdict(counts).items() if count) or "empty"
    )
    rows = "".join(
        f'<tr><td><a href="/mail/{escape(mail.id)}">{escape(mail.subject)}</a></td>'
        f"<td>{escape(', '.join(mail.to))}</td><td><code>{escape(mail.request_id or '')}</code></td></tr>"
        for mail in mails
    )
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(shop)}</title><style>{_STYLE}</style>
<h1>{escape(shop)}</h1>
<form method="post" action="/signups">
  <input name="name" placeholder="Name" required> <input name="email" placeholder="Email" required>
  <button>Sign up</button>
</form>
<p>Jobs: {states} · <a href="/">reload</a> · <a href="/health">health</a></p>
<h2>Mails</h2>
<table><tr><th>Subject<th>To<th>Request</tr>{rows}</table>"""


def mail_page(html: str) -> HTMLResponse:
    """Return a mail's HTML, with nothing allowed to run or load."""
    policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    return HTMLResponse(html, headers={"content-security-policy": policy})
