"""Folders that come into being whole, whoever makes them together."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deployments.common.disk import make_folder


def of(maker: str) -> Callable[[Path], None]:
    def fill(made: Path) -> None:
        made.mkdir()
        for name in ("first", "second"):
            (made / name).write_text(maker)

    return fill


def test_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    make_folder(tmp_path / "deep" / "folder", of("one"))
    assert (tmp_path / "deep" / "folder" / "second").read_text() == "one"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["folder"]


def test_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    make_folder(tmp_path / "folder", of("one"))
    make_folder(tmp_path / "folder", of("other"))
    assert (tmp_path / "folder" / "first").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_folder_made_by_many_is_wholly_of_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as makers:
        list(makers.map(lambda maker: make_folder(tmp_path / "folder", of(maker)), "abcd"))
    assert len({path.read_text() for path in (tmp_path / "folder").iterdir()}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_making_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fill(made: Path) -> None:
        made.mkdir()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        make_folder(tmp_path / "folder", fill)
    assert list(tmp_path.iterdir()) == []
