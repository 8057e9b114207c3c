"""A short name for everything that an answer says, so that whoever holds the answer can ask whether it still holds."""

import hashlib
from dataclasses import fields

import numpy as np
import orjson

from deployments.market_data.models import Candles


def generation_of(candles: Candles) -> str:
    """Return a digest of an answer's columns and of all that is said beside them.

    Equal answers have equal generations, however their columns are cut into chunks and whichever process asks.
    """
    digest = hashlib.blake2b(digest_size=16)
    beside = [getattr(candles, field.name) for field in fields(candles) if field.name != "table"]
    digest.update(orjson.dumps([beside, candles.table.num_rows], option=orjson.OPT_UTC_Z))
    for column in candles.table.columns:
        digest.update(np.ascontiguousarray(column.to_numpy()).view(np.uint8).data)
    return digest.hexdigest()
