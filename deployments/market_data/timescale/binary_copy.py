"""Candles as PostgreSQL's binary COPY format, built column by column.

The format is in PostgreSQL's manual under COPY, "Binary Format": a header, for each row the number of fields and for
each field its length and its bytes in network order, and a trailer.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deployments.market_data.instants import EPOCH, MICROSECOND, Times, times_of, to_datetime

COLUMNS = ("symbol", "time", "open", "high", "low", "close", "volume")
NUMBERS = COLUMNS[2:]

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_POSTGRES_EPOCH_US = (datetime(2000, 1, 1, tzinfo=EPOCH.tzinfo) - EPOCH) // MICROSECOND
_BLOCK_BYTES = 1 << 20

Names = NDArray[np.bytes_]
Codes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class KeyedRows:
    """Rows without equal keys, ascending by length of the symbol, time and symbol.

    `names` holds each symbol once in UTF-8, short ones first; `codes` says which of them a row has. `spans` are the
    symbols with the openings of their first and last row.
    """

    names: tuple[bytes, ...]
    codes: Codes
    times: Times
    numbers: tuple[NDArray[np.float64], ...]
    spans: tuple[list[str], list[datetime], list[datetime]]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The first and the last opening of all rows; any instant where there are none."""
        _, first, last = self.spans
        return min(first, default=EPOCH), max(last, default=EPOCH)


def keyed_rows(rows: pa.Table, stored: Mapping[str, str]) -> KeyedRows:
    """Bring rows with `SYMBOL_CANDLE_SCHEMA` in order; of rows with one key the last given stays.

    `stored` names the symbols that a table spells in its own way.
    """
    symbols = rows["symbol"].combine_chunks().dictionary_encode()
    given = [stored.get(name, name).encode() for name in symbols.dictionary.to_pylist()]
    names = tuple(sorted(set(given), key=lambda name: (len(name), name)))
    place = {name: number for number, name in enumerate(names)}
    codes = np.array([place[name] for name in given], dtype=np.intp)[symbols.indices.to_numpy()]
    times = times_of(rows)
    by_key = _last_of_each_key(codes, times)
    # One index of the table grows by time, the other by symbol and then time: in order of time both only append.
    lengths = np.array([len(name) for name in names], dtype=np.intp)[codes[by_key]]
    order = by_key[np.lexsort((codes[by_key], times[by_key], lengths))]
    numbers = tuple(rows[name].combine_chunks().to_numpy()[order] for name in NUMBERS)
    return KeyedRows(names, codes[order], times[order], numbers, _spans(names, codes[by_key], times[by_key]))


def _last_of_each_key(codes: Codes, times: Times) -> NDArray[np.intp]:
    order = np.lexsort((times, codes))  # stable: equal keys stay as given
    changes = (np.diff(codes[order]) != 0) | (np.diff(times[order]) != np.timedelta64(0, "us"))
    last: NDArray[np.intp] = order[np.append(changes, True)[: len(order)]]
    return last


def _spans(names: tuple[bytes, ...], codes: Codes, times: Times) -> tuple[list[str], list[datetime], list[datetime]]:
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes))[: len(starts)] - 1
    first, last = ([to_datetime(time) for time in times[places]] for places in (starts, ends))
    return [names[code].decode() for code in codes[starts]], first, last


def encoded(rows: KeyedRows) -> bytes:
    """Return rows in binary, each field in the order of `COLUMNS`."""
    return b"".join([_HEADER, *_tuples(rows), _TRAILER])


async def blocks(encoding: bytes) -> AsyncIterator[bytes]:
    """Yield an encoding in parts, as asyncpg's COPY takes it."""
    for start in range(0, len(encoding), _BLOCK_BYTES):
        yield encoding[start : start + _BLOCK_BYTES]


def _tuples(rows: KeyedRows) -> Iterator[bytes]:
    """Encode stretches of rows whose symbols have equal lengths: then every row has the same layout."""
    lengths = np.array([len(name) for name in rows.names], dtype=np.intp)[rows.codes]
    bounds = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(rows)]
    for start, end in pairwise(bounds):
        if start < end:
            yield _equally_long(rows, slice(start, end), int(lengths[start]))


def _equally_long(rows: KeyedRows, part: slice, length: int) -> bytes:
    sizes = {"symbol": (f"S{length}", length), "time": (">i8", 8), **dict.fromkeys(NUMBERS, (">f8", 8))}
    layout = [("fields", ">i2")]
    for name in COLUMNS:
        layout += [(f"{name}_bytes", ">i4"), (name, sizes[name][0])]
    records = np.empty(part.stop - part.start, dtype=layout)
    records["fields"] = len(COLUMNS)
    for name in COLUMNS:
        records[f"{name}_bytes"] = sizes[name][1]
    spelled: Names = np.array(rows.names, dtype=np.bytes_)
    records["symbol"] = spelled[rows.codes[part]]
    records["time"] = rows.times[part].astype(np.int64) - _POSTGRES_EPOCH_US
    for name, values in zip(NUMBERS, rows.numbers, strict=True):
        records[name] = values[part]
    return records.tobytes()
