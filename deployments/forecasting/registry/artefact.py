"""A model version in the registry: its card, its weights, and a manifest with the sha256 of both. No pickle, ever.

The manifest is written last: a version without one was never published.
"""

import hashlib
import json

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from deployments.common.errors import DamagedModel, UnknownModel
from deployments.forecasting.models import ModelCard
from deployments.forecasting.records import from_json, to_json
from deployments.forecasting.registry.storage import Storage

Tensors = dict[str, npt.NDArray[np.generic]]

CARD = "card.json"
WEIGHTS = "weights.safetensors"
MANIFEST = "manifest.json"


def encode_weights(tensors: Tensors) -> bytes:
    """Return tensors in the safetensors format."""
    return safetensors.save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})


def write_artefact(storage: Storage, folder: str, card: ModelCard, weights: bytes) -> None:
    """Write a version into the new `folder`; raises `FileExistsError` when it exists, because versions never change."""
    if MANIFEST in storage.names(folder):
        raise FileExistsError(f"version {_version(folder)} exists and versions never change")
    files = {CARD: to_json(card), WEIGHTS: weights}
    manifest = {"sha256": {name: sha256(data) for name, data in files.items()}}
    for name, data in {**files, MANIFEST: json.dumps(manifest, indent=1).encode()}.items():
        storage.write(f"{folder}/{name}", data)


def read_card(storage: Storage, folder: str) -> ModelCard:
    """Return the card of a version as published.

    Raises `DamagedModel` when it is not what the manifest says, `UnknownModel` when it is deleted meanwhile.
    """
    data = _verified(storage, folder, CARD)
    try:
        return from_json(ModelCard, data)
    except ValueError as error:
        raise DamagedModel(f"version {_version(folder)}: its card cannot be read ({_first_line(error)})") from None


def read_artefact(storage: Storage, folder: str) -> tuple[Tensors, ModelCard]:
    """Return tensors and card of a version, all checked.

    Raises `DamagedModel` naming what is wrong, or `UnknownModel` when it is deleted meanwhile.
    The card names the version and the digest of its weights: with those of another version it is refused, even where
    the manifest was swapped along.
    """
    card, version = read_card(storage, folder), _version(folder)
    # The checked bytes themselves are parsed, so a file swapped in between is never read.
    weights = _verified(storage, folder, WEIGHTS)
    if card.version != version:
        raise DamagedModel(f"version {version}: its card is that of version {card.version}")
    if card.sha256 != sha256(weights):
        raise DamagedModel(f"version {version}: its weights are not those that its card names (sha256 differs)")
    try:
        return safetensors.load(weights), card
    except (SafetensorError, ValueError, KeyError) as error:
        raise DamagedModel(f"version {version}: its weights cannot be read ({_first_line(error)})") from None


def sha256(data: bytes) -> str:
    """Return the hexadecimal digest of `data`."""
    return hashlib.sha256(data).hexdigest()


def _verified(storage: Storage, folder: str, name: str) -> bytes:
    version = _version(folder)
    try:
        _check_files(storage, folder)
        expected = _manifest(storage, folder).get(name)
        data = storage.read(f"{folder}/{name}")
    except OSError as error:
        _check_there(storage, folder)
        raise DamagedModel(f"version {version}: {name} cannot be read ({_first_line(error)})") from None
    if sha256(data) != expected:
        raise DamagedModel(f"version {version}: {name} is not what was published (sha256 differs)")
    return data


def _check_files(storage: Storage, folder: str) -> None:
    expected = {CARD, WEIGHTS, MANIFEST}
    if missing := expected - set(storage.files(folder)):
        _check_there(storage, folder)
        raise DamagedModel(f"version {_version(folder)}: {', '.join(sorted(missing))} missing")
    if extra := set(storage.names(folder)) - expected:
        raise DamagedModel(f"version {_version(folder)}: unexpected {', '.join(sorted(extra))}")


def _check_there(storage: Storage, folder: str) -> None:
    """Tell a version that retention took while it was read from one that somebody spoilt."""
    if not storage.names(folder):
        raise UnknownModel(f"there is no model version {_version(folder)!r}")


def _manifest(storage: Storage, folder: str) -> dict[str, str]:
    version = _version(folder)
    try:
        sums = json.loads(storage.read(f"{folder}/{MANIFEST}"))["sha256"]
        return {str(name): str(digest) for name, digest in sums.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedModel(f"version {version}: its manifest cannot be read") from None


def _version(folder: str) -> str:
    return folder.rpartition("/")[2]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
