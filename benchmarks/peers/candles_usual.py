"""The usual candle service: FastAPI, uvicorn and asyncpg, rows as dicts, the framework's own JSON.

Twice: as most write it, and with the type of the answer written down, from which recent versions of FastAPI build a
faster encoder.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from fastapi import FastAPI, HTTPException

QUERY = """
    SELECT time, open, high, low, close, volume FROM ohlcv_1h
    WHERE symbol = $1 AND time >= $2 AND time < $3 ORDER BY time
"""
HOUR = timedelta(hours=1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold a pool as large as ours."""
    async with asyncpg.create_pool(os.environ["PEER_DSN"], min_size=1, max_size=8) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


async def candles(symbol: str, lookback_days: float) -> dict[str, Any]:
    """Return the closed candles of a window."""
    now = datetime.now(UTC)
    rows = await app.state.pool.fetch(QUERY, symbol, now - timedelta(days=lookback_days), now - HOUR)
    if not rows:
        raise HTTPException(404)
    found = [dict(row) for row in rows]
    return {"symbol": symbol, "interval": "1h", "count": len(found), "candles": found}


@app.get("/data/{symbol}", response_model=None)
async def data(symbol: str, lookback_days: float = 90) -> dict[str, Any]:
    """Return what FastAPI's general encoder makes of it."""
    return await candles(symbol, lookback_days)


@app.get("/typed/{symbol}")
async def typed(symbol: str, lookback_days: float = 90) -> dict[str, Any]:
    """Return what its encoder for the written type makes of it."""
    return await candles(symbol, lookback_days)
