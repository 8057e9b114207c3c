"""The statements of the candle tables. Names come from `Interval` only; every value is a parameter."""

# ruff: noqa: S608  (a table's name cannot be a parameter)

from deployments.market_data.models import Interval

_ORIGIN = "TIMESTAMPTZ '1970-01-01 00:00:00+00'"

TABLES = """
    SELECT name FROM unnest(ARRAY['ohlcv_1m', 'ohlcv_5m', 'ohlcv_15m', 'ohlcv_30m', 'ohlcv_1h', 'ohlcv_4h', 'ohlcv_1d'])
    AS name WHERE to_regclass(name) IS NOT NULL
"""


def distinct_symbols(interval: Interval) -> str:
    """List a table's symbols by jumping from one to the next in the index instead of reading every row."""
    return f"""
        WITH RECURSIVE listed AS (
            (SELECT symbol FROM {interval.table} ORDER BY symbol LIMIT 1)
            UNION ALL
            SELECT (SELECT held.symbol FROM {interval.table} AS held WHERE held.symbol > listed.symbol
                    ORDER BY held.symbol LIMIT 1)
            FROM listed WHERE listed.symbol IS NOT NULL
        ) SELECT symbol FROM listed WHERE symbol IS NOT NULL
    """


def spans(interval: Interval) -> str:
    """Count every symbol's bars with the openings of the first and last."""
    return f"""
        SELECT symbol, count(*) AS bars, min(time) AS first_time, max(time) AS last_time
        FROM {interval.table} GROUP BY symbol
    """


def window(source: Interval, interval: Interval) -> str:
    """Read the newest $4 rows of the spellings $1 that open in [$2, $3), ascending."""
    newest = _newest(source) if source is interval else _newest_aggregated(source, interval)
    return f"SELECT time, open, high, low, close, volume FROM ({newest}) AS newest ORDER BY time, nth"


def _newest(source: Interval) -> str:
    return f"""
        SELECT time, open, high, low, close, volume, array_position($1::text[], symbol) AS nth
        FROM {source.table} WHERE symbol = ANY($1) AND time >= $2 AND time < $3 ORDER BY time DESC LIMIT $4
    """


def _newest_aggregated(source: Interval, interval: Interval) -> str:
    # As many fine rows as the bars can hold, and one bar more: the oldest bar may be cut and falls to the outer limit.
    rows = interval.delta // source.delta
    return f"""
        SELECT {_AGGREGATES.format(bin=_bin(interval))}, 1 AS nth
        FROM (
            SELECT * FROM {source.table}
            WHERE symbol = ANY($1) AND {_SOUND}
            AND time >= {_bin(interval, "$2::timestamptz + interval '" + _ALMOST[interval] + "'")}
            AND time < {_bin(interval, "$3::timestamptz - interval '1 microsecond'")} + interval '{_LENGTHS[interval]}'
            ORDER BY time DESC LIMIT ($4::bigint + 1) * {rows} * cardinality($1)
        ) AS fine GROUP BY 1 ORDER BY 1 DESC LIMIT $4
    """


def after(source: Interval, interval: Interval) -> str:
    """Read at most $6 rows of the spellings $1, named $2, after the key ($3, $4) that open before $5."""
    candles = f"""
        SELECT named.symbol, held.time, held.open, held.high, held.low, held.close, held.volume
        FROM {source.table} AS held
        JOIN unnest($1::text[], $2::text[]) AS named(stored, symbol) ON held.symbol = named.stored
        WHERE held.symbol = ANY($1)
    """
    if source is interval:
        candles += " AND held.time >= $3 AND held.time < $5"
    else:
        candles = f"""
            SELECT symbol, {_AGGREGATES.format(bin=_bin(interval))}
            FROM ({candles} AND held.time >= {_bin(interval, "$3::timestamptz")}
                AND held.time < {_bin(interval, "$5::timestamptz")} + interval '{_LENGTHS[interval]}') AS fine
            WHERE {_SOUND} GROUP BY 1, 2
        """
    return f"""
        SELECT DISTINCT ON (time, symbol COLLATE "C") symbol, time, open, high, low, close, volume
        FROM ({candles}) AS candles
        WHERE time < $5 AND (time > $3 OR (time = $3 AND symbol COLLATE "C" > $4))
        ORDER BY time, symbol COLLATE "C" LIMIT $6
    """


def create(interval: Interval) -> tuple[str, ...]:
    """Return the statements that make a missing candle table with its two indexes."""
    table = interval.table
    return (
        f"""CREATE TABLE IF NOT EXISTS {table} (
            time timestamptz NOT NULL, symbol text NOT NULL,
            open double precision NOT NULL, high double precision NOT NULL, low double precision NOT NULL,
            close double precision NOT NULL, volume double precision NOT NULL)""",
        f"CREATE UNIQUE INDEX IF NOT EXISTS {table}_symbol_time ON {table} (symbol, time)",
        f"CREATE INDEX IF NOT EXISTS {table}_time_symbol ON {table} (time, symbol)",
    )


HAS_TIMESCALE = "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"


def make_hypertable(interval: Interval) -> str:
    """Turn a new table into a hypertable; only where the extension is present."""
    return f"SELECT create_hypertable('{interval.table}', 'time', if_not_exists => TRUE)"


INCOMING_COLUMNS = ("symbol", "time", "open", "high", "low", "close", "volume")

CREATE_INCOMING = """
    CREATE TEMPORARY TABLE incoming (
        symbol text, time timestamptz, open double precision, high double precision, low double precision,
        close double precision, volume double precision) ON COMMIT DROP
"""

LOCK_TABLE = "SELECT pg_advisory_xact_lock(hashtext('candlecast.' || $1))"


def change(interval: Interval) -> str:
    """Overwrite held rows that the incoming ones contradict and count them."""
    return f"""
        WITH changed AS (
            UPDATE {interval.table} AS held
            SET open = new.open, high = new.high, low = new.low, close = new.close, volume = new.volume
            FROM incoming AS new WHERE held.symbol = new.symbol AND held.time = new.time
            AND (held.open, held.high, held.low, held.close, held.volume)
                IS DISTINCT FROM (new.open, new.high, new.low, new.close, new.volume)
            RETURNING 1
        ) SELECT count(*) FROM changed
    """


def insert(interval: Interval) -> str:
    """Add incoming rows that are not held and count them; needs no unique index, which a desk's table may lack."""
    return f"""
        WITH inserted AS (
            INSERT INTO {interval.table} (symbol, time, open, high, low, close, volume)
            SELECT new.symbol, new.time, new.open, new.high, new.low, new.close, new.volume FROM incoming AS new
            WHERE NOT EXISTS (
                SELECT 1 FROM {interval.table} AS held WHERE held.symbol = new.symbol AND held.time = new.time)
            ON CONFLICT DO NOTHING RETURNING 1
        ) SELECT count(*) FROM inserted
    """


_LENGTHS = {interval: f"{int(interval.delta.total_seconds())} seconds" for interval in Interval}
_ALMOST = {interval: f"{int(interval.delta.total_seconds() * 1_000_000) - 1} microseconds" for interval in Interval}

_AGGREGATES = """{bin} AS time,
    (array_agg(open ORDER BY time))[1] AS open, max(high) AS high, min(low) AS low,
    (array_agg(close ORDER BY time DESC))[1] AS close, sum(volume) AS volume"""

_SOUND = "low > 0 AND high >= low AND high < 'infinity'"
"""Leaves broken fine rows out of a bar; a NaN sorts above infinity in PostgreSQL."""


def _bin(interval: Interval, instant: str = "time") -> str:
    return f"date_bin(interval '{_LENGTHS[interval]}', {instant}, {_ORIGIN})"
