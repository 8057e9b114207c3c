"""Plain modules know no Ray: each is imported where importing Ray raises."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHELLS = {"deployments.app", "deployments.cli", "deployments.local_stack.ray_head"}

PROGRAM = """
import importlib, sys

class NoRay:
    def find_spec(self, name, path=None, target=None):
        if name == "ray" or name.startswith("ray."):
            raise ImportError("Ray is not installed")

sys.meta_path.insert(0, NoRay())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def plain_modules() -> list[str]:
    names = []
    for path in sorted((ROOT / "deployments").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if not name.endswith((".deployment", ".__init__", ".env")) and "versions" not in name:
            names.append(name)
    return [name for name in names if name not in SHELLS]


def test_every_plain_module_imports_without_ray() -> None:
    modules = plain_modules()
    answer = subprocess.run([sys.executable, "-c", PROGRAM, *modules], capture_output=True, text=True, cwd=ROOT)

    assert len(modules) > 40
    assert answer.returncode == 0, answer.stderr[-2000:]
