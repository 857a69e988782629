"""URL schemes and the transports behind them."""

from __future__ import annotations

from typing import cast

from undercroft._core.extras import Schemes
from undercroft._core.url import Url
from undercroft.email._protocol import Transport

SCHEMES = Schemes(
    "email",
    {
        "inbox": "undercroft.email.inbox:InboxTransport",
        "smtp": "undercroft.email.smtp:SmtpTransport",
        "smtp+tls": "undercroft.email.smtp:SmtpTransport",
        "resend": "undercroft.email.resend:ResendTransport",
    },
)


def open_transport(url: Url, *, what: str) -> Transport:
    """Make the transport for `url`. No I/O: it connects when it is entered, by `Email` or by `async with`.

    Args:
        url: `inbox:///var/mail`, `smtp://user:password@host`, `smtp+tls://…`, `resend://:KEY@api.resend.com`.
        what: The setting the URL came from; named in errors.

    Raises:
        ConfigError: No backend for this scheme, or the URL lacks something or has an unknown option.
        MissingExtraError: The backend's package is not installed.
    """
    return cast("Transport", SCHEMES.load(url, what=what).from_url(url, what=what))
