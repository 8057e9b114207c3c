"""How a training job is started: its command line and its environment."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from deployments.forecasting.models import TrainingRequest

PROJECT_ROOT = Path(__file__).resolve().parents[3]
"""The folder that holds `deployments` and `jobs`, in a checkout as in an installation."""


def training_command(run_id: str, request: TrainingRequest, gpu_share: float) -> str:
    """Return the shell command of a training job, every word quoted."""
    words = [sys.executable, "-m", "jobs.train_nhits", "--run-id", run_id, *_options(request)]
    return shlex.join([*words, "--gpu-share", f"{gpu_share:g}"])


def on_cluster(address: str, command: str) -> str:
    """Return the command bound to the cluster at `address`.

    Ray overwrites a job's `RAY_ADDRESS` with a cluster that it finds among the processes of the machine. With two
    clusters on one machine that may be the wrong one, so the command sets it last.
    """
    return f"env {shlex.quote(f'RAY_ADDRESS={address}')} {command}"


def training_environment(home: Path, registry: str = "") -> dict[str, str]:
    """Return the variables a training job needs beyond those of the cluster's node."""
    named = {"MODEL_REGISTRY": registry} if registry else {}
    return {"CANDLECAST_HOME": str(home), "PYTHONPATH": str(PROJECT_ROOT), **named}


def _options(request: TrainingRequest) -> Sequence[str]:
    options = {
        "--symbols": ",".join(request.symbols) or None,
        "--interval": request.interval.value,
        "--horizon": request.horizon,
        "--input-size": request.input_size,
        "--max-steps": request.max_steps,
        "--lookback-days": request.lookback_days,
        "--seed": request.seed,
        "--quantiles": ",".join(f"{quantile:g}" for quantile in request.quantiles) or None,
    }
    return [word for name, value in options.items() if value is not None for word in (name, str(value))]
