"""Fakes of knowledge: an encoder that needs no model and a table in memory that can die."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime

import numpy as np

from deployments.knowledge.embedding import DIMENSIONS, Vectors
from deployments.knowledge.models import Passage, PassageKind
from deployments.knowledge.store import Series


class WordEncoder:
    """Embed a text as the normalised sum of one random direction per word; equal words make near texts."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        if not texts:
            return np.empty((0, DIMENSIONS), dtype=np.float32)
        return np.stack([_direction(text) for text in texts])


def _direction(text: str) -> Vectors:
    total = np.zeros(DIMENSIONS)
    for word in text.lower().replace(",", " ").replace(":", " ").split():
        seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
        total += np.random.default_rng(seed).normal(size=DIMENSIONS)
    return np.asarray(total / np.linalg.norm(total), dtype=np.float32)


class StoreDied(Exception):
    """What a dying store raises."""


class MemoryStore:
    """A passages table in memory; each call that finds `deaths` not empty takes one: None lives, else when to die."""

    def __init__(self, deaths: Sequence[str | None] = ()) -> None:
        self.rows: dict[int, Passage] = {}
        self.written: list[tuple[int, int]] = []
        self.deaths = list(deaths)

    def watermarks(self) -> dict[Series, datetime]:
        newest: dict[Series, datetime] = {}
        for passage in self.rows.values():
            if passage.kind is PassageKind.CANDLE:
                series = (passage.symbol, passage.interval)
                newest[series] = max(passage.time, newest.get(series, passage.time))
        return newest

    def content_hashes(self, ids: Collection[int]) -> dict[int, int]:
        return {ident: self.rows[ident].content_hash for ident in ids if ident in self.rows}

    def upsert(self, passages: Sequence[Passage], vectors: Vectors) -> tuple[int, int]:
        assert vectors.shape == (len(passages), DIMENSIONS)
        death = self.deaths.pop(0) if self.deaths else None
        if death == "before":
            raise StoreDied
        new = sum(passage.id not in self.rows for passage in passages)
        self.rows |= {passage.id: passage for passage in passages}
        self.written += [(passage.id, passage.content_hash) for passage in passages]
        if death == "after":
            raise StoreDied
        return new, len(passages) - new

    def count(self) -> int:
        return len(self.rows)

    def clear(self) -> None:
        self.rows.clear()

    def tidy(self) -> None:
        return
