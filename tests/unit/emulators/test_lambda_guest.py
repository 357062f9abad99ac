from __future__ import annotations

import shlex

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from emulators.lambda_cloud.guest import Guest, assignments, guest_of
from gpu_clouds.lambda_cloud.user_data import user_data
from gpu_clouds.models import InstanceTemplate
from tests.unit.emulators.lambda_driver import USER_DATA


def test_cloud_config_with_a_command() -> None:
    guest = guest_of(USER_DATA)
    assert guest.image == "vllm/vllm-openai:v1"
    assert guest.env == {"VLLM_API_KEY": "upstream key", "MODEL": "org/model"}
    assert (guest.ports, guest.model) == (frozenset({8000}), "org/model")


def test_a_script_with_an_environment_in_the_command() -> None:
    guest = guest_of(
        "#!/bin/bash\nset -e\ndocker run --rm \\\n  -e 'VLLM_API_KEY=a key; x' -p 0.0.0.0:80:8000/tcp \\\n"
        "  --env=MODEL=m image --served-model-name=n && echo done\n"
    )
    assert guest.env == {"VLLM_API_KEY": "a key; x", "MODEL": "m"}
    assert (guest.ports, guest.image, guest.arguments) == (
        frozenset({80}),
        "image",
        ("--served-model-name=n",),
    )
    assert guest.model == "n"


def test_an_env_file() -> None:
    config = {
        "write_files": [{"path": "/e", "content": "# not this=1\nVLLM_API_KEY=it's = so\nbad\n"}],
        "runcmd": [["sh", "-c", "docker run --env-file /e -p 8000:8000 image"]],
    }
    assert guest_of("#cloud-config\n" + yaml.safe_dump(config)).env == {"VLLM_API_KEY": "it's = so"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#cloud-config\n: [",
        "#cloud-config\n- a",
        "#cloud-config\nruncmd: [[ls]]",
        "docker run -e",
        "docker run 'x",
    ],
)
def test_a_machine_without_a_container_has_no_guest(text: str) -> None:
    assert guest_of(text) == Guest()


def test_a_file_that_is_not_only_assignments_has_none() -> None:
    assert assignments("A=1\nexport B='2\n3' # why\n") == {"A": "1", "B": "2\n3"}
    assert assignments("A=1\nrm x\n") == assignments("A='1") == {}


@given(
    env=st.dictionaries(
        st.text("ABC_", min_size=1, max_size=5).map(lambda name: f"X{name}"),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
        max_size=4,
    ),
    ports=st.sets(st.integers(23, 65535), max_size=4),
    args=st.lists(st.text("ab '\"$\\;|&()\n", max_size=8), max_size=3),
)
@settings(deadline=None, max_examples=40)
def test_what_the_client_writes_is_read_back_whole(
    env: dict[str, str], ports: set[int], args: list[str]
) -> None:
    template = InstanceTemplate(
        image="org/image:1",
        env=env,
        ports=tuple(f"{port}/http" for port in sorted(ports)),
        args=shlex.join(args),
        startup="echo docker run nothing",
    )
    guest = guest_of(user_data(template))
    assert guest == Guest("org/image:1", env, frozenset(ports), tuple(args))
