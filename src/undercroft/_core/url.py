"""URLs that choose and configure a backend.

`scheme[+variant]://[user[:password]@]host[:port]/path[?option=value]`

Options are declared by the backend as a `msgspec.Struct` whose fields have types, defaults and units in their names; an
unknown or repeated key, or a value of the wrong type, is an error that lists what is known. `str` and `repr` hide
the password and every option whose name sounds like a secret; `reveal()` is the only way to the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode

import msgspec

from undercroft._core.errors import ConfigError, near_names

HIDDEN = "***"
_SCHEME = re.compile(r"[a-z][a-z0-9.-]*(\+[a-z0-9.-]+)*")
# An IPv6 address in brackets, perhaps with a zone, or a name; then perhaps a port.
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[^\]\s]+)?\]|[^\[\]:\s]*)(?::(.*))?")
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|credential|signature|^sig$", re.IGNORECASE)
_ENCODE = "percent-encode the characters @ : / ? # [ ] in a user, password or path: # is %23, / is %2F"
O = TypeVar("O", bound=msgspec.Struct)  # noqa: E741 - read as Options


class UrlError(ConfigError):
    """A URL could not be read, or has an option its backend does not know."""

    code = "UC0202"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Url:
    """A parsed URL. Immutable; compares by its parts, secrets included."""

    scheme: str
    """In lower case, with its variant: `redis`, `redis+sentinel`, `smtp+tls`."""
    user: str | None = None
    password: str | None = None
    host: str = ""
    """Host names as written, several of them with commas and ports where the backend allows it."""
    port: int | None = None
    path: str = ""
    """Decoded, with its leading slash."""
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, *, what: str = "URL") -> Url:
        """Read `text`.

        Args:
            what: The setting the text came from; named in errors, which never quote the text itself.

        Raises:
            UrlError: No scheme, a bad host or port, a `#`, text that is not UTF-8, or an option given twice.
        """
        scheme, separator, rest = text.strip().partition("://")
        if not separator or not _SCHEME.fullmatch(scheme.lower()):
            raise UrlError(
                f"{what} is not a URL: it has no 'scheme://'",
                # Without brackets around the user: the command hides up to the "@", and would leave half a pair.
                hint="write scheme://user:password@host:port/path?option=value with the parts that apply, for example "
                "sqlite:///var/jobs.db or https://host:4318",
            )
        if "#" in rest:
            raise UrlError(f"{what} has a '#', which means nothing here", hint=_ENCODE)
        # Not urlsplit: it drops tabs, treats schemes differently, and quotes the password in some of its errors.
        rest, _, query = rest.partition("?")
        authority, slash, path = rest.partition("/")
        user, _, address = authority.rpartition("@")
        name, colon, password = user.partition(":")
        host, port = _split_port(address, what)
        return cls(
            scheme=scheme.lower(),
            user=_decode(name, what) or None,
            password=_decode(password, what) if colon else None,
            host=host,
            port=port,
            path=_decode(slash + path, what),
            options=_parse_options(query, what),
        )

    @property
    def base_scheme(self) -> str:
        """The scheme without its variant: `redis` for `redis+sentinel`."""
        return self.scheme.partition("+")[0]

    def file_path(self, *, what: str = "URL") -> str:
        """Return the path of a file URL: three slashes are relative, four are absolute.

        Raises:
            UrlError: The URL has a host (`sqlite://jobs.db`, two slashes) or no path.
        """
        if self.host or len(self.path) < 2:
            raise UrlError(
                f"{what}: {self.scheme}:// needs a file path",
                hint=f"{self.scheme}:///var/jobs.db is relative, {self.scheme}:////srv/jobs.db is absolute",
            )
        return self.path[1:]

    def options_as(self, declared: type[O], *, what: str = "URL") -> O:
        """Return the options, converted to the declared types; fields that are absent take their defaults.

        Raises:
            UrlError: An unknown key or a value of another type; lists the known keys.
        """
        known = declared.__struct_fields__
        for key in self.options:
            if key not in known:
                raise UrlError(
                    f"{what}: unknown option {key!r} for {self.scheme}://",
                    near=near_names(key, known),
                    hint=f"known options: {', '.join(sorted(known)) or 'none'}",
                )
        try:
            return msgspec.convert(dict(self.options), declared, strict=False)
        except msgspec.ValidationError as exc:
            raise UrlError(f"{what}: option of {self.scheme}:// is wrong: {exc}") from None

    def reveal(self) -> str:
        """Return the whole URL, secrets included, for the client that connects with it."""
        return self._write(hide=False)

    def __str__(self) -> str:
        return self._write(hide=True)

    def __repr__(self) -> str:
        return f"Url({self._write(hide=True)!r})"

    def _write(self, *, hide: bool) -> str:
        credentials = quote(self.user or "", safe="")
        if self.password is not None:
            credentials += ":" + (HIDDEN if hide else quote(self.password, safe=""))
        at = "@" if credentials else ""
        port = f":{self.port}" if self.port is not None else ""
        shown = {k: HIDDEN if hide and _SECRET_NAME.search(k) else v for k, v in self.options.items()}
        query = f"?{urlencode(shown, safe='*')}" if shown else ""
        return f"{self.scheme}://{credentials}{at}{self.host}{port}{quote(self.path)}{query}"


def _split_port(address: str, what: str) -> tuple[str, int | None]:
    if "," in address:  # several hosts: the backend splits them, each with its own port
        return address.strip(), None  # as space around a whole URL
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise UrlError(
            f"{what}: what stands between :// and the next / is not host or host:port",
            hint=f"an IPv6 address needs brackets: [::1]:6379; {_ENCODE}",
        )
    host, port = match.groups()
    if not port:
        return host, None
    # The text is not quoted: behind an unencoded character it is a piece of the password.
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise UrlError(f"{what}: the port is not a number from 1 to 65535, behind a host", hint=_ENCODE)
    return host, int(port)


def _decode(text: str, what: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise UrlError(f"{what}: a percent-encoded part is not UTF-8", hint="encode it as UTF-8: é is %C3%A9") from None


def _parse_options(query: str, what: str) -> dict[str, str]:
    options: dict[str, str] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise UrlError(f"{what}: an option is not UTF-8", hint="encode it as UTF-8: é is %C3%A9") from None
    for key, value in pairs:
        if key in options:
            raise UrlError(f"{what}: option {key!r} is given twice", hint="keep one of the two")
        options[key] = value
    return options
