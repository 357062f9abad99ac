"""Settings of the gateway: environment variables, units, defaults. `.env.example` is made from them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

BAD_SETTING = 2
"""Exit code for a setting that makes no sense."""


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)
    return value


def _database(value: SecretStr) -> SecretStr:
    if value.get_secret_value() and urlsplit(value.get_secret_value()).scheme not in (
        "sqlite+aiosqlite",
        "postgresql+asyncpg",
    ):
        raise ValueError("must begin with sqlite+aiosqlite:// or postgresql+asyncpg://")
    return value


def _redis(value: SecretStr) -> SecretStr:
    if value.get_secret_value() and urlsplit(value.get_secret_value()).scheme not in (
        "redis",
        "rediss",
        "unix",
    ):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return value


def _base_url(value: str) -> str:
    if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
        raise ValueError("must be a URL with http or https")
    return value.rstrip("/")


def _token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value()
    if token and (len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token):
        raise ValueError("must have 16 printable ASCII characters or more, without blanks")
    return value


Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """All settings. Each one's alias is the name of its environment variable.

    Each is described where it stands, with its unit; `python -m control_plane.settings` prints them.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    database_url: Annotated[SecretStr, AfterValidator(_database)] = Field(SecretStr(""), alias="DATABASE_URL")
    """Store: sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/NAME. Empty: SQLite here."""
    redis_url: Annotated[SecretStr, AfterValidator(_redis)] = Field(SecretStr(""), alias="REDIS_URL")
    """Redis through which replicas share their limits: redis://HOST:PORT/NUMBER. Empty: each has its own."""
    control_plane_url: Annotated[str, AfterValidator(_base_url)] = Field("", alias="CONTROL_PLANE_URL")
    """Where clients reach the gateway from outside, for messages. Empty: host and port."""
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", alias="LOG_LEVEL")
    """Least level that is logged: debug, info, warning or error."""

    host: str = Field("127.0.0.1", alias="GATEWAY_HOST", min_length=1)
    """Address to listen at."""
    port: int = Field(8080, alias="GATEWAY_PORT", ge=0, le=65535)
    """Port to listen at; 0: any that is free."""
    data_dir: Path = Field(Path(".gpuplane/gateway"), alias="GATEWAY_DATA_DIR")
    """Folder of the journal and of the SQLite file. One replica each."""
    journal_mb: int = Field(1000, alias="GATEWAY_JOURNAL_MB", ge=16, le=1_000_000)
    """Most that the journal may take of the disk while the store is lost, MB."""
    seed: Path | None = Field(None, alias="GATEWAY_SEED")
    """JSON file with tenants, keys, nodes and models that are put into the store at start. Empty: none."""
    admin_token: Annotated[SecretStr, AfterValidator(_token)] = Field(
        SecretStr(""), alias="GATEWAY_ADMIN_TOKEN"
    )
    """Bearer token of /admin, 16 characters or more. Empty: there is no /admin."""

    secret_key: SecretStr = Field(SecretStr(""), alias="GATEWAY_SECRET_KEY")
    """Seals keys of nodes in the store: 32 bytes, hex; of several (commas) the first seals. Empty: a file."""

    max_body_bytes: int = Field(10_000_000, alias="GATEWAY_MAX_BODY_BYTES", ge=1024, le=1_000_000_000)
    """Longest body of a request, bytes; a longer one is answered 413."""
    max_header_bytes: int = Field(32_768, alias="GATEWAY_MAX_HEADER_BYTES", ge=1024, le=1_000_000)
    """Longest head of a request, bytes; a longer one is answered 431."""
    header_s: float = Field(10.0, alias="GATEWAY_HEADER_S", gt=0, le=600)
    """How long a client may take to send the head of a request, seconds; then its connection is closed."""
    body_s: float = Field(30.0, alias="GATEWAY_BODY_S", gt=0, le=3600)
    """How long a client may take to send the body of a request, seconds; then it is answered 408."""
    keep_alive_s: int = Field(75, alias="GATEWAY_KEEP_ALIVE_S", ge=1, le=3600)
    """How long a connection without a request is kept open, seconds."""
    max_connections: int = Field(10_000, alias="GATEWAY_MAX_CONNECTIONS", ge=1, le=1_000_000)
    """Connections at the same time; further ones are answered 503."""
    backlog: int = Field(2048, alias="GATEWAY_BACKLOG", ge=1, le=65535)
    """Connections that may wait to be accepted."""
    drain_s: float = Field(30.0, alias="GATEWAY_DRAIN_S", ge=0, le=3600)
    """How long running answers may take after SIGTERM, seconds; then they end with an error."""
    drain_delay_s: float = Field(0.0, alias="GATEWAY_DRAIN_DELAY_S", ge=0, le=300)
    """How long requests are still taken after SIGTERM while /ready says 503, seconds; for balancers."""
    cors_origins: Origins = Field((), alias="GATEWAY_CORS_ORIGINS")
    """Origins of web pages that may call the gateway, with commas between; * for all. Empty: none."""

    queue_s: float = Field(30.0, alias="GATEWAY_QUEUE_S", gt=0, le=3600)
    """How long a request may wait for a node, seconds; then it is answered 503."""
    queue_length: int = Field(1000, alias="GATEWAY_QUEUE_LENGTH", ge=0, le=1_000_000)
    """Requests that may wait for a node at the same time; further ones are answered 503."""
    connect_s: float = Field(3.0, alias="GATEWAY_CONNECT_S", gt=0, le=60)
    """How long connecting to a node may take, seconds."""
    first_byte_s: float = Field(300.0, alias="GATEWAY_FIRST_BYTE_S", gt=0, le=7200)
    """How long a node may take to begin its answer, seconds."""
    stall_s: float = Field(60.0, alias="GATEWAY_STALL_S", gt=0, le=3600)
    """How long a stream may be silent before its node counts as lost, seconds."""
    probe_s: float = Field(10.0, alias="GATEWAY_PROBE_S", gt=0, le=3600)
    """Time between one-token probes of a node that serves nothing else meanwhile, seconds."""
    default_max_tokens: int = Field(1024, alias="GATEWAY_DEFAULT_MAX_TOKENS", ge=1, le=10_000_000)
    """Tokens reserved for an answer where the request names no maximum."""
    max_choices: int = Field(128, alias="GATEWAY_MAX_CHOICES", ge=1, le=10_000)
    """Largest `n` of a request."""

    tenant_metrics: bool = Field(False, alias="GATEWAY_TENANT_METRICS")
    """Whether metrics have the tenant as a label: true or false. Only for few tenants."""
    tracing: bool = Field(False, alias="GATEWAY_TRACING")
    """Whether OpenTelemetry spans are sent, where OTEL_* say: true or false. Needs the extra `tracing`."""

    def database(self) -> str:
        """URL of the store; may hold a password."""
        given = self.database_url.get_secret_value()
        return given or f"sqlite+aiosqlite:///{(self.data_dir / 'gateway.db').absolute()}"


class SettingsError(Exception):
    """A setting that makes no sense; the message is one line for the user, without the value."""


def load() -> Settings:
    """The settings from the environment.

    Raises:
        SettingsError: One makes no sense.
    """
    try:
        return Settings()
    except ValidationError as error:
        # Pydantic's own text shows values, and some of them are secret.
        wrong = error.errors(include_input=False, include_url=False)
        raise SettingsError("; ".join(f"{each['loc'][0]}: {each['msg']}" for each in wrong)) from None


def env_example() -> str:
    """Text of `.env.example`: every setting with what it means and its default, commented out."""
    parts = ["# Settings of the gateway. Made by: python -m control_plane.settings > .env.example"]
    for field in Settings.model_fields.values():
        parts.append(f"# {field.description}\n# {field.alias}={_default(field)}")
    return "\n\n".join(parts) + "\n"


def _default(field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return ",".join(default) if isinstance(default, tuple) else str(default)


if __name__ == "__main__":
    sys.stdout.write(env_example())
