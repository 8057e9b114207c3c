"""What processes of one machine share: folders that come into being whole, and locks (docs/decisions/0014)."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EEXIST, ENOTEMPTY
from pathlib import Path
from tempfile import TemporaryDirectory


def make_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` make a folder and name it `path` unless that is there; of many at once one does.

    Nobody sees half of it: it is made aside, and a folder takes a name only where nothing else has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as aside:
        made = Path(aside) / path.name
        fill(made)
        try:
            made.rename(path)
        except OSError as error:
            if error.errno not in (EEXIST, ENOTEMPTY):
                raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file, which is made where it is missing; the kernel releases it when its holder dies.

    Waits for ever, and a second time in one thread for itself: hold it for what cannot wait, and never twice.
    """
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
