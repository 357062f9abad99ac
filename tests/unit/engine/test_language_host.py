"""The stand-in language host, without an engine: its answers, and how its processes end."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pulumi
import pytest
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import language_pb2

from engine.build import LANGUAGE_HOST
from engine.language_host import program, streams, virtualenv
from engine.language_host.host import Host
from engine.language_host.packages import Plugin, plugins

START = [sys.executable, "-u", str(LANGUAGE_HOST / "start.py")]
SECONDS = 20


def info(folder: Path, **options: str) -> language_pb2.ProgramInfo:
    packed = Struct()
    packed.update(options)
    return language_pb2.ProgramInfo(
        root_directory=str(folder), program_directory=str(folder), entry_point=".", options=packed
    )


class Call:
    """What gRPC gives a method of the service."""

    def add_callback(self, callback: object) -> None:
        """Never calls it: nobody hangs up on these tests."""

    def abort(self, code: object, details: str) -> None:
        raise AssertionError(details)


def package(prefix: Path, name: str, content: object) -> None:
    folder = prefix / "lib" / "python3.11" / "site-packages" / name
    folder.mkdir(parents=True)
    (folder / "pulumi-plugin.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_required_packages_are_those_that_say_so(tmp_path):
    package(tmp_path / "venv", "pulumi_random", {"resource": True, "name": "random", "version": "4.16.0"})
    package(
        tmp_path / "venv",
        "pulumi_other",
        {"resource": True, "name": "other", "version": "v1.0.0", "server": "https://example.invalid"},
    )
    package(tmp_path / "venv", "pulumi_policy", {"resource": False, "name": "policy"})
    package(tmp_path / "venv", "broken", "{")
    assert list(plugins(tmp_path / "venv")) == [
        Plugin("other", "v1.0.0", "https://example.invalid"),
        Plugin("random", "v4.16.0", ""),
    ]
    request = language_pb2.GetRequiredPackagesRequest(info=info(tmp_path, virtualenv="venv"))
    answer = Host().GetRequiredPackages(request, Call())
    assert [(item.name, item.kind, item.version) for item in answer.packages] == [
        ("other", "resource", "v1.0.0"),
        ("random", "resource", "v4.16.0"),
    ]


def test_the_virtual_environment_is_relative_to_the_project_file(tmp_path, monkeypatch):
    monkeypatch.delenv("PULUMI_RUNTIME_VIRTUALENV", raising=False)
    assert virtualenv.wanted_folder(info(tmp_path, virtualenv="../venv")) == tmp_path / "../venv"
    assert virtualenv.wanted_folder(info(tmp_path, virtualenv="/abs")) == Path("/abs")
    assert virtualenv.wanted_folder(info(tmp_path)) is None
    assert virtualenv.wanted_folder(info(tmp_path, toolchain="uv")) == tmp_path / ".venv"
    monkeypatch.setenv("PULUMI_RUNTIME_VIRTUALENV", "from-variable")
    assert virtualenv.wanted_folder(info(tmp_path)) == tmp_path / "from-variable"


def test_which_python(tmp_path):
    assert virtualenv.wanted_python(info(tmp_path, virtualenv=sys.prefix)) == sys.executable
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert virtualenv.wanted_python(info(tmp_path, virtualenv="venv")) == str(python)


def test_a_missing_virtual_environment_is_one_line(tmp_path):
    request = language_pb2.RunRequest(info=info(tmp_path, virtualenv="nowhere"), pwd=str(tmp_path))
    answer = Host().Run(request, Call())
    assert "nowhere" in answer.error and "\n" not in answer.error
    pieces = list(Host().RunPlugin(language_pb2.RunPluginRequest(kind="analyzer", info=request.info), Call()))
    assert b"nowhere" in pieces[0].stderr
    assert pieces[-1].exitcode == 1


def test_a_plugin_gets_its_arguments_and_variables_and_its_output_and_status_come_back(tmp_path):
    (tmp_path / "__main__.py").write_text(
        "import os, sys\n"
        "print(sys.argv[1], os.environ['WORD'], flush=True)\n"
        "print('wrong', file=sys.stderr)\n"
        "sys.exit(7)\n"
    )
    request = language_pb2.RunPluginRequest(
        kind="resource", args=["address"], env=["WORD=a=b"], info=info(tmp_path), pwd=str(tmp_path)
    )
    pieces = list(Host().RunPlugin(request, Call()))
    assert b"".join(piece.stdout for piece in pieces) == b"address a=b\n"
    assert b"".join(piece.stderr for piece in pieces) == b"wrong\n"
    assert pieces[-1].exitcode == 7


def test_install_says_when_there_is_nothing_to_install(tmp_path):
    request = language_pb2.InstallDependenciesRequest(info=info(tmp_path, virtualenv=sys.prefix))
    assert [piece.stdout for piece in Host().InstallDependencies(request, Call())] == [
        b"No requirements.txt: nothing to install.\n"
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import pulumi; raise pulumi.RunError('nodes must be positive')", "nodes must be positive"),
        ("import sys; sys.exit('not today')", "not today"),
        ("import sys; sys.exit(3)", "The program exited with status 3"),
    ],
)
def test_a_program_that_says_what_is_wrong_gets_no_traceback(tmp_path, source, message):
    (tmp_path / "__main__.py").write_text(source)
    with pytest.raises(pulumi.RunError) as caught:
        program.execute(str(tmp_path))
    assert str(caught.value) == message


def test_a_program_that_fails_gets_its_own_frames_only(tmp_path):
    (tmp_path / "__main__.py").write_text("def boot():\n    return 1 / 0\n\nboot()\n")
    with pytest.raises(pulumi.RunError) as caught:
        program.execute(str(tmp_path))
    text = str(caught.value)
    assert text.endswith("ZeroDivisionError: division by zero")
    assert text.count("File ") == 2 and text.count(str(tmp_path)) == 2


@pytest.mark.parametrize("source", ["import sys; sys.exit(0)", "import sys; sys.exit()", "x = 1"])
def test_a_program_that_ends_well(tmp_path, source):
    (tmp_path / "__main__.py").write_text(source)
    program.execute(str(tmp_path))


def test_a_program_elsewhere_that_dies_is_no_success(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec cat >/dev/null\n")
    python.chmod(0o755)
    answer = program.run_elsewhere(str(python), language_pb2.RunRequest(pwd=str(tmp_path)))
    assert "ended early (status 0)" in answer.error


def started() -> subprocess.Popen[bytes]:
    child = subprocess.Popen([*START, "host", "127.0.0.1:1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert int(child.stdout.readline()) > 0
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_host_ends_without_a_word(number):
    child = started()
    child.send_signal(number)
    rest = child.communicate(timeout=SECONDS)
    assert (child.returncode, rest) == (0, (b"", b""))


def test_a_host_ends_when_nobody_reads_its_output_any_more():
    child = started()
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()  # what the death of an engine does
    assert child.wait(timeout=SECONDS) == 0
    assert child.stderr.read() == b""
    child.stderr.close()


def test_a_module_ends_when_nobody_reads_its_output_any_more(tmp_path):
    (tmp_path / "waits.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(600)\n")
    child = subprocess.Popen(
        [*START, "module", "waits"], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.stdout.close()
    assert child.wait(timeout=SECONDS) == 0


def test_a_child_is_ended_when_its_output_is_not_wanted_any_more(tmp_path):
    ends: list[Callable[[], None]] = []
    output = streams.stream(["sh", "-c", "echo ready; exec sleep 600"], str(tmp_path), None, ends.append)
    assert next(output) == ("stdout", b"ready\n")
    ends[0]()
    assert list(output) == [-signal.SIGTERM]


def test_a_python_without_the_sdk_gets_one_line(tmp_path):
    bare = subprocess.run(
        [sys.executable, "-S", "-I", str(LANGUAGE_HOST / "start.py"), "host"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert bare.returncode == 1
    assert bare.stderr.count("\n") == 1 and "requirements" in bare.stderr


def test_polling_for_a_hang_up_works_on_this_machine():
    read_end, write_end = os.pipe()
    poll = select.poll()
    poll.register(write_end, 0)
    assert poll.poll(0) == []
    os.close(read_end)
    assert poll.poll(1000) == [(write_end, select.POLLERR)]
    os.close(write_end)
