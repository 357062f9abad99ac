"""A user's repository with a stack, its state in PostgreSQL, and a stand-in for the site of its CI."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cli.project import DEV_STACK, engine_environment
from engine.installed import require
from tests.engine.harness import REPOSITORY
from tests.engine.nodes.world import CANARY, TIME_SCALE, Emulator, account_key, cluster, upstream_key
from tests.previews.pipeline_steps import Interrupt, Ran, Runner, load
from tests.previews.postgres import PASSWORD, StateServer
from tests.unit.cli.ci_site import TOKEN, Site

STACK = "ci"
PASSPHRASE = f"{CANARY}-passphrase"
SECRETS = (CANARY, PASSWORD, TOKEN)
PIPELINES = REPOSITORY / "pipelines"
FILES = ("__main__.py", "Pulumi.yaml", "Pulumi.dev.yaml", "pyproject.toml")
ROOMS = tuple(
    sorted(
        path.name
        for path in REPOSITORY.iterdir()
        if (path / "__init__.py").is_file() and path.name not in ("tests", "benchmarks")
    )
)
COMMIT = "1f2e3d4c5b6a79881726354453627180a9b8c7d6"


class World:
    """The repository, checked out.

    Args:
        root: Empty folder for everything.
        server: Keeps the state.
        emulator: The emulated cloud.
        number: Of the account there.
        site: Stands in for GitHub or GitLab.
        url: Where it is.
    """

    def __init__(
        self, root: Path, server: StateServer, emulator: Emulator, number: int, site: Site, url: str
    ) -> None:
        self.root, self.server, self.emulator, self.site, self.url = root, server, emulator, site, url
        self.key = account_key(number)
        self.checkout = root / "checkout"
        for room in ROOMS:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPOSITORY / room, self.checkout / room, ignore=ignored)
        for name in FILES:
            shutil.copyfile(REPOSITORY / name, self.checkout / name)
        (self.checkout / ".venv").symlink_to(sys.prefix)
        (root / "home").mkdir()
        (root / "artifacts").mkdir()
        self.summary = root / "summary.md"
        self.database = f"pipelines{number}"
        self.secrets = {
            "PULUMI_BACKEND_URL": server.backend(self.database),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        }
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        self.machine = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": str(root / "home"),
            "XDG_CACHE_HOME": cache,
            "PYTHONPATH": str(self.checkout),
            "CI": "true",
        }
        # Where this test's emulated clouds are; a job of a user has the real ones instead.
        self.clouds = {
            "GPUPLANE_EMULATOR_DIR": str(emulator.folder),
            "GPUPLANE_TIME_SCALE": str(TIME_SCALE),
            "GPUPLANE_EMULATED": "1",
        }
        self.runner = Runner(self.checkout, root / "artifacts", self.machine)
        self._make_stack()

    @property
    def stack_file(self) -> Path:
        return self.checkout / f"Pulumi.{STACK}.yaml"

    def pulumi(self, *arguments: str, stdin: str = "") -> str:
        """What the user does once by hand."""
        path = os.pathsep.join([str(require().folder), self.machine["PATH"]])
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.checkout,
            env={
                **self.machine,
                **self.clouds,
                **self.secrets,
                "PATH": path,
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            },
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _make_stack(self) -> None:
        clusters = {"chat": cluster(2), "embed": cluster(1)}
        credentials = {"main": {"cloud": "runpod", "endpoint": "emulator"}}
        config = {"stackId": "pipeline", "credentials": credentials, "clusters": clusters}
        self.stack_file.write_text(
            yaml.safe_dump({"config": {f"gpuplane:{key}": value for key, value in config.items()}})
        )
        self.pulumi("stack", "init", STACK)
        for path, value in (("credentials.main.apiKey", self.key), ("clusters.chat.apiKey", upstream_key())):
            self.pulumi("config", "set", "--secret", "--path", f"gpuplane:{path}", value, "--stack", STACK)

    def set_nodes(self, name: str, nodes: int) -> None:
        """A commit that changes how many nodes a cluster has."""
        document = yaml.safe_load(self.stack_file.read_text())
        document["config"]["gpuplane:clusters"][name]["nodes"] = nodes
        self.stack_file.write_text(yaml.safe_dump(document))

    # -- GitHub

    def github(
        self,
        file: str,
        job: str,
        *,
        head: str = "",
        inputs: Mapping[str, str] | None = None,
        cancel: Interrupt | None = None,
    ) -> Ran:
        """Runs a job of one of GitHub's workflows.

        Args:
            file: Name of the workflow's file, without `gpuplane-` and its ending.
            job: Its name there.
            head: Repository that a pull request comes from; empty for none.
            inputs: Of a run that somebody starts.
            cancel: Is given the process of the job's first command.
        """
        event: dict[str, Any] = {}
        if head:
            repository = {"full_name": head}
            event["pull_request"] = {"number": 5, "head": {"sha": COMMIT, "repo": repository}}
        place = self.root / "event.json"
        place.write_text(json.dumps(event))
        fork = bool(head) and head != "o/r"
        context = {
            "github": {"token": TOKEN, "repository": "o/r", "event": event},
            "vars": {"GPUPLANE_STACK": STACK},
            "secrets": self.secrets,
            "inputs": dict(inputs or {}),
        }
        env = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_API_URL": self.url,
            "GITHUB_EVENT_PATH": str(place),
            "GITHUB_SHA": COMMIT,
            "GITHUB_RUN_ID": "77",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            **({} if fork else self.clouds),
        }
        workflow = load(PIPELINES / "github" / f"gpuplane-{file}.yml")
        return self._checked(self.runner.github(workflow["jobs"][job], context, env, cancel))

    # -- GitLab

    def gitlab(self, job: str, source: str, *, project: str = "7", cancel: Interrupt | None = None) -> Ran:
        """Runs a job of GitLab's file, if its rules let it run.

        Args:
            job: Its name.
            source: Of the pipeline: `merge_request_event`, `push`, `schedule`, `web`.
            project: That a merge request comes from; another one's job has no variable of this project.
            cancel: Is given the process of the job.
        """
        env = {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": f"{self.url}/api/v4",
            "CI_PROJECT_ID": project,
            "CI_PIPELINE_SOURCE": source,
            "CI_COMMIT_SHA": COMMIT,
            "CI_JOB_URL": "https://ci.invalid/jobs/77",
            "CI_DEFAULT_BRANCH": "main",
        }
        if source == "merge_request_event":
            env |= {
                "CI_MERGE_REQUEST_IID": "5",
                "CI_MERGE_REQUEST_PROJECT_ID": "7",
                "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": project,
            }
        else:
            env["CI_COMMIT_BRANCH"] = "main"
        if project == "7":
            env |= {"GITLAB_TOKEN": TOKEN, "GPUPLANE_STACK": STACK, **self.secrets, **self.clouds}
        document = load(PIPELINES / "gitlab" / "gpuplane.gitlab-ci.yml")
        return self._checked(self.runner.gitlab(document, job, env, cancel))

    # -- what came of it

    def _checked(self, ran: Ran) -> Ran:
        """Nothing that is printed or kept has a secret in it."""
        kept = [path for path in (self.root / "artifacts").rglob("*") if path.is_file()]
        texts = [ran.output, *(path.read_text() for path in kept)]
        texts += [self.summary.read_text()] if self.summary.exists() else []
        texts += [json.dumps(call.body) for call in self.site.calls]
        for text in texts:
            assert not [secret for secret in SECRETS if secret in text], text
        return ran

    def comments(self) -> list[str]:
        return [entry["body"] for entry in self.site.comments]

    def nodes(self) -> dict[str, str]:
        """Node name -> id of its living pod."""
        pods = self.emulator.call("GET", "/v2/pods", key=self.key)["pods"]
        return {
            pod["name"].split("-", 3)[3].rpartition("-")[0]: pod["id"]
            for pod in pods
            if pod["status"] != "TERMINATED"
        }

    def end(self, pod: str) -> None:
        """Ends a node behind everybody's back."""
        self.emulator.call("DELETE", f"/v2/pods/{pod}", key=self.key)

    def lock_pid(self) -> int | None:
        """Process that holds the stack's lock."""
        rows = self.server.sql(
            "SELECT convert_from(decode(data->>'data', 'base64'), 'UTF8') FROM pulumi_state "
            "WHERE key LIKE '%/locks/%'",
            self.database,
        )
        found = re.search(r'"pid":(\d+)', rows)
        return int(found[1]) if found else None

    def plant_lock(self, pid: int, user: str, host: str) -> None:
        """A lock as an engine elsewhere would have written it."""
        content = {"pid": pid, "username": user, "hostname": host, "timestamp": "2027-01-01T00:00:00Z"}
        key = f"{self.database}/.pulumi/locks/organization/gpuplane/{STACK}/planted.json"
        self.server.sql(
            f"INSERT INTO pulumi_state (key, data) VALUES ('{key}', jsonb_build_object('data', "
            f"encode(convert_to('{json.dumps(content, separators=(',', ':'))}', 'UTF8'), 'base64')))",
            self.database,
        )

    def close(self) -> None:
        """Stops the emulated clouds that a job of a fork has started."""
        subprocess.run(
            [sys.executable, "-m", "emulators", "stop"],
            cwd=self.checkout,
            env=engine_environment(self.checkout, DEV_STACK, self.machine),
            capture_output=True,
            check=True,
        )
