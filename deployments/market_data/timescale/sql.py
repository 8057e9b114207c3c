"""The statements of the candle tables. Names come from `Interval` only; every value is a parameter."""

# ruff: noqa: S608  (a table's name cannot be a parameter)

from deployments.market_data.models import Interval

TABLES = """
    SELECT name FROM unnest(ARRAY['ohlcv_1m', 'ohlcv_5m', 'ohlcv_15m', 'ohlcv_30m', 'ohlcv_1h', 'ohlcv_4h', 'ohlcv_1d'])
    AS name WHERE has_table_privilege(to_regclass(name), 'SELECT')
"""
"""The tables that there are and that we may read; of one that is missing the privilege is unknown."""


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


def estimate(interval: Interval) -> str:
    """Ask the planner how many rows a table has, which costs nothing and knows the chunks of a hypertable too."""
    return f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {interval.table}"


SHARES = """
    WITH RECURSIVE parts(id) AS (
        SELECT to_regclass($1)::oid
        UNION ALL SELECT inhrelid FROM pg_inherits JOIN parts ON inhparent = parts.id
    ), told AS (
        SELECT class.reltuples AS rows, seen.most_common_vals::text::text[] AS symbols, seen.most_common_freqs AS shares
        FROM parts JOIN pg_class AS class ON class.oid = parts.id
        JOIN pg_stats AS seen ON seen.schemaname = class.relnamespace::regnamespace::name
            AND seen.tablename = class.relname AND seen.attname = 'symbol' AND NOT seen.inherited
        WHERE class.reltuples > 0 AND seen.most_common_vals IS NOT NULL
    )
    SELECT symbol, sum(rows * share) / (SELECT sum(rows) FROM told) AS share
    FROM told, unnest(symbols, shares) AS common(symbol, share) GROUP BY symbol
"""
"""The common symbols of a table with their shares of its rows, as the server saw them when it last looked at samples.

A partitioned table, such as a hypertable, is the sum of its parts. Reads no row of the table.
"""


def spans(interval: Interval) -> str:
    """Count every symbol's bars with the openings of the first and last."""
    return f"""
        SELECT symbol, count(*) AS bars, min(time) AS first_time, max(time) AS last_time
        FROM {interval.table} GROUP BY symbol
    """


def ends(interval: Interval) -> str:
    """Return the oldest opening from $2 on and the newest one of each spelling $1, both from the index."""
    return f"""
        SELECT stored, low.time AS first_time, high.time AS last_time
        FROM unnest($1::text[]) AS stored
        CROSS JOIN LATERAL (SELECT held.time FROM {interval.table} AS held
            WHERE held.symbol = stored AND held.time >= $2 ORDER BY held.time LIMIT 1) AS low
        CROSS JOIN LATERAL (SELECT held.time FROM {interval.table} AS held
            WHERE held.symbol = stored AND held.time >= $2 ORDER BY held.time DESC LIMIT 1) AS high
    """


def windows(interval: Interval) -> str:
    """Read for each ask the newest $6 rows of a spelling $1 that open in [$4, $5), ascending.

    $2 numbers the asks and $3 the spellings of one symbol, the canonical one first.
    """
    return f"""
        SELECT asked.ask, newest.time, newest.open, newest.high, newest.low, newest.close, newest.volume
        FROM unnest($1::text[], $2::int[], $3::int[], $4::timestamptz[], $5::timestamptz[], $6::bigint[])
            AS asked(stored, ask, spelling, first, until, at_most)
        CROSS JOIN LATERAL (
            SELECT * FROM {interval.table} AS held
            WHERE held.symbol = asked.stored AND held.time >= asked.first AND held.time < asked.until
            ORDER BY held.time DESC LIMIT asked.at_most
        ) AS newest ORDER BY asked.ask, newest.time, asked.spelling
    """


def sums(source: Interval) -> str:
    """Add up the rows of the spellings $1 in the slots between the edges $4, each opening in [$5, $6).

    Edges are seconds since 1970, which are exact to the microsecond and found the fastest. $2 numbers the symbols, $3
    the spellings of one: of rows that tell the same bar the canonical one counts.
    """
    return f"""
        SELECT asked, width_bucket(date_part('epoch', time), $4::double precision[]) AS slot,
            {_FIRST.format("open")} AS open, max(high) AS high, min(low) AS low, {_LAST.format("close")} AS close,
            sum(volume) AS volume, count(*) AS bars, min(time) AS first_time, max(time) AS last_time
        FROM (
            SELECT DISTINCT ON (named.asked, held.time) named.asked, held.*
            FROM unnest($1::text[], $2::int[], $3::int[]) AS named(stored, asked, spelling)
            CROSS JOIN LATERAL (
                SELECT * FROM {source.table} AS each
                WHERE each.symbol = named.stored AND each.time >= $5 AND each.time < $6 AND {_SOUND}
            ) AS held ORDER BY named.asked, held.time, named.spelling
        ) AS fine GROUP BY 1, 2 ORDER BY 1, 2
    """


def after(interval: Interval) -> str:
    """Read at most $6 rows of the spellings $1, named $2, after the key ($3, $4) that open before $5."""
    return f"""
        SELECT DISTINCT ON (time, symbol COLLATE "C") symbol, time, open, high, low, close, volume
        FROM (
            SELECT named.symbol, held.time, held.open, held.high, held.low, held.close, held.volume
            FROM {interval.table} AS held
            JOIN unnest($1::text[], $2::text[]) AS named(stored, symbol) ON held.symbol = named.stored
            WHERE held.symbol = ANY($1) AND held.time >= $3 AND held.time < $5
        ) AS candles
        WHERE time < $5 AND (time > $3 OR (time = $3 AND symbol COLLATE "C" > $4))
        ORDER BY time, symbol COLLATE "C" LIMIT $6
    """


# The value at the oldest and newest instant without sorting: arrays compare element by element.
_FIRST = "(min(ARRAY[date_part('epoch', time), {}]))[2]"
_LAST = "(max(ARRAY[date_part('epoch', time), {}]))[2]"

_SOUND = """low > 0 AND high < 'infinity' AND volume >= 0 AND volume < 'infinity'
    AND least(open, close) >= low - high * 1e-9 AND greatest(open, close) <= high + high * 1e-9"""
"""Leaves out of a bar the fine rows that `quality.refused` keeps aside; a NaN sorts above infinity in PostgreSQL."""
