"""Where and how `OtlpExporter` sends, checked; and the same from OpenTelemetry's environment variables.

Sources: https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict, cast
from urllib.parse import SplitResult, unquote, urlsplit

from undercroft._core.errors import near_names
from undercroft.monitoring._tracing import _names as names
from undercroft.monitoring._tracing._errors import OtlpSettingError

Protocol = Literal["http/protobuf", "http/json"]
Compression = Literal["none", "gzip"]
DEFAULT_ENDPOINT = "http://localhost:4318/v1/traces"
_PATH = "/v1/traces"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PREFIX, _TRACES = "OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """An endpoint. `repr` and `str` have its scheme, host, port and path: no user, password or query."""

    url: str
    shown: str
    authorization: str | None

    def __str__(self) -> str:
        return self.shown

    __repr__ = __str__


class FromEnviron(TypedDict, total=False):
    """What the environment says, as arguments of `OtlpExporter`."""

    endpoint: str
    headers: dict[str, str]
    timeout: float
    compression: Compression
    protocol: Protocol


def target_of(endpoint: str) -> Target:
    """Return the checked endpoint.

    Raises:
        OtlpSettingError: It is no HTTP URL with a host.
    """
    try:
        parts = urlsplit(endpoint.strip())
        port = parts.port
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OtlpSettingError(
            "the OTLP endpoint is no URL of a host that begins with http:// or https://",
            hint=f"set OTEL_EXPORTER_OTLP_ENDPOINT to the like of {DEFAULT_ENDPOINT.removesuffix(_PATH)}",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path}"
    return Target(
        url=f"{place}?{parts.query}" if parts.query else place, shown=place, authorization=_authorization(parts)
    )


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return `headers` if a request can carry them.

    Raises:
        OtlpSettingError: A name is no token, or a value has line breaks or other control characters.
    """
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise OtlpSettingError(f"{name!r} cannot be a header's name", hint="use letters, digits and dashes")
        if not value.isascii() or not value.replace("\t", " ").isprintable():
            raise OtlpSettingError(
                f"the value of the OTLP header {name!r} has a character that a header cannot carry",
                hint="headers have printable ASCII; encode anything else",
            )
    return dict(headers)


def checked_protocol(protocol: str) -> Protocol:
    """Return `protocol` if it is one of ours.

    Raises:
        OtlpSettingError: It is not; the hint for `grpc` says what to set instead.
    """
    known = ("http/protobuf", "http/json")
    if protocol in known:
        return cast("Protocol", protocol)
    if protocol == "grpc":
        raise OtlpSettingError(
            "OTLP over gRPC is not spoken here",
            hint="set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf and the endpoint's HTTP port, 4318 by default; or let "
            "OpenTelemetry's SDK export, with setup_tracing(opentelemetry=True)",
        )
    raise OtlpSettingError(
        f"{protocol!r} is not an OTLP protocol", near=near_names(protocol, known), hint=f"protocols: {', '.join(known)}"
    )


def checked_compression(compression: str) -> Compression:
    """Return `compression` if it is one of ours.

    Raises:
        OtlpSettingError: It is not.
    """
    known = ("none", "gzip")
    if compression not in known:
        raise OtlpSettingError(
            f"{compression!r} is not an OTLP compression",
            near=near_names(compression, known),
            hint=f"compressions: {', '.join(known)}",
        )
    return cast("Compression", compression)


def checked_sizes(**sizes: int) -> None:
    """Return if each is at least 1.

    Raises:
        OtlpSettingError: One is not.
    """
    for name, size in sizes.items():
        if size < 1:
            raise OtlpSettingError(f"{name} is {size}", hint="give the number of spans, at least 1")


def settings_from(environ: Mapping[str, str]) -> FromEnviron | None:
    """Return what `environ` says; `None` when it asks for no export of traces over OTLP. An empty value is none.

    Raises:
        OtlpSettingError: A value cannot be used.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or not _is_asked(environ):
        return None
    found: FromEnviron = {"endpoint": _endpoint(environ)}
    if headers := _value(environ, "HEADERS"):
        found["headers"] = _pairs(headers, what="OTEL_EXPORTER_OTLP_HEADERS")
    if timeout := _value(environ, "TIMEOUT"):
        found["timeout"] = _milliseconds(timeout)
    if compression := _value(environ, "COMPRESSION"):
        found["compression"] = checked_compression(compression)
    if protocol := _value(environ, "PROTOCOL"):
        found["protocol"] = checked_protocol(protocol)
    return found


def resource_from(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `OTEL_RESOURCE_ATTRIBUTES`, with `OTEL_SERVICE_NAME` before the name in it.

    Raises:
        OtlpSettingError: The former has a member without `=`.
    """
    resource = _pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""), what="OTEL_RESOURCE_ATTRIBUTES")
    if service := environ.get("OTEL_SERVICE_NAME", "").strip():
        resource[names.SERVICE_NAME] = service
    return resource


def _is_asked(environ: Mapping[str, str]) -> bool:
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter == "none":
        return False
    if exporter not in ("", "otlp"):
        raise OtlpSettingError(
            f"OTEL_TRACES_EXPORTER={exporter!r} is not an exporter of undercroft's",
            hint="exporters: otlp, none; for others, let OpenTelemetry's SDK export: setup_tracing(opentelemetry=True)",
        )
    return exporter == "otlp" or _value(environ, "ENDPOINT") != ""


def _value(environ: Mapping[str, str], name: str) -> str:
    """Return the variable for traces, else the one for all signals."""
    return environ.get(_TRACES + name, "").strip() or environ.get(_PREFIX + name, "").strip()


def _endpoint(environ: Mapping[str, str]) -> str:
    if exact := environ.get(f"{_TRACES}ENDPOINT", "").strip():
        return exact
    base = environ.get(f"{_PREFIX}ENDPOINT", "").strip()
    return base.rstrip("/") + _PATH if base else DEFAULT_ENDPOINT


def _pairs(text: str, *, what: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for member in filter(None, (part.strip() for part in text.split(","))):
        name, is_pair, value = member.partition("=")
        if not is_pair or not name.strip():
            raise OtlpSettingError(  # without the member, which may be a secret
                f"{what}: member {len(pairs) + 1} is not of the form name=value",
                hint="name=value,other=value, URL-encoded",
            )
        pairs[unquote(name.strip())] = unquote(value.strip())
    return pairs


def _milliseconds(text: str) -> float:
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise OtlpSettingError(f"OTEL_EXPORTER_OTLP_TIMEOUT={text!r} is no time", hint="give whole milliseconds: 10000")
    return int(text) / 1000


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
