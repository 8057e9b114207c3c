"""The gate: what follows for a trained candidate. One pure function that says why.

The stated error rate is `ERROR_RATE`: of challengers that are no better than the champion, at most so many in a hundred
are promoted for being better, and of those worse by more than `MARGIN`, at most so many for being fresher.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from deployments.forecasting.judging.comparison import Comparison, compare
from deployments.forecasting.judging.evaluation import PairedLosses, Scores, ratio
from deployments.forecasting.judging.setback import losing_symbols

ERROR_RATE = 0.05

MARGIN = 0.01
"""Share of the champion's loss by which a fresher candidate may be worse and still count as no worse."""

MAX_CHAMPION_AGE = timedelta(days=7)
"""Age from which a champion's answers say `old_model`, and a candidate that is no worse takes over."""

LEAKAGE_DIRECTION = 0.58
"""Share of right first-step directions above which the data must have leaked: honest hourly values end at 0.56."""

LEAKAGE_R_SQUARED = 0.05
"""Share of squared moves foreseen above which the data must have leaked."""

LEAKAGE_CALLS = 500
"""Forecasts below which such shares may be luck."""

LEAKAGE_GAIN = 0.06
"""Gain in pinball loss over the strongest baseline above which the data must have leaked.

Honest models gain one to two hundredths over a HAR regression; one that is told the volatility to come gains nine.
Without this a model whose median is the last price would raise no alarm, whatever its scale knows.
"""

BASELINE = "the EWMA baseline"

NAMED = 5
"""Symbols that a reason names; the verdict lists all of them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows for a candidate: `promote`, `keep` the champion, or `reject`; why; and the figures behind it.

    Of `lost_symbols` the baseline is significantly better: whatever becomes of the candidate, it should not serve them.
    """

    verdict: str
    reason: str
    evidence: dict[str, float]
    lost_symbols: tuple[str, ...] = ()


def judge(
    candidate: Scores,
    baseline: Scores,
    champion: Scores | None = None,
    others: Mapping[str, Scores] | None = None,
    champion_age: timedelta | None = None,
) -> Verdict:
    """Decide over a candidate scored on the same windows of the test span as everything it competes with.

    `baseline` answers wherever no model does, `others` are further baselines by name, which none of the ladder's rungs
    serves: the reason names the strongest where it is significantly better, but refusing a model for its sake would
    serve something worse than both. Reject what is broken, too good to be true, or worse than the baseline. Promote
    what remains where there is no champion, where it is significantly better than the champion, or where the champion
    is older than `MAX_CHAMPION_AGE` and the candidate no worse; else keep the champion.
    """
    rivals = {BASELINE: baseline, **(others or {})}
    strongest = min(rivals, key=lambda name: rivals[name].pinball)
    beside_strongest = _compared(candidate, rivals[strongest])
    beside_champion = _compared(candidate, champion) if champion else None
    evidence = _evidence(candidate, baseline, rivals[strongest], champion)
    evidence |= _figures("strongest", beside_strongest) | _figures("champion", beside_champion)
    reason = _broken(candidate, baseline) or _leaking(candidate, beside_strongest, strongest)
    reason = reason or _worse_than_baseline(candidate, baseline)
    lost = _lost_symbols(candidate, baseline)
    standing = _standing(candidate, baseline) + _beaten_by(beside_strongest, strongest) + _except(lost)
    if reason:
        verdict = "reject"
    elif champion is None or beside_champion is None:
        verdict, reason = "promote", f"no champion yet; {standing}"
    else:
        verdict, reason = _challenge(beside_champion, _compared(candidate, champion, MARGIN), champion_age)
        reason = f"{reason}; {standing}"
    return Verdict(verdict, reason, {name: figure for name, figure in evidence.items() if math.isfinite(figure)}, lost)


def limited(verdict: Verdict, unmet: Sequence[str]) -> Verdict:
    """Return the verdict where champion and candidate did not meet on `unmet` symbols, all of which it would serve."""
    if verdict.verdict != "promote" or not unmet:
        return verdict
    named = ", ".join(unmet[:NAMED]) + (" and more" if len(unmet) > NAMED else "")
    return replace(
        verdict, verdict="keep", reason=f"not trained on all that the champion serves, as {named}; {verdict.reason}"
    )


def _challenge(beside: Comparison, within_margin: Comparison, champion_age: timedelta | None) -> tuple[str, str]:
    if math.isnan(beside.ratio):
        return "keep", f"{beside.instants} instants on the test span are too few to tell candidate and champion apart"
    told = (
        f"pinball loss {beside.ratio:.4f} times the champion's (90 % interval {beside.low:.4f} to {beside.high:.4f}, "
        f"p = {beside.p_better:.3f} over {beside.instants} instants)"
    )
    if beside.p_better < ERROR_RATE and beside.high < 1:
        return "promote", f"significantly better than the champion: {told}"
    if champion_age is None or champion_age <= MAX_CHAMPION_AGE:
        return "keep", f"not significantly better than the champion: {told}"
    if within_margin.p_better < ERROR_RATE and beside.high <= 1 + MARGIN:
        return "promote", f"the champion is {champion_age.days} days old and the candidate no worse: {told}"
    return "keep", f"the champion is {champion_age.days} days old, but the candidate may be worse: {told}"


def _compared(candidate: Scores, other: Scores, margin: float = 0.0) -> Comparison:
    """Compare with the other's losses, raised by a share of them."""
    if candidate.paired is None or other.paired is None:
        return Comparison(ratio(candidate, other), math.nan, math.nan, 1.0, 1.0, 0)
    raised = PairedLosses(other.paired.origins, (1 + margin) * other.paired.losses)
    return compare(candidate.paired, raised, len(candidate.pinball_by_step))


def _broken(candidate: Scores, baseline: Scores) -> str:
    figures = (candidate.pinball, candidate.mase, candidate.coverage80, candidate.coverage90, baseline.pinball)
    return "" if all(math.isfinite(figure) for figure in figures) else "a score is not finite"


def _leaking(candidate: Scores, beside_strongest: Comparison, strongest: str) -> str:
    share, calls, foreseen = candidate.directional_accuracy, candidate.directional_calls, candidate.r_squared
    if share is not None and calls >= LEAKAGE_CALLS and share > LEAKAGE_DIRECTION:
        return (
            f"leakage alarm: {share:.1%} of {calls} first-step directions called right, "
            f"honest forecasts stay below {LEAKAGE_DIRECTION:.0%}"
        )
    if foreseen is not None and candidate.n >= LEAKAGE_CALLS and foreseen > LEAKAGE_R_SQUARED:
        return (
            f"leakage alarm: the median foresaw {foreseen:.1%} of the squared moves of {candidate.n} forecasts, "
            f"honest forecasts stay below {LEAKAGE_R_SQUARED:.0%}"
        )
    if candidate.n >= LEAKAGE_CALLS and beside_strongest.high < 1 - LEAKAGE_GAIN:
        return (
            f"leakage alarm: pinball loss {beside_strongest.ratio:.3f} times that of {strongest} (90 % interval up to "
            f"{beside_strongest.high:.3f}), honest forecasts stay above {1 - LEAKAGE_GAIN:.2f}"
        )
    return ""


def _worse_than_baseline(candidate: Scores, baseline: Scores) -> str:
    if ratio(candidate, baseline) <= 1:
        return ""
    return f"worse than what serves without it: {_standing(candidate, baseline)}"


def _beaten_by(beside: Comparison, name: str) -> str:
    if beside.p_worse >= ERROR_RATE:
        return ""
    return (
        f"; significantly worse than {name}: pinball loss {beside.ratio:.4f} times as high "
        f"(p = {beside.p_worse:.3f} over {beside.instants} instants)"
    )


def _lost_symbols(candidate: Scores, baseline: Scores) -> tuple[str, ...]:
    if candidate.paired is None or baseline.paired is None:
        return ()
    return losing_symbols(candidate.paired, baseline.paired, len(candidate.pinball_by_step))


def _except(lost: tuple[str, ...]) -> str:
    if not lost:
        return ""
    others = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    return f"; significantly worse than {BASELINE} on {', '.join(lost[:NAMED])}{others}, which it goes on to serve"


def _standing(candidate: Scores, baseline: Scores) -> str:
    return f"pinball loss is {ratio(candidate, baseline):.3f} times that of {BASELINE} over {candidate.n} forecasts"


def _evidence(candidate: Scores, baseline: Scores, strongest: Scores, champion: Scores | None) -> dict[str, float]:
    direction, foreseen = candidate.directional_accuracy, candidate.r_squared
    return {
        "n": float(candidate.n),
        "pinball": candidate.pinball,
        "baseline_pinball": baseline.pinball,
        "strongest_pinball": strongest.pinball,
        "champion_pinball": champion.pinball if champion else math.nan,
        "mase": candidate.mase,
        "coverage80": candidate.coverage80,
        "coverage90": candidate.coverage90,
        "directional_accuracy": math.nan if direction is None else direction,
        "r_squared": math.nan if foreseen is None else foreseen,
        "error_rate": ERROR_RATE,
    }


def _figures(name: str, beside: Comparison | None) -> dict[str, float]:
    if beside is None:
        return {}
    return {
        f"{name}_ratio": beside.ratio,
        f"{name}_ratio_low": beside.low,
        f"{name}_ratio_high": beside.high,
        f"{name}_p_better": beside.p_better,
        f"{name}_p_worse": beside.p_worse,
    }
