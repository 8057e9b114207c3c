"""What a person sees while a stack comes up: one line per step, with a bar where there is something to count."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
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

    @property
    def is_watched(self) -> bool:
        """Whether a person sees this, and not a log."""
        return self._console.is_terminal

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[Step]:
        """Show a step while its work runs, and how it ended."""
        progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<11}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
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
        """Say where the dashboard is and, unless `link` is empty, how to log in once."""
        # Bare lines: a frame or a fold would break the address that people copy.
        self._console.print(f"\n[bold]Candlecast is up[/bold] at {url}\n", soft_wrap=True)
        if link:
            self._console.print(f"  {link}  (opens the dashboard once)\n", soft_wrap=True, highlight=False)
        self._console.print("  candlecast login          another link")
        self._console.print('  eval "$(candlecast env)"  a shell for curl, ray job submit and Python')
        self._console.print(f"  {url}/docs  the API\n", soft_wrap=True)
