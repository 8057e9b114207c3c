"""Managed symbols, quarantined rows and the query log."""

from alembic import op

revision = "0001"
down_revision = None

_TABLES = (
    """
    CREATE TABLE candlecast.managed_symbols (
        symbol text PRIMARY KEY,
        category text NOT NULL,
        status text NOT NULL,
        exchange text NOT NULL,
        interval text NOT NULL,
        enabled boolean NOT NULL,
        base_currency text NOT NULL,
        quote_currency text NOT NULL,
        lot_size numeric NOT NULL CHECK (lot_size > 0),
        price_increment numeric NOT NULL CHECK (price_increment > 0),
        size_increment numeric NOT NULL CHECK (size_increment > 0),
        calendar text NOT NULL,
        aliases text[] NOT NULL,
        keys text[] NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX managed_symbols_keys ON candlecast.managed_symbols USING gin (keys)",
    """
    CREATE TABLE candlecast.quarantined_rows (
        symbol text NOT NULL,
        interval text NOT NULL,
        time timestamptz NOT NULL,
        check_id text NOT NULL,
        reason text NOT NULL,
        open double precision,
        high double precision,
        low double precision,
        close double precision,
        volume double precision,
        PRIMARY KEY (symbol, interval, time, check_id)
    )
    """,
    """
    CREATE TABLE candlecast.query_log (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        time timestamptz NOT NULL,
        endpoint text NOT NULL,
        method text NOT NULL,
        status integer NOT NULL,
        duration_ms double precision NOT NULL,
        rows integer NOT NULL,
        request_id text NOT NULL,
        sql text NOT NULL
    )
    """,
    "CREATE INDEX query_log_time ON candlecast.query_log (time DESC, id DESC)",
)


def upgrade() -> None:
    """Create the tables."""
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables."""
    for name in ("query_log", "quarantined_rows", "managed_symbols"):
        op.execute(f"DROP TABLE candlecast.{name}")
