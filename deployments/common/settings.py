"""What the environment says, one frozen class per outside system, named as the desk has them.

Every field also has a `<NAME>_FILE` variant holding the path of a file with the value, for secrets that must not
stand in an environment. Settings are read once, in `app.py`, in a job's `main` or, for secrets, in the replica that
uses them: arguments bound into a graph are stored by the Serve controller.
"""

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)


class _FileSource(PydanticBaseSettingsSource):
    """Read `<NAME>_FILE` for each field `<NAME>` of the settings class."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        prefix = str(self.config.get("env_prefix", ""))
        path = os.environ.get(f"{prefix}{field_name}_FILE".upper())
        value = Path(path).read_text(encoding="utf-8").strip() if path else None
        return value, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class EnvironmentSettings(BaseSettings):
    """Read fields from the environment or from the files that it names; the plain variable wins."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _FileSource(settings_cls)

    @classmethod
    def read(cls) -> Self:
        """Return the settings that the environment gives, raising pydantic's `ValidationError` naming the field."""
        return cls()


class DatabaseSettings(EnvironmentSettings):
    """The candle database. `host` is a name, an address or the directory of a unix socket."""

    model_config = SettingsConfigDict(env_prefix="TIMESCALEDB_")

    host: str
    port: int = Field(default=5432, ge=1, le=65535)
    database: str = "tsdb"
    user: str = "postgres"
    password: SecretStr = SecretStr("")

    WELL_KNOWN_PASSWORDS: ClassVar[frozenset[str]] = frozenset(
        {"", "postgres", "password", "admin", "timescaledb", "changeme", "secret"}
    )

    @property
    def is_local(self) -> bool:
        """Whether the server is reached without leaving this machine."""
        return self.host.startswith("/") or self.host in {"localhost", "127.0.0.1", "::1"}

    @property
    def has_weak_password(self) -> bool:
        """Whether the password is empty or one that everybody tries first."""
        return self.password.get_secret_value().lower() in self.WELL_KNOWN_PASSWORDS


class AppDatabaseSettings(EnvironmentSettings):
    """The database for our own tables; where the URL is empty they live in the candle database."""

    model_config = SettingsConfigDict(env_prefix="APP_DATABASE_")

    url: SecretStr = SecretStr("")


class EasyInsightSettings(EnvironmentSettings):
    """EasyInsight, the discovery and backup source. An empty URL means there is none."""

    model_config = SettingsConfigDict(env_prefix="EASYINSIGHT_")

    api_url: str = ""
    timeout_s: float = Field(default=5.0, gt=0, le=60)


class OllamaSettings(EnvironmentSettings):
    """Ollama, the local LLM server. An empty URL means the template engine answers."""

    model_config = SettingsConfigDict(env_prefix="OLLAMA_")

    url: str = ""
    model: str = "llama3.1:8b"
    num_ctx: int = Field(default=8192, ge=2048)
    timeout_s: float = Field(default=60.0, gt=0, le=600)


class SyncSettings(EnvironmentSettings):
    """The knowledge sync. `lookback_days` reaches back from each symbol's newest bar; 0 means everything."""

    model_config = SettingsConfigDict(env_prefix="RAG_SYNC_")

    enabled: bool = True
    interval_seconds: float = Field(default=300.0, ge=1)
    batch_size: int = Field(default=512, ge=1, le=10_000)
    lookback_days: int = Field(default=90, ge=0)


class QueryLogSettings(EnvironmentSettings):
    """How much of the query log is kept: the newest `max_rows` requests, and as many statements, for `max_days`."""

    model_config = SettingsConfigDict(env_prefix="QUERY_LOG_")

    max_rows: int = Field(default=100_000, ge=1)
    max_days: float = Field(default=30.0, gt=0, le=3_650, allow_inf_nan=False)


class KeeperSettings(EnvironmentSettings):
    """The keeper of the forecaster's books: how often, what it issues, when it trains again, what it keeps.

    `retrain_days` is the age at which a champion is trained again, 0 for never; `keep_versions` newest versions of each
    kind and those younger than `keep_days` are kept beside the champions.
    """

    model_config = SettingsConfigDict(env_prefix="FORECAST_KEEPER_")

    interval_seconds: float = Field(default=300.0, ge=1)
    issue: bool = True
    retrain_days: float = Field(default=7.0, ge=0)
    keep_versions: int = Field(default=10, ge=0)
    keep_days: float = Field(default=30.0, ge=0)


def located(place: str) -> str:
    """Return a folder as an absolute path, the same to processes in different folders; a URI stays as it is."""
    return place if not place or "://" in place else str(Path(place).expanduser().resolve())


Location = Annotated[str, AfterValidator(located)]


class StackSettings(EnvironmentSettings):
    """Where state lives, how to log, and which embedding model to load.

    `model_registry` is a folder or a URI that fsspec knows; empty means `models` under the home.
    """

    candlecast_home: Path = Path(".candlecast")
    model_registry: Location = ""
    candlecast_public: bool = False
    embedding_model: str = ""
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
