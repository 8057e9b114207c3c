"""Facts that look ahead or back for likeness: forecast, its skill, analogues, passages."""

from datetime import datetime, timedelta

from deployments.analysis.findings import FactList
from deployments.analysis.models import Fact
from deployments.forecasting.models import Forecast, ForecastPoint, Skill
from deployments.knowledge.models import Analogues, ReturnDistribution, SearchHit


def forecast_facts(forecast: Forecast, last_close: float) -> list[Fact]:
    """Return what is forecast after one bar and at the end of the horizon, by which model, and its skill so far."""
    facts = FactList(forecast.data_as_of, "forecast")
    hours = forecast.horizon * forecast.interval.delta / timedelta(hours=1)
    facts.number("forecast.horizon", "Bars ahead", forecast.horizon, "bars")
    facts.number("forecast.hours", "Hours of trading ahead", hours, "hours")
    for level in forecast.levels:
        facts.number(f"forecast.level.{level:g}", "Level of a prediction interval", level, "%")
    if forecast.points:
        _add_point(facts, "step", "after one bar", forecast.points[0], last_close)
        _add_point(facts, "end", "at the end of the horizon", forecast.points[-1], last_close)
    _add_model(facts, forecast)
    return facts.facts + ([] if forecast.skill is None else _skill_facts(forecast.skill, forecast.data_as_of))


def _add_point(facts: FactList, name: str, when: str, point: ForecastPoint, last: float) -> None:
    facts.moment(f"forecast.{name}.time", f"Opening time of the bar forecast {when}", point.time)
    bounds = [("median", "Median", point.median)]
    for level in point.lower:
        bounds.append((f"lower.{level}", f"Lower bound of the {level} % interval", point.lower[level]))
        bounds.append((f"upper.{level}", f"Upper bound of the {level} % interval", point.upper[level]))
    for part, label, price in bounds:
        facts.number(f"forecast.{name}.{part}", f"{label} {when}", price, "price")
        change = 100.0 * (price / last - 1.0)
        facts.number(f"forecast.{name}.{part}.change", f"{label} {when}, against the last close", change, "%")


def _add_model(facts: FactList, forecast: Forecast) -> None:
    facts.text("forecast.model", "Model", forecast.model.name)
    facts.text("forecast.version", "Model version", forecast.model.version)
    facts.moment("forecast.trained_at", "Model trained at", forecast.model.trained_at)
    facts.text("forecast.status", "Status of the forecast", forecast.status.value)
    for number, warning in enumerate(forecast.warnings, start=1):
        facts.text(f"forecast.warning.{number}", "Warning of the forecast", warning)


def _skill_facts(skill: Skill, as_of: datetime) -> list[Fact]:
    facts = FactList(as_of, "skill")
    ratio = skill.pinball_vs_baseline
    facts.number("skill.pinball", "Pinball loss relative to the baseline, below 1 is better", ratio, "ratio")
    facts.number("skill.gain", "Advantage over the baseline", None if ratio is None else 100.0 * (1.0 - ratio), "%")
    facts.number("skill.mase", "Mean absolute scaled error", skill.mase, "ratio")
    for level, share in skill.coverage.items():
        facts.number(f"skill.coverage.{level}", f"Outcomes inside the {level} % interval so far", 100.0 * share, "%")
    facts.number("skill.n", "Forecasts behind the skill", skill.n, "count")
    facts.text("skill.basis", "Basis of the skill", skill.basis)
    return facts.facts


def analogue_facts(analogues: Analogues) -> list[Fact]:
    """Return how windows of the same shape went on, beside what follows any bar."""
    facts = FactList(analogues.data_as_of, "analogues")
    facts.number("analogues.window", "Bars compared", analogues.window, "bars")
    _add_distribution(facts, "analogues", "after windows of the same shape", analogues.conditional)
    _add_distribution(facts, "analogues.any", "after any bar", analogues.unconditional)
    if analogues.matches:
        nearest = min(analogues.matches, key=lambda match: match.distance)
        facts.moment("analogues.nearest.start", "Start of the nearest window", nearest.start)
        facts.moment("analogues.nearest.end", "End of the nearest window", nearest.end)
    return facts.facts


def _add_distribution(facts: FactList, name: str, when: str, what: ReturnDistribution) -> None:
    facts.number(f"{name}.n", f"Cases counted {when}", what.n, "count")
    facts.number(f"{name}.share_up", f"Share that rose {when}", 100.0 * what.share_up, "%")
    for quantile, label in (("10", "Tenth percentile"), ("50", "Median"), ("90", "Ninetieth percentile")):
        facts.number(f"{name}.after.{quantile}", f"{label} of the return {when}", what.quantiles.get(quantile), "%")


def passage_facts(hits: tuple[SearchHit, ...], as_of: datetime) -> list[Fact]:
    """Return how many passages there are and the time of each, numbered as in the prompt; the source names its id."""
    if not hits:
        return []
    facts = [Fact("passages.n", "Passages found", float(len(hits)), "count", as_of, "knowledge")]
    for number, hit in enumerate(hits, start=1):
        facts.append(
            Fact(f"passage.{number}.time", f"Time of passage {number}", hit.time, "time", hit.time, f"passage {hit.id}")
        )
    return facts
