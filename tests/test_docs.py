"""The docs name what there is: settings, deployments, decisions, commands."""

import pathlib
import re

import pytest
from pydantic_settings import BaseSettings

from deployments.common import settings
from deployments.local_stack.config import SERVE_CONFIG, read_config

ROOT = pathlib.Path(__file__).resolve().parents[1]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def variables() -> list[str]:
    found = []
    for kind in vars(settings).values():
        if isinstance(kind, type) and issubclass(kind, settings.EnvironmentSettings):
            prefix = str(kind.model_config.get("env_prefix", ""))
            found += [f"{prefix}{name}".upper() for name in kind.model_fields]
    return found


@pytest.mark.parametrize("variable", variables())
def test_every_setting_is_described(variable: str) -> None:
    assert f"`{variable}`" in OPERATIONS


def test_every_variable_described_as_a_setting_exists() -> None:
    table = OPERATIONS.split("## Settings")[1].split("## Profiles")[0]

    assert set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)) == set(variables())


def test_every_deployment_is_described() -> None:
    (application,) = read_config(SERVE_CONFIG)["applications"]

    assert [each["name"] for each in application["deployments"] if f"`{each['name']}`" not in OPERATIONS] == []


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = []
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("/") and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")

    assert broken == []


def test_settings_classes_are_frozen() -> None:
    for kind in vars(settings).values():
        if isinstance(kind, type) and issubclass(kind, BaseSettings) and kind is not BaseSettings:
            assert kind.model_config.get("frozen") is True
