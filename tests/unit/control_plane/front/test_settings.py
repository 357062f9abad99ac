"""Settings come from the environment; a bad one is one line, and nothing shows a secret."""

import subprocess
import sys
from pathlib import Path

import pytest

from control_plane import settings as module
from control_plane.settings import Settings, SettingsError, env_example, load

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)


def test_defaults_need_no_environment():
    settings = load()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.database().startswith("sqlite+aiosqlite:////")
    assert settings.database().endswith("/.gpuplane/gateway/gateway.db")


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("GATEWAY_PORT", "70000", "less than or equal to 65535"),
        ("GATEWAY_PORT", "eighty", "valid integer"),
        ("GATEWAY_BODY_S", "nan", "finite"),
        ("GATEWAY_BODY_S", "0", "greater than 0"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("GATEWAY_ADMIN_TOKEN", "hunter2", "16 printable ASCII characters"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d", "sqlite+aiosqlite:// or postgresql+asyncpg://"),
        ("REDIS_URL", "http://:hunter2@h", "redis://"),
        ("CONTROL_PLANE_URL", "gateway.example.com", "URL with http or https"),
        ("GATEWAY_TRACING", "perhaps", "boolean"),
    ],
)
def test_a_bad_value_is_named_in_one_line_without_it(monkeypatch, name, value, part):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    text = str(caught.value)
    assert text.startswith(f"{name}: ")
    assert part in text
    assert "\n" not in text
    assert "hunter2" not in text


def test_several_bad_values_are_named_together(monkeypatch):
    monkeypatch.setenv("GATEWAY_PORT", "x")
    monkeypatch.setenv("GATEWAY_BACKLOG", "0")
    with pytest.raises(SettingsError, match=r"GATEWAY_PORT: .*; GATEWAY_BACKLOG: "):
        load()


def test_no_repr_shows_a_secret(monkeypatch):
    secrets = {
        "DATABASE_URL": "postgresql+asyncpg://u:hunter2@h/d",
        "REDIS_URL": "redis://:hunter2@h/0",
        "GATEWAY_ADMIN_TOKEN": "hunter2-hunter2-hunter2",
        "GATEWAY_SECRET_KEY": "hunter2",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)
    assert settings.database() == secrets["DATABASE_URL"]


def test_lists_have_commas_and_empty_values_mean_the_default(monkeypatch):
    monkeypatch.setenv("GATEWAY_CORS_ORIGINS", "https://a.example, https://b.example,")
    monkeypatch.setenv("GATEWAY_PORT", "")
    settings = load()
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.port == 8080


def test_every_setting_has_a_name_and_a_description():
    names = [field.alias for field in Settings.model_fields.values()]
    assert len(set(names)) == len(names)
    for field in Settings.model_fields.values():
        assert field.alias is not None
        assert field.alias.isupper()
        assert field.description, field.alias


def test_the_example_is_up_to_date():
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example(), (
        "run: python -m control_plane.settings > .env.example"
    )
    printed = subprocess.run(
        [sys.executable, "-m", module.__name__], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout == env_example()


def test_the_example_sets_what_is_the_default_anyway(monkeypatch):
    before = load()
    for line in env_example().splitlines():
        name, separator, value = line.removeprefix("# ").partition("=")
        if separator and name.isupper():
            monkeypatch.setenv(name, value)
    assert load() == before
