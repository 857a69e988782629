"""The address that events go to, checked before the SDK sees it: the SDK's own errors quote the value."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from undercroft._core.errors import ConfigError

_FORM = "copy it from the project's settings at Sentry: https://<public key>@<host>/<project number>"


class SentryDsnError(ConfigError):
    """A Sentry DSN could not be read; the message never quotes it."""

    code = "UC1170"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dsn:
    """A DSN whose parts were checked. `str` and `repr` show the host and the project only."""

    text: str
    """The whole of it, for the SDK."""
    host: str
    project: str

    @classmethod
    def parse(cls, text: str, *, what: str) -> Dsn:
        """Read `text`.

        Args:
            what: The setting it came from; named in the error.

        Raises:
            SentryDsnError: It is not `http(s)://<public key>@<host>[/<path>]/<project number>`.
        """
        text = text.strip()
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port
        except ValueError:  # a port that is none, brackets that do not close
            raise SentryDsnError(f"{what}: the host or port of the DSN cannot be read", hint=_FORM) from None
        project = parts.path.rpartition("/")[2]
        for is_wrong, problem in (
            (parts.scheme not in ("http", "https"), "is not an http:// or https:// URL"),
            (not parts.username, "has no public key before an @"),
            (not host, "has no host"),
            (not (project.isascii() and project.isdigit()), "does not end in a project number"),
        ):
            if is_wrong:
                raise SentryDsnError(f"{what}: the DSN {problem}", hint=_FORM)
        return cls(text=text, host=host or "", project=project)

    def __str__(self) -> str:
        return f"{self.host}, project {self.project}"

    __repr__ = __str__
