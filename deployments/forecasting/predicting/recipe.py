"""How NHITS is used here: as a correction on the quantiles that volatility alone implies.

The network reads the price path in units of its expected scale and says by which factor each quantile differs from the
pooled one; the answer is scaled back. So an untrained network already forecasts what volatility knows, a trained one
can only add to it, and prices of any size look alike.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deployments.forecasting.quantiles import QUANTILES, FloatArray, ascending, mixed
from deployments.forecasting.series.panel import Panel, Span
from deployments.forecasting.series.scale import ScaleFit, Volatility, fit_scale, volatility_of
from deployments.forecasting.series.season import WEEK, fit_season
from deployments.forecasting.series.windows import Past, Windows

CORRECTION = 0.1
"""What one unit of the network's output is worth in log width: prices have little to learn, so it starts small."""

CORRECTION_LIMIT = 10.0
"""Outputs beyond this, a factor of e, are cut: only a window unlike all others gives them."""

PATH_LIMIT = 30.0

RECENT = 0.5
"""Share of the training span, the newest, that the pooled quantiles are taken from: markets grow calmer with age."""

USUAL_BARS = 336
"""Bars whose mean variance counts as usual where the season is fitted."""

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Seasons:
    """`factors` (calendars, 168): how lively each hour of the week is where `calendars` trade; 1 anywhere else."""

    calendars: tuple[str, ...]
    factors: FloatArray

    def of(self, calendars: npt.NDArray[np.str_]) -> FloatArray:
        """Return the factors of each row, (n, 168)."""
        table = np.concatenate([self.factors, np.ones((1, WEEK))])
        place = {calendar: index for index, calendar in enumerate(self.calendars)}
        found: FloatArray = table[[place.get(calendar, len(place)) for calendar in calendars.tolist()]]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """What volatility alone says: seasons, the scale per step, and `levels` (horizon, 9) in units of that scale."""

    seasons: Seasons
    fit: ScaleFit
    levels: FloatArray

    @property
    def horizon(self) -> int:
        return len(self.levels)


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What the network reads, and what its answer is in units of.

    `path`, in multiples of `unit` (n,), and `mask` are (n, input_size), `regime` (n, `REGIMES`), `scale` (n, horizon).
    """

    path: Singles
    mask: Singles
    regime: Singles
    scale: FloatArray
    unit: FloatArray


def fit_seasons(panel: Panel, span: Span) -> Seasons:
    """Fit the week's profile of every calendar on the known bars of a span."""
    calendars = tuple(sorted(set(panel.calendars)))
    ratios, usable = _relative_variances(panel)
    usable &= (panel.times >= span.start) & (panel.times < span.end)
    whose = np.repeat(np.array(panel.calendars), np.diff(panel.offsets))
    factors = []
    for calendar in calendars:
        rows = usable & (whose == calendar)
        factors.append(fit_season(ratios[rows], panel.hours[rows]))
    return Seasons(calendars, np.stack(factors))


def fit_prior(
    windows: Windows, seasons: Seasons, recent: npt.NDArray[np.bool_] | None = None, like: ScaleFit | None = None
) -> Prior:
    """Fit the scale on all windows, then the quantiles of the moves in units of it on the `recent` ones, pooled.

    The quantiles are symmetric: a trend of the training years would not last, and fewer unknowns mean less noise.
    Regimes are standardised as in `like`, where it is given.
    """
    volatility = measured(windows.past, seasons, windows.future.shape[1])
    fit = fit_scale(volatility, windows, like)
    rows = np.ones(len(windows), dtype=bool) if recent is None else recent
    # Where no bar came the close before goes on: that is no move.
    moves = np.where(windows.came, windows.moves, np.nan)
    standard = (moves / fit.scales(volatility))[rows]
    return Prior(seasons, fit, np.nanquantile(np.concatenate([standard, -standard]), QUANTILES, axis=0).T)


def measured(past: Past, seasons: Seasons, steps: int) -> Volatility:
    """Measure the volatility of a past against its own calendars' seasons."""
    return volatility_of(past, seasons.of(past.calendars), steps)


def inputs_of(past: Past, prior: Prior, input_size: int) -> Inputs:
    """Turn a past into what the network reads."""
    volatility = measured(past, prior.seasons, prior.horizon)
    unit = volatility.plain[:, -1]
    mask = past.known[:, -input_size:]
    path = np.clip((past.log_closes[:, -input_size:] - past.last[:, None]) / unit[:, None], -PATH_LIMIT, PATH_LIMIT)
    return Inputs(
        (path * mask).astype(np.float32),
        mask.astype(np.float32),
        prior.fit.standardised(volatility.regimes).astype(np.float32),
        prior.fit.scales(volatility),
        unit,
    )


def quantiles_of(
    last: FloatArray,
    scale: FloatArray,
    levels: FloatArray,
    correction: npt.NDArray[np.floating],
    share: float = 1.0,
) -> FloatArray:
    """Return log-price quantiles (n, horizon, 9), ascending, from the network's `correction` of the same shape.

    `last` (n,) is the last log close, `share` the weight of the corrected quantiles beside the `levels` as they are.
    Networks cross quantiles; sorting never makes the pinball loss worse.
    """
    bounded = np.clip(correction.astype(np.float64), -CORRECTION_LIMIT, CORRECTION_LIMIT)
    standard = ascending(levels * np.exp(CORRECTION * bounded))
    if share < 1:
        standard = mixed(standard, levels, share)
    result: FloatArray = last[:, None, None] + scale[..., None] * standard
    return result


def _relative_variances(panel: Panel) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return each bar's variance over the mean of those before it, and where that says something."""
    ratios, usable = np.ones(len(panel.times)), np.zeros(len(panel.times), dtype=bool)
    for first, last in zip(panel.offsets[:-1], panel.offsets[1:], strict=True):
        variances, known = panel.variances[first:last], panel.known[first:last]
        total, count = (np.concatenate([[0.0], np.cumsum(each)]) for each in (variances, known))
        start = np.maximum(np.arange(last - first) - USUAL_BARS, 0)
        seen = count[:-1] - count[start]
        usual = (total[:-1] - total[start]) / np.maximum(seen, 1)
        fine = known & (seen >= USUAL_BARS / 4) & (usual > 0)
        ratios[first:last] = np.divide(variances, usual, out=np.ones(last - first), where=fine)
        usable[first:last] = fine
    return ratios, usable
