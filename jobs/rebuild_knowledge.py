"""Index every candle anew in the running graph: `python -m jobs.rebuild_knowledge [--no-wait]`.

Needed after a change of the embedding model, of the sentences, or to a longer lookback. The sync actor itself, the
only writer, drops the passages after its current batch and fills the table again; search goes on meanwhile with what
there is.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from deployments.common.errors import CandlecastError, Unavailable, UpstreamTimeout
from deployments.knowledge.models import SyncState, SyncStatus
from jobs import cluster

APPLICATION = "candlecast"


class Rebuildable(Protocol):
    """What the job asks of knowledge."""

    async def rebuild(self) -> SyncStatus: ...
    async def sync_status(self) -> SyncStatus: ...


def main(arguments: Sequence[str] | None = None, connect: Callable[[], Rebuildable] | None = None) -> int:
    """Run the job and return its exit status: 0, or 2 with the reason on stderr."""
    options = _options(arguments)
    try:
        asyncio.run(run((connect or knowledge)(), options.wait, options.poll_s, options.timeout_s))
    except CandlecastError as error:
        sys.stderr.write(f"rebuild failed: {error}\n")
        return 2
    return 0


async def run(target: Rebuildable, wait: bool, poll_s: float, timeout_s: float) -> None:
    """Ask for the rebuild and, if told to, follow it to its end.

    Raises `UpstreamTimeout` after `timeout_s`, and `Unavailable` when it failed and nobody will try again.
    """
    before = (await target.rebuild()).last_cycle
    _say("rebuild asked for")
    if not wait:
        return
    try:
        async with asyncio.timeout(timeout_s):
            while not is_done(status := await target.sync_status(), before=before):
                _say(f"{status.passages:,} passages {status.last_error}".rstrip())
                await asyncio.sleep(poll_s)
    except TimeoutError:
        raise UpstreamTimeout(f"the rebuild goes on, but took longer than {timeout_s:g} s") from None
    _say(f"done: {status.passages:,} passages up to {status.watermark}")


def is_done(status: SyncStatus, before: object) -> bool:
    """Tell whether a cycle other than `before` has ended; raises `Unavailable` if none will."""
    if status.busy:
        return False
    if status.last_error and status.state is SyncState.STOPPED:
        raise Unavailable(f"the stopped sync failed and does not try again: {status.last_error}")
    return status.last_cycle != before


def knowledge() -> Rebuildable:
    """Return the running graph's knowledge; raises `Unavailable` where no graph runs on this cluster."""
    # Imported here, so that the rest runs without a cluster.
    from ray import serve
    from ray.serve.exceptions import RayServeException

    from deployments.knowledge.client import KnowledgeClient

    try:
        cluster.connect()
        return KnowledgeClient(serve.get_deployment_handle("Knowledge", APPLICATION))
    except (ConnectionError, RayServeException) as error:
        raise Unavailable(f"no running graph to rebuild: {error}") from None


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="rebuild_knowledge", description="Index every candle anew.")
    parser.add_argument("--no-wait", dest="wait", action="store_false", help="ask for it and leave")
    parser.add_argument("--poll-s", type=float, default=2.0, help="seconds between two looks")
    parser.add_argument("--timeout-s", type=float, default=6 * 3600.0, help="seconds to follow it at most")
    return parser.parse_args(arguments)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
