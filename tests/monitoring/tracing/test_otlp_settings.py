"""Where and how spans are exported, from arguments and from OpenTelemetry's environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.tracing._receiver import receiver
from undercroft.monitoring import FinishedSpan, OtlpSettingError
from undercroft.monitoring._tracing._otlp_settings import settings_from
from undercroft.monitoring.otlp import OtlpExporter

pytestmark = pytest.mark.anyio
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (ENDPOINT, {"endpoint": "http://collector:4318/v1/traces"}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp/"}, {"endpoint": "https://c/otlp/v1/traces"}),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/as/is"}, {"endpoint": "https://c/as/is"}),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c"}, {"endpoint": "https://c"}),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, {"endpoint": "http://localhost:4318/v1/traces"}),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=1, b = x%20y ,", **ENDPOINT}, {"headers": {"a": "1", "b": "x y"}}),
        (
            {"OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "b=2=3", **ENDPOINT},
            {"headers": {"b": "2=3"}},
        ),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "2500", **ENDPOINT}, {"timeout": 2.5}),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", **ENDPOINT}, {"compression": "gzip"}),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json", **ENDPOINT}, {"protocol": "http/json"}),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "", **ENDPOINT}, {"endpoint": "http://collector:4318/v1/traces"}),
    ],
)
def test_environment_is_read_as_opentelemetry_has_it(environ: Mapping[str, str], expected: dict[str, object]) -> None:
    found = settings_from(environ)

    assert found is not None
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "shop"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "True"},
    ],
)
def test_nothing_is_exported_unless_it_is_asked_for(environ: Mapping[str, str]) -> None:
    assert OtlpExporter.from_environ(environ) is None


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuff"}, "near: http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "compressions: none, gzip"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, "whole milliseconds"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "0"}, "whole milliseconds"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=1,hunter2"}, "member 2 is not of the form name=value"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a b=1"}, "'a b' cannot be a header's name"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "key=hunter2%0d%0ax: y"}, "a character that a header cannot carry"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "http:// or https://"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://ann:hunter2@c"}, "http:// or https://"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://ann:hunter2@c:port"}, "http:// or https://"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "team"}, "OTEL_RESOURCE_ATTRIBUTES: member 1"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "exporters: otlp, none"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_remedy(environ: dict[str, str], words: str) -> None:
    with pytest.raises(OtlpSettingError, match="UC1505") as caught:
        OtlpExporter.from_environ({**ENDPOINT, **environ})

    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_resource_of_the_environment_comes_before_the_applications() -> None:
    async with receiver() as received:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url.removesuffix("/v1/traces"),
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,deployment.environment.name=a%20b",
        }
        exporter = OtlpExporter.from_environ(environ, resource={"service.name": "app", "service.version": "1.2"})
        assert exporter is not None
        exporter.on_end(FinishedSpan(trace_id="1" * 32, span_id="2" * 16, name="a", start_time_ns=1, end_time_ns=2))
        await exporter.aclose()

    attributes = received.requests[0].message.resource_spans[0].resource.attributes
    resource = {item.key: item.value.string_value for item in attributes}
    assert resource["service.name"] == "shop"
    assert resource["service.version"] == "1.2"
    assert resource["deployment.environment.name"] == "a b"
    assert resource["telemetry.sdk.language"] == "python"


@given(st.text(max_size=60))
def test_no_endpoint_is_shown_with_its_secrets(tail: str) -> None:
    assert "hunter" not in _shown(f"http://user:hunter2@host:4318/{tail}?key=hunter3")


def _shown(endpoint: str) -> str:
    try:
        return repr(OtlpExporter(endpoint, protocol="http/json"))
    except OtlpSettingError as exc:
        return str(exc)


@pytest.mark.parametrize("value", ["http://[::1]:4318/v1/traces", "https://[fe80::1]/x"])
def test_ipv6_endpoint_keeps_its_brackets(value: str) -> None:
    assert value in repr(OtlpExporter(value))


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": -1},
        {"interval": "soon"},
        {"protocol": "grpc"},
        {"compression": "br"},
        {"batch_size": 0},
        {"buffer_size": -1},
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="UC"):
        OtlpExporter(**options)
