"""EasyInsight, the discovery and backup source: the only place here that speaks HTTP.

`GET /api/symbols` lists symbols, `GET /api/ohlcv/{symbol}?interval&start&end` answers candles, times in ISO 8601.
Whatever comes back is checked before it is believed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

import httpx
import pyarrow as pa
import stamina

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import BadUpstream, CandlecastError, Unavailable, UnknownSymbol, UpstreamTimeout
from deployments.common.telemetry import logger
from deployments.market_data.easyinsight.answers import parse_candles, parse_drafts
from deployments.market_data.easyinsight.breaker import Breaker
from deployments.market_data.models import DependencyHealth, DiscoveredSymbol, Interval, Source, SymbolDraft

log = logger(__name__)

NAME = "EasyInsight"
MAX_BODY_BYTES = 16 * 2**20
"""The longest window we ask for, 50,000 candles, has about 7 MB."""

ATTEMPTS = 3
LEARN_S = 60.0
"""How often the list of symbols is asked for again over one that is not found."""

BRIEF_S = 1.0
"""Another try is made only where the source does not ask for a longer pause."""


class EasyInsightSource:
    """Read symbols and candles from EasyInsight at `base_url`, with or without the trailing `/api`.

    `timeout_s` bounds each call as a whole, retries included. After three failures in a row the source is left alone
    for ten seconds. Methods raise `Unavailable` where it is down, `UpstreamTimeout` where it is too slow and
    `BadUpstream` where it sent nonsense.
    """

    def __init__(
        self,
        base_url: str,
        timeout_s: float = 5.0,
        transport: httpx.AsyncBaseTransport | None = None,
        breaker: Breaker | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_s = timeout_s
        self._breaker = breaker or Breaker(NAME)
        self._spelling: dict[str, str] = {}
        self._monotonic = monotonic
        self._learnt_at = float("-inf")
        self._learning = asyncio.Lock()
        self._client = httpx.AsyncClient(
            base_url=base_url.rstrip("/").removesuffix("/api"),
            timeout=timeout_s,
            transport=transport,
            # A proxy named by the environment cannot reach a source on this machine.
            trust_env=not _is_loopback(base_url),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def drafts(self) -> tuple[SymbolDraft, ...]:
        """Return every symbol with what EasyInsight says of it, guesses in the place of what it leaves out."""
        with self._breaker.guard():
            spellings = parse_drafts(await self._get("/api/symbols", {}))
        self._learnt_at = self._monotonic()
        self._spelling = {draft.symbol: spelling for spelling, draft in spellings.items()}
        return tuple(spellings.values())

    async def symbols(self) -> tuple[DiscoveredSymbol, ...]:
        """Return every symbol as discovered here; bars and times are unknown to this source."""
        return tuple(_discovered(draft) for draft in await self.drafts())

    async def candles(self, symbol: str, interval: Interval, start: datetime, end: datetime) -> pa.Table:
        """Return the candles that open in [start, end) with `CANDLE_SCHEMA`, the forming one included.

        Raises `UnknownSymbol` where EasyInsight does not list the symbol.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._candles_as_spelled(symbol, interval, start, end)
        except TimeoutError:
            raise UpstreamTimeout(f"{NAME} did not answer within {self._timeout_s:g} s") from None

    async def _candles_as_spelled(self, symbol: str, interval: Interval, start: datetime, end: datetime) -> pa.Table:
        """Read by EasyInsight's own spelling, which is asked for first, and again where the symbol is not found."""
        if self._learnt_at == float("-inf"):
            await self._learn()
        try:
            return await self._read(symbol, interval, start, end)
        except UnknownSymbol:
            spelling = self._spelling.get(symbol)
            await self._learn()
            if self._spelling.get(symbol) == spelling:
                raise
            return await self._read(symbol, interval, start, end)

    async def _read(self, symbol: str, interval: Interval, start: datetime, end: datetime) -> pa.Table:
        path = f"/api/ohlcv/{quote(self._spelling.get(symbol, symbol), safe='')}"
        window = {"interval": interval.value, "start": _iso(start), "end": _iso(end)}
        with self._breaker.guard():
            body = await self._get(path, window, symbol)
            return await asyncio.to_thread(parse_candles, body, interval, start, end)

    async def _learn(self) -> None:
        """Ask for the spellings, at most once a minute; without an answer symbols go by the names that we have."""
        async with self._learning:
            if self._monotonic() - self._learnt_at < LEARN_S:
                return
            self._learnt_at = self._monotonic()
            try:
                # A list that dawdles must leave time for the candles.
                async with asyncio.timeout(self._timeout_s / 2):
                    await self.drafts()
            except (CandlecastError, TimeoutError) as error:
                log.warning("easyinsight lists no symbols", reason=str(error) or type(error).__name__)

    async def probe(self, clock: Clock = utc_now) -> DependencyHealth:
        """Return whether EasyInsight answers, how fast, and why not; never raises an error of ours."""
        started = time.perf_counter()
        try:
            await self.drafts()
        except CandlecastError as error:
            return DependencyHealth("easyinsight", "down", None, str(error))
        return DependencyHealth("easyinsight", "ok", round((time.perf_counter() - started) * 1000, 1))

    async def _get(self, path: str, parameters: dict[str, str], symbol: str = "") -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._with_retries(path, parameters, symbol)
        except TimeoutError:
            raise UpstreamTimeout(f"{NAME} did not answer within {self._timeout_s:g} s") from None

    async def _with_retries(self, path: str, parameters: dict[str, str], symbol: str) -> bytes:
        attempts = stamina.retry_context(
            on=_worth_another_try, attempts=ATTEMPTS, timeout=self._timeout_s, wait_max=BRIEF_S, wait_jitter=0.2
        )
        async for attempt in attempts:
            with attempt:
                return await self._once(path, parameters, symbol)
        raise AssertionError("stamina either returns or raises")

    async def _once(self, path: str, parameters: dict[str, str], symbol: str) -> bytes:
        async with _meaning(), self._client.stream("GET", path, params=parameters) as response:
            _refuse_status(response, symbol)
            return await _bounded(response)


@asynccontextmanager
async def _meaning() -> AsyncIterator[None]:
    """Raise what an error of the HTTP library means to us."""
    try:
        yield
    except httpx.TimeoutException:
        raise UpstreamTimeout(f"{NAME} was too slow") from None
    except (httpx.RemoteProtocolError, httpx.DecodingError) as error:
        raise BadUpstream(f"{NAME} broke off or sent no HTTP: {error}") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise BadUpstream(f"EASYINSIGHT_API_URL is no HTTP address: {error}") from None
    except httpx.TransportError as error:
        raise Unavailable(f"{NAME} is not reachable: {error or type(error).__name__}", BRIEF_S) from None


def _refuse_status(response: httpx.Response, symbol: str) -> None:
    if response.status_code == 200:
        return
    if response.status_code == 404 and symbol:
        raise UnknownSymbol(f"{NAME} does not list {symbol}")
    if response.status_code == 429:
        raise Unavailable(f"{NAME} asks for fewer requests", 10 * BRIEF_S)
    if response.status_code >= 500:
        raise Unavailable(f"{NAME} answered {response.status_code}", BRIEF_S)
    raise BadUpstream(f"{NAME} answered {response.status_code}")


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise BadUpstream(f"{NAME} sent more than {MAX_BODY_BYTES >> 20} MiB")
    return bytes(body)


def _worth_another_try(error: Exception) -> bool:
    return isinstance(error, Unavailable) and error.retry_after_s <= BRIEF_S


def _discovered(draft: SymbolDraft) -> DiscoveredSymbol:
    return DiscoveredSymbol(
        draft.symbol, draft.category, False, draft.interval, 0, None, None, sources=(Source.EASYINSIGHT,)
    )


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
