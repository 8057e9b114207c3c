"""The folder in which a stack keeps everything, and the record of what runs for it."""

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from deployments.gateway.access.keys import shared_secret
from deployments.local_stack.errors import StackError


@dataclass(frozen=True, slots=True)
class OwnedProcess:
    """A process that the stack started as the leader of a session of its own; `started` is its creation time in s."""

    name: str
    pid: int
    started: float


@dataclass(frozen=True, slots=True)
class StackState:
    """What a running stack wrote down, enough for another process to reach it and to end it."""

    phase: str
    keeper: OwnedProcess | None = None
    processes: tuple[OwnedProcess, ...] = ()
    url: str = ""
    market_url: str = ""
    ray_address: str = ""
    ray_dashboard_url: str = ""
    profile: str = "loopback"
    environment: dict[str, str] = field(default_factory=dict)
    error: str = ""


class StackHome:
    """Know where each thing of a stack lies under `root`; creates the folder, readable by its owner alone."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.logs = self.root / "logs"
        self.logs.mkdir(exist_ok=True, mode=0o700)
        self.logs.chmod(0o700)
        self.auth = self.root / "auth"
        self.postgres = self.root / "postgres"
        self.admin_key_file = self.root / "admin.key"
        self.ray_token_file = self.root / "ray.token"
        self.ray_address_file = self.root / "ray.address"
        self.lock_file = self.root / "stack.lock"
        self._state_file = self.root / "stack.json"

    @property
    def runtime(self) -> Path:
        """Return a short folder for sockets: their paths may have 107 bytes, a home may lie deep."""
        digest = hashlib.sha256(str(self.root).encode()).hexdigest()[:8]
        path = Path(tempfile.gettempdir()) / f"candlecast-{digest}"
        path.mkdir(mode=0o700, exist_ok=True)
        if path.stat().st_uid != os.getuid():
            raise StackError(f"{path} belongs to another user; remove it or choose another --home")
        return path

    def secret(self, path: Path) -> str:
        """Return the secret in `path`, made on first use, readable by its owner alone."""
        return shared_secret(path)

    def read_state(self) -> StackState | None:
        """Return what the last stack wrote down, or None where there is nothing readable."""
        try:
            raw = json.loads(self._state_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        keeper = raw.pop("keeper")
        processes = tuple(OwnedProcess(**entry) for entry in raw.pop("processes"))
        return StackState(keeper=OwnedProcess(**keeper) if keeper else None, processes=processes, **raw)

    def write_state(self, state: StackState) -> None:
        """Replace the record at once, so that a reader never sees half of it."""
        temporary = self._state_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
        temporary.chmod(0o600)
        temporary.replace(self._state_file)

    def change_state(self, **changes: object) -> StackState:
        """Write the record with some fields replaced."""
        state = replace(self.read_state() or StackState(phase="starting"), **changes)  # type: ignore[arg-type]
        self.write_state(state)
        return state

    def clear_state(self) -> None:
        """Forget the record of a stack that has ended, and its cluster's address, which jobs read."""
        self.ray_address_file.unlink(missing_ok=True)
        self._state_file.unlink(missing_ok=True)
