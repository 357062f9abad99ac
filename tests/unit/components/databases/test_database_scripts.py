"""The scripts of the pods, with a shell and programs that stand in for PostgreSQL's and Redis' own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[4] / "components" / "databases" / "scripts"
PASSWORD = "aB3_-" * 8


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with programs that write down how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    add(
        folder, "pg_dump", 'for each; do case "$each" in --file=*) echo dump >"${each#--file=}" ;; esac; done'
    )
    add(folder, "pg_restore", 'grep -q dump "$2"')
    add(folder, "date", 'cat "$CLOCK"')
    add(folder, "postgres", 'echo "postgres $*" >>"$CALLS"; cat >>"$CALLS"')
    add(folder, "entrypoint", 'echo "entrypoint $*" >>"$CALLS"')
    return folder


def add(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\nset -eu\n{body}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def run(script: str, programs: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPTS / script), *arguments],
        env={"PATH": f"{programs}:/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def back_up(programs: Path, folder: Path, time: str, keep: int = 2) -> subprocess.CompletedProcess[str]:
    clock = programs / "clock"
    clock.write_text(time, encoding="utf-8")
    folder.mkdir(exist_ok=True)
    return run(
        "back-up-postgres.sh",
        programs,
        CLOCK=str(clock),
        BACKUPS=str(folder),
        KEEP=str(keep),
        PGDATABASE="app",
    )


def test_the_newest_dumps_stay_and_files_of_others_too(programs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    for other in ("notes.txt", "app2-20200101T000000Z.dump", "app-of-mine.dump"):
        (folder / other).write_text("mine", encoding="utf-8")
    days = [f"2026112{day}T031700Z" for day in range(1, 6)]
    for time in days:
        done = back_up(programs, folder, time)
        assert done.returncode == 0, done.stderr
    left = sorted(each.name for each in folder.iterdir())
    assert left == [
        f"app-{days[3]}.dump",
        f"app-{days[4]}.dump",
        "app-of-mine.dump",
        "app2-20200101T000000Z.dump",
        "notes.txt",
    ]
    assert (folder / f"app-{days[4]}.dump").stat().st_mode & 0o077 == 0, "nobody else reads a dump"


@pytest.mark.parametrize(("broken", "body"), [("pg_dump", "exit 1"), ("pg_restore", "exit 1")])
def test_a_dump_that_fails_or_cant_be_read_removes_none(
    programs: Path, tmp_path: Path, broken: str, body: str
) -> None:
    folder = tmp_path / "backups"
    assert back_up(programs, folder, "20261121T031700Z", keep=1).returncode == 0
    add(programs, broken, body)
    assert back_up(programs, folder, "20261122T031700Z", keep=1).returncode != 0
    assert [each.name for each in folder.glob("*.dump")] == ["app-20261121T031700Z.dump"]


def start_postgres(programs: Path, data: Path, password: str) -> tuple[subprocess.CompletedProcess[str], str]:
    calls = programs / "calls"
    calls.write_text("", encoding="utf-8")
    done = run(
        "start-postgres.sh",
        programs,
        "-c",
        "shared_buffers=16MB",
        CALLS=str(calls),
        PGDATA=str(data),
        POSTGRES_USER="app",
        POSTGRES_PASSWORD=password,
        ENTRYPOINT="entrypoint",
    )
    return done, calls.read_text(encoding="utf-8")


def test_a_new_volume_is_left_to_the_image(programs: Path, tmp_path: Path) -> None:
    done, calls = start_postgres(programs, tmp_path / "data", PASSWORD)
    assert done.returncode == 0
    assert calls == "entrypoint postgres -c shared_buffers=16MB\n"


def test_a_volume_with_data_gets_the_password_first(programs: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("17\n", encoding="utf-8")
    done, calls = start_postgres(programs, data, PASSWORD)
    assert done.returncode == 0
    first, statement, last = calls.splitlines()
    assert first.startswith("postgres --single")
    assert statement == f"ALTER ROLE \"app\" PASSWORD '{PASSWORD}'"
    assert last == "entrypoint postgres -c shared_buffers=16MB"
    assert PASSWORD not in first + done.stdout + done.stderr


def test_a_password_that_would_end_the_statement_is_refused(programs: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("17\n", encoding="utf-8")
    done, calls = start_postgres(programs, data, "x'; DROP ROLE app; --")
    assert done.returncode != 0
    assert calls == ""
    assert "DROP" not in done.stderr


@pytest.mark.parametrize("tls", ["", "/gpuplane/tls"])
def test_the_password_of_redis_is_in_a_file_that_only_it_reads(
    programs: Path, tmp_path: Path, tls: str
) -> None:
    add(programs, "redis-server", 'echo "redis-server $*"')
    settings = tmp_path / "redis.conf"
    done = run(
        "start-redis.sh",
        programs,
        REDIS_PASSWORD=PASSWORD,
        MAXMEMORY_BYTES="1000",
        SETTINGS=str(settings),
        TLS_FOLDER=tls,
    )
    assert done.stdout == f"redis-server {settings}\n"
    assert settings.stat().st_mode & 0o077 == 0
    lines = settings.read_text(encoding="utf-8").splitlines()
    assert {f"requirepass {PASSWORD}", "maxmemory 1000", "appendonly yes"} <= set(lines)
    # A port that answers without TLS is closed where there is a certificate.
    assert ("port 0" in lines) == ("tls-port 6379" in lines) == bool(tls)
