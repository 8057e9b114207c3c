"""What the demo market lists: symbols with their habits. Invented prices, real calendars."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from deployments.market_data.models import Category, Interval, SymbolDraft

STEP = Interval.M5
STEPS_PER_WEEK = timedelta(weeks=1) // STEP.delta

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DemoMarket:
    """A group of symbols that move together, on one calendar.

    `weekly_profile` maps hours since Monday 00:00 in `zone` to a volatility factor, about 1 on average while open;
    `steps_per_year` counts the 5-minute steps of a year in which the market is open.
    """

    name: str
    zone: str
    steps_per_year: int
    weekly_profile: Callable[[Floats], Floats]

    def season(self, week_start: datetime) -> Floats:
        """Return the volatility factor of each step of the week that starts on Monday 00:00 UTC.

        The zone's offset is taken on Wednesday: clocks change on Sundays, outside the sessions that follow them.
        """
        offset = (week_start + timedelta(days=2)).astimezone(ZoneInfo(self.zone)).utcoffset() or timedelta()
        hours = np.arange(STEPS_PER_WEEK) * (STEP.delta / timedelta(hours=1)) + offset / timedelta(hours=1)
        return self.weekly_profile(np.asarray(hours % 168, dtype=np.float64))


@dataclass(frozen=True, slots=True)
class DemoSymbol:
    """One symbol: `price` is where it is anchored, `share` the part of its variance that its market explains.

    `volatility` is the standard deviation of a year's log return; `volume` is traded in an average open hour.
    """

    draft: SymbolDraft
    market: DemoMarket
    price: float
    volatility: float
    share: float
    volume: float

    @property
    def name(self) -> str:
        return self.draft.symbol


def _bump(hour: Floats, centre: float, width: float) -> Floats:
    distance = np.abs((hour - centre + 12) % 24 - 12)
    factor: Floats = np.exp(-0.5 * (distance / width) ** 2)
    return factor


def _crypto_week(hours: Floats) -> Floats:
    """Busiest when America wakes up, a second breath at Asia's open, quieter at weekends."""
    day = 0.75 + 0.75 * _bump(hours, 14.5, 3.0) + 0.3 * _bump(hours, 0.5, 2.0)
    week: Floats = day * np.where(hours >= 120, 0.75, 1.0)
    return week


def _forex_week(hours: Floats) -> Floats:
    """Quiet between New York's close and Tokyo's open, busiest while London and New York overlap."""
    day: Floats = 0.5 + 0.6 * _bump(hours, 8.0, 2.0) + 0.95 * _bump(hours, 14.0, 2.2) + 0.25 * _bump(hours, 1.0, 2.0)
    return day


def _session_day(hours: Floats) -> Floats:
    """Loud at the opening bell, a quiet lunch, loud again into the close (9:30 to 16:00 local)."""
    day: Floats = 0.75 + 1.1 * _bump(hours, 9.5, 0.8) + 0.5 * _bump(hours, 16.0, 0.8)
    return day


CRYPTO = DemoMarket("crypto", "UTC", 105_120, _crypto_week)
FOREX = DemoMarket("forex", "UTC", 74_880, _forex_week)
EQUITY = DemoMarket("equity", "America/New_York", 19_656, _session_day)


def _crypto(base: str, price: float, volatility: float, share: float, volume: float, tick: str) -> DemoSymbol:
    draft = SymbolDraft(
        symbol=f"{base}USD",
        category=Category.CRYPTO,
        exchange="DEMO",
        base_currency=base,
        quote_currency="USD",
        price_increment=Decimal(tick),
        calendar="24/7",
    )
    return DemoSymbol(draft, CRYPTO, price, volatility, share, volume)


def _forex(pair: str, price: float, volatility: float, share: float, tick: str) -> DemoSymbol:
    draft = SymbolDraft(
        symbol=pair,
        category=Category.FOREX,
        exchange="DEMO",
        base_currency=pair[:3],
        quote_currency=pair[3:],
        lot_size=Decimal(100_000),
        price_increment=Decimal(tick),
        size_increment=Decimal("0.01"),
        calendar="forex",
    )
    return DemoSymbol(draft, FOREX, price, volatility, share, volume=9_000.0)


def _equity(name: str, category: Category, price: float, volatility: float, share: float, volume: float) -> DemoSymbol:
    draft = SymbolDraft(
        symbol=name,
        category=category,
        exchange="DEMO",
        base_currency=name,
        quote_currency="USD",
        price_increment=Decimal("0.01"),
        size_increment=Decimal(1),
        calendar="XNYS",
    )
    return DemoSymbol(draft, EQUITY, price, volatility, share, volume)


SYMBOLS = (
    _crypto("BTC", 68_000.0, 0.50, 0.75, 1_300.0, "0.01"),
    _crypto("ETH", 3_400.0, 0.62, 0.70, 16_000.0, "0.01"),
    _crypto("SOL", 165.0, 0.85, 0.55, 130_000.0, "0.001"),
    _crypto("XRP", 0.62, 0.75, 0.50, 14_000_000.0, "0.00001"),
    _forex("EURUSD", 1.09, 0.07, 0.65, "0.00001"),
    _forex("GBPUSD", 1.28, 0.08, 0.60, "0.00001"),
    _forex("USDJPY", 149.0, 0.10, -0.45, "0.001"),
    _equity("AAPL", Category.STOCK, 215.0, 0.27, 0.50, 7_000_000.0),
    _equity("MSFT", Category.STOCK, 430.0, 0.24, 0.55, 3_200_000.0),
    _equity("SPX", Category.INDEX, 5_600.0, 0.15, 0.85, 340_000_000.0),
)
