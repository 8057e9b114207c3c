"""Promote model versions: the gate's verdict is on the card, an administrator may overrule it."""

from dataclasses import replace
from datetime import datetime
from functools import partial

from deployments.common.errors import NothingTrained, PromotionRefused
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


def rollback(registry: Registry, now: datetime) -> Decision:
    """Undo the latest change of a champion; raises `NothingTrained` when there is nothing to go back to."""
    # Not by the champion's card: one that cannot be read is what people roll back from.
    changed = registry.last_changed()
    if changed is None:
        raise NothingTrained("no model has been promoted yet")
    return registry.rollback(*changed, now)


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
