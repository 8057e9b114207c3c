"""`cluster.yaml`, checked with Ray's own validation and without a cluster."""

import pathlib

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.ray


def test_ray_takes_the_cluster_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))

    prepared = prepare_config(config)
    validate_config(prepared)

    assert prepared["max_workers"] == 1


def test_both_kinds_of_node_run_the_performance_profile() -> None:
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))

    for part in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert "RAY_SERVE_ENABLE_HA_PROXY=1" in config[part][-1]
        assert "RAY_AUTH_MODE=token" in config[part][-1]
