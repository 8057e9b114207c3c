"""The strict check of `serve_config.yaml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deployments.local_stack.config import SERVE_CONFIG, read_config, stack_config, unknown_keys
from deployments.local_stack.errors import StackError

ALLOWED = {
    "root": ["applications", "http_options", "logging_config"],
    "http_options": ["host", "port"],
    "logging_config": ["encoding"],
    "application": ["name", "args", "deployments"],
    "args": ["device"],
    "deployment": ["name", "num_replicas", "ray_actor_options"],
}


def faults(config: Mapping[str, Any]) -> list[str]:
    return unknown_keys(config, ALLOWED, {"MarketData", "Gateway"})


def test_a_sound_configuration_has_no_faults() -> None:
    deployments = [{"name": "Gateway", "num_replicas": 2}]

    assert (
        faults({"applications": [{"name": "candlecast", "args": {"device": "cpu"}, "deployments": deployments}]}) == []
    )


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"aplications": []}, "aplications: unknown key"),
        ({"http_options": {"hots": "x"}}, "http_options.hots: unknown key"),
        ({"applications": [{"args": {"devise": "cpu"}}]}, "applications[0].args.devise: unknown key"),
        (
            {"applications": [{"deployments": [{"name": "Gateway", "replicas": 2}]}]},
            "applications[0].deployments[0].replicas: unknown key",
        ),
        (
            {"applications": [{"deployments": [{"name": "Gatway"}]}]},
            "applications[0].deployments[0].name: no deployment 'Gatway'; there are Gateway, MarketData",
        ),
    ],
)
def test_what_serve_would_ignore_is_named(config: dict[str, object], named: str) -> None:
    assert faults(config) == [named]


def test_resources_in_yaml_are_refused_because_they_drop_the_gpu_share() -> None:
    config = {"applications": [{"deployments": [{"name": "Gateway", "ray_actor_options": {"num_cpus": 1}}]}]}

    assert "gpu_shares" in faults(config)[0]


def test_a_stack_gets_its_own_address_and_home(tmp_path: Path) -> None:
    config = stack_config(SERVE_CONFIG, "127.0.0.1", 8123, tmp_path)

    assert config["http_options"] == {**read_config(SERVE_CONFIG)["http_options"], "host": "127.0.0.1", "port": 8123}
    assert config["applications"][0]["args"]["home"] == str(tmp_path)


@pytest.mark.parametrize("text", ["a: [", "- a\n- b"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)

    with pytest.raises(StackError, match=r"broken\.yaml"):
        read_config(path)
