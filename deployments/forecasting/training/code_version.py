"""Which code made a model."""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def code_version() -> str:
    """Return the release and a digest of the forecasting sources: `0.1.0+3f2a9c01`.

    The digest tells two states of a checkout apart, in which the release stays the same.
    """
    digest = hashlib.sha256()
    sources = Path(__file__).resolve().parents[1]
    for path in sorted(sources.rglob("*.py")):
        digest.update(path.relative_to(sources).as_posix().encode() + b"\0" + path.read_bytes())
    try:
        release = version("candlecast")
    except PackageNotFoundError:
        release = "0"
    return f"{release}+{digest.hexdigest()[:8]}"
