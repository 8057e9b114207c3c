"""What a job hands to workers that were started before it was ready: a file that appears whole."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Handover:
    """One parcel of bytes at `path`, on a disk that giver and takers share; empty where there is nothing to do."""

    path: Path

    def clear(self) -> None:
        """Take away what an earlier job left."""
        self.path.unlink(missing_ok=True)

    def give(self, parcel: bytes) -> None:
        """Lay the parcel down; whoever comes later finds it as well."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f"{self.path.name}.part")
        part.write_bytes(parcel)
        os.replace(part, self.path)

    def call_off(self) -> None:
        """Say that nothing will come."""
        self.give(b"")

    def taken(self) -> bytes:
        """Wait for the parcel and return it, empty where it was called off."""
        while not self.path.exists():
            time.sleep(LOOK_EVERY_S)
        return self.path.read_bytes()
