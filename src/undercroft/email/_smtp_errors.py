"""What aiosmtplib raises, in our words. Nothing of the driver leaves the SMTP transport."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from undercroft.email._errors import (
    BadAnswerError,
    EmailError,
    InsecureTransportError,
    SendRefusedError,
    TransportAuthError,
    TransportUnavailableError,
    shorten,
)

_NAME = "smtp"


@dataclass(slots=True)
class Progress:
    """How far one message got, so that an error can say whether it may have been sent."""

    is_handing_over: bool = False
    """The content is on its way; the server may have it."""
    is_done: bool = False

    @property
    def may_have_been_sent(self) -> bool:
        return self.is_handing_over and not self.is_done


def one_line(text: str, limit: int = 200) -> str:
    """Return a server's words fit for a message: printable ASCII, one line, not too long."""
    return shorten(re.sub(r"[^\x21-\x7e]+", " ", text).strip(), limit)


@contextmanager
def translated(driver: Any, host: str, port: int, progress: Progress) -> Iterator[None]:
    """Turn the errors of `driver` (the module aiosmtplib), of sockets and of deadlines into ours."""
    try:
        yield
    except EmailError:
        raise
    except driver.SMTPResponseException as exc:
        raise _from_reply(driver, exc, f"{host}:{port}", progress) from exc
    except (driver.SMTPException, OSError) as exc:  # OSError: sockets, TLS, and TimeoutError
        raise _from_connection(driver, exc, f"{host}:{port}", progress) from exc
    except UnicodeError as exc:
        raise BadAnswerError(
            f"{host}:{port} sent what is not SMTP", transport=_NAME, may_have_been_sent=progress.may_have_been_sent
        ) from exc


def _from_reply(driver: Any, exc: Any, server: str, progress: Progress) -> EmailError:
    code, words = int(exc.code), one_line(str(exc.message))
    if 400 <= code < 500:
        return TransportUnavailableError(f"{server} said to try later: {code} {words}", transport=_NAME, status=code)
    if isinstance(exc, driver.SMTPAuthenticationError) and code >= 500:
        # The server's words are left out: some repeat what they were sent.
        return TransportAuthError(
            f"{server} does not accept the user and password ({code})",
            transport=_NAME,
            status=code,
            hint="check the user and password in SMTP_URL; special characters must be percent-encoded",
        )
    if 500 <= code < 600:
        return SendRefusedError(f"{server} refused the message: {code} {words}", transport=_NAME, status=code)
    return BadAnswerError(
        f"{server} gave an answer that SMTP does not have here: {code} {words}",
        transport=_NAME,
        status=code,
        may_have_been_sent=progress.may_have_been_sent,
    )


def _from_connection(driver: Any, exc: Exception, server: str, progress: Progress) -> EmailError:
    if _is_about_certificates(exc):
        return InsecureTransportError(
            f"the certificate of {server} is not trusted, so nothing was sent",
            transport=_NAME,
            hint="give the server a certificate for its name; for a private authority: ?ca_file=/path/ca.pem",
        )
    known = (driver.SMTPServerDisconnected, driver.SMTPConnectError, driver.SMTPTimeoutError, OSError)
    if not isinstance(exc, known):
        return SendRefusedError(f"{server} cannot take the message: {one_line(str(exc))}", transport=_NAME)
    problem = (
        "did not answer in time" if isinstance(exc, TimeoutError) else "cannot be reached, or closed the connection"
    )
    return TransportUnavailableError(
        f"{server} {problem}", transport=_NAME, may_have_been_sent=progress.may_have_been_sent
    )


def _is_about_certificates(exc: BaseException | None) -> bool:
    while exc is not None:
        if isinstance(exc, ssl.SSLCertVerificationError):
            return True
        exc = exc.__cause__
    return False
