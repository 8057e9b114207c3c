"""Promote model versions: the gate's verdict is on the card, an administrator may overrule it."""

from dataclasses import replace
from datetime import datetime
from functools import partial

from deployments.common.errors import NothingTrained, PromotionRefused, UnknownModel
from deployments.forecasting.models import Decision, ModelCard
from deployments.forecasting.registry.registry import Registry


def promote(registry: Registry, version: str, force: bool, now: datetime) -> Decision:
    """Make a version champion; raises `UnknownModel`, `DamagedModel`, or `PromotionRefused` with the gate's reason."""
    card = registry.card(version)
    decision = _decision(card, force, now)
    return (
        registry.promote(version, decision)
        if force
        else registry.promote(version, decision, partial(_check_gate, card))
    )


def rollback(registry: Registry, now: datetime, champion: str | None = None) -> Decision:
    """Go back from `champion`, or undo the latest change of any champion; of many who ask so at once, once.

    Raises `NothingTrained` when there is nothing to go back to, `UnknownModel` for a version that never was champion,
    or `PreconditionFailed` where another one serves by now.
    """
    # Before the latest change is looked up: what somebody else undoes from here on was meant by this call as well.
    serving = registry.champions()
    # Not by the champion's card: one that cannot be read is what people roll back from.
    series = registry.series_of(champion) if champion else registry.last_changed()
    if series is None and champion:
        raise UnknownModel(f"{champion!r} never was champion")
    if series is None:
        raise NothingTrained("no model has been promoted yet")
    interval, horizon = series
    return registry.rollback(interval, horizon, now, champion or serving.get(f"{interval}-h{horizon}"))


def _check_gate(card: ModelCard, champion: str | None) -> None:
    if card.decision is None:
        raise PromotionRefused(f"version {card.version} was never judged")
    if card.decision.verdict != "promote":
        raise PromotionRefused(f"the gate said {card.decision.verdict}: {card.decision.reason}")
    against = card.decision.against
    if against is not None and champion not in (against or None, card.version):
        raise PromotionRefused(
            f"version {card.version} was judged beside {against or 'no champion'}, and {champion} serves by now: "
            "train again, so that the two meet"
        )


def _decision(card: ModelCard, force: bool, now: datetime) -> Decision:
    judged = card.decision or Decision(card.version, "none", "never judged", now)
    if force and judged.verdict != "promote":
        reason = f"forced against the gate, which said {judged.verdict}: {judged.reason}"
        return replace(judged, verdict="forced", reason=reason, decided_at=now)
    return replace(judged, decided_at=now)
