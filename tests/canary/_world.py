"""What a surface plants in, and everything that comes out of it."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.canary._secrets import CANARIES


@dataclass(frozen=True)
class Hit:
    """A secret that came out: which one, where, and as what."""

    name: str
    channel: str
    spelling: str
    around: str

    def __str__(self) -> str:
        return f"{self.name} came out in {self.channel} as {self.spelling!r}: …{self.around}…"


@dataclass
class World:
    """One run of one surface. `home` is an empty directory."""

    home: Path
    planted: set[str] = field(default_factory=set)
    lines: io.StringIO = field(default_factory=lambda: _Lines())
    """Where every log line of the process goes."""
    _outputs: dict[str, list[str]] = field(default_factory=dict)
    _expected: list[str] = field(default_factory=list)

    def secret(self, name: str) -> str:
        """Return a secret to plant, and remember that it was."""
        self.planted.add(name)
        return CANARIES[name].text

    def take(self, channel: str, *outputs: object) -> None:
        """Keep what came out: texts and bytes as they are, data as JSON, all else as `str`, `repr` and `format`."""
        kept = self._outputs.setdefault(channel, [])
        for output in outputs:
            kept.extend(_texts(output))

    def expect(self, *marks: str) -> None:
        """Require that these harmless texts, planted beside secrets, came out: else nothing was looked at."""
        self._expected.extend(marks)

    @property
    def outputs(self) -> dict[str, str]:
        """All that came out, by channel."""
        return {"log lines": self.lines.getvalue(), **{name: "\n".join(texts) for name, texts in self._outputs.items()}}

    def missing(self) -> list[str]:
        """Return what should have come out and did not."""
        everything = "\n".join(self.outputs.values())
        return [mark for mark in self._expected if mark not in everything]


class _Lines(io.StringIO):
    """A stream that several threads write to."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def write(self, text: str, /) -> int:
        with self._lock:
            return super().write(text)


def hunt(outputs: Mapping[str, str]) -> list[Hit]:
    """Return every secret there is in `outputs`, planted or not, in any spelling."""
    return list(_hits(outputs))


def _hits(outputs: Mapping[str, str]) -> Iterator[Hit]:
    for channel, text in outputs.items():
        folded = text.casefold()
        for name, canary in CANARIES.items():
            for spelling in canary.spellings:
                at = folded.find(spelling)
                if at >= 0:
                    yield Hit(name, channel, spelling, text[max(0, at - 60) : at + len(spelling) + 20])
                    break


def _texts(output: object) -> Iterable[str]:
    if isinstance(output, str):
        return [output]
    if isinstance(output, bytes):
        return [output.decode("utf-8", "backslashreplace")]
    if isinstance(output, BaseException):
        return _of_error(output)
    if isinstance(output, dict | list):
        return [json.dumps(output, default=repr, ensure_ascii=False), repr(output)]
    return [str(output), repr(output), format(output)]


def _of_error(error: BaseException) -> list[str]:
    own: dict[str, Any] = vars(error)
    return [str(error), repr(error), repr(error.args), repr(own), *map(repr, getattr(error, "__notes__", []))]
