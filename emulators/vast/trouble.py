"""The faults of the API, as far as they hit any call: before it has an effect, or after."""

from __future__ import annotations

from emulators.cloud import Frame
from emulators.faults import Fault
from emulators.http import Answer, CutConnection, Request, html_response
from emulators.vast.problems import Refusal

FAULT_KINDS = frozenset(
    {
        # Any call to the API, nothing done:
        "error",
        "html_error_page",
        "rate_limited",
        "slow",
        "hang",
        "cut",
        # Any call, done, and then:
        "error_after",
        "hang_after",
        "cut_after",
        # Rents:
        "create_refused",
        "create_then_500",
        "create_then_hang",
        "no_capacity",
        "bid_too_low",
        "stuck_provisioning",
        "boot_fails",
        "unknown_state",
        "unusable",
        # Ends:
        "delete_refused",
        "delete_5xx_but_deleted",
        # Traffic to nodes:
        "node_error",
        "node_slow",
        "node_hang",
        "node_cut",
    }
)
"""Every fault that can be set; docs/clouds/vast.md says what each does."""


class Trouble:
    """What goes wrong with one call.

    Args:
        frame: Clock and faults.
        request: The call.
        name: Label of the instance that it is about; empty if of none.
    """

    def __init__(self, frame: Frame, request: Request, name: str) -> None:
        self._frame = frame
        self._request = request
        self._name = name

    def hits(self, kind: str) -> Fault | None:
        """The fault of this kind that hits the call, if one does."""
        return self._frame.faults.take(
            kind,
            cloud="vast",
            method=self._request.method,
            path=self._request.path,
            name=self._name,
            account=self._request.account,
        )

    async def before(self) -> Answer | None:
        """Faults that leave the call without effect; None: go on."""
        if fault := self.hits("slow"):
            await self._frame.clock.sleep(fault.number("seconds", 5))
        if fault := self.hits("hang"):
            await self._hang(fault)
        if self.hits("cut"):
            raise CutConnection
        if fault := self.hits("rate_limited"):
            told = {"Retry-After": str(int(fault.number("retry_after_s", 0)))} if fault.args else {}
            raise Refusal(429, "too_many_requests", "API requests too frequent", told)
        if fault := self.hits("error"):
            raise _error(fault)
        if fault := self.hits("html_error_page"):
            status = int(fault.number("status", 502))
            return html_response(status, f"{status} error", "the gateway got no good answer")
        return None

    async def after(self) -> None:
        """Faults that spoil the answer of a call that has had its effect."""
        create = self._request.route.startswith("/v0/asks")
        delete = self._request.method == "DELETE"
        for kind, applies in (
            ("create_then_500", create),
            ("delete_5xx_but_deleted", delete),
            ("error_after", True),
        ):
            if applies and (fault := self.hits(kind)):
                raise _error(fault)
        for kind, applies in (("create_then_hang", create), ("hang_after", True)):
            if applies and (fault := self.hits(kind)):
                await self._hang(fault)
        if self.hits("cut_after"):
            raise CutConnection

    async def _hang(self, fault: Fault) -> None:
        await self._frame.clock.sleep(fault.number("seconds", 600))
        raise CutConnection


def _error(fault: Fault) -> Refusal:
    status = int(fault.number("status", 500))
    return Refusal(
        status, fault.text("error", "internal_error"), fault.text("message", "Something went wrong")
    )
