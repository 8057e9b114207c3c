"""A model version on disk: its card, its weights, and a manifest with the sha256 of both. No pickle, ever."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from deployments.common.errors import DamagedModel
from deployments.forecasting.models import ModelCard
from deployments.forecasting.records import from_json, sync_directory, to_json

Tensors = dict[str, npt.NDArray[np.generic]]

CARD = "card.json"
WEIGHTS = "weights.safetensors"
MANIFEST = "manifest.json"


def encode_weights(tensors: Tensors) -> bytes:
    """Return tensors in the safetensors format."""
    return safetensors.save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})


def write_artefact(directory: Path, card: ModelCard, weights: bytes) -> None:
    """Write a version into the new `directory`: complete under a temporary name first, then renamed.

    Raises `FileExistsError` when the version exists, because versions never change.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    if directory.exists():
        raise FileExistsError(f"version {directory.name} exists and versions never change")
    files = {CARD: to_json(card), WEIGHTS: weights}
    manifest = {"sha256": {name: sha256(data) for name, data in files.items()}}
    temporary = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".new-"))
    try:
        for name, data in {**files, MANIFEST: json.dumps(manifest, indent=1).encode()}.items():
            _write(temporary / name, data)
        sync_directory(temporary)
        temporary.chmod(0o755)
        temporary.rename(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_directory(directory.parent)


def read_card(directory: Path) -> ModelCard:
    """Return the card of a version as published; raises `DamagedModel` when it is not what the manifest says."""
    data = _verified(directory, CARD)
    try:
        return from_json(ModelCard, data)
    except ValueError as error:
        raise DamagedModel(f"version {directory.name}: its card cannot be read ({_first_line(error)})") from None


def read_artefact(directory: Path) -> tuple[Tensors, ModelCard]:
    """Return tensors and card of a version, both checked; raises `DamagedModel` naming what is wrong."""
    card = read_card(directory)
    # The checked bytes themselves are parsed, so a file swapped in between is never read.
    weights = _verified(directory, WEIGHTS)
    try:
        return safetensors.load(weights), card
    except (SafetensorError, ValueError, KeyError) as error:
        raise DamagedModel(f"version {directory.name}: its weights cannot be read ({_first_line(error)})") from None


def sha256(data: bytes) -> str:
    """Return the hexadecimal digest of `data`."""
    return hashlib.sha256(data).hexdigest()


def _verified(directory: Path, name: str) -> bytes:
    _check_files(directory)
    expected = _manifest(directory).get(name)
    try:
        data = (directory / name).read_bytes()
    except OSError as error:
        raise DamagedModel(f"version {directory.name}: {name} cannot be read ({error.strerror})") from None
    if sha256(data) != expected:
        raise DamagedModel(f"version {directory.name}: {name} is not what was published (sha256 differs)")
    return data


def _check_files(directory: Path) -> None:
    try:
        found = {entry.name for entry in os.scandir(directory) if entry.is_file(follow_symlinks=False)}
        every = set(os.listdir(directory))
    except OSError as error:
        raise DamagedModel(f"version {directory.name}: its folder cannot be read ({error.strerror})") from None
    expected = {CARD, WEIGHTS, MANIFEST}
    if missing := expected - found:
        raise DamagedModel(f"version {directory.name}: {', '.join(sorted(missing))} missing")
    if extra := every - expected:
        raise DamagedModel(f"version {directory.name}: unexpected {', '.join(sorted(extra))}")


def _manifest(directory: Path) -> dict[str, str]:
    try:
        sums = json.loads((directory / MANIFEST).read_bytes())["sha256"]
        return {str(name): str(digest) for name, digest in sums.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DamagedModel(f"version {directory.name}: its manifest cannot be read") from None


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
