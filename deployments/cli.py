"""The `candlecast` command."""

import json
import os
import signal
import sys
from collections.abc import Callable
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.common.errors import CandlecastError
from deployments.gateway.access.keys import KeyRing
from deployments.gateway.models import Scope
from deployments.local_stack import processes, status
from deployments.local_stack.config import SERVE_CONFIG, read_config, unknown_keys
from deployments.local_stack.environment import Profile
from deployments.local_stack.errors import StackError
from deployments.local_stack.history import History, bring_in_history
from deployments.local_stack.home import StackHome
from deployments.local_stack.model_commands import models_app
from deployments.local_stack.options import Home, open_home
from deployments.local_stack.progress import Steps
from deployments.local_stack.ray_head import connect, disconnect
from deployments.local_stack.stack import Stack, StackOptions
from deployments.local_stack.symbol_list import bring_symbols, managed_symbols
from deployments.local_stack.training import train_until_interrupted
from deployments.market_data.ingest.filling import Direction
from deployments.market_data.ingest.history import names_of, wish_of
from deployments.market_data.models import Interval
from deployments.market_data.symbols.file import parse_symbols, read_symbols, written

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
keys_app = typer.Typer(no_args_is_help=True, help="API keys of this stack.")
app.add_typer(keys_app, name="keys")
symbols_app = typer.Typer(no_args_is_help=True, help="Managed symbols of this stack.")
app.add_typer(symbols_app, name="symbols")
app.add_typer(models_app, name="models")


def main() -> None:
    """Run the command line; errors are one message without a traceback, and a status of 1."""
    try:
        app()
    except (StackError, CandlecastError, OSError) as error:  # OSError: a file or folder that cannot be had
        # Escaped: what an error names, such as a file `[/tmp]`, is no markup.
        Console(stderr=True).print(f"[red]candlecast:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)


@app.command()
def up(
    data: Annotated[Path | None, typer.Option(help="Your candles (csv or parquet) instead of the demo market")] = None,
    home: Home = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the gateway on loopback")] = 8000,
    profile: Annotated[Profile, typer.Option(help="How HTTP reaches the gateway")] = Profile.LOOPBACK,
    train: Annotated[bool, typer.Option(help="Train a first model where there is none")] = True,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the API answers; `down` ends it")] = False,
    config: Annotated[Path, typer.Option(help="The graph")] = SERVE_CONFIG,
) -> None:
    """Start everything on this machine and stay until Ctrl-C."""
    place = open_home(home)
    console = Console()
    if detach:
        _detach(place, console, data, port, profile, train, config)
        return
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        Stack(StackOptions(place.root, port, profile, data, train, config), Steps(console)).run()
    except KeyboardInterrupt:
        console.print("Candlecast is down.")


def _detach(
    home: StackHome, console: Console, data: Path | None, port: int, profile: Profile, train: bool, config: Path
) -> None:
    status.require_stopped(home)
    command = [sys.executable, "-m", "deployments.cli", "up", "--home", str(home.root), "--port", str(port)]
    command += ["--profile", profile.value, "--config", str(config.resolve())]
    command += ["--data", str(data.resolve())] if data else []
    command += [] if train else ["--no-train"]
    log = home.logs / "stack.log"
    log.unlink(missing_ok=True)
    keeper = processes.start("keeper", command, os.environ, log)
    with console.status("Starting Candlecast in the background"):
        try:
            url = status.await_answer(home, keeper)
        except StackError as error:
            raise StackError(f"{error}\n{log.read_text(encoding='utf-8')[-2000:]}") from None
    console.print(f"Candlecast answers at {url}; log in once: {status.stack_api(home).login_link()}", soft_wrap=True)


@app.command()
def down(home: Home = None) -> None:
    """End the stack on this home, and whatever a killed one left behind."""
    status.take_down(open_home(home))
    Console().print("Candlecast is down.")


@app.command(name="status")
def show_status(
    home: Home = None, as_json: Annotated[bool, typer.Option("--json", help="For programs")] = False
) -> None:
    """Say how the stack does."""
    found = status.stack_status(open_home(home))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    table = Table(show_header=False, box=None)
    for name, value in found.items():
        shown = ", ".join(f"{key} {state}" for key, state in value.items()) if isinstance(value, dict) else value
        table.add_row(name, "-" if shown in (None, "") else str(shown))
    Console().print(table)


@app.command(name="import")
def import_candles(
    files: Annotated[
        list[Path] | None, typer.Argument(help="csv or parquet: symbol, time, open, high, low, close, volume")
    ] = None,
    interval: Annotated[Interval | None, typer.Option(help="Bar length; of a file, told from it")] = None,
    from_easyinsight: Annotated[bool, typer.Option("--from-easyinsight", help="Read the market's history")] = False,
    symbols: Annotated[str, typer.Option(help="Comma-separated; every enabled symbol otherwise")] = "",
    start: Annotated[str, typer.Option(help="The earliest bar; as far back as the market goes otherwise")] = "",
    end: Annotated[str, typer.Option(help="Bars closed by then; now otherwise")] = "",
    direction: Annotated[Direction, typer.Option(help="From the stored bars on")] = Direction.BOTH,
    gaps: Annotated[bool, typer.Option("--gaps", help="Fill holes between stored bars, too")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, for each symbol")] = False,
    home: Home = None,
) -> None:
    """Put candles from files or from the market's history into a running stack; twice changes nothing."""
    if bool(files) == from_easyinsight:
        raise StackError("name files or --from-easyinsight, one of the two")
    state = status.running_state(open_home(home))
    histories = [History.open(file, interval) for file in files or ()]
    wish = wish_of(interval or Interval.H1, start, end, direction, gaps, dry_run)
    steps = Steps(Console())
    connect(state.ray_address, state.environment)
    try:
        for history in histories:
            history.preview(steps) if dry_run else history.bring_in("", steps)
        if from_easyinsight:
            bring_in_history(state.market_url, names_of(symbols), wish, steps)
    finally:
        disconnect()


@app.command()
def train(
    interval: Annotated[Interval, typer.Option(help="Bar length")] = Interval.H1,
    horizon: Annotated[int, typer.Option(min=1, help="Steps ahead")] = 24,
    max_steps: Annotated[int | None, typer.Option(min=1, help="At most; the default of the job otherwise")] = None,
    symbols: Annotated[str, typer.Option(help="Comma-separated; every enabled symbol otherwise")] = "",
    home: Home = None,
) -> None:
    """Train a model on a running stack and show how it goes; Ctrl-C stops it, and it can go on later."""
    place = open_home(home)
    wanted: dict[str, object] = {"interval": interval.value, "horizon": horizon}
    wanted |= {"max_steps": max_steps} if max_steps else {}
    wanted |= {"symbols": names_of(symbols)} if symbols else {}
    run = train_until_interrupted(status.stack_api(place), wanted, Steps(Console()))
    if run["state"] == "stopped":
        raise StackError(f"training {run['id']} was stopped; `python -m jobs.train_nhits --resume {run['id']}` goes on")
    if run["state"] != "succeeded":
        raise StackError(f"training {run['state']}: {run['error']}")


@app.command()
def env(home: Home = None) -> None:
    """Print the exports for `ray job submit`, the Ray dashboard and a Python session: `eval "$(candlecast env)"`."""
    typer.echo(status.shell_exports(open_home(home)))


@app.command()
def login(
    home: Home = None,
    scope: Annotated[Scope, typer.Option(help="What the session may do; admin may promote models")] = Scope.OPERATE,
) -> None:
    """Print a one-time address that logs a browser in."""
    typer.echo(status.stack_api(open_home(home)).login_link(scope))


@app.command()
def check_config(path: Annotated[Path, typer.Argument(help="The file to check")] = SERVE_CONFIG) -> None:
    """Refuse keys and deployment names in a Serve configuration that nothing would read."""
    found = config_faults(read_config(path))
    for line in found:
        typer.echo(f"{path.name}: {line}", err=True)
    if found:
        raise typer.Exit(1)
    typer.echo(f"{path.name}: fine")


def config_faults(config: dict[str, Any]) -> list[str]:
    """Return one line per fault of a Serve configuration, Serve's own checks included."""
    from pydantic import ValidationError
    from ray.serve.schema import (
        DeploymentSchema,
        HTTPOptionsSchema,
        LoggingConfig,
        ServeApplicationSchema,
        ServeDeploySchema,
    )

    from deployments.app import GraphArgs, build, deployment_names

    allowed = {
        "root": ServeDeploySchema.model_fields,
        "http_options": HTTPOptionsSchema.model_fields,
        "logging_config": LoggingConfig.model_fields,
        "application": ServeApplicationSchema.model_fields,
        "args": GraphArgs.model_fields,
        "deployment": DeploymentSchema.model_fields,
    }
    found = unknown_keys(config, allowed, deployment_names(build(GraphArgs())))
    checks: list[tuple[str, Callable[[Any], object], Any]] = [("", ServeDeploySchema.model_validate, config)]
    for i, application in enumerate(config.get("applications") or []):
        checks.append((f"applications[{i}].args.", GraphArgs.model_validate, application.get("args") or {}))
    for place, check, part in checks:
        try:
            check(part)
        except ValidationError as error:
            found += [f"{place}{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return found


@keys_app.command("create")
def create_key(
    name: str,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="May be repeated; admin includes operate, which includes read")
    ] = None,
    home: Home = None,
) -> None:
    """Make a key and print it, this once."""
    typer.echo(KeyRing(open_home(home).auth).create(name, scope or [Scope.READ]))


@keys_app.command("list")
def list_keys(home: Home = None) -> None:
    """List keys by name, scopes and age; the keys themselves are not kept."""
    for key in KeyRing(open_home(home).auth).list():
        typer.echo(f"{key.name}\t{','.join(sorted(key.scopes))}\t{key.created_at:%Y-%m-%d %H:%M}")


@keys_app.command("revoke")
def revoke_key(name: str, home: Home = None) -> None:
    """Take a key back; requests with it fail within a second."""
    KeyRing(open_home(home).auth).revoke(name)


@symbols_app.command("list")
def list_symbols(home: Home = None) -> None:
    """List managed symbols."""
    table = Table("symbol", "category", "status", "interval", "calendar", "enabled", "aliases", box=None)
    for one in managed_symbols(status.stack_api(open_home(home))):
        enabled = "yes" if one.enabled else "no"
        table.add_row(one.symbol, one.category, one.status, one.interval, one.calendar, enabled, ", ".join(one.aliases))
    Console().print(table)


@symbols_app.command("export")
def export_symbols(
    file: Annotated[str, typer.Argument(help="Where to; - is the standard output")] = "-", home: Home = None
) -> None:
    """Write managed symbols as a `symbols.json`."""
    text = written(managed_symbols(status.stack_api(open_home(home))))
    if file == "-":
        typer.echo(text, nl=False)
    else:
        Path(file).write_text(text, encoding="utf-8")


@symbols_app.command("import")
def import_symbols(
    file: Annotated[str, typer.Argument(help="A `symbols.json`; - is the standard input")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change")] = False,
    home: Home = None,
) -> None:
    """Add the symbols of a file and replace those that differ; others stay."""
    drafts = parse_symbols(sys.stdin.read(), "standard input") if file == "-" else read_symbols(Path(file))
    for change in bring_symbols(status.stack_api(open_home(home)), drafts, dry_run):
        typer.echo(str(change))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(package_version("candlecast"))


if __name__ == "__main__":
    main()
