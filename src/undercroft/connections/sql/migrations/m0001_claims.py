"""Claims: which keys are being handled, and which are done."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects import mysql

revision = "0001_since_0001"
down_revision: str | None = None


def upgrade(op: Operations) -> None:
    # Compared exactly: MySQL's usual collations take A for a.
    exact = mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin")
    op.create_table(
        "undercroft_claims",
        sa.Column("key", sa.String(255).with_variant(exact, "mysql", "mariadb"), primary_key=True),
        sa.Column("owner", sa.String(255).with_variant(exact, "mysql", "mariadb"), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),  # claimed, done
        sa.Column("token", sa.BigInteger, nullable=False),
        # Microseconds since 1970, by the database's clock.
        sa.Column("claimed_at", sa.BigInteger, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger, nullable=True),
        sa.Column("note", sa.String(255).with_variant(exact, "mysql", "mariadb"), nullable=True),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
        if_not_exists=True,
    )
