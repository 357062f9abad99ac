"""Stack files as they lie on disk, the committed ones too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from stack_config import Opaque, StackConfigError, load, read_stack_file, stack_file_name
from stack_config.models import StackFile
from stack_config.reference import reference
from stack_config.stack_file import parse_values

ROOT = Path(__file__).parents[3]


def test_secure_values_stay_closed(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(
        "config:\n  other:key: 1\n  gpuplane:clusters:\n    chat:\n      apiKey:\n        secure: v1:abc\n"
        "      list: [{secure: v1:d}]\n      expiresAt: 2027-01-31T18:00:00Z\n",
        encoding="utf-8",
    )
    values = read_stack_file(file)
    assert values == {
        "clusters": {
            "chat": {"apiKey": "[secret]", "list": ["[secret]"], "expiresAt": "2027-01-31T18:00:00Z"}
        }
    }
    assert isinstance(values["clusters"]["chat"]["apiKey"], Opaque)  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "Pulumi.x.yaml: file: does not exist; run `gpuplane init` in the project's folder"),
        ("config: [", "Pulumi.x.yaml: line 1: not valid YAML: did not find expected node content"),
        ("config: 3\n", "Pulumi.x.yaml: config: must be an object of keys and values"),
        ("- 1\n", "Pulumi.x.yaml: config: must be an object of keys and values"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str | None, line: str) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(StackConfigError) as caught:
        read_stack_file(file)
    assert (
        caught.value.message.replace(
            "expected the node content, but found '<stream end>'", "did not find expected node content"
        )
        == line
    )


@pytest.mark.parametrize("text", ["", "config:\n", "encryptionsalt: v1:x\n"])
def test_a_file_without_values_has_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(text, encoding="utf-8")
    assert read_stack_file(file) == {}


@pytest.mark.parametrize(
    ("stack", "name"), [("dev", "Pulumi.dev.yaml"), ("org/gpuplane/dev", "Pulumi.dev.yaml")]
)
def test_name_of_the_file(stack: str, name: str) -> None:
    assert stack_file_name(stack) == name


def test_the_embedded_stack_is_valid_and_fails_over_within_a_cloud_and_to_another() -> None:
    config = load(read_stack_file(ROOT / "Pulumi.dev.yaml"), "dev")
    assert config.node_names() == ("chat-0", "chat-1", "embed-0", "judge-0")
    tried = {name: [one.cloud for one in config.candidates(name)] for name in config.clusters}
    assert tried == {"chat": ["runpod", "runpod"], "embed": ["lambda"], "judge": ["lambda", "paperspace"]}
    assert all(source.endpoint == "emulator" for source in config.credentials.values())
    assert all(cluster.api_key for cluster in config.clusters.values())


def test_the_embedded_stack_holds_no_secret_in_clear_text() -> None:
    document = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8"))
    found = json.dumps(document).split('"apiKey": ')[1:]
    assert len(found) == 6
    assert all(line.startswith('{"secure": "v1:') for line in found)


def test_the_project_declares_every_key_that_the_models_have() -> None:
    document = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
    declared = {key.removeprefix("gpuplane:"): entry for key, entry in document["config"].items()}
    assert set(declared) == {field.alias for field in StackFile.model_fields.values()}
    for key, entry in declared.items():
        assert entry["type"] == ("string" if key == "stackId" else "object")
        assert entry["description"]
        # Without a default the engine, not stack_config, would say that a key is missing.
        assert entry["default"] == ("" if key == "stackId" else {})


def test_the_reference_is_current() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference(), "run `gpuplane config-docs > docs/configuration.md`"


def test_the_example_of_the_reference_is_valid_and_its_error_is_real() -> None:
    page = reference()
    block = page.split("```yaml\n", 1)[1].split("```", 1)[0]
    values = {key.removeprefix("gpuplane:"): value for key, value in yaml.safe_load(block)["config"].items()}
    config = load(values, "prod")
    assert config.node_names() == ("chat-0", "chat-1")
    group = values["clusters"]["chat"].pop("candidates")[0]
    values["nodeClasses"] = {name: {"candidates": [group]} for name in ("large", "small")}
    values["clusters"]["chat"]["nodeClass"] = "smal"
    with pytest.raises(StackConfigError) as caught:
        load(values, "prod")
    assert caught.value.message in page.replace("\\\n", "")


def test_values_as_the_engine_hands_them_to_a_program() -> None:
    assert parse_values(
        {"gpuplane:stackId": "k3v9x2pq", "gpuplane:clusters": '{"a": {"nodes": 1}}', "aws:region": "eu"}
    ) == {"stackId": "k3v9x2pq", "clusters": {"a": {"nodes": 1}}}


def test_the_example_over_three_clouds_is_valid_and_holds_no_key() -> None:
    values = read_stack_file(ROOT / "Pulumi.clouds.yaml")
    assert "stackId" not in values, "`gpuplane init` writes one into the copy"
    config = load({**values, "stackId": "k3v9x2pq"}, "clouds")
    assert {source.cloud for source in config.credentials.values()} == {"runpod", "lambda", "paperspace"}
    assert all(source.api_key_env and not source.endpoint for source in config.credentials.values())
    for cluster in config.clusters:
        assert {one.cloud for one in config.candidates(cluster)} == {"runpod", "lambda", "paperspace"}
