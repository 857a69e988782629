"""From what a setting was given as, text of a variable or a value of an argument, to what it is. All take the value and
its origin, which their errors name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import ConfigError, near_names
from undercroft._core.url import Url
from undercroft.app._trace_export import TraceExport
from undercroft.connections.sql import mysql_url
from undercroft.email import EmailError, parse_address
from undercroft.logging import Secret, level_number
from undercroft.monitoring import Sampler, sampler_from


def as_url(given: object, origin: str) -> Url | None:
    """Return the URL; `None` when an object was handed in instead."""
    return Url.parse(given, what=origin) if isinstance(given, str) else None


def as_email_url(given: object, origin: str) -> Url | None:
    """As `as_url`, where a key for Resend stands for its whole URL."""
    if isinstance(given, str) and origin.removesuffix("_FILE") == "RESEND_API_KEY":
        return Url(scheme="resend", password=given, host="api.resend.com")
    return as_url(given, origin)


def mysql_parser(companions: Callable[[], Mapping[str, str]]) -> Callable[[object, str], Url | None]:
    """Return a parser as `as_url`, where `MYSQL_HOST` and its companions stand for a whole URL."""

    def parse(given: object, origin: str) -> Url | None:
        if origin.removesuffix("_FILE") == "MYSQL_HOST":
            return mysql_url({**companions(), "MYSQL_HOST": _as_text(given, origin)})
        return as_url(given, origin)

    return parse


def pubsub_parser(companions: Callable[[], Mapping[str, str]]) -> Callable[[object, str], Url | None]:
    """Return a parser as `as_url`, where `PUBSUB_PROJECT_ID` stands for a whole URL, the emulator's host included."""

    def parse(given: object, origin: str) -> Url | None:
        if origin.removesuffix("_FILE") != "PUBSUB_PROJECT_ID":
            return as_url(given, origin)
        emulator = companions().get("PUBSUB_EMULATOR_HOST", "").strip()
        options = {"emulator": emulator} if emulator else {}
        return Url(scheme="pubsub", host=_as_text(given, origin), options=options)

    return parse


def as_optional_url(given: object, origin: str) -> Url | None:
    """As `as_url`, where `none` is none: for what has a default that somebody may not want."""
    return None if isinstance(given, str) and given.strip().lower() == "none" else as_url(given, origin)


def traces_parser(companions: Callable[[], Mapping[str, str]]) -> Callable[[object, str], TraceExport]:
    """Return a parser of where spans go, which takes the other variables of OpenTelemetry's along."""

    def parse(given: object, origin: str) -> TraceExport:
        url = Url.parse(_as_text(given, origin), what=origin)
        if url.base_scheme not in ("http", "https") or not url.host:
            raise ConfigError(f"{origin} is not an HTTP URL", hint="as in http://localhost:4318, without /v1/traces")
        return TraceExport(url=url, origin=origin.removesuffix("_FILE"), others=companions())

    return parse


def sampler_parser(companions: Callable[[], Mapping[str, str]]) -> Callable[[object, str], Sampler]:
    """Return a parser of a sampler's name, whose argument is another variable."""

    def parse(given: object, origin: str) -> Sampler:
        return sampler_from(_as_text(given, origin), companions().get("OTEL_TRACES_SAMPLER_ARG"), what=origin)

    return parse


def as_secret(given: object, origin: str) -> Secret[str]:
    """Return text that does not show itself."""
    return given if isinstance(given, Secret) else Secret(_as_text(given, origin))


def as_share(given: object, origin: str) -> float:
    """Return a share, from 0 to 1."""
    try:
        share = float(given)  # type: ignore[arg-type]  # whatever is no number is refused
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"{origin} is {given!r}, which is no share", hint="a number from 0 to 1, such as 0.1")
    return share


def as_log_level(given: object, origin: str) -> str:
    """Return the name of a level, as it was given."""
    text = _as_text(given, origin).strip().lower()
    level_number(text, what=origin)
    return text


def as_name(given: object, origin: str) -> str:
    """Return a name, without space around it."""
    return _as_text(given, origin).strip()


def as_sender(given: object, origin: str) -> str:
    """Return an address that mail may be sent from, as it was given."""
    text = _as_text(given, origin)
    try:
        parse_address(text, field=origin)
    except EmailError as exc:
        raise ConfigError(exc.message, hint=exc.hint or "write shop@example.com or Shop <shop@example.com>") from exc
    return text


def as_path(given: object, origin: str) -> Path:
    """Return a path, `~` expanded."""
    if not isinstance(given, str | os.PathLike) or "\0" in str(given):
        raise ConfigError(f"{origin}: {given!r} is not a path")
    try:
        return Path(given).expanduser()
    except RuntimeError as exc:
        raise ConfigError(f"{origin} starts with ~, and there is no such home directory", hint="write it out") from exc


def as_paths(given: object, origin: str) -> tuple[Path, ...]:
    """Return several paths: a variable separates them as PATH does, an argument is one or an iterable of them."""
    if isinstance(given, str):
        parts: Iterable[object] = [part for part in given.split(os.pathsep) if part.strip()]
    else:
        parts = given if isinstance(given, Iterable) else [given]
    return tuple(as_path(part, origin) for part in parts)


def as_duration(given: Duration, origin: str) -> float:
    """Return seconds."""
    return to_seconds(given, name=origin)


def one_of(allowed: tuple[str, ...]) -> Callable[[object, str], str]:
    """Return a parser for one of these words, in any case."""

    def parse(given: object, origin: str) -> str:
        word = _as_text(given, origin).strip().lower()
        if word not in allowed:
            raise ConfigError(
                f"{origin} is {given!r}", near=near_names(word, allowed), hint=f"it is one of: {', '.join(allowed)}"
            )
        return word

    return parse


def _as_text(given: object, origin: str) -> str:
    if not isinstance(given, str):
        raise ConfigError(f"{origin} is of type {type(given).__name__}, and has to be text")
    return given
