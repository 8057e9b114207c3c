"""The statements that write candles. Names come from `Interval` only; every value is a parameter."""

# ruff: noqa: S608  (a table's name cannot be a parameter)

from collections.abc import Mapping

from deployments.market_data.models import Interval

LOCK_TABLE = "SELECT pg_advisory_xact_lock(hashtext('candlecast.' || $1))"

SHARE_TABLE = "SELECT pg_advisory_xact_lock_shared(hashtext('candlecast.' || $1))"
"""Keeps out whoever has the lock alone, and nobody who shares it."""

IS_KEYED = """
    SELECT EXISTS (SELECT 1 FROM pg_index AS key
        WHERE key.indrelid = to_regclass($1) AND key.indisunique AND key.indimmediate AND key.indisvalid
            AND key.indpred IS NULL AND key.indexprs IS NULL
            AND ARRAY(SELECT attname::text FROM pg_attribute AS attribute
                WHERE attribute.attrelid = key.indrelid AND attribute.attnum = ANY(key.indkey)
                ORDER BY 1) = ARRAY['symbol', 'time'])
"""
"""Whether an index refuses a bar that the table has, in the very statement that brings it again."""

COLUMN_TYPES = """
    SELECT attribute.attname AS name, format_type(attribute.atttypid, attribute.atttypmod) AS type,
        class.relkind IN ('r', 'p') AS takes_copy
    FROM pg_attribute AS attribute JOIN pg_class AS class ON class.oid = attribute.attrelid
    WHERE attribute.attrelid = to_regclass($1) AND attribute.attnum > 0 AND NOT attribute.attisdropped
"""
"""The columns of a table or of a view, which COPY cannot fill."""

EXISTS = "SELECT EXISTS (SELECT 1 FROM pg_class WHERE oid = to_regclass($1))"
"""Reads a table, before which the server hears of those that others made; a bare name it may remember as missing."""

IS_CONTINUOUS_AGGREGATE = """
    SELECT EXISTS (SELECT 1 FROM pg_rewrite AS rule
        JOIN pg_depend AS needs ON needs.classid = 'pg_rewrite'::regclass AND needs.objid = rule.oid
            AND needs.refclassid = 'pg_class'::regclass
        JOIN pg_class AS source ON source.oid = needs.refobjid
        WHERE rule.ev_class = to_regclass($1)
            AND source.relnamespace = to_regnamespace('_timescaledb_internal')
            AND source.relname LIKE '\\_materialized\\_hypertable\\_%')
"""
"""Whether a view shows what TimescaleDB computed: it may be written through, and the next refresh forgets that.

Asked of PostgreSQL's own catalogue, which every server has.
"""

TIMESCALE_SCHEMA = """
    SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
    WHERE extname = 'timescaledb'
"""
"""Where the functions of TimescaleDB lie, which need not be on our search path; no row without the extension."""

CREATE_INCOMING = """
    CREATE TEMPORARY TABLE incoming (
        symbol text, time timestamptz, open double precision, high double precision, low double precision,
        close double precision, volume double precision) ON COMMIT DROP
"""


def fit_incoming(types: Mapping[str, str]) -> str:
    """Round incoming numbers as a table does that keeps them in types of its own, or they would differ for ever."""
    changes = (f"ALTER COLUMN {name} TYPE {type_}" for name, type_ in types.items())
    return f"ALTER TABLE incoming {', '.join(changes)}"


def create_table(interval: Interval) -> str:
    """Make a missing candle table; symbols compare by their bytes, a fifth faster to index than by a language."""
    return f"""CREATE TABLE IF NOT EXISTS {interval.table} (
        time timestamptz NOT NULL, symbol text COLLATE "C" NOT NULL,
        open double precision NOT NULL, high double precision NOT NULL, low double precision NOT NULL,
        close double precision NOT NULL, volume double precision NOT NULL)"""


def make_hypertable(interval: Interval, schema: str) -> str:
    """Turn a new table into a hypertable by the extension in `schema`, a quoted identifier."""
    return f"SELECT {schema}.create_hypertable('{interval.table}', 'time', if_not_exists => TRUE)"


def create_indexes(interval: Interval) -> tuple[str, ...]:
    """Return the statements that index a new table for reads of one symbol and of all in order of time."""
    table = interval.table
    return (
        f"CREATE UNIQUE INDEX IF NOT EXISTS {table}_symbol_time ON {table} (symbol, time)",
        f"CREATE INDEX IF NOT EXISTS {table}_time_symbol ON {table} (time, symbol)",
    )


def held_between(interval: Interval) -> str:
    """Return a row where a symbol of $1 has a bar between its first instant in $2 and its last in $3."""
    return f"""
        SELECT 1 FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS new (symbol, first, last),
        LATERAL (SELECT 1 FROM {interval.table} AS held
            WHERE held.symbol = new.symbol AND held.time BETWEEN new.first AND new.last LIMIT 1) AS hit
        LIMIT 1
    """


CREATE_DIFFERING = "CREATE TEMPORARY TABLE differing (LIKE incoming, is_held boolean) ON COMMIT DROP"


def find_differing(interval: Interval) -> str:
    """Keep of the incoming rows, all between $1 and $2, those that are not held and those that contradict held ones.

    The bounds say nothing new, but with them a table is read between them alone, by its index or by its chunks.
    """
    return f"""
        INSERT INTO differing SELECT new.*, held.symbol IS NOT NULL FROM incoming AS new
        LEFT JOIN {interval.table} AS held
            ON held.symbol = new.symbol AND held.time = new.time AND {_BETWEEN}
        WHERE held.symbol IS NULL OR {_DIFFERS}
    """


COUNT_DIFFERING = """
    SELECT count(*) FILTER (WHERE NOT is_held) AS inserted,
        count(DISTINCT (symbol, time)) FILTER (WHERE is_held) AS changed FROM differing
"""
"""A table without a unique index may hold a bar twice, which is one bar that changes."""


def change(interval: Interval) -> str:
    """Overwrite held rows, all between $1 and $2, that the incoming ones contradict and count them."""
    return f"""
        WITH changed AS (
            UPDATE {interval.table} AS held
            SET open = new.open, high = new.high, low = new.low, close = new.close, volume = new.volume
            FROM differing AS new
            WHERE new.is_held AND held.symbol = new.symbol AND held.time = new.time AND {_BETWEEN}
            AND {_DIFFERS}
            RETURNING held.symbol, held.time
        ) SELECT count(DISTINCT (symbol, time)) FROM changed
    """


def insert(interval: Interval) -> str:
    """Add incoming rows that are not held and count them; needs no unique index, which a desk's table may lack."""
    return f"""
        WITH inserted AS (
            INSERT INTO {interval.table} (symbol, time, open, high, low, close, volume)
            SELECT symbol, time, open, high, low, close, volume FROM differing WHERE NOT is_held
            ON CONFLICT DO NOTHING RETURNING 1
        ) SELECT count(*) FROM inserted
    """


_DIFFERS = """(held.open, held.high, held.low, held.close, held.volume)
    IS DISTINCT FROM (new.open, new.high, new.low, new.close, new.volume)"""

_BETWEEN = "held.time BETWEEN $1::timestamptz AND $2::timestamptz"
