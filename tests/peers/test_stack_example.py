"""The example stack for Slurm: the stack makes its server, and nothing outlives a destroy after a kill."""

from __future__ import annotations

import urllib.error
import urllib.request
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.harness import REPOSITORY, wait_until
from tests.peers.processes import free_ports
from tests.peers.slurm import Slurm
from tests.peers.stacks import PeerStack, machines, none_left

DOCUMENT: dict[str, Any] = yaml.safe_load((REPOSITORY / "Pulumi.slurm.yaml").read_text(encoding="utf-8"))
PATIENCE_S = 400.0


def example(folder: Path, slurm_config: Path | None) -> dict[str, Any]:
    """The example's configuration, for a cluster that is not the reader's own."""
    config = {key.removeprefix("gpuplane:"): value for key, value in deepcopy(DOCUMENT["config"]).items()}
    # Else the server fetches its catalogue of GPUs from the network.
    catalog = folder / "accelerators.csv"
    catalog.write_text("AcceleratorName,Clouds\nH100,\"['AWS']\"\n")
    lab = config["skypilotServers"]["lab"]
    lab["port"] = free_ports(1)[0]
    lab["keepHome"] = False
    lab["homeFiles"] = {".sky/catalogs/v8/common/accelerators.csv": str(catalog)}
    if slurm_config is not None:
        lab["homeFiles"][".slurm/config"] = str(slurm_config)
    return config


def test_it_previews_without_a_server(tmp_path: Path):
    world = PeerStack(tmp_path, example(tmp_path, None))
    preview = world.run("preview").expect_ok()
    assert {"lab", "lab-guard", "train", "leak-guard"} <= preview.ops().keys()
    assert "the SkyPilot server is not known yet: train will be checked" in preview.output


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path):
    world = PeerStack(tmp_path, example(tmp_path, tmp_path / "nowhere"))
    refused = world.run("preview")
    assert not refused.ok and "Traceback" not in refused.output
    assert "skypilotServers.lab.homeFiles" in refused.output and "No such file" in refused.output


@pytest.mark.usefixtures("slurm")
def test_a_destroy_after_a_kill_leaves_nothing(tmp_path: Path, slurm: Slurm):
    config = example(tmp_path, slurm.client_config)
    port = config["skypilotServers"]["lab"]["port"]
    world = PeerStack(tmp_path, config)
    running = world.start("up")
    running.wait_for_host(PATIENCE_S)
    wait_until(lambda: machines(slurm), PATIENCE_S, "the launch has a machine")
    running.kill_engine()
    running.kill_host()
    assert {"lab", "lab-guard"} <= world.stack.resources().keys() and "train" not in world.stack.resources()

    world.stack.cancel().expect_ok()
    destroyed = world.run("destroy").expect_ok()
    assert "which no state knew" in destroyed.output
    assert none_left(slurm)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5)
