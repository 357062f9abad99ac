"""`gpuplane policies`, and the pack in `gpuplane up`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cli.main import run
from tests.unit.cli.conftest import Project

CLEAN = json.dumps({"version": 3, "deployment": {}})


def finding(enforcement: str, policy: str = "budget") -> str:
    message = "The rule.\nGpuNode 'chat-0' breaks it\nRemedy: do this.\n"
    told = {
        "resourceUrn": "urn:chat-0",
        "message": message,
        "policyName": policy,
        "enforcementLevel": enforcement,
        "severity": "high",
    }
    return json.dumps({"sequence": 0, "policyEvent": told})


@pytest.fixture
def with_pack(project: Project) -> Project:
    (project.root / "policies").mkdir()
    (project.root / "policies" / "PulumiPolicy.yaml").write_text("runtime: python\n")
    return project


def limits(project: Project, **section: object) -> None:
    """Writes the section `policies` of stack `prod`."""
    file = project.root / "Pulumi.prod.yaml"
    file.write_text(yaml.safe_dump({"config": {"gpuplane:policies": section}}))


def pack(project: Project) -> list[str]:
    return ["--policy-pack", str(project.root / "policies")]


def test_up_runs_the_pack(with_pack: Project) -> None:
    limits(with_pack)
    with_pack.answers({"stack export": (0, CLEAN, "")})
    assert run(["up", "--stack", "prod", "--yes"]) == 0
    assert with_pack.calls()[-1] == ["up", *pack(with_pack), "--yes"]
    assert ["preview", *pack(with_pack)] not in with_pack.calls()


@pytest.mark.parametrize("flag", ["--skip-preview", "-f"])
def test_an_up_that_skips_its_preview_gets_one_for_the_policies(with_pack: Project, flag: str) -> None:
    limits(with_pack)
    with_pack.answers({"stack export": (0, CLEAN, "")})
    assert run(["up", "--stack", "prod", "--yes", flag]) == 0
    assert with_pack.calls()[-2:] == [["preview", *pack(with_pack)], ["up", *pack(with_pack), "--yes", flag]]


def test_what_that_preview_refuses_is_not_made(
    with_pack: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    limits(with_pack)
    with_pack.answers({"stack export": (0, CLEAN, ""), "preview": (255, "too dear\n", "")})
    assert run(["up", "--stack", "prod", "--yes", "--skip-preview"]) == 255
    assert [call[0] for call in with_pack.calls()] == ["stack", "preview"]
    assert capsys.readouterr().out == "too dear\n"


def test_the_stacks_file_leaves_the_pack_out(with_pack: Project) -> None:
    limits(with_pack, enabled=False)
    with_pack.answers({"stack export": (0, CLEAN, "")})
    assert run(["up", "--stack", "prod", "--yes", "--skip-preview"]) == 0
    assert with_pack.calls()[-1] == ["up", "--yes", "--skip-preview"]
    assert [call[0] for call in with_pack.calls()] == ["stack", "up"]


def test_a_wrong_limit_is_told_before_the_engine_starts(
    with_pack: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    limits(with_pack, stage="production")
    assert run(["up", "--stack", "prod", "--yes"]) == 1
    assert "Pulumi.prod.yaml: gpuplane:policies.stage: " in capsys.readouterr().err
    assert with_pack.calls() == []


@pytest.mark.parametrize(
    ("events", "engine", "code", "last"),
    [
        ([], 0, 0, "stack prod: every policy is kept"),
        (["advisory"], 0, 0, "stack prod: 1 finding(s), 0 of them mandatory"),
        (["advisory", "mandatory"], 255, 2, "stack prod: 2 finding(s), 1 of them mandatory"),
    ],
)
def test_the_exit_code_says_whether_a_mandatory_policy_is_broken(
    with_pack: Project,
    capsys: pytest.CaptureFixture[str],
    events: list[str],
    engine: int,
    code: int,
    last: str,
) -> None:
    printed = "\n".join(["not JSON", *(finding(each, each) for each in events)])
    with_pack.answers({"policy": (engine, printed, "")})
    assert run(["policies", "--stack", "prod"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == last
    heads = [line for line in lines if line.startswith("[")]
    assert heads == [f"[{each}] {each} (high)" for each in sorted(events, reverse=True)]
    assert all(len(line) <= 110 for line in lines)


def test_as_json(with_pack: Project, capsys: pytest.CaptureFixture[str]) -> None:
    with_pack.answers({"policy": (255, finding("mandatory"), "")})
    assert run(["policies", "--stack", "prod", "--json"]) == 2
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["policy"], found["resource"]) == ("budget", "urn:chat-0")
    assert found["message"].endswith("Remedy: do this.")


def test_policies_that_could_not_run_are_a_failure(
    with_pack: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with_pack.answers({"policy": (255, "", "error: no such stack\n")})
    assert run(["policies", "--stack", "prod"]) == 1
    assert "the policies could not run: no such stack" in capsys.readouterr().err


def test_the_engine_is_told_the_limits_of_the_file(with_pack: Project, tmp_path: Path) -> None:
    limits(with_pack, stage="dev", budget={"hourlyUsd": 3, "enforcement": "advisory"})
    seen = tmp_path / "seen.json"
    program = with_pack.root / "bin" / "pulumi"
    text = program.read_text()
    keep = f"open({str(seen)!r}, 'w').write(open(arguments[-1]).read())"
    keep = f"if arguments[0] == 'policy': {keep}\n"
    program.write_text(text.replace("given = ", f"{keep}given = ", 1))
    with_pack.answers({})
    assert run(["policies", "--stack", "prod"]) == 0
    told = json.loads(seen.read_text())["budget"]
    assert told == {
        "enforcementLevel": "advisory",
        "hourlyUsd": 3.0,
        "monthlyUsd": None,
        "refuseUnknown": False,
        "stage": "dev",
    }


def test_a_project_without_a_pack(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policies", "--stack", "prod"]) == 1
    assert "has no policy pack" in capsys.readouterr().err
