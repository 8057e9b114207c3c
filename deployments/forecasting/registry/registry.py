"""The model registry: where training hands over to serving.

    <root>/<interval>-h<horizon>/          a series: all versions for one interval and horizon
        <version>/                         an immutable version, see artefact.py
        champion.json, history/            who serves, who did, and why, see succession.py

`root` is `models/` under Candlecast's home, or any folder or URI that `MODEL_REGISTRY` names. Any number of processes
may read and publish; promotions take a lock.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from deployments.common.errors import DamagedModel, NothingTrained, UnknownModel
from deployments.common.telemetry import logger
from deployments.forecasting.judging.retention import Retention, expired
from deployments.forecasting.models import Decision, ModelCard, ModelStatus
from deployments.forecasting.registry.artefact import (
    MANIFEST,
    Tensors,
    encode_weights,
    read_artefact,
    read_card,
    sha256,
    write_artefact,
)
from deployments.forecasting.registry.storage import storage_at
from deployments.forecasting.registry.succession import ROLLBACK, ChampionPointer, Succession
from deployments.market_data.models import Interval

log = logger(__name__)

_VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_SERIES = re.compile(r"(?P<interval>\w+)-h(?P<horizon>\d+)")


@dataclass(frozen=True, slots=True)
class ServingChoice:
    """The version that may answer a request, or None with the reason."""

    version: str | None
    reason: str = ""


class Registry:
    """Keep model versions under `root`, a folder or a URI, and say which of them serves."""

    def __init__(self, root: Path | str) -> None:
        self._storage = storage_at(root)
        self._cards: dict[str, ModelCard] = {}
        self._successions: dict[str, Succession] = {}

    def publish(self, tensors: Tensors, card: ModelCard) -> ModelCard:
        """Store a new version and return its card with version and sha256 filled in.

        The version is named by `trained_at` and the weights' digest. Raises `FileExistsError` for the same weights of
        the same second.
        """
        weights = encode_weights(tensors)
        digest = sha256(weights)
        version = f"{card.trained_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest[:6]}"
        fate = card.decision.verdict if card.decision else ""
        published = replace(
            card,
            version=version,
            sha256=digest,
            status=ModelStatus.REJECTED if fate == "reject" else ModelStatus.CANDIDATE,
            decision=replace(card.decision, version=version) if card.decision else None,
        )
        write_artefact(self._storage, f"{_series(card.interval, card.horizon)}/{version}", published, weights)
        log.info("model published", version=version, verdict=fate)
        return published

    def load(self, version: str) -> tuple[Tensors, ModelCard]:
        """Return tensors and card after checking every sha256; raises `UnknownModel` or `DamagedModel`."""
        tensors, card = read_artefact(self._storage, self._folder(version))
        return tensors, _with_fate(card, *self._fate(_series(card.interval, card.horizon)))

    def card(self, version: str) -> ModelCard:
        """Return the card of a version with its present status; raises `UnknownModel` or `DamagedModel`."""
        card = self._published(self._folder(version))
        return _with_fate(card, *self._fate(_series(card.interval, card.horizon)))

    def cards(self) -> tuple[ModelCard, ...]:
        """Return the cards of all readable versions, newest first."""
        found = [card for folder in self._published_folders() if (card := self._readable(folder))]
        fates = {series: self._fate(series) for series in {_series(card.interval, card.horizon) for card in found}}
        told = [_with_fate(card, *fates[_series(card.interval, card.horizon)]) for card in found]
        return tuple(sorted(told, key=lambda card: card.version, reverse=True))

    def champion(self, interval: Interval, horizon: int) -> str | None:
        """Return the version that serves this interval and horizon, None before the first promotion."""
        pointer = self._succession(_series(interval, horizon)).pointer()
        return pointer.version if pointer else None

    def champions(self) -> dict[str, str]:
        """Return the champions by `<interval>-h<horizon>`."""
        pointers = {series: self._succession(series).pointer() for series in self._all_series()}
        return {series: pointer.version for series, pointer in pointers.items() if pointer}

    def promote(
        self, version: str, decision: Decision, check: Callable[[str | None], None] = lambda champion: None
    ) -> Decision:
        """Make a version champion and return the decision as recorded; raises `UnknownModel` or `DamagedModel`.

        `check` is told the present champion while nobody else can change it; what it raises leaves all as it is.
        """
        with self._storage.locked():
            # Read within the lock: retention might have taken it in between.
            folder = self._folder(version)
            succession = self._succession(folder.partition("/")[0])
            pointer = succession.pointer()
            check(pointer.version if pointer else None)
            read_artefact(self._storage, folder)
            if pointer and pointer.version == version:
                return replace(decision, version=version, replaced=None)
            return succession.crown(pointer.then(version) if pointer else ChampionPointer(version), decision)

    def rollback(self, interval: Interval, horizon: int, decided_at: datetime, champion: str | None = None) -> Decision:
        """Make the former champion current again; raises `NothingTrained` when there is none.

        `champion` is whom to go back from, whoever serves where none is named. However many ask so at once, it happens
        once, and all get that decision; raises `PreconditionFailed` where another one serves by now.
        """
        series = _series(interval, horizon)
        succession = self._succession(series)
        with self._storage.locked():
            pointer = succession.pointer()
            if pointer and champion and pointer.version != champion:
                return succession.rolled_back(champion)
            if pointer is None or not pointer.former:
                raise NothingTrained(f"{series} has no former champion to go back to")
            before = pointer.back()
            read_artefact(self._storage, self._folder(before.version))
            reason = f"rolled back from {pointer.version}"
            return succession.crown(before, Decision(before.version, ROLLBACK, reason, decided_at))

    def last_changed(self) -> tuple[Interval, int] | None:
        """Return interval and horizon of the series whose champion changed last, None before the first promotion."""
        made = {series: self._succession(series).decisions() for series in self._all_series()}
        latest = {series: decisions[-1].decided_at for series, decisions in made.items() if decisions}
        return _parts(max(latest, key=lambda series: latest[series], default=""))

    def series_of(self, champion: str) -> tuple[Interval, int] | None:
        """Return interval and horizon that a version serves, or did last; None for one that never was champion."""
        for name in self._all_series():
            # Not by its folder: a champion whose files are gone is what people roll back from.
            if champion in self._succession(name).promoted():
                return _parts(name)
        return None

    def formers(self, series: str) -> tuple[str, ...]:
        """Return the champions of a series before the present one, the latest first."""
        pointer = self._succession(series).pointer()
        return pointer.former[::-1] if pointer else ()

    def prune(self, retention: Retention, now: datetime) -> tuple[str, ...]:
        """Delete what `retention` no longer keeps and return the versions; champions and rollback targets stay."""
        gone: list[str] = []
        with self._storage.locked():
            for series in self._all_series():
                succession = self._succession(series)
                pointer = succession.pointer()
                kept = {pointer.version, *pointer.former[-1:]} if pointer else set()
                versions = [name for name in self._storage.names(series) if _VERSION.fullmatch(name)]
                for version in expired(versions, kept, succession.promoted(), retention, now):
                    self._storage.remove(f"{series}/{version}")
                    self._cards.pop(f"{series}/{version}", None)
                    gone.append(version)
        if gone:
            log.info("model versions deleted", versions=gone)
        return tuple(gone)

    def history(self) -> tuple[Decision, ...]:
        """Return every decision that changed a champion, newest first."""
        decisions = [found for series in self._all_series() for found in self._succession(series).decisions()]
        # Sorting is stable: reversed first, the later of two decisions in one instant stays ahead.
        return tuple(sorted(reversed(decisions), key=lambda decision: decision.decided_at, reverse=True))

    def serving_version(self, interval: Interval, horizon: int, as_of: datetime | None) -> ServingChoice:
        """Return the version for a request: of the shortest sufficient horizon, and known at `as_of`.

        With `as_of` that is the newest champion, present or former and not rolled back, whose data end by then.
        """
        series = [found for found in self._horizons(interval) if self._succession(found[1]).pointer()]
        if not series:
            return ServingChoice(None, f"no model has been promoted for {interval} bars yet")
        fitting = [name for model_horizon, name in series if model_horizon >= horizon]
        if not fitting:
            return ServingChoice(None, f"the longest model forecasts {series[-1][0]} steps, {horizon} were asked for")
        if as_of is None:
            pointer = self._succession(fitting[0]).pointer()
            return ServingChoice(pointer.version if pointer else None)
        return self._known_at(fitting, as_of)

    def stamp(self) -> tuple[tuple[str, bytes], ...]:
        """Return what changes whenever a champion does, at the cost of one small read for each."""
        return tuple((series, self._succession(series).stamp()) for series in self._all_series())

    def _known_at(self, fitting: list[str], as_of: datetime) -> ServingChoice:
        for series in fitting:
            pointer = self._succession(series).pointer()
            # Not those rolled back: nobody wants them served any more, of the past neither.
            serving = {pointer.version, *pointer.former} if pointer else set()
            there = serving.intersection(self._storage.names(series))
            cards = [self._readable(f"{series}/{version}") for version in there]
            known = [card for card in cards if card and card.data_end <= as_of]
            if known:
                return ServingChoice(max(known, key=lambda card: (card.data_end, card.version)).version)
        return ServingChoice(None, f"no model was trained on data that end by {as_of:%Y-%m-%d %H:%M} UTC")

    def _fate(self, series: str) -> tuple[str | None, set[str]]:
        succession = self._succession(series)
        pointer = succession.pointer()
        return pointer.version if pointer else None, succession.promoted()

    def _published(self, folder: str) -> ModelCard:
        # A version never changes, so a card once checked needs no second look.
        if folder not in self._cards:
            self._cards[folder] = read_card(self._storage, folder)
        return self._cards[folder]

    def _readable(self, folder: str) -> ModelCard | None:
        try:
            return self._published(folder)
        except UnknownModel:  # deleted since its folder was listed
            return None
        except DamagedModel as error:
            log.warning("model version left out", folder=folder, reason=error.detail)
            return None

    def _folder(self, version: str) -> str:
        if _VERSION.fullmatch(version):
            for series in self._all_series():
                if self._storage.names(f"{series}/{version}"):
                    return f"{series}/{version}"
        raise UnknownModel(f"there is no model version {version!r}")

    def _published_folders(self) -> Iterator[str]:
        """Yield the folders of all versions; one without a manifest is being published, or never was."""
        for series in self._all_series():
            for name in self._storage.names(series):
                folder = f"{series}/{name}"
                # One read before was published: on an object store every look costs a round trip.
                if _VERSION.fullmatch(name) and (folder in self._cards or MANIFEST in self._storage.names(folder)):
                    yield folder

    def _all_series(self) -> list[str]:
        return [name for name in self._storage.names("") if _SERIES.fullmatch(name)]

    def _horizons(self, interval: Interval) -> list[tuple[int, str]]:
        matches = [(_SERIES.fullmatch(series), series) for series in self._all_series()]
        found = [
            (int(match["horizon"]), series) for match, series in matches if match and match["interval"] == interval
        ]
        return sorted(found)

    def _succession(self, series: str) -> Succession:
        return self._successions.setdefault(series, Succession(self._storage, series))


def _with_fate(card: ModelCard, champion: str | None, promoted: set[str]) -> ModelCard:
    if card.version == champion:
        return replace(card, status=ModelStatus.CHAMPION)
    return replace(card, status=ModelStatus.RETIRED) if card.version in promoted else card


def _parts(series: str) -> tuple[Interval, int] | None:
    match = _SERIES.fullmatch(series)
    return (Interval(match["interval"]), int(match["horizon"])) if match else None


def _series(interval: Interval, horizon: int) -> str:
    return f"{interval}-h{horizon}"
