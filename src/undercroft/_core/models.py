"""Pydantic models in and out of JSON, by duck typing: pydantic is never imported here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

_MASK = "**********"  # what pydantic writes for a secret
_PLACE = re.compile(r" - at `([^`]*)`$")


def is_model(type_: type[Any]) -> bool:
    """Tell whether `type_` is a pydantic model (version 2), or looks like one."""
    return hasattr(type_, "model_validate_json") and hasattr(type_, "model_dump")


def load_model(type_: type[Any], value: object) -> object:
    """Return the model of `value`, which is made of what JSON has. Raises what pydantic raises."""
    # As JSON: only there does a strict model take text for a datetime.
    return type_.model_validate_json(msgspec.json.encode(value))


def dump_model(model: Any, *, for_storage: bool) -> object:
    """Return what JSON has for `model`, by its aliases; `for_storage`, in the form that it can be loaded from.

    Raises:
        ValueError: It is to be stored, and has a secret: pydantic would write stars.
    """
    # Without warnings: their text quotes the value. Whoever loads it again is told what does not fit.
    dumped = model.model_dump(mode="json", by_alias=True, round_trip=for_storage, warnings=False)
    if for_storage and _MASK in _leaves(dumped) and _has_secret(model):
        raise ValueError(f"{type(model).__name__} has a secret, which pydantic masks; store a reference to it instead")
    return dumped


def model_problems(exc: Exception) -> str | None:
    """Return pydantic's findings in one line, with their places and without the input, which may be a secret.

    Args:
        exc: Pydantic's error, or msgspec's with pydantic's as its cause; `None` is returned for any other.
    """
    errors = getattr(exc.__cause__ or exc, "errors", None)
    if not callable(errors):
        return None
    outer = _PLACE.search(str(exc))
    root = outer[1] if outer else "$"
    return "; ".join(f"{_message(error)} - at `{root}{_path(error['loc'])}`" for error in errors())


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "union_tag_invalid":  # it would quote the tag it got
        return f"Input tag does not match any of the expected tags: {error['ctx']['expected_tags']}"
    return str(error["msg"])


def _path(location: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)


def _has_secret(model: Any) -> bool:
    return any(hasattr(leaf, "get_secret_value") for leaf in _leaves(model.model_dump(mode="python", warnings=False)))


def _leaves(tree: object) -> Iterator[object]:
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if isinstance(tree, list | tuple | set | frozenset):
        for branch in tree:
            yield from _leaves(branch)
    else:
        yield tree
