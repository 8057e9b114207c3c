"""The passages table; the one door to Lance."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from deployments.common.disk import make_folder
from deployments.knowledge.embedding import DIMENSIONS, Vectors
from deployments.knowledge.models import Passage, PassageKind
from deployments.market_data.models import Interval

PASSAGE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("interval", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("content_hash", pa.int64(), nullable=False),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("vector", pa.list_(pa.float32(), DIMENSIONS), nullable=False),
    ]
)

Series = tuple[str, Interval]
"""A symbol's candles of one interval."""

MAX_FRAGMENTS = 24
"""Each batch adds a fragment; more of them slow every read."""

KEEP_VERSIONS = timedelta(minutes=10)
"""Longer than any reader holds on to a version."""


@dataclass(frozen=True, slots=True)
class TableChange:
    """The rows of the fragments that the caller did not know, beside all fragments and rows that there are now."""

    version: int
    fragments: frozenset[int]
    rows: pa.Table
    total: int


class PassageStore:
    """Keep passages with their vectors in the Lance table at `path`, which need not exist yet.

    Reads open the newest version each time, which costs a millisecond and follows writers in other processes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def version(self) -> int:
        """Return the table's version, 0 when there is none."""
        table = self._open()
        return int(table.version) if table is not None else 0

    def count(self) -> int:
        """Return the number of passages."""
        table = self._open()
        return int(table.count_rows()) if table is not None else 0

    def upsert(self, passages: Sequence[Passage], vectors: Vectors) -> tuple[int, int]:
        """Write passages in one transaction, by id; return how many were new and how many replaced."""
        if not passages:
            return 0, 0
        rows = passage_rows(passages, vectors)
        table = self._open()
        if table is None:
            table = self._create()
        merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        counts = merge.execute(rows)
        return int(counts["num_inserted_rows"]), int(counts["num_updated_rows"])

    def content_hashes(self, ids: Collection[int]) -> dict[int, int]:
        """Return the content hash of each of these ids that is stored."""
        table = self._open()
        if table is None or not ids:
            return {}
        wanted = f"id IN ({', '.join(str(int(ident)) for ident in ids)})"
        found = table.to_table(columns=["id", "content_hash"], filter=wanted)
        return dict(zip(found["id"].to_pylist(), found["content_hash"].to_pylist(), strict=True))

    def watermarks(self) -> dict[Series, datetime]:
        """Return the time of the newest stored candle of each series."""
        table = self._open()
        if table is None:
            return {}
        candles = table.to_table(columns=["symbol", "interval", "time"], filter=f"kind = '{PassageKind.CANDLE}'")
        newest = candles.group_by(["symbol", "interval"]).aggregate([("time", "max")])
        return {(row["symbol"], Interval(row["interval"])): row["time_max"] for row in newest.to_pylist()}

    def changes(self, known: frozenset[int] = frozenset()) -> TableChange:
        """Return what a reader who has read the fragments `known` lacks; a merge never writes into an old fragment."""
        table = self._open()
        if table is None:
            return TableChange(0, frozenset(), PASSAGE_SCHEMA.empty_table(), 0)
        fragments = table.get_fragments()
        unread = [fragment for fragment in fragments if fragment.fragment_id not in known]
        rows = table.scanner(fragments=unread).to_table() if unread else PASSAGE_SCHEMA.empty_table()
        numbers = frozenset(fragment.fragment_id for fragment in fragments)
        return TableChange(int(table.version), numbers, rows, int(table.count_rows()))

    def clear(self) -> None:
        """Delete every passage; versions go on counting, so readers notice."""
        table = self._open()
        if table is not None and table.count_rows():
            table.delete("true")

    def tidy(self) -> None:
        """Merge small fragments and forget old versions once there are many."""
        table = self._open()
        if table is None or len(table.get_fragments()) <= MAX_FRAGMENTS:
            return
        table.optimize.compact_files()
        table.cleanup_old_versions(older_than=KEEP_VERSIONS)

    def _open(self) -> Any:
        import lance

        return lance.dataset(str(self._path)) if (self._path / "_versions").is_dir() else None

    def _create(self) -> Any:
        import lance

        # Lance makes the folder before the table in it, and readers look in between.
        make_folder(self._path, lambda made: lance.write_dataset(PASSAGE_SCHEMA.empty_table(), str(made)))
        return self._open()


def passage_rows(passages: Sequence[Passage], vectors: Vectors) -> pa.Table:
    """Return passages and their vectors of shape (n, 384) as rows of the table."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    columns: dict[str, Any] = {
        name: [getattr(passage, name) for passage in passages] for name in PASSAGE_SCHEMA.names if name != "vector"
    }
    columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, DIMENSIONS)
    return pa.table(columns, schema=PASSAGE_SCHEMA)
