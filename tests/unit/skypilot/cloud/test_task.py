"""What a launch sends, and what a GPU is called."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_clouds import catalog, errors
from gpu_clouds.models import Candidate, CapacityType, InstanceSpec, InstanceTemplate
from gpu_clouds.skypilot.accelerators import canonical_name, cloud_of, native_name
from gpu_clouds.skypilot.task import as_text, has_job, marked, node_task

NAME = "gp-p-abcdefgh-web-0-0123abcd"
GPUS = catalog.native_gpus("skypilot")
PLACES = (
    "",
    "slurm",
    "slurm/fake",
    "aws/us-east-1",
    "k8s",
    "runpod",
    "lambda/us-west-1",
    "primeintellect",
    "vast",
)
LABEL_OF_EVERY_CLOUD = re.compile(r"[a-z]([a-z0-9_-]{0,62})?")  # GCP, the strictest
VALUE_OF_EVERY_CLOUD = re.compile(r"([a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?)?")

ports = st.lists(
    st.builds("{}/{}".format, st.integers(1, 65535), st.sampled_from(("http", "tcp"))),
    max_size=6,
    unique=True,
)
templates = st.builds(
    InstanceTemplate,
    image=st.sampled_from(("", "vllm/vllm-openai:v0.11.0", "a.example/b@sha256:0")),
    disk_gb=st.integers(1, 1000),
    ports=ports.map(tuple),
    env=st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,9}", fullmatch=True), st.text(max_size=20), max_size=3
    ),
    args=st.text(max_size=20),
    startup=st.text(max_size=20),
    ssh_public_keys=st.lists(st.sampled_from(("ssh-ed25519 AAAA a@b", "ssh-rsa B 'quoted'")), max_size=2).map(
        tuple
    ),
)
specs = st.builds(
    InstanceSpec,
    name=st.just(NAME),
    candidate=st.builds(
        Candidate,
        cloud=st.just("skypilot"),
        credentials=st.just("sky"),
        region=st.sampled_from(PLACES),
        gpu=st.sampled_from(GPUS),
        gpu_count=st.integers(1, 16),
        capacity=st.sampled_from((CapacityType.ON_DEMAND, CapacityType.SPOT)),
    ),
    template=templates,
)


@given(specs, st.booleans())
def test_a_task_says_what_was_asked(spec: InstanceSpec, bare: bool) -> None:
    task = json.loads(as_text(node_task(spec, bare=bare)))
    resources, template = task["resources"], spec.template
    ((gpu, count),) = resources["accelerators"].items()
    assert canonical_name(gpu, cloud_of(spec.candidate.region), spec.candidate.gpu) == spec.candidate.gpu
    assert count == spec.candidate.gpu_count
    assert resources.get("infra", "") == spec.candidate.region
    assert resources["use_spot"] is (spec.candidate.capacity is CapacityType.SPOT)
    assert resources.get("image_id", "") == (
        f"docker:{template.image}" if template.image and not bare else ""
    )
    assert task.get("secrets", {}) == template.env and "envs" not in task
    assert [f"{port}" for port in resources.get("ports", [])] == [
        each.split("/")[0] for each in template.ports if not each.startswith("22/")
    ]
    assert ("gpuplane-job" in resources["labels"]) == has_job(task)
    for label, value in resources["labels"].items():
        assert LABEL_OF_EVERY_CLOUD.fullmatch(label) and VALUE_OF_EVERY_CLOUD.fullmatch(value), (label, value)


@given(specs)
def test_no_secret_is_anywhere_but_under_secrets(spec: InstanceSpec) -> None:
    env = {"TOKEN": "canary-value"}
    template = InstanceTemplate(image="a", env=env, args="serve", ports=spec.template.ports)
    task = node_task(InstanceSpec(NAME, spec.candidate, template), bare=False)
    assert "canary" not in as_text({key: value for key, value in task.items() if key != "secrets"})


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str, int | None]] = [
    ({"gpu": "H200-NVL"}, {}, "no GPU H200-NVL; it has: H100-SXM", None),
    ({"gpu_count": 0}, {}, "at least 1", None),
    ({"capacity": CapacityType.RESERVED}, {}, "capacity reserved", None),
    ({}, {"template_id": "t"}, "no templates", 400),
    ({}, {"volume_gb": 10}, "no volume of its own", 400),
    ({}, {"env": {"A B": "x"}}, "'A B' is not the name", 400),
    ({}, {"ports": tuple(f"{port}/http" for port in range(8000, 8010))}, "too many ports", 400),
]


@pytest.mark.parametrize(("candidate", "template", "says", "status"), REFUSED)
def test_refused(candidate: dict[str, Any], template: dict[str, Any], says: str, status: int | None) -> None:
    spec = InstanceSpec(
        NAME,
        Candidate("skypilot", "sky", "slurm", **{"gpu": "H100-SXM", **candidate}),
        InstanceTemplate(**{"image": "a", **template}),
    )
    with pytest.raises(errors.ValidationError, match=says) as caught:
        node_task(spec, bare=False)
    assert caught.value.status == status


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_keys_may_log_in_but_not_to_the_home_of_a_slurm_user(shell: str, tmp_path: Any) -> None:
    keys = ("ssh-ed25519 AAAA a@b", "ssh-rsa B 'quoted'")
    template = InstanceTemplate(image="a", ssh_public_keys=keys, startup="true")
    task = node_task(InstanceSpec(NAME, Candidate("skypilot", "sky", "", "L4"), template), bare=False)
    file = tmp_path / ".ssh" / "authorized_keys"
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run([shell, "-c", task["setup"]], env={**env, "SLURM_JOB_ID": "7"}, check=True)
    assert not file.exists()
    subprocess.run([shell, "-c", task["setup"]], env=env, check=True)
    assert file.read_text().splitlines() == list(keys)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_given_task_is_marked_and_otherwise_left_alone() -> None:
    given_task = {
        "num_nodes": 2,
        "resources": {"labels": {"team": "a"}, "any_of": [{"infra": "slurm"}, {"infra": "aws"}]},
        "run": "hostname",
    }
    before = as_text(given_task)
    task = marked(given_task, NAME)
    assert as_text(given_task) == before
    labels = task["resources"].pop("labels")
    assert labels == {"team": "a", "gpuplane-marker": NAME, "gpuplane-job": "yes"}
    assert task["resources"] == {"any_of": [{"infra": "slurm"}, {"infra": "aws"}]}
    assert "gpuplane-job" not in marked({"resources": None}, NAME)["resources"]["labels"]
    with pytest.raises(errors.ValidationError, match="no object"):
        marked({"resources": ["a"]}, NAME)


@pytest.mark.parametrize(
    ("gpu", "place", "name"),
    [
        ("H100-SXM", "", "H100"),
        ("H100-SXM", "slurm/a", "H100"),
        ("H100-PCIe", "slurm/a", "H100"),
        ("H100-SXM", "runpod", "H100-SXM"),
        ("H100-PCIe", "RunPod/US", "H100"),
        ("A100-40GB-SXM", "aws", "A100"),
        ("RTX-A6000", "lambda", "A6000"),
        ("RTX-A6000", "*/us-east-1", "RTXA6000"),
        ("H200-NVL", "", None),
    ],
)
def test_names(gpu: str, place: str, name: str | None) -> None:
    assert native_name(gpu, place) == name


@pytest.mark.parametrize(
    ("name", "cloud", "asked", "gpu"),
    [
        ("H100", "Slurm", "h100-pcie", "H100-PCIe"),  # it may be one: Slurm has no word for it
        ("H100", "Slurm", "", "H100-SXM"),
        ("H100", "Slurm", "a100-80gb-sxm", "H100-SXM"),
        ("H100", "RunPod", "h100-sxm", "H100-PCIe"),  # there it never is an SXM card
        ("H100-SXM", "RunPod", "h100-sxm", "H100-SXM"),
        ("A6000", "Lambda", "", "RTX-A6000"),
        ("A6000", "Paperspace", "", "RTX-A6000"),
        ("Gaudi HL-205", "AWS", "", "Gaudi HL-205"),
    ],
)
def test_what_a_name_means(name: str, cloud: str, asked: str, gpu: str) -> None:
    assert canonical_name(name, cloud, asked) == gpu


@given(st.sampled_from(GPUS), st.sampled_from(PLACES))
def test_no_gpu_becomes_another(gpu: str, place: str) -> None:
    name = native_name(gpu, place)
    assert name is not None and canonical_name(name, cloud_of(place), gpu) == gpu
