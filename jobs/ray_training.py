"""The training loop on Ray Train workers: one process each, data parallel, resumed where a worker died."""

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import train as ray_train
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device, prepare_model

from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.training.ledger import TrainingLedger
from deployments.forecasting.training.lesson import Material
from deployments.forecasting.training.loop import Hooks, TrainingConfig, train
from deployments.forecasting.training.run import Progress
from deployments.forecasting.training.state import State, Trained, load_state, save_state, trained_of
from jobs.cluster import fixed_cpus

STATE_FILE = "state.pt"
MAX_RESUMES = 2

LOOK_EVERY_S = 0.2
"""How often the controller looks at the workers. A worker's report waits for it: at Ray's two seconds, a run of fifty
checks waits a minute and a half."""


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers train, and the part of a GPU that each takes where the cluster has one."""

    run_id: str
    home: Path
    count: int
    gpu_share: float

    @property
    def folder(self) -> Path:
        """Where the run's checkpoints lie; a run of the same name goes on from the last one there."""
        return self.home / "train" / self.run_id

    def train(self, material: Material, shape: NetworkConfig, config: TrainingConfig) -> Trained:
        """Train on the cluster and return the best weights."""
        # Ray Train reads it in this process and hands it on to its controller.
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", f"{LOOK_EVERY_S}")
        trainer = TorchTrainer(
            train_worker,
            train_loop_config={
                # A reference: the panel travels through the object store once, however many workers read it.
                "material": ray.put(material),
                "shape": shape,
                "config": config,
                "run_id": self.run_id,
                "models": self.home / "models",
            },
            scaling_config=self._scaling(),
            run_config=RunConfig(
                name=self.run_id,
                storage_path=str(self.folder.parent),
                checkpoint_config=CheckpointConfig(num_to_keep=1),
                failure_config=FailureConfig(max_failures=MAX_RESUMES),
            ),
        )
        checkpoint = trainer.fit().checkpoint
        if checkpoint is None:
            raise RuntimeError("training ended without a checkpoint")
        return trained_of(state_in(checkpoint))

    def _scaling(self) -> ScalingConfig:
        config = scaling(self.count, self.gpu_share, ray.cluster_resources().get("GPU", 0.0), fixed_cpus())
        needed, free = config.total_resources, ray.available_resources()
        for name in ("CPU", "GPU"):
            if needed.get(name, 0.0) > free.get(name, 0.0):
                # Ray Train waits without a word and without an end.
                _say(f"waiting: the workers need {needed[name]:g} {name}, {free.get(name, 0.0):g} are free")
        return config


def scaling(workers: int, gpu_share: float, gpus: float, cpus: float) -> ScalingConfig:
    """Return what the workers ask of the cluster: a CPU each, and a share of a GPU where there is one.

    Of `cpus` that do not become more they ask no more than half together: the rest is held by the graph, and what is
    never free would be waited for without an end. It is a right to start there, no limit.
    """
    use_gpu = gpu_share > 0 and gpus > 0
    cpu = min(1.0, cpus / 2 / workers)
    resources = {"CPU": cpu, "GPU": gpu_share} if use_gpu else {"CPU": cpu}
    return ScalingConfig(num_workers=workers, use_gpu=use_gpu, resources_per_worker=resources)


def train_worker(task: dict[str, Any]) -> None:
    """Train on one worker; every worker reports each check, the first one with a checkpoint."""
    context = ray_train.get_context()
    config: TrainingConfig = task["config"]
    leads = context.get_world_rank() == 0
    ledger = TrainingLedger(task["models"])
    checkpoint = ray_train.get_checkpoint()
    resume = state_in(checkpoint) if checkpoint else None
    first_step = resume.steps if resume else 0
    if leads and resume:
        _say(f"resuming after step {first_step}")
    progress = Progress(ledger, task["run_id"], config.max_steps, time.monotonic(), _say, first_step)
    hooks = Hooks(
        prepare=prepare_model,
        rank=context.get_world_rank(),
        on_progress=progress if leads else Hooks().on_progress,
        on_checkpoint=partial(_report, leads),
    )
    train(
        ray.get(task["material"]),
        task["shape"],
        config,
        str(get_device()),
        hooks,
        resume,
    )


def state_in(checkpoint: Checkpoint) -> State:
    """Return the state that a checkpoint holds."""
    with checkpoint.as_directory() as directory:
        return load_state(Path(directory) / STATE_FILE)


def _report(leads: bool, state: State) -> None:
    metrics = {"step": state.steps, "validation_loss": state.best_loss}
    if not leads:
        ray_train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as directory:
        save_state(state, Path(directory) / STATE_FILE)
        ray_train.report(metrics, checkpoint=Checkpoint.from_directory(directory))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
