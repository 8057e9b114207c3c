"""The cluster that a job belongs to."""

import math
import os
from pathlib import Path

from deployments.common.settings import StackSettings


def connect(log_to_driver: bool = False) -> None:
    """Join this job to its own cluster; does nothing where it is joined already.

    Ray sets a job's `RAY_ADDRESS` to a cluster that it finds among the processes of the machine, and with two stacks on
    one machine that may be the other one. A local stack therefore writes its own address into its home. The workers get
    it as well: parts of Ray Train look the cluster up again.
    """
    # Imported here, so that what needs no cluster runs without Ray.
    import ray

    if ray.is_initialized():
        return
    note = _note()
    address = note.read_text(encoding="utf-8").strip() if note.exists() else os.environ.get("RAY_ADDRESS", "auto")
    environment = {} if address == "auto" else {"RAY_ADDRESS": address}
    os.environ.update(environment)
    ray.init(address=address, log_to_driver=log_to_driver, runtime_env={"env_vars": environment})


def fixed_cpus() -> float:
    """Return the CPUs of a local stack, which stays as large as it is; infinity on a cluster, which may grow."""
    import ray

    return float(ray.cluster_resources().get("CPU", 1.0)) if _note().exists() else math.inf


def _note() -> Path:
    return StackSettings.read().candlecast_home.resolve() / "ray.address"
