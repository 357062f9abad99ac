"""A real vLLM as a node of the gateway's tests."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Self

import httpx

from tests.gateway.process import Process, until
from tests.gateway.world import MODEL, Node

#: Loading CUDA, the model and its kernels, seconds.
START_S = 240.0


class VllmNode(Node):
    """One `vllm serve` on this machine's GPU; a fraction of its memory is enough for a tiny model.

    Args:
        root: Folder for its log.
        name: Its name.
        model: Folder of the model.
    """

    def __init__(self, root: Path, name: str, model: Path) -> None:
        super().__init__(root, name, counts_file=False)
        self._model, self._root = model, root

    def begin(self) -> None:
        """Starts it and does not wait."""
        command: list[str | Path] = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--api-key", self.key]
        command += ["--model", self._model, "--served-model-name", MODEL]
        command += ["--enforce-eager", "--dtype", "float32", "--attention-backend", "TRITON_ATTN"]
        command += ["--gpu-memory-utilization", "0.1", "--max-model-len", "1024", "--max-num-seqs", "64"]
        env = {
            **os.environ,
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_USE_FLASHINFER_SAMPLER": "0",
        }
        self.process = Process(command, self._root / f"{self.name}.log", env=env)

    def start(self) -> Self:
        """Waits until it serves."""
        if self.process is None:
            self.begin()
        until(self._answers, f"vLLM {self.name}", START_S, pause_s=0.5)
        return self

    def stall(self) -> None:
        """Its server says nothing more, and its connections stay open."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends a stall."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def running(self) -> float:
        """Requests that it works at, by its own metrics."""
        lines = httpx.get(f"{self.url}/metrics", timeout=10.0).text.splitlines()
        found = [
            line
            for line in lines
            if line.startswith(("vllm:num_requests_running", "vllm:num_requests_waiting{"))
        ]
        return sum(float(line.rpartition(" ")[2]) for line in found)
