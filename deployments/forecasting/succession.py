"""Who is champion of a series, who was, and why: `champion.json` and `history.jsonl` of one folder."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from deployments.common.telemetry import logger
from deployments.forecasting.models import Decision
from deployments.forecasting.records import from_json, to_json, write_atomically

log = logger(__name__)

CHAMPION = "champion.json"
HISTORY = "history.jsonl"


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
    """Read and write the champion and the decisions of the series in `folder`; writers hold the registry's lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def pointer(self) -> ChampionPointer | None:
        """Return who serves, None before the first promotion."""
        try:
            return from_json(ChampionPointer, (self._folder / CHAMPION).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            log.error("champion pointer unreadable", exc_info=error, series=self._folder.name)
            return None

    def decisions(self) -> Iterator[Decision]:
        """Yield the decisions that changed the champion, oldest first."""
        path = self._folder / HISTORY
        for line in path.read_bytes().splitlines() if path.exists() else []:
            if line:
                yield from self._decision(line)

    def promoted(self) -> set[str]:
        """Return every version that is or was champion."""
        pointer = self.pointer()
        current = {pointer.version, *pointer.former} if pointer else set()
        return current | {decision.version for decision in self.decisions()}

    def crown(self, pointer: ChampionPointer, decision: Decision) -> Decision:
        """Make `pointer` current and return the decision as recorded, with whom it replaced."""
        before = self.pointer()
        recorded = replace(decision, version=pointer.version, replaced=before.version if before else None)
        # A crash may have left a torn line without an end: beginning with one keeps it from swallowing this.
        with (self._folder / HISTORY).open("ab") as file:
            file.write(b"\n" + to_json(recorded) + b"\n")
        write_atomically(self._folder / CHAMPION, to_json(pointer))
        log.info("champion changed", series=self._folder.name, version=pointer.version, replaced=recorded.replaced)
        return recorded

    def stamp(self) -> int:
        """Return what changes whenever the champion does, at the cost of one `stat` call."""
        try:
            return (self._folder / CHAMPION).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _decision(self, line: bytes) -> Iterator[Decision]:
        try:
            yield from_json(Decision, line)
        except ValueError:
            log.warning("decision unreadable", series=self._folder.name)
