"""The shop: a small web application as its author would write it, with one endpoint, one job and one email.

It can be served by any ASGI server: `uvicorn undercroft.demo.shop:app`, with `undercroft worker undercroft.demo.shop`
beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol, cast
from urllib.parse import parse_qsl

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from undercroft import Infra, current
from undercroft._core.codec import Schema
from undercroft.asgi import InfraMiddleware
from undercroft.demo._pages import home_page, mail_page
from undercroft.email import parse_address, send_email
from undercroft.queue import Backoff, current_job, job

SHOP = "the Corner Shop"


class Signup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a visitor sends."""

    name: str
    email: str
    drill: Literal["", "fail_twice", "hold"] = ""
    """For the demonstration: let the job of this sign-up fail twice, or hang until its worker is killed."""


@job("shop.welcome", retries=3, backoff=Backoff.exponential(0.1), timeout="30s")
async def welcome(name: str, email: str, drill: str = "") -> None:
    """Send the welcome mail."""
    run = current_job()
    if drill == "fail_twice" and run.attempt <= 2:
        raise ConnectionError("the mail relay refused the connection")
    if drill == "hold" and run.attempt == 1:
        await anyio.sleep_forever()
    # The key makes a second run of this job, after a crash, send nothing twice.
    data = {"name": name, "shop": SHOP, "account_url": "https://shop.example/account"}
    await send_email("welcome", to=email, data=data, idempotency_key=run.id)


async def sign_up(request: Request) -> Response:
    """Take a sign-up as JSON or as a form, and have the welcome mail sent."""
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    body = await request.body()
    given = dict(parse_qsl(body.decode())) if is_form else body
    signup = Schema(Signup).parse(given) if isinstance(given, dict) else Schema(Signup).decode(given)
    parse_address(signup.email, field="email")  # a 422 with the address's fault, now, rather than a failed job later
    handle = await welcome.enqueue(signup.name, signup.email, signup.drill)
    if is_form:
        return RedirectResponse("/", status_code=303)
    return JSONResponse({"job_id": handle.id}, status_code=202)


async def home(_: Request) -> Response:
    """Show the form, the queue and the inbox."""
    infra = current()
    return HTMLResponse(home_page(SHOP, await infra.queue.counts(), await inbox_of(infra).list_messages(20)))


async def mail(request: Request) -> Response:
    """Show one mail as its reader sees it."""
    message = await inbox_of(current()).get_message(request.path_params["id"])
    if message is None:
        return HTMLResponse("no such mail", status_code=404)
    return mail_page(message.html)


class InboxEntry(Protocol):
    """What the inbox tells about a mail."""

    id: str
    subject: str
    to: tuple[str, ...]
    request_id: str | None
    job_id: str | None


class InboxMessage(Protocol):
    """A mail, as the inbox gives it."""

    html: str


class Inbox(Protocol):
    """The mails that were sent; the demonstration always runs on the local inbox."""

    async def list_messages(self, limit: int = 50) -> tuple[InboxEntry, ...]: ...

    async def get_message(self, id_: str) -> InboxMessage | None: ...


def inbox_of(infra: Infra) -> Inbox:
    """Return the inbox that `infra` sends into."""
    return cast("Inbox", infra.email.transport)


infra = Infra(
    jobs=[welcome], email_from=f"{SHOP} <hello@shop.example>", email_templates=[Path(__file__).parent / "emails"]
)
routes = [Route("/", home), Route("/signups", sign_up, methods=["POST"]), Route("/mail/{id}", mail)]
app = InfraMiddleware(Starlette(routes=routes), infra)
