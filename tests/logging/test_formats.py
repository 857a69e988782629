"""The fields of ECS and of OpenTelemetry's data model, and fields that every line has."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from undercroft._core.context import Correlation, Trace, correlate
from undercroft.logging import Logger, logger

SetUp = Callable[..., Any]
TRACE = Trace(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7")
NAMES = Correlation(request_id="req-1", trace=TRACE, job_id="job-1")
SERVICE = {"service": "shop", "version": "1.2", "environment": "production", "region": "eu"}


def test_an_ecs_line_begins_as_the_specification_of_its_loggers_says(log_as: SetUp, lines: Any) -> None:
    """https://github.com/elastic/ecs-logging/blob/main/spec/spec.json: index 0, 1 and 2, and the required ones."""
    log_as("ecs")
    logger.info("order paid")
    line = lines.objects[0]
    assert list(line)[:3] == ["@timestamp", "log.level", "message"]
    assert {"@timestamp", "log.level", "message", "ecs.version"} <= line.keys()
    assert (line["log.level"], line["log.logger"]) == ("info", "undercroft.app")
    assert line["@timestamp"].endswith("Z")


def test_an_ecs_line_names_service_trace_and_request(log_as: SetUp, lines: Any) -> None:
    log_as("ecs", fields=SERVICE)
    with correlate(NAMES):
        logger.info("x")
    line = lines.objects[0]
    assert (line["trace.id"], line["span.id"], line["http.request.id"]) == (TRACE.trace_id, TRACE.span_id, "req-1")
    assert (line["service.name"], line["service.version"], line["service.environment"]) == ("shop", "1.2", "production")
    assert line["labels"] == {"region": "eu", "job_id": "job-1"}


def test_an_ecs_line_has_an_error_with_its_causes(log_as: SetUp, lines: Any) -> None:
    log_as("ecs")
    try:
        try:
            raise KeyError("price")
        except KeyError as exc:
            raise ValueError("bad") from exc
    except ValueError as exc:
        logger.error("x", exc)
    line = lines.objects[0]
    assert (line["error.type"], line["error.message"]) == ("ValueError", "bad")
    stack = line["error.stack_trace"]
    assert stack.index("KeyError") < stack.index("The cause of:") < stack.index("ValueError: bad")


def test_labels_keep_one_type_and_no_dots(log_as: SetUp, lines: Any) -> None:
    log_as("ecs")
    logger.info("x", {"a.b*c": 1, "nested": {"a": [1]}, "flag": True, "none": None})
    assert lines.objects[0]["labels"] == {"a_b_c": 1, "nested": '{"a":[1]}', "flag": True, "none": None}


@pytest.mark.parametrize("form", ["ecs", "otel"])
def test_a_field_cannot_pass_for_what_we_say(form: str, log_as: SetUp, lines: Any) -> None:
    log_as(form)
    with correlate(NAMES):
        logger.info("true")
        taken = lines.objects[0]
        forged = {**dict.fromkeys(_names_in(taken), "forged"), "exception.type": "forged", "job.id": "forged"}
        logger.info("true", forged)
    line = lines.objects[1]
    for name in taken.keys() - {"labels", "Attributes", "@timestamp", "Timestamp"}:
        assert line[name] == taken[name]
    attributes = line.get("labels") or line["Attributes"]
    assert attributes["job_id"] == "job-1"


def _names_in(line: dict[str, Any]) -> set[str]:
    inner = line.get("labels") or line["Attributes"]
    return {*line, *inner, "request_id", "job_id"}


def test_an_otel_line_has_the_fields_of_the_data_model(log_as: SetUp, lines: Any) -> None:
    """https://opentelemetry.io/docs/specs/otel/logs/data-model/#log-and-event-record-definition."""
    log_as("otel", fields=SERVICE)
    with correlate(NAMES):
        Logger(module="shop.http").warning("order late", order_id=7)
    line = lines.objects[0]
    assert line.keys() == {
        "Timestamp",
        "SeverityText",
        "SeverityNumber",
        "Body",
        "TraceId",
        "SpanId",
        "TraceFlags",
        "InstrumentationScope",
        "Resource",
        "Attributes",
    }
    assert (line["SeverityText"], line["SeverityNumber"], line["Body"]) == ("WARN", 13, "order late")
    assert (line["TraceId"], line["SpanId"], line["TraceFlags"]) == (TRACE.trace_id, TRACE.span_id, 1)
    assert line["InstrumentationScope"] == {"Name": "shop.http"}
    assert line["Resource"] == {
        "service.name": "shop",
        "service.version": "1.2",
        "deployment.environment.name": "production",
        "region": "eu",
    }
    assert line["Attributes"] == {"request_id": "req-1", "job_id": "job-1", "order_id": 7}
    assert int(line["Timestamp"]) % 1000 == 0
    assert 1e18 < int(line["Timestamp"]) < 1e19


@pytest.mark.parametrize(
    ("method", "text", "number"),
    [
        ("trace", "TRACE", 1),
        ("debug", "DEBUG", 5),
        ("info", "INFO", 9),
        ("warning", "WARN", 13),
        ("error", "ERROR", 17),
        ("critical", "FATAL", 21),
    ],
)
def test_severities_are_those_of_the_data_model(method: str, text: str, number: int, log_as: SetUp, lines: Any) -> None:
    """https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber."""
    log_as("otel", level="trace")
    getattr(logger, method)("x")
    assert (lines.objects[0]["SeverityText"], lines.objects[0]["SeverityNumber"]) == (text, number)


def test_an_otel_error_has_the_names_of_the_semantic_conventions(log_as: SetUp, lines: Any) -> None:
    from opentelemetry.semconv.attributes import exception_attributes as names

    log_as("otel")
    try:
        raise ValueError("bad")
    except ValueError:
        logger.exception("x")
    attributes = lines.objects[0]["Attributes"]
    assert attributes[names.EXCEPTION_TYPE] == "ValueError"
    assert attributes[names.EXCEPTION_MESSAGE] == "bad"
    assert "test_formats.py" in attributes[names.EXCEPTION_STACKTRACE]


def test_fields_for_every_line_give_way_to_the_lines_own(log_as: SetUp, lines: Any) -> None:
    log_as(fields={"service": "shop", "step": "static", "api_key": "k-123"})
    logger.info("x", step="own")
    line = lines.objects[0]
    assert (line["service"], line["step"], line["api_key"]) == ("shop", "own", "***")
    assert list(line)[-3:] == ["service", "step", "api_key"]


def test_fields_for_every_line_cannot_pass_for_what_we_say(log_as: SetUp, lines: Any) -> None:
    log_as(fields={"level": "forged", "request_id": "forged"})
    with correlate(NAMES):
        logger.info("x")
    line = lines.objects[0]
    assert (line["level"], line["request_id"]) == ("info", "req-1")
    assert line["fields"] == {"level": "forged", "request_id": "forged"}


def test_text_leaves_the_fields_of_every_line_out(log_as: SetUp, lines: Any) -> None:
    log_as("text", fields={"service": "shop"})
    logger.info("x")
    assert "service" not in lines.written[0]


@pytest.mark.parametrize("form", ["json", "ecs", "otel"])
def test_a_nested_value_stays_data(form: str, log_as: SetUp, lines: Any) -> None:
    log_as(form)
    logger.info("x", order={"id": 7, "password": "hunter2", "items": [1, 2]})
    line = lines.objects[0]
    order = (line.get("Attributes") or line.get("labels") or line)["order"]
    assert (json.loads(order) if form == "ecs" else order) == {"id": 7, "password": "***", "items": [1, 2]}
