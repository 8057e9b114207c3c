"""The `candlecast` command where it cannot do as it is told."""

import sys
from pathlib import Path

import pytest

from deployments.cli import main


def test_a_folder_that_cannot_be_had_is_one_message_and_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["candlecast", "keys", "list", "--home", str(file / "home")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("candlecast: ")
