"""The statements of the claims, for each dialect. Imported with the first claim, since it imports SQLAlchemy."""

# ruff: noqa: S608 - identifiers only: every value is a parameter

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, String, TextClause, bindparam, text

from undercroft.connections.sql._protocol import DialectName

# The database's clock in microseconds, as it moves on within a transaction.
_NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    "mysql": "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
}
_IS_OLD = "(done_at < :before OR (state = 'claimed' AND lease_until < :before))"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimStatements:
    """Named after what they do."""

    LOOK: TextClause
    INSERT: TextClause
    TAKE: TextClause
    DONE: TextClause
    RELEASE: TextClause
    OLD: TextClause
    FORGET: TextClause


def statements_for(dialect: DialectName) -> ClaimStatements:
    """Return the statements in this dialect."""
    family = "mysql" if dialect == "mariadb" else dialect
    now, key = _NOW[family], "`key`" if family == "mysql" else '"key"'
    insert = "INSERT IGNORE" if family == "mysql" else "INSERT"
    otherwise = "" if family == "mysql" else "ON CONFLICT DO NOTHING"
    return ClaimStatements(
        LOOK=_text(
            f"SELECT n.now_us, c.state, c.owner, c.token, c.lease_until FROM (SELECT {now} AS now_us) n"
            f" LEFT JOIN undercroft_claims c ON c.{key} = :key"
        ),
        INSERT=_text(
            f"{insert} INTO undercroft_claims ({key}, owner, state, token, claimed_at, lease_until)"
            f" VALUES (:key, :owner, 'claimed', :token, :now, :until) {otherwise}"
        ),
        TAKE=_text(
            "UPDATE undercroft_claims SET owner = :owner, token = :token, claimed_at = :now, lease_until = :until"
            f" WHERE {key} = :key AND token = :seen AND state = 'claimed'"
        ),
        DONE=_text(
            f"UPDATE undercroft_claims SET state = 'done', done_at = COALESCE(done_at, {now}), lease_until = 0,"
            f" note = COALESCE(:note, note) WHERE {key} = :key AND token = :token"
        ),
        RELEASE=_text(
            f"UPDATE undercroft_claims SET lease_until = 0 WHERE {key} = :key AND token = :token AND state = 'claimed'"
        ),
        OLD=_text(f"SELECT {key} FROM undercroft_claims WHERE {_IS_OLD} LIMIT :limit"),
        FORGET=_text(f"DELETE FROM undercroft_claims WHERE {key} = :key AND {_IS_OLD}"),
    )


def _text(statement: str) -> TextClause:
    """Declare the parameters, so that a driver that asks for types need not guess them."""
    clause = text(statement)
    return clause.bindparams(
        *(
            bindparam(name, type_=String() if name in ("key", "owner", "note") else BigInteger())
            for name in clause.compile().params
        )
    )
