"""The URL: MongoDB's own, read by MongoDB's driver, without ever quoting a secret. Imports pymongo."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from urllib.parse import unquote_plus, urlencode

from pymongo import uri_parser
from pymongo.common import URI_OPTIONS_VALIDATOR_MAP
from pymongo.errors import PyMongoError

from undercroft._core.errors import near_names
from undercroft._core.url import Url, UrlError

SCHEMES = ("mongodb", "mongodb+srv")
_MAY_REPEAT = "readpreferencetags"
_SECRET = re.compile(r"pass|properties|token|secret", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r'[/\\. "$\x00]')  # mongodb.com/docs/manual/reference/limits
_FORM = "write mongodb://user:password@host:27017/database?option=value"
_ENCODE = "percent-encode the characters @ : / ? # [ ] % in a user or password: # is %23, / is %2F"
# What the driver's checks raise: for a value, for a combination, for a file that cannot be read.
_REFUSALS = (PyMongoError, ValueError, TypeError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MongoAddress:
    """A URL that the driver will take. `str` has no secret."""

    text: str
    """The whole URL, as it was given."""
    shown: str
    """Scheme, hosts and database."""
    database: str | None
    options: Mapping[str, Any]
    """By their names in lower case, as the driver reads them: timeouts are seconds."""

    def client_options(self, selection_s: float, operation_s: float) -> dict[str, Any]:
        """Return arguments of the driver's client for what the URL leaves open: timeouts, and how values are read."""
        options: dict[str, Any] = {}
        if "serverselectiontimeoutms" not in self.options:
            options["serverSelectionTimeoutMS"] = round(selection_s * 1000)
        if "connecttimeoutms" not in self.options:
            options["connectTimeoutMS"] = round(selection_s * 1000)
        if not {"timeoutms", "sockettimeoutms"} & set(self.options):
            options["timeoutMS"] = round(operation_s * 1000)
        if "tz_aware" not in self.options:
            options |= {"tz_aware": True, "tzinfo": UTC}
        if "uuidrepresentation" not in self.options:
            options["uuidRepresentation"] = "standard"
        return options

    def __str__(self) -> str:
        return self.shown


def read_address(url: Url | str, *, what: str) -> MongoAddress:
    """Check a URL as far as that goes without a network, and return it in parts.

    Raises:
        UrlError: Another scheme, a host that is none, an option that MongoDB does not have, or a wrong value.
    """
    head, query = _split(url)
    parsed = Url.parse(head, what=what)
    if parsed.scheme not in SCHEMES:
        raise UrlError(
            f"{what}: {parsed.scheme}:// is not MongoDB", near=near_names(parsed.scheme, SCHEMES), hint=_FORM
        )
    head = parsed.scheme + head[len(parsed.scheme) :]  # the driver knows it in lower case only
    _check_credentials(head, what)
    _check_hosts(parsed, what)
    database = _database_of(parsed, what)
    return MongoAddress(
        text=f"{head}?{query}" if query else head,
        shown=f"{parsed.scheme}://{_hosts_of(parsed)}" + (f"/{database}" if database else ""),
        database=database,
        options=_read_options(query, what),
    )


def _split(url: Url | str) -> tuple[str, str]:
    """Return what is before the options, and the options, both as text."""
    if isinstance(url, str):
        head, _, query = url.strip().partition("?")
        return head, query
    head = url.reveal().partition("?")[0]
    return head if url.path else f"{head}/", urlencode(url.options)


def _check_credentials(head: str, what: str) -> None:
    userinfo, at, _ = head.partition("://")[2].rpartition("@")
    if not at:
        return
    try:
        uri_parser.parse_userinfo(userinfo)
    except PyMongoError:
        raise UrlError(f"{what}: the user or the password is not written as URLs need it", hint=_ENCODE) from None


def _check_hosts(parsed: Url, what: str) -> None:
    hosts = _hosts_of(parsed)
    if not hosts:
        raise UrlError(f"{what} has no host", hint=_FORM)
    try:
        nodes = uri_parser.split_hosts(hosts)
    except _REFUSALS:
        raise UrlError(f"{what}: the hosts are not host:port,host:port,…", hint=_ENCODE) from None
    if parsed.scheme == "mongodb+srv" and (len(nodes) != 1 or parsed.port is not None):
        raise UrlError(
            f"{what}: mongodb+srv:// takes one host without a port", hint="the DNS says which hosts and ports it means"
        )


def _hosts_of(parsed: Url) -> str:
    return parsed.host if parsed.port is None else f"{parsed.host}:{parsed.port}"


def _database_of(parsed: Url, what: str) -> str | None:
    name = parsed.path.removeprefix("/")
    if _NOT_IN_NAMES.search(name):
        raise UrlError(
            f"{what}: {name!r} is not the name of a database", hint=f"only one name follows the host: {_FORM}"
        )
    return name or None


def _read_options(query: str, what: str) -> Mapping[str, Any]:
    if not query:
        return {}
    given: set[str] = set()
    for name, value in _pairs(query, what):
        if name.lower() in given and name.lower() != _MAY_REPEAT:
            raise UrlError(f"{what}: option {name!r} is given twice", hint="keep one of the two")
        given.add(name.lower())
        _check_option(name, value, what)
    options = _validated(query, what, "the options do not go together")
    return {name.lower(): value for name, value in options.items()}


def _pairs(query: str, what: str) -> Iterator[tuple[str, str]]:
    for pair in re.split("[&;]", query):
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise UrlError(f"{what}: the options are not name=value&name=value", hint=_FORM)
        yield unquote_plus(name), value


def _check_option(name: str, value: str, what: str) -> None:
    if name.lower() not in URI_OPTIONS_VALIDATOR_MAP:
        written = {known.lower(): known for known in getattr(uri_parser, "URI_OPTIONS", ())}
        known_names = [written.get(known, known) for known in URI_OPTIONS_VALIDATOR_MAP]
        raise UrlError(
            f"{what}: MongoDB has no option {name!r}",
            near=near_names(name, known_names),
            hint="its options: mongodb.com/docs/manual/reference/connection-string-options",
        )
    _validated(f"{name}={value}", what, f"option {name!r} is wrong", is_secret=bool(_SECRET.search(name)))


def _validated(query: str, what: str, problem: str, *, is_secret: bool = False) -> Mapping[str, Any]:
    try:
        return uri_parser.split_options(query, validate=True, warn=False)
    except _REFUSALS as exc:
        reason = "" if is_secret else f": {exc}"
        raise UrlError(f"{what}: {problem}{reason}") from None
