"""The training loop on Ray Train workers: one process each, data parallel, resumed where a worker died."""

import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import train as ray_train
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, Result, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device, prepare_model

from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.training.ledger import TrainingLedger
from deployments.forecasting.training.lesson import Material
from deployments.forecasting.training.loop import Hooks, TrainingConfig, train
from deployments.forecasting.training.run import Progress, Train
from deployments.forecasting.training.state import State, Trained, load_state, save_state, trained_of
from jobs.cluster import fixed_cpus
from jobs.handover import Handover

STATE_FILE = "state.pt"
TASK_FILE = "task"
MAX_RESUMES = 2

LOOK_EVERY_S = 0.2
"""How often the controller looks at the workers. A worker's report waits for it: at Ray's two seconds, a run of fifty
checks waits a minute and a half."""

CHECKPOINT_EVERY = 4
"""Checks between two checkpoints: each stops all workers until it is written, and few steps are soon repeated."""

CALLED_OFF_S = 60.0
"""Workers that come up in vain are waited for at most this long."""


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

    @contextmanager
    def started(self) -> Iterator[Train]:
        """Start the workers and yield what trains on them: they take longer to come up than candles to be prepared.

        Where an error comes first they are sent away again; at the end of the process Ray ends them anyway.
        """
        handover = Handover(self.folder / TASK_FILE)
        handover.clear()
        result = in_background(self._trainer(handover).fit)

        def trained(material: Material, shape: NetworkConfig, config: TrainingConfig) -> Trained:
            # A reference: the panel travels through the object store once, however many workers read it.
            handover.give(ray.cloudpickle.dumps((ray.put(material), shape, config)))
            checkpoint = result.result().checkpoint
            if checkpoint is None:
                raise RuntimeError("training ended without a checkpoint")
            return trained_of(state_in(checkpoint))

        try:
            yield trained
        except Exception:
            if not handover.path.exists():
                handover.call_off()
                wait([result], timeout=CALLED_OFF_S)
                handover.clear()
            raise

    def _trainer(self, handover: Handover) -> TorchTrainer:
        # Ray Train reads them in this process and hands them on to its controller.
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", f"{LOOK_EVERY_S}")
        if fixed_cpus() < math.inf:
            # It warns of nodes that are taken away one by one: a machine by itself has none, and starts sooner.
            os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        return TorchTrainer(
            train_worker,
            train_loop_config={"handover": handover, "run_id": self.run_id, "models": self.home / "models"},
            scaling_config=self._scaling(),
            run_config=RunConfig(
                name=self.run_id,
                storage_path=str(self.folder.parent),
                checkpoint_config=CheckpointConfig(num_to_keep=1),
                failure_config=FailureConfig(max_failures=MAX_RESUMES),
            ),
        )

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


def in_background(work: Callable[[], Result]) -> Future[Result]:
    """Do the work in a thread that does not keep the process alive."""
    future: Future[Result] = Future()

    def fulfil() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            # Raised again where the result is asked for.
            future.set_exception(error)

    threading.Thread(target=fulfil, name="ray-train", daemon=True).start()
    return future


def train_worker(task: dict[str, Any]) -> None:
    """Train on one worker; every worker reports each checkpoint, the first one with its state."""
    # Its imports take seconds, and the candles may still be prepared.
    network.build(NetworkConfig())
    handover: Handover = task["handover"]
    parcel = handover.taken()
    if not parcel:
        return
    material, shape, config = ray.cloudpickle.loads(parcel)
    checkpoint = ray_train.get_checkpoint()
    resume = state_in(checkpoint) if checkpoint else None
    train(ray.get(material), shape, config, str(get_device()), _hooks(task, config, resume), resume)


def _hooks(task: dict[str, Any], config: TrainingConfig, resume: State | None) -> Hooks:
    rank = ray_train.get_context().get_world_rank()
    leads, first_step = rank == 0, resume.steps if resume else 0
    if leads and resume:
        _say(f"resuming after step {first_step}")
    ledger = TrainingLedger(task["models"])
    progress = Progress(ledger, task["run_id"], config.max_steps, time.monotonic(), _say, first_step)
    return Hooks(
        prepare=prepare_model,
        rank=rank,
        on_progress=progress if leads else Hooks().on_progress,
        on_checkpoint=partial(_report, leads),
        checkpoint_every=CHECKPOINT_EVERY,
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
