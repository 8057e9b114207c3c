"""`serve_config.yaml`: reading it, and refusing what Serve would silently ignore."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from deployments.common.settings import StackSettings
from deployments.local_stack.errors import StackError

REPOSITORY = Path(__file__).resolve().parents[2]
SERVE_CONFIG = REPOSITORY / "serve_config.yaml"


def read_config(path: Path) -> dict[str, Any]:
    """Return the parsed file; raises `StackError` naming the file and line of a YAML error."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StackError(f"{path} does not exist") from error
    except yaml.YAMLError as error:
        raise StackError(f"{path} is not YAML: {error}") from error
    if not isinstance(config, dict):
        raise StackError(f"{path} holds no mapping")
    return config


def stack_config(path: Path, host: str, port: int, home: Path) -> dict[str, Any]:
    """Return the configuration for a stack on this machine: its own address and home."""
    config = read_config(path)
    config["logging_config"] = {**config.get("logging_config", {}), "log_level": StackSettings.read().log_level}
    config["http_options"] = {**config.get("http_options", {}), "host": host, "port": port}
    for application in config["applications"]:
        application["args"] = {**application.get("args", {}), "home": str(home)}
    return config


def unknown_keys(config: Mapping[str, Any], allowed: Mapping[str, Iterable[str]], deployments: set[str]) -> list[str]:
    """Return one line per key or deployment name that nothing would read.

    `allowed` gives the known keys of each level: `root`, `http_options`, `logging_config`, `application`, `args`,
    `deployment`.
    """
    found = _unknown(config, "root", allowed, "")
    found += _unknown(config.get("http_options") or {}, "http_options", allowed, "http_options.")
    found += _unknown(config.get("logging_config") or {}, "logging_config", allowed, "logging_config.")
    for i, application in enumerate(config.get("applications") or []):
        place = f"applications[{i}]."
        found += _unknown(application, "application", allowed, place)
        found += _unknown(application.get("args") or {}, "args", allowed, f"{place}args.")
        for j, deployment in enumerate(application.get("deployments") or []):
            found += _unknown(deployment, "deployment", allowed, f"{place}deployments[{j}].")
            found += _bad_deployment(deployment, deployments, f"{place}deployments[{j}]")
    return found


def _unknown(part: Mapping[str, Any], level: str, allowed: Mapping[str, Iterable[str]], place: str) -> list[str]:
    return [f"{place}{key}: unknown key" for key in part if key not in set(allowed[level])]


def _bad_deployment(deployment: Mapping[str, Any], known: set[str], place: str) -> list[str]:
    found = []
    if deployment.get("name") not in known:
        found.append(f"{place}.name: no deployment {deployment.get('name')!r}; there are {', '.join(sorted(known))}")
    if "ray_actor_options" in deployment:
        found.append(f"{place}.ray_actor_options: replaces the GPU share; use args.gpu_shares and args.cpu_shares")
    return found
