"""What several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.common.settings import StackSettings
from deployments.local_stack.home import StackHome

Home = Annotated[Path | None, typer.Option("--home", help="Where state lives; default CANDLECAST_HOME or .candlecast")]


def open_home(home: Path | None) -> StackHome:
    """Return the home that the option or the environment names."""
    return StackHome(home or StackSettings.read().candlecast_home)
