"""Calls about clusters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gpu_clouds.answers import Kind
from gpu_clouds.errors import ValidationError
from gpu_clouds.skypilot.calls import Calls, given, many, mapping, nothing, one
from gpu_clouds.skypilot.models import ClusterEvent, ClusterRecord, CostRow, LaunchResult, Refresh
from gpu_clouds.skypilot.task_secrets import secret_values
from gpu_clouds.skypilot.waiting import Pending

STATUS_CHANGE = "STATUS_CHANGE"
LAUNCH_PROGRESS = "LAUNCH_PROGRESS"


class ClusterCalls(Calls):
    """Launch, look, stop, end.

    `task` is a task of SkyPilot as YAML text everywhere. The values of its `envs` and `secrets` are removed
    from every error.
    """

    def validate(self, task: str, *, secrets: Iterable[str] = ()) -> None:
        """Asks whether a task is acceptable; answers at once and makes nothing.

        Args:
            task: The task.
            secrets: Further values that no error may carry.

        Raises:
            ApiError: It is not; `error_code` is SkyPilot's word for it. An accelerator that no cloud has now
                is found at the launch only.
        """
        self._direct(
            "validate",
            "/validate",
            nothing,
            {"dag": task, "request_options": None},
            secrets=secret_values(task) | frozenset(secrets),
        )

    def launch(
        self,
        task: str,
        name: str,
        *,
        retry_until_up: bool = False,
        dryrun: bool = False,
        no_setup: bool = False,
        fast: bool = False,
        resize: bool = False,
        workspace: str = "",
        secrets: Iterable[str] = (),
    ) -> Pending[LaunchResult]:
        """Makes a cluster of this name, or repairs the one that there is, and runs the task on it.

        The same name means the same cluster, so it may be sent again: launches of one name run one after the
        other (measured). `run` of the task starts anew each time.

        Args:
            task: The task.
            name: The cluster's name.
            retry_until_up: Wait for capacity instead of failing.
            dryrun: Only plan.
            no_setup: Skip the task's setup.
            fast: Skip provisioning and setup where the cluster is up.
            resize: Change the number of nodes of the living cluster.
            workspace: The server's workspace; empty for the connection's.
            secrets: Further values that no error may carry.

        Returns:
            The request; `result()` waits for it.
        """
        _name(name)
        fields: dict[str, object] = {
            "task": task,
            "cluster_name": name,
            "retry_until_up": retry_until_up,
            "dryrun": dryrun,
            "no_setup": no_setup,
            "fast": fast,
            "resize": resize,
            "include_credentials": False,
        }
        return self._submit(
            "launch",
            "/launch",
            one(LaunchResult),
            fields,
            kind=Kind.READ if dryrun else Kind.CREATE,
            timeout_s=self._settings.launch_timeout_s,
            workspace=workspace,
            secrets=secret_values(task) | frozenset(secrets),
            long=True,
        )

    def exec(
        self, task: str, name: str, *, workspace: str = "", secrets: Iterable[str] = ()
    ) -> Pending[LaunchResult]:
        """Starts the task's `run` as a further job of a cluster that is up.

        It is sent again only where nothing was sent: twice would be two jobs. Where its answer is lost, the
        error says so (`as_cloud_error` gives AmbiguousError), and `queue` shows whether there is a new job.

        Args:
            task: The task.
            name: The cluster's name.
            workspace: The server's workspace; empty for the connection's.
            secrets: Further values that no error may carry.
        """
        _name(name)
        return self._submit(
            "exec",
            "/exec",
            one(LaunchResult),
            {"task": task, "cluster_name": name},
            kind=Kind.CREATE,
            timeout_s=self._settings.launch_timeout_s,
            workspace=workspace,
            secrets=secret_values(task) | frozenset(secrets),
            once=True,
        )

    def status(
        self,
        names: Sequence[str] | None = None,
        *,
        refresh: Refresh = Refresh.FORCE,
        all_users: bool = True,
        workspace: str = "",
        timeout_s: float | None = None,
    ) -> list[ClusterRecord]:
        """The clusters; one that is gone is not in the list.

        Args:
            names: These only; None for all.
            refresh: FORCE asks the clouds. Anything else may show a dead cluster as UP for minutes, and is
                for lists that people look at.
            all_users: Those of other users too.
            workspace: The server's workspace; empty for the connection's.
            timeout_s: How long to wait, seconds; None for SKYPILOT_STATUS_TIMEOUT.
        """
        fields: dict[str, object] = {
            "cluster_names": None if names is None else list(names),
            "refresh": refresh.value,
            "all_users": all_users,
            # The server's default is True, and gives SSH private keys away.
            "include_credentials": False,
            "include_handle": False,
        }
        if names is not None and not fields["cluster_names"]:
            return []  # to the server an empty list may mean every cluster
        return self._submit(
            "status",
            "/status",
            many(ClusterRecord),
            fields,
            timeout_s=self._settings.status_timeout_s if timeout_s is None else timeout_s,
            workspace=workspace,
        ).result()

    def cluster(
        self,
        name: str,
        *,
        refresh: Refresh = Refresh.FORCE,
        workspace: str = "",
        timeout_s: float | None = None,
    ) -> ClusterRecord | None:
        """One cluster by its name; None where there is none."""
        _name(name)
        found = self.status([name], refresh=refresh, workspace=workspace, timeout_s=timeout_s)
        return next((record for record in found if record.name == name), None)

    def start(
        self,
        name: str,
        *,
        idle_minutes_to_autostop: int | None = None,
        down: bool = False,
        retry_until_up: bool = False,
        force: bool = False,
        workspace: str = "",
    ) -> Pending[None]:
        """Starts a stopped cluster.

        Args:
            name: The cluster.
            idle_minutes_to_autostop: Idle stop from now on, minutes; None leaves it as it is.
            down: The idle stop takes it down.
            retry_until_up: Wait for capacity instead of failing.
            force: Also where it seems to be up.
            workspace: The server's workspace; empty for the connection's.
        """
        _name(name)
        fields = given(
            cluster_name=name,
            idle_minutes_to_autostop=idle_minutes_to_autostop,
            down=down,
            retry_until_up=retry_until_up,
            force=force,
        )
        return self._submit(
            "start",
            "/start",
            nothing,
            fields,
            kind=Kind.CHANGE,
            timeout_s=self._settings.launch_timeout_s,
            workspace=workspace,
            long=True,
        )

    def stop(self, name: str, *, workspace: str = "") -> Pending[None]:
        """Stops a cluster, where its cloud can."""
        _name(name)
        return self._submit(
            "stop",
            "/stop",
            nothing,
            {"cluster_name": name},
            kind=Kind.CHANGE,
            timeout_s=self._settings.terminate_timeout_s,
            workspace=workspace,
        )

    def down(self, name: str, *, purge: bool = False, workspace: str = "") -> Pending[None]:
        """Ends a cluster. Where there is none, the request fails with `is_not_found`.

        Args:
            name: The cluster.
            purge: Forget it even where the cloud did not end it. This can leave machines behind that nobody
                knows of.
            workspace: The server's workspace; empty for the connection's.
        """
        _name(name)
        return self._submit(
            "down",
            "/down",
            nothing,
            {"cluster_name": name, "purge": purge},
            kind=Kind.DELETE,
            timeout_s=self._settings.terminate_timeout_s,
            workspace=workspace,
        )

    def autostop(self, name: str, idle_minutes: int, *, down: bool = False, workspace: str = "") -> None:
        """Sets the idle stop of a living cluster.

        Args:
            name: The cluster.
            idle_minutes: Minutes without a job; 0 for as soon as it is idle, below 0 for never.
            down: Take it down instead of stopping it. Some clouds can do nothing else.
            workspace: The server's workspace; empty for the connection's.
        """
        _name(name)
        self._submit(
            "autostop",
            "/autostop",
            nothing,
            {"cluster_name": name, "idle_minutes": idle_minutes, "down": down},
            kind=Kind.CHANGE,
            workspace=workspace,
        ).result()

    def cluster_events(
        self,
        name: str = "",
        *,
        cluster_hash: str = "",
        types: Sequence[str] = (STATUS_CHANGE, LAUNCH_PROGRESS),
        limit: int | None = None,
    ) -> list[ClusterEvent]:
        """What happened to a cluster; during a launch this is its progress.

        Args:
            name: A living cluster. A dead one is found by its hash only.
            cluster_hash: The hash, instead of the name.
            types: Kinds of events.
            limit: At most so many.

        Raises:
            ValidationError: Neither name nor hash, or both.
        """
        if bool(name) == bool(cluster_hash):
            raise ValidationError("cluster events: give either the name or the hash of a cluster")
        fields = given(
            cluster_name=name or None,
            cluster_hash=cluster_hash or None,
            event_type=",".join(types),
            include_timestamps=True,
            limit=limit,
        )
        return self._submit("cluster_events", "/cluster_events", many(ClusterEvent), fields).result()

    def cost_report(
        self,
        names: Sequence[str] | None = None,
        *,
        cluster_hashes: Sequence[str] | None = None,
        days: int | None = 30,
    ) -> list[CostRow]:
        """What clusters have cost, dead ones too.

        Args:
            names: These names only.
            cluster_hashes: These hashes only; with names, rows of either.
            days: How far back; None for all.
        """
        fields: dict[str, object] = {"days": days}
        if names is not None:
            fields["cluster_names"] = list(names)
        if cluster_hashes is not None:
            fields["cluster_hashes"] = list(cluster_hashes)
        return self._submit("cost_report", "/cost_report", many(CostRow), fields).result()

    def endpoints(self, name: str, port: int | None = None) -> dict[str, str]:
        """Port -> URL of a cluster's open ports.

        Args:
            name: The cluster.
            port: This port only.
        """
        _name(name)
        fields = {"cluster": name, "port": port}
        found = self._submit("endpoints", "/endpoints", mapping, fields).result()
        return {str(number): str(url) for number, url in found.items() if url is not None}


def _name(name: str) -> None:
    if not name:
        raise ValidationError("the name of a SkyPilot cluster is empty")
