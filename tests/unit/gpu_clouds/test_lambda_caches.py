"""Lambda's file systems as weights caches, against the emulated Lambda."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import replace
from pathlib import Path

from gpu_clouds import caching
from gpu_clouds.intents import IntentLog
from gpu_clouds.lambda_cloud.user_data import user_data
from gpu_clouds.models import CacheMount, CacheVolume, InstanceTemplate
from gpu_clouds.registry import CLOUDS
from gpu_clouds.weights_cache import KeepsCaches, cache_name, cache_prefix
from tests.unit.gpu_clouds.lambda_harness import A10, SPEC, STACK, EmulatedLambda

NAME = cache_name("p", STACK, "cache-small", "lambda", "us-east-1")
MOUNT = CacheMount(CacheVolume("f1", NAME, "lambda", "us-east-1"), "/weights")


def script(template: InstanceTemplate, cache: CacheMount | None) -> str:
    """What the machine runs at its first boot."""
    config = json.loads(user_data(template, cache=cache).partition("\n")[2])
    (found,) = [file for file in config["write_files"] if file["path"].endswith("run.sh")]
    text: str = found["content"]
    return base64.b64decode(text).decode() if found.get("encoding") else text


def test_a_cache_from_its_making_to_its_end(tmp_path: Path) -> None:
    emulated = EmulatedLambda.start(tmp_path)
    cloud, _ = emulated.connect()
    assert isinstance(cloud, KeepsCaches) and CLOUDS["lambda"].capabilities.weights_cache
    volume = cloud.create_cache(NAME, "us-east-1", 200)
    assert (volume.name, volume.region, volume.size_gb) == (NAME, "us-east-1", None)
    assert cloud.list_caches(cache_prefix("p", STACK)) == [volume]
    assert cloud.list_caches("gp-p-other123-cache-") == []

    spec = replace(SPEC, candidate=replace(A10, region="us-east-1"), cache=CacheMount(volume, "/weights"))
    made = cloud.create(spec)
    assert made.region == "us-east-1"
    cloud.delete(made.id)
    # A file system counts as in use for a while after its last machine: the end is patient.
    ended, kept = caching.end_caches(
        {"main": cloud},
        "p",
        STACK,
        declared={"cache-small": False},
        intents=IntentLog(STACK, tmp_path / "intents", emulated.clock),
        clock=emulated.clock,
        cancel=threading.Event(),
        may_send=lambda: None,
    )
    assert (ended, kept) == ([volume], []) and cloud.list_caches("gp-") == []
    cloud.delete_cache(volume.id)  # absent is success


def test_the_container_finds_it_at_its_path() -> None:
    text = script(InstanceTemplate(image="vllm:1"), MOUNT)
    assert f"--volume /lambda/nfs/{NAME}:/weights" in text and "ln -s" not in text
    assert "/lambda/nfs" not in script(InstanceTemplate(image="vllm:1"), None)


def test_a_machine_without_a_container_finds_it_at_its_path_too() -> None:
    text = script(InstanceTemplate(startup="#!/bin/sh"), replace(MOUNT, path="/data/my weights"))
    link = f"mkdir -p /data && ln -sfn /lambda/nfs/{NAME} '/data/my weights'"
    assert link in text and text.index(link) < text.index("startup.sh")
