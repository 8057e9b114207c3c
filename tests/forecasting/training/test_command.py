"""The command of a training job."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from deployments.forecasting.models import TrainingRequest
from deployments.forecasting.training.command import on_cluster, training_command, training_environment


def test_command_carries_every_wish_of_the_request() -> None:
    request = TrainingRequest(("BTCUSD", "ETHUSD"), horizon=12, max_steps=50, lookback_days=90, seed=3)
    words = shlex.split(training_command("run-1", request, 0.3))
    assert words[:5] == [sys.executable, "-m", "jobs.train_nhits", "--run-id", "run-1"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options["--symbols"] == "BTCUSD,ETHUSD"
    assert options["--horizon"] == "12"
    assert options["--lookback-days"] == "90"
    assert options["--gpu-share"] == "0.3"


def test_what_the_request_leaves_open_is_not_passed() -> None:
    words = shlex.split(training_command("run-1", TrainingRequest(), 0))
    assert "--symbols" not in words
    assert "--lookback-days" not in words


def test_job_finds_a_registry_that_lies_elsewhere() -> None:
    assert training_environment(Path("/state"), "s3://desk/models")["MODEL_REGISTRY"] == "s3://desk/models"
    assert "MODEL_REGISTRY" not in training_environment(Path("/state"))


def test_hostile_words_stay_words() -> None:
    command = training_command("run-1; reboot", TrainingRequest(), 0)
    assert "run-1; reboot" in shlex.split(command)


def test_job_stays_on_the_cluster_it_was_submitted_to_whatever_ray_puts_in_its_environment() -> None:
    command = on_cluster("10.0.0.1:6379", "printenv RAY_ADDRESS")
    environment = {**os.environ, "RAY_ADDRESS": "10.9.9.9:6379"}
    said = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == "10.0.0.1:6379\n"


def test_job_finds_the_project_and_its_home() -> None:
    environment = training_environment(Path("/state"))
    assert environment["CANDLECAST_HOME"] == "/state"
    assert (Path(environment["PYTHONPATH"]) / "deployments").is_dir()
