"""The same service by a careful hand: records straight to orjson, past the framework's encoder."""

from datetime import UTC, datetime, timedelta

import orjson
from fastapi import FastAPI, HTTPException, Response

from benchmarks.peers.candles_usual import HOUR, QUERY, lifespan

app = FastAPI(lifespan=lifespan)


@app.get("/data/{symbol}")
async def data(symbol: str, lookback_days: float = 90) -> Response:
    """Return the closed candles of a window."""
    now = datetime.now(UTC)
    rows = await app.state.pool.fetch(QUERY, symbol, now - timedelta(days=lookback_days), now - HOUR)
    if not rows:
        raise HTTPException(404)
    body = {"symbol": symbol, "interval": "1h", "count": len(rows), "candles": [dict(row) for row in rows]}
    return Response(orjson.dumps(body, option=orjson.OPT_UTC_Z), media_type="application/json")
