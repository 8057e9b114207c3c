"""The model registry: where training hands over to serving.

    <root>/<interval>-h<horizon>/          a series: all versions for one interval and horizon
        <version>/                         an immutable version, see artefact.py
        champion.json, history.jsonl       who serves, who did, and why, see succession.py

`root` is `models/` under Candlecast's home. Any number of processes may read and publish; promotions take a file lock.
"""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from deployments.common.errors import DamagedModel, NothingTrained, UnknownModel
from deployments.common.telemetry import logger
from deployments.forecasting.artefact import Tensors, encode_weights, read_artefact, read_card, sha256, write_artefact
from deployments.forecasting.models import Decision, ModelCard, ModelStatus
from deployments.forecasting.succession import ChampionPointer, Succession
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
    """Keep model versions under `root` and say which of them serves."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._cards: dict[str, ModelCard] = {}

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
        write_artefact(self._series(card.interval, card.horizon) / version, published, weights)
        log.info("model published", version=version, verdict=fate)
        return published

    def load(self, version: str) -> tuple[Tensors, ModelCard]:
        """Return tensors and card after checking every sha256; raises `UnknownModel` or `DamagedModel`."""
        tensors, card = read_artefact(self._directory(version))
        return tensors, self._with_fate(card)

    def card(self, version: str) -> ModelCard:
        """Return the card of a version with its present status; raises `UnknownModel` or `DamagedModel`."""
        return self._with_fate(self._published(self._directory(version)))

    def cards(self) -> tuple[ModelCard, ...]:
        """Return the cards of all readable versions, newest first."""
        found = [card for directory in self._versions() if (card := self._readable(directory))]
        return tuple(sorted(map(self._with_fate, found), key=lambda card: card.version, reverse=True))

    def champion(self, interval: Interval, horizon: int) -> str | None:
        """Return the version that serves this interval and horizon, None before the first promotion."""
        pointer = Succession(self._series(interval, horizon)).pointer()
        return pointer.version if pointer else None

    def champions(self) -> dict[str, str]:
        """Return the champions by `<interval>-h<horizon>`."""
        pointers = {series.name: Succession(series).pointer() for series in self._all_series()}
        return {name: pointer.version for name, pointer in pointers.items() if pointer}

    def promote(self, version: str, decision: Decision) -> Decision:
        """Make a version champion and return the decision as recorded; raises `UnknownModel` or `DamagedModel`."""
        directory = self._directory(version)
        read_artefact(directory)
        succession = Succession(directory.parent)
        with self._locked():
            pointer = succession.pointer()
            if pointer and pointer.version == version:
                return replace(decision, version=version, replaced=None)
            return succession.crown(pointer.then(version) if pointer else ChampionPointer(version), decision)

    def rollback(self, interval: Interval, horizon: int, decided_at: datetime) -> Decision:
        """Make the former champion current again; raises `NothingTrained` when there is none."""
        series = self._series(interval, horizon)
        succession = Succession(series)
        with self._locked():
            pointer = succession.pointer()
            if pointer is None or not pointer.former:
                raise NothingTrained(f"{series.name} has no former champion to go back to")
            before = pointer.back()
            read_artefact(self._directory(before.version))
            reason = f"rolled back from {pointer.version}"
            return succession.crown(before, Decision(before.version, "rollback", reason, decided_at))

    def history(self) -> tuple[Decision, ...]:
        """Return every decision that changed a champion, newest first."""
        decisions = [decision for series in self._all_series() for decision in Succession(series).decisions()]
        # Sorting is stable: reversed first, the later of two decisions in one instant stays ahead.
        return tuple(sorted(reversed(decisions), key=lambda decision: decision.decided_at, reverse=True))

    def serving_version(self, interval: Interval, horizon: int, as_of: datetime | None) -> ServingChoice:
        """Return the version for a request: of the shortest sufficient horizon, and known at `as_of`.

        With `as_of` that is the newest version ever promoted whose data end by then.
        """
        series = [found for found in self._horizons(interval) if Succession(found[1]).pointer()]
        if not series:
            return ServingChoice(None, f"no model has been promoted for {interval} bars yet")
        fitting = [directory for model_horizon, directory in series if model_horizon >= horizon]
        if not fitting:
            return ServingChoice(None, f"the longest model forecasts {series[-1][0]} steps, {horizon} were asked for")
        if as_of is None:
            pointer = Succession(fitting[0]).pointer()
            return ServingChoice(pointer.version if pointer else None)
        return self._known_at(fitting, as_of)

    def stamp(self) -> tuple[tuple[str, int], ...]:
        """Return what changes whenever a champion does, at the cost of a few `stat` calls."""
        return tuple((series.name, Succession(series).stamp()) for series in self._all_series())

    def _known_at(self, fitting: list[Path], as_of: datetime) -> ServingChoice:
        for series in fitting:
            cards = [self._readable(series / version) for version in Succession(series).promoted()]
            known = [card for card in cards if card and card.data_end <= as_of]
            if known:
                return ServingChoice(max(known, key=lambda card: (card.data_end, card.version)).version)
        return ServingChoice(None, f"no model was trained on data that end by {as_of:%Y-%m-%d %H:%M} UTC")

    def _with_fate(self, card: ModelCard) -> ModelCard:
        succession = Succession(self._series(card.interval, card.horizon))
        pointer = succession.pointer()
        if pointer and pointer.version == card.version:
            return replace(card, status=ModelStatus.CHAMPION)
        if card.version in succession.promoted():
            return replace(card, status=ModelStatus.RETIRED)
        return card

    def _published(self, directory: Path) -> ModelCard:
        # A version never changes, so a card once checked needs no second look.
        if directory.name not in self._cards:
            self._cards[directory.name] = read_card(directory)
        return self._cards[directory.name]

    def _readable(self, directory: Path) -> ModelCard | None:
        try:
            return self._published(directory)
        except DamagedModel as error:
            log.warning("model version left out", version=directory.name, reason=error.detail)
            return None

    def _directory(self, version: str) -> Path:
        if _VERSION.fullmatch(version):
            for series in self._all_series():
                if (series / version).is_dir():
                    return series / version
        raise UnknownModel(f"there is no model version {version!r}")

    def _versions(self) -> Iterator[Path]:
        for series in self._all_series():
            yield from (entry for entry in series.iterdir() if _VERSION.fullmatch(entry.name) and entry.is_dir())

    def _all_series(self) -> list[Path]:
        if not self._root.is_dir():
            return []
        return sorted(entry for entry in self._root.iterdir() if _SERIES.fullmatch(entry.name) and entry.is_dir())

    def _horizons(self, interval: Interval) -> list[tuple[int, Path]]:
        matches = [(_SERIES.fullmatch(series.name), series) for series in self._all_series()]
        found = [
            (int(match["horizon"]), series) for match, series in matches if match and match["interval"] == interval
        ]
        return sorted(found)

    def _series(self, interval: Interval, horizon: int) -> Path:
        return self._root / f"{interval}-h{horizon}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
