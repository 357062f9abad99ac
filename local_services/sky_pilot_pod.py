"""Becomes a SkyPilot API server in a pod, after a word with its home and its database.

Run by the image's Python:

    cd /gpuplane && python3 -m local_services.sky_pilot_pod                  # becomes the server
    eval "$(cd /gpuplane && python3 -m local_services.sky_pilot_pod shell)"  # for a shell that becomes it

What is declared is in declared.json of the present folder: `config` is merged into the server's configuration
at each start, in `~/.sky/config.yaml` or, with a database, in the table where the server keeps it then (it
reads no file besides); `server` becomes `~/.sky/.server.yaml`; `files` are copied from mounted secrets into
the home, where programs of the clouds look for them; what was copied before and is declared no more goes.

Facts about the server: sky/skypilot_config.py, sky/server/config.py, sky/users/permission.py of 0.14.1.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from local_services.start_skypilot import ROUNDS, merge, set_password, write_config

CONFIG_KEY, APPLIED_KEY = "api_server_config", "gpuplane_applied"
"""Rows of the table `config_yaml`: the server's configuration, and the names of the keys declared in it."""
URI = "SKYPILOT_DB_CONNECTION_URI"


def main() -> None:
    """Prepares everything, then becomes the server, or tells a shell what to set."""
    declared: dict[str, Any] = json.loads(Path("declared.json").read_text())
    home = Path.home()
    # What a shell is to set goes to standard output, and nothing else.
    with contextlib.redirect_stdout(sys.stderr):
        variables = prepare(declared, home, dict(os.environ))
    if sys.argv[1:] == ["shell"]:
        new = {key: value for key, value in variables.items() if os.environ.get(key) != value}
        gone = [key for key in os.environ if key not in variables]
        lines = [f"export {key}={shlex.quote(value)}" for key, value in sorted(new.items())]
        print("\n".join([*lines, *(f"unset {key}" for key in gone)]))
        return
    os.chdir(home)
    os.execvpe("sky", ["sky", "api", "start", *declared["arguments"]], variables)


def prepare(declared: dict[str, Any], home: Path, variables: dict[str, str]) -> dict[str, str]:
    """Writes configuration, files and password.

    Args:
        declared: What declared.json says.
        home: The server's home.
        variables: The environment.

    Returns:
        The server's environment.
    """
    sky = home / ".sky"
    sky.mkdir(mode=0o700, exist_ok=True)
    copy_files(declared["files"], home, sky / ".gpuplane-files.json")
    run(declared["commands"], home)
    (sky / ".server.yaml").write_text(json.dumps(declared["server"]))
    user, password = declared["user"], variables.pop("GPUPLANE_BASIC_PASSWORD", "")
    hashed = ""
    if user:
        hashed = importlib.import_module("passlib.hash").sha512_crypt.using(rounds=ROUNDS).hash(password)
        variables["SKYPILOT_INITIAL_BASIC_AUTH"] = f"{user}:{hashed}"
    if uri := variables.get(URI):
        found = move_away(sky / "config.yaml")
        # Importing it makes the tables, as the server's start would.
        os.environ["IS_SKYPILOT_SERVER"] = "true"
        importlib.import_module("sky.skypilot_config")
        in_database(uri, found, declared["config"], user, hashed)
    else:
        (sky / "gpuplane.json").write_text(json.dumps(declared["config"], sort_keys=True))
        write_config(sky)
        if user:
            set_password(sky / "state.db", user, hashed)
    return variables


def copy_files(files: list[dict[str, Any]], home: Path, record: Path) -> None:
    """Copies mounted secrets to where programs look for them, for this user alone.

    Args:
        files: `to`: path below the home; `from`: name -> path of a mounted file; `text`: what is written,
            with `<name>` in the place of that file's content. Without `text`: the one file as it is.
        home: The server's home.
        record: File that keeps which were copied; on the same volume as they are.
    """
    before: list[str] = []
    with contextlib.suppress(OSError, ValueError):
        before = json.loads(record.read_text())
    for gone in set(before) - {file["to"] for file in files}:
        (home / gone).unlink(missing_ok=True)
    for file in files:
        place = home / file["to"]
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.touch(mode=0o600)
        contents = {name: Path(path).read_text() for name, path in file["from"].items()}
        text = file.get("text") or next(iter(contents.values()))
        for name, content in contents.items() if file.get("text") else ():
            # A key that was saved with a line end is the same key.
            text = text.replace(f"<{name}>", content.strip())
        place.write_text(text)
    record.write_text(json.dumps(sorted(file["to"] for file in files)))


def run(commands: list[list[str]], home: Path) -> None:
    """Runs a cloud's own tools, such as a login. One that fails does not keep the server from starting.

    Args:
        commands: Programs with their arguments.
        home: The server's home, in which they run.
    """
    for command in commands:
        try:
            failed = subprocess.run(command, cwd=home, stdout=sys.stderr, check=False).returncode
            why = f"status {failed}" if failed else ""
        except OSError as error:
            why = str(error)
        if why:
            print(f"gpuplane: {command[0]} {command[1]}: {why}; its cloud is off", file=sys.stderr)


def move_away(place: Path) -> dict[str, Any]:
    """Takes a configuration out of a home that has moved to a database: with one, the server refuses a file.

    Args:
        place: The file.

    Returns:
        What was in it.
    """
    if not place.exists():
        return {}
    found = importlib.import_module("yaml").safe_load(place.read_text()) or {}
    place.replace(place.with_name("config.yaml.before-database"))
    found.pop("db", None)
    return dict(found)


def in_database(uri: str, moved: dict[str, Any], declared: dict[str, Any], user: str, hashed: str) -> None:
    """Merges the configuration, and sets the password of a user that exists.

    Args:
        uri: The database's.
        moved: Configuration of the time before it; taken where the database has none.
        declared: What is declared.
        user: Name of the administrator; empty for none.
        hashed: Hash of its password.
    """
    yaml: Any = importlib.import_module("yaml")
    sql: Any = importlib.import_module("sqlalchemy")
    engine = sql.create_engine(uri)
    with engine.begin() as connection:

        def read(key: str) -> Any:
            asked = sql.text("SELECT value FROM config_yaml WHERE key = :key")
            row = connection.execute(asked, {"key": key}).first()
            return None if row is None else yaml.safe_load(row[0])

        def write(key: str, value: object) -> None:
            text = yaml.safe_dump(value, sort_keys=False)
            connection.execute(sql.text("DELETE FROM config_yaml WHERE key = :key"), {"key": key})
            insert = sql.text("INSERT INTO config_yaml (key, value) VALUES (:key, :value)")
            connection.execute(insert, {"key": key, "value": text})

        found = read(CONFIG_KEY)
        merged = merge(moved if found is None else found, read(APPLIED_KEY) or [], declared)
        if merged != found:
            write(CONFIG_KEY, merged)
        write(APPLIED_KEY, sorted(declared))
    if user and sql.inspect(engine).has_table("users"):
        user_id = hashlib.md5(user.encode(), usedforsecurity=False).hexdigest()[:8]
        with engine.begin() as connection:
            change = sql.text("UPDATE users SET password = :password WHERE id = :id")
            connection.execute(change, {"password": hashed, "id": user_id})
    engine.dispose()


if __name__ == "__main__":
    main()
