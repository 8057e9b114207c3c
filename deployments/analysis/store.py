"""Analyses on disk: the one door to Lance in this context. Its calls block; keep them off the event loop."""

import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import lance
import pyarrow as pa

from deployments.analysis.codec import decode, encode
from deployments.analysis.models import Analysis
from deployments.common.disk import make_folder
from deployments.common.errors import UnknownAnalysis

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("analysis", pa.string(), nullable=False),
    ]
)
_TIDY_EVERY = 64
"""Writes between compactions: each write adds a fragment and a version, which slow down reads as they pile up."""
_KEEP_VERSIONS = timedelta(hours=1)


class AnalysisStore:
    """Keep analyses in the Lance table at `path`; ids sort by time of creation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._writes = 0

    def put(self, analysis: Analysis) -> None:
        """Write an analysis, in place of an earlier one of the same id."""
        row = {"id": analysis.id, "symbol": analysis.symbol, "analysis": encode(analysis)}
        table = pa.Table.from_pylist([row], schema=SCHEMA)
        with self._lock:
            dataset = self._open()
            dataset.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(table)
            self._writes += 1
            if self._writes % _TIDY_EVERY == 0:
                with suppress(OSError):  # another replica compacts it in the same moment; the row is stored either way
                    dataset.optimize.compact_files()
                    dataset.cleanup_old_versions(_KEEP_VERSIONS)

    def get(self, analysis_id: str) -> Analysis:
        """Return one analysis; raises `UnknownAnalysis`."""
        if not _is_id(analysis_id):
            raise UnknownAnalysis(f"{analysis_id!r} is no id of an analysis")
        rows = self._open().to_table(columns=["analysis"], filter=f"id = '{analysis_id}'").to_pylist()
        if not rows:
            raise UnknownAnalysis(f"there is no analysis {analysis_id}")
        return decode(rows[0]["analysis"])

    def newest(self, symbol: str | None, limit: int) -> tuple[Analysis, ...]:
        """Return the newest analyses, of one symbol or of all, newest first."""
        quoted = (symbol or "").replace("'", "''")
        where = f"symbol = '{quoted}'" if symbol else None
        dataset = self._open()
        # Ids first: they are short, while an analysis with its facts takes some 20 kB.
        ids = sorted(dataset.to_table(columns=["id"], filter=where).column("id").to_pylist(), reverse=True)[:limit]
        if not ids:
            return ()
        wanted = ", ".join(f"'{analysis_id}'" for analysis_id in ids)
        rows = dataset.to_table(columns=["id", "analysis"], filter=f"id IN ({wanted})").to_pylist()
        return tuple(decode(row["analysis"]) for row in sorted(rows, key=lambda row: row["id"], reverse=True))

    def _open(self) -> Any:
        try:
            return lance.dataset(str(self._path))
        except ValueError:
            self._create()
            return lance.dataset(str(self._path))

    def _create(self) -> None:
        # Lance lets the slower of two replicas that create a table overwrite it, with the rows that it holds by then.
        make_folder(self._path, lambda made: lance.write_dataset(SCHEMA.empty_table(), str(made)))


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
