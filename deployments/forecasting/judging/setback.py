"""Where a model is worse than the baseline, so that the baseline serves there instead. Pure functions only.

A model that is better on the whole may still be worse on one symbol. Wherever that is significant the baseline serves:
from the test span on, and wherever live forecasts show it later.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from deployments.forecasting.judging.comparison import compare
from deployments.forecasting.judging.evaluation import PairedLosses
from deployments.forecasting.judging.resolving import Outcomes

TEST_ERROR_RATE = 0.05
"""Chance of setting a model back on a symbol of the test span where it is as good as the baseline: it costs nothing."""

LIVE_ERROR_RATE = 0.01
"""The same for live forecasts, which are asked again every few minutes."""

LIVE_TRAILING = timedelta(days=30)
"""How far back live forecasts count. A model that is set back issues none, so after this time it gets another try."""

MIN_OF_SYMBOL = 100
"""Resolved forecasts of one symbol below which a loss there may be luck."""

MIN_OF_ALL = 200
"""Resolved forecasts of all symbols below which a loss on the whole may be luck."""


@dataclass(frozen=True, slots=True)
class Setback:
    """Where a model's live forecasts lost to the baseline: on each of `symbols`, or on the others too, `everywhere`."""

    symbols: tuple[str, ...] = ()
    everywhere: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold and `from_dict` takes."""
        return {"symbols": list(self.symbols), "everywhere": self.everywhere}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Setback":
        """Raises `ValueError` for what `as_dict` never returns."""
        symbols, everywhere = fields["symbols"], fields["everywhere"]
        if not isinstance(symbols, list) or not isinstance(everywhere, bool):
            raise ValueError("a setback names a list of symbols and says whether it is everywhere")
        return cls(tuple(map(str, symbols)), everywhere)

    def reason(self, symbol: str) -> str:
        """Return why the model does not serve a symbol, empty where it does."""
        if self.everywhere:
            return "the model's live forecasts were significantly worse than the baseline's"
        if symbol in self.symbols:
            return f"the model's live forecasts of {symbol} were significantly worse than the baseline's"
        return ""


def live_setback(outcomes: Outcomes, horizon: int) -> Setback:
    """Return where a version's forecasts of the last `LIVE_TRAILING`, as issued, lost significantly to the baseline."""
    own, baseline = outcomes.own_losses, outcomes.baseline_losses
    lost = losing_symbols(own, baseline, horizon, LIVE_ERROR_RATE, MIN_OF_SYMBOL)
    # One symbol alone must not speak for all others.
    rest = ~np.isin(outcomes.symbols, lost)
    rows = rest if rest.any() else ~rest
    enough = rows.sum() >= MIN_OF_ALL
    everywhere = enough and compare(_of(own, rows), _of(baseline, rows), horizon).p_worse < LIVE_ERROR_RATE
    return Setback(lost, bool(everywhere))


def losing_symbols(
    own: PairedLosses, baseline: PairedLosses, horizon: int, error_rate: float = TEST_ERROR_RATE, least: int = 1
) -> tuple[str, ...]:
    """Return the symbols, sorted, whose forecasts were significantly worse than the baseline's.

    Both are scored on the same windows. A symbol with fewer than `least` of them, or too few for any test, is left out.
    """
    if own.symbols is None:
        return ()
    lost = []
    for symbol in np.unique(own.symbols):
        rows = own.symbols == symbol
        if rows.sum() >= least and compare(_of(own, rows), _of(baseline, rows), horizon).p_worse < error_rate:
            lost.append(str(symbol))
    return tuple(lost)


def _of(paired: PairedLosses, rows: Any) -> PairedLosses:
    symbols = None if paired.symbols is None else paired.symbols[rows]
    return PairedLosses(paired.origins[rows], paired.losses[rows], symbols)
