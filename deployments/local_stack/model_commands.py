"""The commands `candlecast models ...`: which versions there are, and which of them serves."""

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote

import typer

from deployments.local_stack.api import StackApi
from deployments.local_stack.options import Home, open_home
from deployments.local_stack.status import stack_api

PATH = "/api/v1/models"
_ROW = "{:<25}{:<9}{:<11}{:<12}{:<10}{}"

models_app = typer.Typer(no_args_is_help=True, help="Model versions of this stack.")


@models_app.command("list")
def list_models(home: Home = None) -> None:
    """List versions, newest first, with their fate."""
    for line in versions(stack_api(open_home(home))):
        typer.echo(line)


@models_app.command("promote")
def promote_model(
    version: str,
    force: Annotated[bool, typer.Option("--force", help="Against the gate, too")] = False,
    home: Home = None,
) -> None:
    """Make a version champion; refused where the gate said no and --force is not given."""
    typer.echo(change(stack_api(open_home(home)), f"{quote(version, safe='')}/promote", {"force": force}))


@models_app.command("rollback")
def roll_back(
    champion: Annotated[str, typer.Option("--from", help="The champion to go back from; else the latest")] = "",
    home: Home = None,
) -> None:
    """Make the former champion current again."""
    typer.echo(change(stack_api(open_home(home)), "rollback", {"from": champion} if champion else None))


def versions(api: StackApi) -> Iterator[str]:
    """Yield a line for each version under one of headings."""
    yield _ROW.format("version", "series", "status", "data until", "verdict", "vs baseline")
    for model in api.get(PATH)["models"]:
        ratio = model["metrics"].get("pinball_vs_baseline")
        yield _ROW.format(
            model["version"],
            f"{model['interval']}-h{model['horizon']}",
            model["status"],
            model["data_end"][:10],
            (model["decision"] or {}).get("verdict", ""),
            "" if ratio is None else f"{ratio:.3f}",
        )


def change(api: StackApi, call: str, body: object | None = None) -> str:
    """Change a champion by `POST` and say what came of it; raises `StackError` with the reason of a refusal."""
    decision: dict[str, Any] = api.post(f"{PATH}/{call}", body)
    instead = f" instead of {decision['replaced']}" if decision["replaced"] else ""
    return f"{decision['version']} serves{instead}: {decision['reason']}"
