"""The gRPC service that the engine talks to."""

import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
from pulumi.automation._server import LanguageServer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from . import packages, program, streams, virtualenv
from .fence import raise_fence

# One worker is held for as long as a policy pack runs, one by the program.
_WORKERS = 16


class Host(LanguageServer):
    """The SDK's server for inline programs, with what a project of files needs on top.

    Method names and arguments are those of the service `pulumirpc.LanguageRuntime`.
    """

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def Handshake(self, request: Any, context: Any) -> Any:
        """Nothing to agree on."""
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        """The version of the SDK that programs run on."""
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:
        """The resource plugins of the installed packages."""
        folder = virtualenv.wanted_folder(request.info) or Path(sys.prefix)
        return language_pb2.GetRequiredPackagesResponse(
            packages=[
                plugin_pb2.PackageDependency(
                    name=plugin.name, kind="resource", version=plugin.version, server=plugin.server
                )
                for plugin in packages.plugins(folder)
            ]
        )

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:
        """The installed distributions, for `pulumi about`."""
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=item.metadata["Name"], version=item.version)
                for item in metadata.distributions()
            ]
        )

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        """No questions for `pulumi new`."""
        return language_pb2.RuntimeOptionsResponse()

    def Run(self, request: Any, context: Any) -> Any:
        """Runs the program in the virtual environment that the project names."""
        try:
            python = virtualenv.wanted_python(request.info)
        except virtualenv.NoSuchEnvironment as error:
            return language_pb2.RunResponse(error=str(error))
        if python == sys.executable:
            return program.run_here(request, context)
        return program.run_elsewhere(python, request)

    def RunPlugin(self, request: Any, context: Any) -> Iterator[Any]:
        """Runs a policy pack (kind `analyzer`, arguments: the engine's address) or another Python plugin."""
        folder = request.info.program_directory
        entry = str(Path(folder, request.info.entry_point or "."))
        try:
            python = virtualenv.wanted_python(request.info)
        except virtualenv.NoSuchEnvironment as error:
            yield language_pb2.RunPluginResponse(stderr=f"{error}\n".encode())
            yield language_pb2.RunPluginResponse(exitcode=1)
            return
        if request.kind == "analyzer":
            command = streams.python_module(python, "pulumi.policy", *request.args[:1], entry)
        else:
            command = [python, "-u", entry, *request.args]
        variables = dict(pair.split("=", 1) for pair in request.env)
        for piece in streams.stream(command, request.pwd or folder, variables, context.add_callback):
            if isinstance(piece, int):
                yield language_pb2.RunPluginResponse(exitcode=piece)
            else:
                yield _output(language_pb2.RunPluginResponse, piece)

    def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:
        """`pulumi install`: makes the virtual environment, installs `requirements.txt` if there is one."""
        folder = request.info.program_directory or request.directory
        python = sys.executable
        wanted = virtualenv.wanted_folder(request.info)
        if wanted is not None:
            if not (wanted / "bin" / "python").exists():
                yield from self._install(context, [sys.executable, "-m", "venv", str(wanted)], folder)
            python = str(wanted / "bin" / "python")
        requirements = Path(folder, "requirements.txt")
        if requirements.exists():
            command = [python, "-m", "pip", "install", "--disable-pip-version-check", "-r", str(requirements)]
            yield from self._install(context, command, folder)
        else:
            yield language_pb2.InstallDependenciesResponse(
                stdout=b"No requirements.txt: nothing to install.\n"
            )

    @staticmethod
    def _install(context: Any, command: list[str], folder: str) -> Iterator[Any]:
        for piece in streams.stream(command, folder, None, context.add_callback):
            if not isinstance(piece, int):
                yield _output(language_pb2.InstallDependenciesResponse, piece)
            elif piece != 0:
                context.abort(grpc.StatusCode.UNKNOWN, f"{' '.join(command)} ended with status {piece}")


def _output(response: Callable[..., Any], piece: streams.Piece) -> Any:
    return response(**{piece[0]: piece[1]})


def main(arguments: list[str]) -> None:
    """Serves until the engine ends this process. Prints the port, which is how the engine finds it.

    Args:
        arguments: the engine's; the service needs none of them.
    """
    raise_fence()
    server = grpc.server(futures.ThreadPoolExecutor(_WORKERS), options=_GRPC_CHANNEL_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Host(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()
