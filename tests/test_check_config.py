"""`candlecast check-config` on the shipped file and on files with faults that Serve would swallow."""

import copy
from typing import Any

import pytest

from deployments.local_stack.config import SERVE_CONFIG, read_config

pytestmark = pytest.mark.ray


@pytest.fixture
def config() -> dict[str, Any]:
    return copy.deepcopy(read_config(SERVE_CONFIG))


def faults(config: dict[str, Any]) -> list[str]:
    from deployments.cli import config_faults

    return config_faults(config)


def test_the_shipped_file_is_sound(config: dict[str, Any]) -> None:
    assert faults(config) == []


def test_a_misspelled_share_is_named(config: dict[str, Any]) -> None:
    config["applications"][0]["args"]["gpu_shares"]["forcaster"] = 0.5

    assert any("gpu_shares.forcaster" in line for line in faults(config))


def test_a_value_of_the_wrong_kind_is_named(config: dict[str, Any]) -> None:
    config["applications"][0]["deployments"][0]["num_replicas"] = "many"

    assert any("num_replicas" in line for line in faults(config))


def test_a_deployment_that_does_not_exist_is_named(config: dict[str, Any]) -> None:
    config["applications"][0]["deployments"][0]["name"] = "MarketDat"

    assert any("no deployment 'MarketDat'" in line for line in faults(config))
