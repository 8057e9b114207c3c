"""The SQL statements inside requests, and what finding and ending old log entries needs."""

from alembic import op

revision = "0002"
down_revision = "0001"

_UP = (
    """
    CREATE TABLE candlecast.statement_log (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        request_id text NOT NULL,
        time timestamptz NOT NULL,
        name text NOT NULL,
        duration_ms double precision NOT NULL,
        rows integer NOT NULL,
        error text NOT NULL
    )
    """,
    "CREATE INDEX statement_log_request ON candlecast.statement_log (request_id, time)",
    "CREATE INDEX statement_log_time ON candlecast.statement_log (time)",
    "ALTER TABLE candlecast.query_log DROP COLUMN sql",
)

_DOWN = (
    "ALTER TABLE candlecast.query_log ADD COLUMN sql text NOT NULL DEFAULT '[]'",
    "DROP TABLE candlecast.statement_log",
)


def upgrade() -> None:
    """Give statements a table of their own."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Go back to a column that nobody fills."""
    for statement in _DOWN:
        op.execute(statement)
