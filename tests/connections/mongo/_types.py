"""One document in each of the forms that a collection takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NotRequired, TypedDict

import msgspec
from bson import ObjectId
from pydantic import BaseModel, ConfigDict, Field

CREATED_AT = datetime(2026, 3, 4, 5, 6, 7, 891000, tzinfo=UTC)


@dataclass
class DataclassNote:
    user_id: str
    created_at: datetime
    is_read: bool = False
    tags: list[str] = field(default_factory=list)
    id: ObjectId | None = None


class StructNote(msgspec.Struct, kw_only=True):
    user_id: str
    created_at: datetime
    is_read: bool = False
    tags: list[str] = []
    id: ObjectId | None = None


class DictNote(TypedDict):
    id: NotRequired[ObjectId]
    user_id: str
    created_at: datetime
    is_read: bool
    tags: list[str]


class ModelNote(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    user_id: str
    created_at: datetime
    is_read: bool = False
    tags: list[str] = Field(default_factory=list)
    id: ObjectId | None = None


class AliasNote(BaseModel):
    """The id under MongoDB's own name, as models written for pymongo often have it."""

    model_config = ConfigDict(arbitrary_types_allowed=True, strict=True)

    id: ObjectId | None = Field(default=None, alias="_id")
    user_id: str
    created_at: datetime
    is_read: bool = False
    tags: list[str] = Field(default_factory=list)


FORMS: list[type[Any]] = [DataclassNote, StructNote, DictNote, ModelNote, AliasNote]


def make_note(form: type[Any], user_id: str = "ann", **changes: Any) -> Any:
    fields = {"user_id": user_id, "created_at": CREATED_AT, "is_read": False, "tags": ["a"], **changes}
    return form(**fields)


def id_of(note: Any) -> ObjectId:
    found = note["id"] if isinstance(note, dict) else note.id
    assert isinstance(found, ObjectId)
    return found
