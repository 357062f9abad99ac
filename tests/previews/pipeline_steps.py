"""Runs the `run:` steps of pipeline files as GitHub's and GitLab's runners do, in a checkout on this machine.

What only a runner can do is recognised and replaced: checkout (the checkout is there), setup-python and
`make engine` (Python, packages and engine are there), artefacts (copied to a folder and back). Any other
action is an error. Expressions are evaluated as far as the files use them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

INSTALL = "make engine"
_REPLACED = ("actions/checkout@", "actions/setup-python@")
_UPLOAD, _DOWNLOAD = "actions/upload-artifact@", "actions/download-artifact@"
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_PATH = re.compile(r"[a-z_]+(\.[A-Za-z_]+)+")
_SECONDS = 400.0

Interrupt = Callable[[subprocess.Popen[str]], None]


@dataclass(frozen=True)
class Step:
    """A step that was run."""

    name: str
    code: int
    output: str
    env: Mapping[str, str]


@dataclass
class Ran:
    """A job that was run.

    Attributes:
        steps: Those of its steps that are commands.
        skipped: Whether its condition kept it from running.
    """

    steps: list[Step] = field(default_factory=list)
    skipped: bool = False

    @property
    def output(self) -> str:
        return "\n".join(step.output for step in self.steps)

    @property
    def codes(self) -> list[int]:
        return [step.code for step in self.steps]

    def ok(self) -> Ran:
        """This job; fails where a step failed or none ran."""
        assert self.steps and not any(self.codes), self.output
        return self


def load(file: Path) -> dict[str, Any]:
    """A pipeline file; GitHub's `on` is a word, not YAML 1.1's true."""
    document: dict[Any, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {("on" if key is True else key): value for key, value in document.items()}


def evaluate(expression: str, context: Mapping[str, Any]) -> Any:
    """The value of an expression; only the forms that our files use."""
    for operator in ("==", "!="):
        left, found, right = expression.partition(operator)
        if found:
            same = evaluate(left.strip(), context) == evaluate(right.strip(), context)
            return same if operator == "==" else not same
    if expression == "always()":
        return True
    assert _PATH.fullmatch(expression), f"an expression of another form: {expression}"
    value: Any = context
    for name in expression.split("."):
        value = (value or {}).get(name)
    return "" if value is None else value


def filled(text: object, context: Mapping[str, Any]) -> str:
    """A text with its expressions replaced."""
    return _EXPRESSION.sub(lambda found: str(evaluate(found[1], context)), str(text))


@dataclass
class Runner:
    """Runs jobs in a checkout.

    Attributes:
        root: The checkout.
        artifacts: Where artefacts are kept.
        env: What every job has.
    """

    root: Path
    artifacts: Path
    env: Mapping[str, str]

    def github(
        self,
        job: Mapping[str, Any],
        context: Mapping[str, Any],
        env: Mapping[str, str],
        cancel: Interrupt | None,
    ) -> Ran:
        """Runs a job of a workflow.

        Args:
            job: As the file has it.
            context: `github`, `vars`, `secrets`, `inputs`.
            env: What GitHub sets.
            cancel: Is given the process of the first command; the job then counts as failed.
        """
        if "if" in job and not evaluate(job["if"], context):
            return Ran(skipped=True)
        ran, failed = Ran(), False
        for step in job["steps"]:
            always = "if" in step and evaluate(step["if"], context)
            if failed and not always:
                continue
            if "uses" in step:
                self._action(step)
                continue
            if step["run"].strip() == INSTALL:
                continue
            given = {key: filled(value, context) for key, value in (step.get("env") or {}).items()}
            assert not _EXPRESSION.search(step["run"]), (
                "an expression in a command could be code of a stranger"
            )
            done = self._run(["bash", "-e"], step["name"], step["run"], {**self.env, **env, **given}, cancel)
            cancel = None
            ran.steps.append(done)
            failed = failed or done.code != 0
        return ran

    def gitlab(
        self, document: Mapping[str, Any], name: str, env: Mapping[str, str], cancel: Interrupt | None
    ) -> Ran:
        """Runs a job of a GitLab file whose rules let it run.

        Args:
            document: The file.
            name: Of the job.
            env: What GitLab sets, with the variables that the job may see.
            cancel: As above.
        """
        job = {**document[document[name]["extends"]], **document[name]}
        if not chosen_by(job, env):
            return Ran(skipped=True)
        for needed in job.get("needs", []):
            shutil.copytree(self.artifacts / needed, self.root, dirs_exist_ok=True)
        script = "\n".join(line for line in [*job["before_script"], *job["script"]] if line != INSTALL)
        everything = {**self.env, **env}
        # GitLab's runner ends a script at its first command that fails.
        ran = Ran([self._run(["bash", "-eo", "pipefail"], name, script, everything, cancel)])
        if "after_script" in job:
            after = "\n".join(job["after_script"])
            ran.steps.append(self._run(["bash", "-eo", "pipefail"], f"{name} after", after, everything, None))
        for path in job.get("artifacts", {}).get("paths", []):
            shutil.copytree(self.root / path, self.artifacts / name / path, dirs_exist_ok=True)
        return ran

    def _run(
        self, shell: list[str], name: str, script: str, env: Mapping[str, str], cancel: Interrupt | None
    ) -> Step:
        file = self.artifacts / "script.sh"
        file.write_text(script)
        process = subprocess.Popen(
            [*shell, str(file)],
            cwd=self.root,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if cancel is not None:
            cancel(process)
        try:
            output, _ = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            raise AssertionError(f"{name}: no end after {_SECONDS:.0f} s:\n{output}") from None
        assert "Traceback" not in output, output
        return Step(name, process.returncode, output, env)

    def _action(self, step: Mapping[str, Any]) -> None:
        uses, given = step["uses"], step.get("with") or {}
        if uses.startswith(_UPLOAD):
            shutil.copytree(self.root / given["path"], self.artifacts / given["name"], dirs_exist_ok=True)
        elif uses.startswith(_DOWNLOAD):
            # Another machine: nothing is there but what the artefact has.
            shutil.rmtree(self.root / given["path"], ignore_errors=True)
            shutil.copytree(self.artifacts / given["name"], self.root / given["path"])
        else:
            assert uses.startswith(_REPLACED), f"an action that is not replaced: {uses}"


def chosen_by(job: Mapping[str, Any], env: Mapping[str, str]) -> bool:
    """Whether GitLab's rules of a job let it run."""
    return any(_rule(rule["if"], env) for rule in job["rules"])


def _rule(condition: str, env: Mapping[str, str]) -> bool:
    return all(_comparison(part.strip(), env) for part in condition.split("&&"))


def _comparison(text: str, env: Mapping[str, str]) -> bool:
    words = text.split()
    if len(words) == 1:
        return bool(_word(words[0], env))
    left, operator, right = words
    assert operator in ("==", "!="), text
    return (_word(left, env) == _word(right, env)) == (operator == "==")


def _word(text: str, env: Mapping[str, str]) -> str:
    return env.get(text[1:], "") if text.startswith("$") else text.strip('"')
