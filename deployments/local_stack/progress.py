"""What a person sees while a stack comes up: one line per step, with a bar where there is something to count."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Step:
    """One line of the display; `update` moves its bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, done: float, total: float, detail: str | None = None) -> None:
        """Show `done` of `total`, and a new detail if one is given."""
        self._progress.update(self._task, completed=done, total=total or None)
        if detail is not None:
            self._progress.update(self._task, detail=detail)


class Steps:
    """Show steps on `console`, a bar each on a terminal, a line each in a log."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[Step]:
        """Show a step while its work runs, and how it ended."""
        progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<11}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=self._console,
        )
        with progress:
            task = progress.add_task(name, total=None, detail=detail)
            try:
                yield Step(progress, task)
            except BaseException:
                progress.update(task, detail=f"{detail} [red](not finished)")
                raise
            total = progress.tasks[0].total or 1
            progress.update(task, total=total, completed=total)

    def note(self, text: str) -> None:
        """Say one line."""
        self._console.print(text)

    def ready(self, url: str, link: str) -> None:
        """Say where the dashboard is and how to log in once."""
        lines = [
            f"Dashboard  [link={link}]{link}[/link]",
            "           (opens once; `candlecast login` makes another)",
            f"API        {url}/docs",
            'Shell      eval "$(candlecast env)"',
        ]
        self._console.print(Panel("\n".join(lines), title="Candlecast is up", expand=False), soft_wrap=True)
