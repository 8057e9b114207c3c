"""The statements about managed symbols and quarantined rows in schema `candlecast`."""

# ruff: noqa: S608  (only names of columns, all from this file, are put together)

DRAFT_COLUMNS = (
    "symbol",
    "category",
    "status",
    "exchange",
    "interval",
    "enabled",
    "base_currency",
    "quote_currency",
    "lot_size",
    "price_increment",
    "size_increment",
    "calendar",
    "aliases",
)
_DRAFT = ", ".join(DRAFT_COLUMNS)
_SYMBOL = f"{_DRAFT}, created_at, updated_at"

SYMBOLS = f'SELECT {_SYMBOL} FROM candlecast.managed_symbols ORDER BY symbol COLLATE "C"'
FIRST_SYMBOLS = """
    INSERT INTO candlecast.first_symbols (time) SELECT $1::timestamptz
    WHERE NOT EXISTS (SELECT 1 FROM candlecast.managed_symbols) ON CONFLICT DO NOTHING RETURNING once
"""
"""Returns a row where there is no symbol and the first ones have not come in yet, which from then on they have."""

PAGE = f"""
    SELECT {_SYMBOL} FROM candlecast.managed_symbols
    WHERE ($1::text IS NULL OR category = $1) AND ($2::text IS NULL OR status = $2)
    AND (symbol ILIKE $3 OR EXISTS (SELECT 1 FROM unnest(keys || aliases) AS name WHERE name ILIKE $3))
    AND symbol COLLATE "C" > $4 ORDER BY symbol COLLATE "C" LIMIT $5
"""

LOCK_SYMBOLS = "SELECT pg_advisory_xact_lock(hashtext('candlecast.managed_symbols'))"
HOLDER = """
    SELECT symbol, ARRAY(SELECT unnest(keys) INTERSECT SELECT unnest($1::text[]) ORDER BY 1) AS taken
    FROM candlecast.managed_symbols WHERE keys && $1::text[] AND symbol <> $2 ORDER BY symbol LIMIT 1
"""
LOCK_SYMBOL = "SELECT updated_at FROM candlecast.managed_symbols WHERE symbol = $1 FOR UPDATE"

ADD = f"""
    INSERT INTO candlecast.managed_symbols ({_DRAFT}, keys, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15) RETURNING {_SYMBOL}
"""

REPLACE = f"""
    UPDATE candlecast.managed_symbols
    SET ({_DRAFT}, keys, updated_at) = ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    WHERE symbol = $1 RETURNING {_SYMBOL}
"""

REMOVE = "DELETE FROM candlecast.managed_symbols WHERE symbol = $1 RETURNING symbol"

QUARANTINE = """
    INSERT INTO candlecast.quarantined_rows
        (symbol, interval, time, check_id, reason, open, high, low, close, volume)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (symbol, interval, time, check_id) DO UPDATE SET
        reason = excluded.reason, open = excluded.open, high = excluded.high, low = excluded.low,
        close = excluded.close, volume = excluded.volume
"""

QUARANTINED = """
    SELECT time, check_id, reason, open, high, low, close, volume FROM candlecast.quarantined_rows
    WHERE symbol = $1 AND interval = $2 AND ($3::timestamptz IS NULL OR time < $3) ORDER BY time DESC LIMIT $4
"""

QUARANTINE_COUNTS = """
    SELECT check_id, count(*) AS rows FROM candlecast.quarantined_rows
    WHERE symbol = $1 AND interval = $2 AND ($3::timestamptz IS NULL OR time < $3) GROUP BY check_id
"""
