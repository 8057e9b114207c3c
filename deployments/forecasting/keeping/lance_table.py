"""A Lance table with rows known by a key. The only file here that imports lance."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from deployments.common.disk import make_folder

TIME = pa.timestamp("us", tz="UTC")

_ONCE = {"lance-schema:unenforced-primary-key": "true"}

KEY = pa.field("key", pa.string(), nullable=False, metadata=_ONCE)
"""What rows are known by. Without its mark two processes that add the same row at once would both have added it."""

COMPACT_EVERY = 50
"""Appends between compactions: each leaves a file and a version behind."""

ATTEMPTS = 5
"""Of opening a table that other processes widen; each of them does so once."""

KEPT_VERSIONS = timedelta(hours=1)
"""Age from which old table versions go: longer than any read takes."""


class LanceTable:
    """A table at `path` with rows known by `key`; blocking, opened at first use, safe across threads."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._lock = threading.Lock()
        self._appends = 0

    def add(self, rows: Sequence[dict[str, object]]) -> int:
        """Store rows in one transaction, leaving out those whose key is there; return how many were new."""
        if not rows:
            return 0
        table = pa.Table.from_pylist(list(rows), self._schema)
        with self._lock:
            done = self.dataset().merge_insert("key").when_not_matched_insert_all().execute(table)
            self._appends += 1
            if self._appends % COMPACT_EVERY == 0:
                self._compact()
        return int(done["num_inserted_rows"])

    def delete(self, condition: str) -> None:
        """Delete the rows that meet an SQL condition."""
        with self._lock:
            self.dataset().delete(condition)

    def newest(self, condition: str | None, limit: int, by: Sequence[str]) -> pa.Table:
        """Return at most `limit` rows that meet an SQL condition, the largest in the columns `by` first."""
        from lance.dataset import ColumnOrdering

        order = [ColumnOrdering(column, ascending=False) for column in by]
        dataset = self.dataset()
        # Only what sorts is read of all rows: whole ones would take memory that grows with the table.
        first = dataset.scanner(list(by), condition, limit, order_by=order, with_row_id=True).to_table()
        if not first.num_rows:
            return self._schema.empty_table()
        return self._rows(dataset, first["_rowid"].to_numpy()).sort_by([(column, "descending") for column in by])

    def some(self, condition: str, most: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows that meet an SQL condition; of more than `most` a random choice, repeatable per table.

        All `columns` unless some are named.
        """
        dataset = self.dataset()
        if dataset.count_rows(condition) <= most:
            found: pa.Table = dataset.to_table(columns=columns, filter=condition)
            return found
        rows = dataset.to_table(columns=[], filter=condition, with_row_id=True)["_rowid"].to_numpy()
        return self._rows(dataset, np.random.default_rng(1).choice(rows, most, replace=False), columns)

    def dataset(self) -> Any:
        """Return the table as it stands now; made where there is none, widened where it is of an older release."""
        for _ in range(ATTEMPTS - 1):
            with suppress(OSError):  # another process widened it in the same moment
                return self._widened(self._opened())
        return self._widened(self._opened())

    def _opened(self) -> Any:
        # Imported here and below: lance takes a third of a second to load, which plain imports need not pay.
        import lance

        try:
            return lance.dataset(str(self._path))
        except ValueError:
            self._create()
            return lance.dataset(str(self._path))

    def _widened(self, found: Any) -> Any:
        if not found.schema.field("key").metadata:
            found.update_field_metadata({"key": _ONCE})
        missing = [field for field in self._schema if field.name not in found.schema.names]
        if missing:
            found.add_columns(pa.schema(missing))
        return found

    def _rows(self, dataset: Any, ids: npt.NDArray[np.uint64], columns: Sequence[str] | None = None) -> pa.Table:
        found: pa.Table = dataset.to_table(columns=columns, filter=f"_rowid IN ({', '.join(map(str, ids))})")
        return found

    def _create(self) -> None:
        import lance

        # Lance lets the slower of two processes that create a table overwrite it, with the rows that it holds by then.
        make_folder(self._path, lambda made: lance.write_dataset(self._schema.empty_table(), str(made)))

    def _compact(self) -> None:
        dataset = self.dataset()
        with suppress(OSError):  # another process compacts it in the same moment; the rows are stored either way
            dataset.optimize.compact_files()
            dataset.cleanup_old_versions(older_than=KEPT_VERSIONS)


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def instant(time: datetime) -> str:
    """Return an instant as an SQL literal."""
    return f"timestamp '{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00:00'"
