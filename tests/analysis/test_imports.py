"""The Analyst stays light: its shell never loads torch, its plain modules never load Ray."""

import subprocess
import sys

import pytest

import deployments.analysis

PLAIN = """
import importlib, pathlib, sys
sys.modules["ray"] = None
import deployments.analysis as package
for path in sorted(pathlib.Path(package.__path__[0]).glob("*.py")):
    if path.stem not in ("deployment", "__init__"):
        importlib.import_module(f"deployments.analysis.{path.stem}")
assert "torch" not in sys.modules
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_plain_modules_import_without_ray_and_torch() -> None:
    result = run(PLAIN)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_the_shell_never_imports_torch() -> None:
    result = run("import sys, deployments.analysis.deployment; assert 'torch' not in sys.modules")
    assert result.returncode == 0, result.stderr


def test_the_package_does_no_work() -> None:
    assert deployments.analysis.__doc__
