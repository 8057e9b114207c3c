"""Settings: names as the desk has them, secrets from files, nothing guessed."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from deployments.common.settings import DatabaseSettings, OllamaSettings, StackSettings, SyncSettings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for prefix in ("TIMESCALEDB_", "RAG_SYNC_", "OLLAMA_", "CANDLECAST_"):
        for name in ("HOST", "PORT", "DATABASE", "USER", "PASSWORD", "PASSWORD_FILE", "ENABLED", "BATCH_SIZE", "URL"):
            monkeypatch.delenv(prefix + name, raising=False)
    monkeypatch.delenv("CANDLECAST_HOME", raising=False)


def test_the_database_is_read_from_the_names_the_desk_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HOST": "db.desk",
        "PORT": "6432",
        "DATABASE": "ticks",
        "USER": "ro",
        "PASSWORD": "x9!",
    }.items():
        monkeypatch.setenv(f"TIMESCALEDB_{name}", value)

    settings = DatabaseSettings.read()

    assert (settings.host, settings.port, settings.database, settings.user) == ("db.desk", 6432, "ticks", "ro")
    assert settings.password.get_secret_value() == "x9!"
    assert "x9!" not in repr(settings)


def test_a_secret_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from-file\n")
    monkeypatch.setenv("TIMESCALEDB_HOST", "db")
    monkeypatch.setenv("TIMESCALEDB_PASSWORD_FILE", str(file))

    assert DatabaseSettings.read().password.get_secret_value() == "from-file"


def test_the_plain_variable_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from-file")
    monkeypatch.setenv("TIMESCALEDB_HOST", "db")
    monkeypatch.setenv("TIMESCALEDB_PASSWORD_FILE", str(file))
    monkeypatch.setenv("TIMESCALEDB_PASSWORD", "plain")

    assert DatabaseSettings.read().password.get_secret_value() == "plain"


def test_a_database_without_a_host_is_refused() -> None:
    with pytest.raises(ValidationError, match="host"):
        DatabaseSettings.read()


@pytest.mark.parametrize(("password", "weak"), [("", True), ("Postgres", True), ("k3-J9!vLw", False)])
def test_a_well_known_password_is_told(monkeypatch: pytest.MonkeyPatch, password: str, weak: bool) -> None:
    monkeypatch.setenv("TIMESCALEDB_HOST", "db")
    monkeypatch.setenv("TIMESCALEDB_PASSWORD", password)

    assert DatabaseSettings.read().has_weak_password is weak


@pytest.mark.parametrize(("host", "local"), [("/run/pg", True), ("localhost", True), ("db.desk", False)])
def test_a_socket_or_loopback_is_local(host: str, local: bool) -> None:
    assert DatabaseSettings(host=host).is_local is local


def test_numbers_out_of_range_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_SYNC_BATCH_SIZE", "0")

    with pytest.raises(ValidationError, match="batch_size"):
        SyncSettings.read()


def test_defaults_need_no_environment() -> None:
    assert SyncSettings.read().interval_seconds == 300
    assert OllamaSettings.read().url == ""
    assert StackSettings.read().candlecast_home == Path(".candlecast")


@pytest.mark.parametrize("place", ["s3://desk/models", "file:///srv/models", "/srv/models", ""])
def test_a_registry_that_every_process_finds_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("MODEL_REGISTRY", place)

    assert StackSettings.read().model_registry == place


def test_a_relative_registry_is_told_from_the_folder_it_was_named_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_REGISTRY", "models")

    assert StackSettings.read().model_registry == str(tmp_path / "models")
