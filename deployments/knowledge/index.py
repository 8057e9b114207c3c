"""Exact search over passages in memory; the one door to FAISS."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from deployments.knowledge.embedding import DIMENSIONS, Vectors
from deployments.knowledge.models import PassageKind, SearchHit
from deployments.knowledge.passages import closed_at
from deployments.knowledge.store import PASSAGE_SCHEMA, TableChange
from deployments.market_data.models import Interval

Mask = npt.NDArray[np.bool_]
Span = tuple[datetime, datetime]

_TEXT_COLUMNS = [name for name in PASSAGE_SCHEMA.names if name != "vector"]


@dataclass(frozen=True, slots=True)
class PassageFilter:
    """What a passage must satisfy before its similarity counts; an empty field asks nothing.

    `spans` are half-open; one of them must hold the passage's time, as must `start` and `end`. `levels` keep the
    passages whose range holds one of these prices, if there are any.
    """

    symbols: frozenset[str] = frozenset()
    kind: PassageKind | None = None
    start: datetime | None = None
    end: datetime | None = None
    as_of: datetime | None = None
    spans: tuple[Span, ...] = ()
    levels: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _View:
    """One state of the index; never changed, only replaced. Row i of all members is the same passage."""

    version: int
    fragments: frozenset[int]
    rows: pa.Table
    known_at: npt.NDArray[np.int64]
    flat: Any


class PassageIndex:
    """Search passages by cosine similarity; any thread may search while another applies a change."""

    def __init__(self) -> None:
        self._writing = threading.Lock()
        self._view = _view(0, frozenset(), PASSAGE_SCHEMA.empty_table().select(_TEXT_COLUMNS), _flat_index())

    @property
    def version(self) -> int:
        """The table version that is indexed."""
        return self._view.version

    @property
    def fragments(self) -> frozenset[int]:
        """The table fragments that are indexed."""
        return self._view.fragments

    @property
    def size(self) -> int:
        """The number of passages."""
        return int(self._view.rows.num_rows)

    def symbols(self) -> frozenset[str]:
        """Return the symbols that have passages."""
        return frozenset(pc.unique(self._view.rows["symbol"]).to_pylist())

    def newest(self) -> datetime | None:
        """Return the time of the newest candle passage."""
        rows = self._view.rows
        candles = rows.filter(pc.equal(rows["kind"], PassageKind.CANDLE.value))
        newest: datetime | None = pc.max(candles["time"]).as_py()
        return newest

    def advance(self, change: TableChange) -> bool:
        """Apply rows that are new or replace others; return False when rows went, which only `replace` can tell."""
        with self._writing:
            old = self._view
            stays = ~np.isin(old.rows["id"].to_numpy(), change.rows["id"].to_numpy())
            rows = pa.concat_tables([old.rows.filter(pa.array(stays)), change.rows.select(_TEXT_COLUMNS)])
            if rows.num_rows != change.total:
                return False
            flat = _extended(old.flat, stays, _vectors(change.rows))
            self._view = _view(change.version, change.fragments, rows.combine_chunks(), flat)
            return True

    def replace(self, change: TableChange) -> None:
        """Index these rows and nothing else."""
        with self._writing:
            flat = _extended(_flat_index(), np.empty(0, dtype=np.bool_), _vectors(change.rows))
            rows = change.rows.select(_TEXT_COLUMNS).combine_chunks()
            self._view = _view(change.version, change.fragments, rows, flat)

    def search(self, vector: Vectors, k: int, where: PassageFilter) -> tuple[SearchHit, ...]:
        """Return the `k` passages nearest to a unit vector of shape (384,), best first, among those that qualify."""
        import faiss

        view = self._view
        mask = _qualifying(view, where)
        if k < 1 or not mask.any():
            return ()
        # The stubs know the C++ signatures, not the Python ones that wrap them.
        selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))  # type: ignore[call-arg, arg-type]
        chosen = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, DIMENSIONS)
        scores, found = view.flat.search(query, min(k, int(mask.sum())), params=chosen)
        return tuple(_hits(view.rows, found[0], scores[0]))


def _flat_index() -> Any:
    import faiss

    return faiss.IndexFlatIP(DIMENSIONS)


def _extended(flat: Any, stays: Mask, added: Vectors) -> Any:
    """Return a new index of the vectors that stay, followed by those added."""
    import faiss

    if stays.all():
        longer = faiss.clone_index(flat)
    else:
        longer = _flat_index()
        longer.add(np.ascontiguousarray(flat.reconstruct_n(0, flat.ntotal)[stays]))
    if len(added):
        longer.add(added)
    return longer


def _view(version: int, fragments: frozenset[int], rows: pa.Table, flat: Any) -> _View:
    return _View(version, fragments, rows, _known_at(rows), flat)


def _known_at(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Return for each row the instant, in microseconds, from which on it could be known."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    after: npt.NDArray[np.int64] = np.zeros(rows.num_rows, dtype=np.int64)
    for kind in PassageKind:
        for interval in Interval:
            same = pc.and_(pc.equal(rows["kind"], kind.value), pc.equal(rows["interval"], interval.value))
            after[_mask(same)] = int((closed_at(kind, interval, epoch) - epoch).total_seconds() * 1e6)
    return _times(rows) + after


def _qualifying(view: _View, where: PassageFilter) -> Mask:
    rows = view.rows
    keep: Mask = np.ones(rows.num_rows, dtype=np.bool_)
    if where.symbols:
        keep &= _mask(pc.is_in(rows["symbol"], pa.array(sorted(where.symbols), pa.string())))
    if where.kind is not None:
        keep &= _mask(pc.equal(rows["kind"], where.kind.value))
    keep &= _in_time(_times(rows), where)
    if where.as_of is not None:
        keep &= view.known_at <= _micros(where.as_of)
    if where.levels:
        touching = keep & _touching(rows, where.levels)
        keep = touching if touching.any() else keep
    return keep


def _in_time(times: npt.NDArray[np.int64], where: PassageFilter) -> Mask:
    keep: Mask = np.ones(len(times), dtype=np.bool_)
    if where.start is not None:
        keep &= times >= _micros(where.start)
    if where.end is not None:
        keep &= times < _micros(where.end)
    if where.spans:
        inside = [(times >= _micros(start)) & (times < _micros(end)) for start, end in where.spans]
        keep &= np.logical_or.reduce(inside)
    return keep


def _touching(rows: pa.Table, levels: Sequence[float]) -> Mask:
    low = rows["low"].to_numpy()
    high = rows["high"].to_numpy()
    touching: Mask = np.logical_or.reduce([(low <= level) & (level <= high) for level in levels])
    return touching


def _hits(rows: pa.Table, found: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]) -> list[SearchHit]:
    kept = found >= 0
    chosen = rows.take(pa.array(found[kept])).to_pylist()
    return [_hit(row, float(score)) for row, score in zip(chosen, scores[kept], strict=True)]


def _hit(row: dict[str, Any], score: float) -> SearchHit:
    return SearchHit(
        id=f"{row['id']:016x}",
        score=score,
        symbol=row["symbol"],
        interval=Interval(row["interval"]),
        time=row["time"],
        kind=PassageKind(row["kind"]),
        text=row["text"],
    )


def _vectors(rows: pa.Table) -> Vectors:
    flat = rows["vector"].combine_chunks().flatten().to_numpy()
    return np.ascontiguousarray(flat, dtype=np.float32).reshape(-1, DIMENSIONS)


def _mask(condition: Any) -> Mask:
    mask: Mask = condition.to_numpy(zero_copy_only=False) if isinstance(condition, pa.Array) else condition.to_numpy()
    return mask


def _times(rows: pa.Table) -> npt.NDArray[np.int64]:
    times: npt.NDArray[np.int64] = rows["time"].cast(pa.int64()).to_numpy()
    return times


def _micros(instant: datetime) -> int:
    return int(instant.timestamp() * 1e6)
