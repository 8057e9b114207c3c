"""Who is champion of a series, who was, and why: `champion.json` and the folder `history` of one series."""

from dataclasses import dataclass, replace

from deployments.common.errors import PreconditionFailed
from deployments.common.telemetry import logger
from deployments.forecasting.models import Decision
from deployments.forecasting.records import from_json, to_json
from deployments.forecasting.registry.storage import Storage

log = logger(__name__)

CHAMPION = "champion.json"
HISTORY = "history"

ROLLBACK = "rollback"
"""The verdict of a decision that went back to the former champion."""


@dataclass(frozen=True, slots=True)
class ChampionPointer:
    """Which version serves; `former` lists the champions before it, the latest last."""

    version: str
    former: tuple[str, ...] = ()

    def then(self, version: str) -> "ChampionPointer":
        """Return the pointer after `version` has taken over."""
        return ChampionPointer(version, (*self.former, self.version))

    def back(self) -> "ChampionPointer":
        """Return the pointer after the former champion has come back."""
        return ChampionPointer(self.former[-1], self.former[:-1])


class Succession:
    """Read and write the champion and the decisions of one series; writers hold the storage's lock."""

    def __init__(self, storage: Storage, series: str) -> None:
        self._storage = storage
        self._series = series
        self._known: dict[str, Decision | None] = {}

    def pointer(self) -> ChampionPointer | None:
        """Return who serves, None before the first promotion."""
        try:
            return from_json(ChampionPointer, self._storage.read(f"{self._series}/{CHAMPION}"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            log.error("champion pointer unreadable", exc_info=error, series=self._series)
            return None

    def decisions(self) -> tuple[Decision, ...]:
        """Return the decisions that changed the champion, oldest first."""
        return tuple([decision for name in self._names() if (decision := self._decision(name))])

    def promoted(self) -> set[str]:
        """Return every version that is or was champion."""
        pointer = self.pointer()
        current = {pointer.version, *pointer.former} if pointer else set()
        return current | {decision.version for decision in self.decisions()}

    def rolled_back(self, version: str) -> Decision:
        """Return the decision that went back from `version` just before.

        Raises `PreconditionFailed` where the latest decision was another one.
        """
        latest = self.decisions()[-1:]
        for decision in latest:
            if decision.verdict == ROLLBACK and decision.replaced == version:
                return decision
        serves = latest[0].version if latest else "none"
        raise PreconditionFailed(f"{version} is not the champion of {self._series}: {serves} serves by now")

    def crown(self, pointer: ChampionPointer, decision: Decision) -> Decision:
        """Make `pointer` current and return the decision as recorded, with whom it replaced."""
        before = self.pointer()
        recorded = replace(decision, version=pointer.version, replaced=before.version if before else None)
        number = len(self._names()) + 1
        name = f"{number:06d}-{decision.decided_at:%Y%m%dT%H%M%SZ}-{pointer.version}.json"
        # The history first: a crash in between leaves a decision too many, never a champion that nobody chose.
        self._storage.write(f"{self._series}/{HISTORY}/{name}", to_json(recorded))
        self._storage.write(f"{self._series}/{CHAMPION}", to_json(pointer))
        log.info("champion changed", series=self._series, version=pointer.version, replaced=recorded.replaced)
        return recorded

    def stamp(self) -> bytes:
        """Return what changes whenever the champion does, at the cost of one small read."""
        try:
            return self._storage.read(f"{self._series}/{CHAMPION}")
        except FileNotFoundError:
            return b""

    def _names(self) -> list[str]:
        # A hidden file is a decision that is being written: it has another name before it can be read.
        return [name for name in self._storage.files(f"{self._series}/{HISTORY}") if not name.startswith(".")]

    def _decision(self, name: str) -> Decision | None:
        # A decision never changes, so one read once needs no second look.
        if name not in self._known:
            try:
                self._known[name] = from_json(Decision, self._storage.read(f"{self._series}/{HISTORY}/{name}"))
            except ValueError:
                log.warning("decision unreadable", series=self._series, name=name)
                self._known[name] = None
        return self._known[name]
