"""`/_emu/`: how tests and people look into the emulators and tell them what to do. Needs no key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulators.clock import SettingError
from emulators.cloud import EmulatedCloud, Frame
from emulators.http import Request, Response, json_response
from emulators.journal import Journal


class Control:
    """The control endpoints.

    Args:
        frame: What all clouds share.
        clouds: The clouds by name.
        journal: The requests so far.
        health: What `/_emu/health` answers.
    """

    def __init__(
        self,
        frame: Frame,
        clouds: Mapping[str, EmulatedCloud],
        journal: Journal,
        health: Mapping[str, object],
    ) -> None:
        self._frame = frame
        self._clouds = clouds
        self._journal = journal
        self._health = health

    def handle(self, request: Request) -> Response:
        """Answers one control request."""
        try:
            body = request.json() if request.body else {}
            answer = self._answer(
                request.method, request.path.removeprefix("/_emu").strip("/"), body, request.query
            )
        except (SettingError, ValueError) as error:
            return json_response({"error": str(error)}, 400)
        if answer is None:
            return json_response({"error": f"there is no {request.method} {request.path}"}, 404)
        return json_response(answer)

    def _answer(self, method: str, path: str, body: Any, query: Mapping[str, str]) -> Any:
        match method, path:
            case "GET", "health":
                return dict(self._health) | {"now": self._frame.clock.now()}
            case "GET", "state":
                return {name: cloud.state() for name, cloud in self._clouds.items()}
            case "POST", "reset":
                for cloud in self._clouds.values():
                    cloud.reset()
                self._frame.faults.clear()
                self._journal.clear()
                return {"reset": True}
            case "GET", "counters":
                return self._journal.counters()
            case "DELETE", "counters":
                self._journal.clear()
                return {"cleared": True}
            case "GET", "requests":
                return {"requests": self._journal.entries(int(query.get("last", "100")))}
            case "POST", "clock/advance":
                self._frame.advance(_seconds(body))
                return {"now": self._frame.clock.now()}
            case "GET", "faults":
                return {"faults": self._frame.faults.list()}
            case "POST", "faults":
                return {"id": self._frame.faults.add(body).id}
            case "DELETE", "faults":
                return {"cleared": self._frame.faults.clear()}
            case _:
                return self._of_cloud(method, path, body)

    def _of_cloud(self, method: str, path: str, body: Any) -> Any:
        first, _, rest = path.partition("/")
        if first == "faults" and method == "DELETE":
            return {"cleared": self._frame.faults.clear(rest)}
        cloud = self._clouds.get(first)
        if cloud is None:
            return None
        match method, rest:
            case "GET", "state":
                return cloud.state()
            case "GET", "settings":
                return cloud.settings()
            case "PATCH", "settings":
                if not isinstance(body, dict):
                    raise SettingError("settings are an object")
                cloud.change_settings(body)
                self._frame.settle()
                return cloud.settings()
            case _:
                return cloud.control(method, rest, body)


def _seconds(body: Any) -> float:
    seconds = body.get("seconds") if isinstance(body, dict) else None
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise SettingError('give {"seconds": …}')
    return float(seconds)
