"""Asks a node everything that its readiness wants: its GPUs first, then a command or a port."""

from __future__ import annotations

import threading
from pathlib import Path

from gpu_clouds.gpu_check import GPU_SCRIPT, read_answer
from gpu_clouds.models import Instance
from gpu_clouds.node_ssh import NodeSsh, SshAnswer, existing_key, ssh_address, ssh_program
from gpu_clouds.readiness import ProbeResult, Readiness, probe
from gpu_clouds.redaction import redact

_SHOWN = 200


class NodeProbe:
    """A `Probe` for the nodes of one stack; made for one operation.

    Args:
        folder: The stack's folder `ssh`, see `NodeSsh`.
        cancel: Ends a probe that runs.
    """

    def __init__(self, folder: Path, cancel: threading.Event) -> None:
        self._ssh = NodeSsh(folder, cancel)
        self._gpus_work: set[str] = set()

    def __call__(self, instance: Instance, readiness: Readiness) -> ProbeResult:
        """Asks once.

        GPUs that have worked once are not tried again: a server may be filling them by then.

        Raises:
            ValidationError: It can't be asked from this machine.
            CancelledError: Cancelled meanwhile.
        """
        if readiness.gpu and instance.id not in self._gpus_work:
            found = self._gpus(instance, readiness)
            if not found:
                return found
            self._gpus_work.add(instance.id)
        if readiness.kind == "command":
            return self._command(instance, readiness)
        return probe(instance, readiness)

    def check(self, readiness: Readiness) -> None:
        """Finds out before anything is launched whether this machine can ask at all.

        Raises:
            ValidationError: It has no ssh, or not the key.
        """
        if readiness.logs_in:
            ssh_program()
            if readiness.ssh_key_file:
                existing_key(readiness.ssh_key_file)

    def forget(self, instance_id: str) -> None:
        """The node has been started anew: it may have another host key, and its GPUs are tried again."""
        self._gpus_work.discard(instance_id)
        self._ssh.forget(instance_id)

    def _gpus(self, instance: Instance, readiness: Readiness) -> ProbeResult:
        answer = self._run(instance, readiness, GPU_SCRIPT)
        if isinstance(answer, ProbeResult):
            return answer
        if answer.status is None:
            limit = readiness.limit_s(logged_in=True)
            return ProbeResult(False, f"the GPU check does not end within {limit:.0f} s", "gpu")
        found = read_answer(answer.output, readiness.gpus)
        return ProbeResult(not found.problem, redact(found.problem), "" if found.may_pass else "gpu")

    def _command(self, instance: Instance, readiness: Readiness) -> ProbeResult:
        answer = self._run(instance, readiness, readiness.command)
        if isinstance(answer, ProbeResult):
            return answer
        if answer.status == 0:
            return ProbeResult(True)
        limit = readiness.limit_s(logged_in=True)
        how = f"does not end within {limit:.0f} s" if answer.status is None else f"ends with {answer.status}"
        return ProbeResult(False, f"the readiness command {how}{_last_line(answer.output)}", "command")

    def _run(self, instance: Instance, readiness: Readiness, script: str) -> SshAnswer | ProbeResult:
        """What the script answered, or why nobody could log in, which may pass."""
        address = ssh_address(instance)
        if address is None:
            return ProbeResult(False, "no address to log in yet")
        try:
            answer = self._ssh.run(
                instance,
                address,
                script,
                key=readiness.ssh_key,
                key_file=readiness.ssh_key_file,
                limit_s=readiness.limit_s(logged_in=True),
            )
        except OSError as error:
            # No process, no space: this machine's trouble must not let go of a node.
            return ProbeResult(False, f"ssh can't be run here ({error.strerror})")
        if answer.began:
            return answer
        problem = redact(answer.problem)[:_SHOWN] or "no answer"
        return ProbeResult(False, f"cannot log in to {address.user}@{address.host}:{address.port}: {problem}")


def _last_line(output: str) -> str:
    lines = output.strip().splitlines()
    return f": {redact(lines[-1].strip())[:_SHOWN]}" if lines else ""
