"""Claims by age: pruning need not read the whole table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002_since_0001"
down_revision: str | None = "0001_since_0001"

_COLUMNS = {"undercroft_claims_done_at": ["done_at"], "undercroft_claims_lease": ["state", "lease_until"]}


def upgrade(op: Operations) -> None:
    there = _indexes(op)
    for name, columns in _COLUMNS.items():
        if name not in there:  # after a crash between the two; MySQL has no IF NOT EXISTS for an index
            op.create_index(name, "undercroft_claims", columns)


def _indexes(op: Operations) -> set[str]:
    if op.get_context().as_sql:
        return set()
    return {str(index["name"]) for index in sa.inspect(op.get_bind()).get_indexes("undercroft_claims")}
