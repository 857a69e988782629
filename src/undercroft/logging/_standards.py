"""The JSON line in the field names of published models: Elastic Common Schema and OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from undercroft.logging._entry import Entry
from undercroft.logging._format import NO_FIELDS, Moment, ObjectFormatter
from undercroft.logging._plain import STANDARD, Plain, Redactor, valid

_ECS_VERSION = "8.17.0"
_ECS_SERVICE = {"service": "service.name", "version": "service.version", "environment": "service.environment"}
# Label names may have none of these (https://www.elastic.co/docs/solutions/observability/apm/metadata, "Labels").
_ECS_LABEL = str.maketrans('.*"', "___")

# https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber
_SEVERITIES = ((50, "FATAL", 21), (40, "ERROR", 17), (30, "WARN", 13), (20, "INFO", 9), (10, "DEBUG", 5))
_OTEL_RESOURCE = {
    "service": "service.name",
    "version": "service.version",
    "environment": "deployment.environment.name",
}


class EcsFormatter(ObjectFormatter):
    """Elastic Common Schema 8, in the order and with the required fields of the ECS loggers' specification.

    `@timestamp`, `log.level`, `message`, `ecs.version`, `log.logger`; those that apply of `trace.id`, `span.id`,
    `http.request.id` and `error.type`, `error.message`, `error.stack_trace`; the fields `service`, `version` and
    `environment` of every line as `service.name`, `service.version` and `service.environment`; all other fields, and
    `job_id`, under `labels`. A label is a text, a number or a boolean, so that an index keeps one mapping for it:
    nested values are JSON text.

    https://github.com/elastic/ecs-logging/blob/main/spec/spec.json,
    https://www.elastic.co/docs/reference/ecs/ecs-field-reference
    """

    def __init__(self, *, redactor: Redactor = STANDARD, static: Mapping[str, Plain] = NO_FIELDS) -> None:
        super().__init__(redactor=redactor, static=static)
        self._moment = Moment()

    def mapping(self, entry: Entry) -> dict[str, Plain]:
        message, fields = self._hiding.of(entry)
        names = self._hiding.names(entry.names)
        line: dict[str, Plain] = {
            "@timestamp": self._moment.text(entry.created),
            "log.level": entry.word,
            "message": message,
            "ecs.version": _ECS_VERSION,
            "log.logger": entry.logger,
        }
        for ours, theirs in (("trace_id", "trace.id"), ("span_id", "span.id"), ("request_id", "http.request.id")):
            if ours in names:
                line[theirs] = names[ours]
        line.update(_error(entry.error, "error.type", "error.message", "error.stack_trace"))
        line.update({theirs: self.static[ours] for ours, theirs in _ECS_SERVICE.items() if ours in self.static})
        static = {name: value for name, value in self.static.items() if name not in _ECS_SERVICE}
        labels = {name.translate(_ECS_LABEL): _label(value) for name, value in {**static, **fields}.items()}
        if "job_id" in names:
            labels["job_id"] = names["job_id"]  # last: "job.id" is another spelling of it
        if labels:
            line["labels"] = labels
        return line


class OtelFormatter(ObjectFormatter):
    """OpenTelemetry's log data model, stable since 1.0, in the names it defines.

    `Timestamp` (nanoseconds since the Unix epoch, as text: JSON numbers end at 2^53), `SeverityText`, `SeverityNumber`,
    `Body`, `TraceId`, `SpanId`, `TraceFlags`, `InstrumentationScope`, `Resource` (the fields of every line; `service`,
    `version` and `environment` under their semantic conventions), `Attributes`: `exception.type`,
    `exception.message`, `exception.stacktrace`, `request_id`, `job_id`, and the fields; one that takes such a name is
    `field.<name>`.

    https://opentelemetry.io/docs/specs/otel/logs/data-model/,
    https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-logs/
    """

    def __init__(self, *, redactor: Redactor = STANDARD, static: Mapping[str, Plain] = NO_FIELDS) -> None:
        super().__init__(redactor=redactor, static=static)
        self._resource = {_OTEL_RESOURCE.get(name, name): value for name, value in static.items()}

    def mapping(self, entry: Entry) -> dict[str, Plain]:
        message, fields = self._hiding.of(entry)
        names = self._hiding.names(entry.names)
        text, number = _severity(entry.level)
        line: dict[str, Plain] = {
            "Timestamp": str(int(entry.created * 1_000_000) * 1000),
            "SeverityText": text,
            "SeverityNumber": number,
            "Body": message,
        }
        trace = entry.names.trace
        if trace is not None:
            flags = 1 if trace.is_sampled else 0
            line.update({"TraceId": names["trace_id"], "SpanId": names["span_id"], "TraceFlags": flags})
        line["InstrumentationScope"] = {"Name": entry.logger}
        if self._resource:
            line["Resource"] = self._resource
        said = _error(entry.error, "exception.type", "exception.message", "exception.stacktrace")
        said.update({name: names[name] for name in ("request_id", "job_id") if name in names})
        attributes = {**said, **{f"field.{name}" if name in said else name: value for name, value in fields.items()}}
        if attributes:
            line["Attributes"] = attributes
        return line


def _error(error: Plain, kind: str, message: str, stack: str) -> dict[str, Plain]:
    if error is None:
        return {}
    if not isinstance(error, dict):
        return {message: error}
    named = {kind: error.get("type"), message: error.get("message"), stack: _stack(error)}
    return {name: value for name, value in named.items() if value}


def _stack(error: Mapping[str, Plain]) -> str:
    """Return the stacks of an error and of its causes, in the order in which Python prints them: the cause first."""
    cause = error.get("cause")
    before = f"{_stack(cause)}\n\nThe cause of:\n\n" if isinstance(cause, dict) else ""
    return f"{before}{error.get('stack') or ''}{error.get('type')}: {error.get('message')}"


def _label(value: Plain) -> Plain:
    return msgspec.json.encode(valid(value)).decode() if isinstance(value, dict | list) else value


def _severity(level: int) -> tuple[str, int]:
    return next(((text, number) for least, text, number in _SEVERITIES if level >= least), ("TRACE", 1))
