"""One comment, one issue: found again, updated, never a second, and no token anywhere."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.ci_forge import Forge, forge_of, headers_of
from cli.ci_http import Api, ApiError
from cli.ci_job import Host, Job
from cli.ci_threads import LABEL, LONGEST, Done, close_issue, keep_comment, keep_issue, marker
from tests.unit.cli.ci_site import TOKEN, Call, Site

MARK = marker("preview", "prod")
BASES = {"github": "https://api.ci.invalid", "gitlab": "https://ci.invalid/api/v4"}


class Waits:
    """A clock that only counts."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waited: list[float] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, cancel: object = None) -> None:
        self.waited.append(seconds)
        self.now += seconds


def forge(site: Site, waits: Waits | None = None) -> Forge:
    host: Host = "gitlab" if site.host == "gitlab" else "github"
    repository = "7" if host == "gitlab" else "o/r"
    job = Job(host=host, api=BASES[host], repository=repository, token=TOKEN)
    api = Api(job.api, headers_of(job), waits or Waits(), httpx.MockTransport(site))
    assert TOKEN not in repr(api) + repr(job)
    return forge_of(job, api)


@pytest.fixture(params=["github", "gitlab"])
def site(request: pytest.FixtureRequest) -> Site:
    return Site(request.param, bot=request.param == "github")


def bodies(site: Site) -> list[str]:
    return [entry["body"] for entry in site.comments]


def test_the_second_report_replaces_the_first(site: Site) -> None:
    first = keep_comment(forge(site), 5, MARK, "one")
    assert first == Done("created", "https://ci.invalid/101")
    assert keep_comment(forge(site), 5, MARK, "two").what == "updated"
    assert bodies(site) == [f"{MARK}\ntwo"]


def test_the_comment_is_found_on_a_later_page_among_others(site: Site) -> None:
    for number in range(5):
        site.plant(f"a person's {number}", "person")
    site.plant(f"{MARK}\nold")
    site.plant("one more", "person")
    assert keep_comment(forge(site), 5, MARK, "new").what == "updated"
    assert len(site.comments) == 7
    assert bodies(site)[5] == f"{MARK}\nnew"


def test_a_comment_of_somebody_else_with_our_marker_stays_as_it_is(site: Site) -> None:
    site.plant(f"{MARK}\nplanted", "person")
    assert keep_comment(forge(site), 5, MARK, "new").what == "created"
    assert bodies(site) == [f"{MARK}\nplanted", f"{MARK}\nnew"]


def test_each_stack_has_a_comment_of_its_own(site: Site) -> None:
    keep_comment(forge(site), 5, marker("preview", "dev2"), "other")
    keep_comment(forge(site), 5, MARK, "mine")
    assert len(site.comments) == 2


def test_doubles_are_deleted(site: Site) -> None:
    for text in ("one", "two", "three"):
        site.plant(f"{MARK}\n{text}")
    keep_comment(forge(site), 5, MARK, "new")
    assert bodies(site) == [f"{MARK}\nnew"]


def test_a_comment_whose_answer_was_lost_is_not_written_twice(site: Site) -> None:
    left = [True]
    site.lost = lambda call: call.method == "POST" and bool(left and left.pop())
    assert keep_comment(forge(site), 5, MARK, "new").what == "updated"
    assert bodies(site) == [f"{MARK}\nnew"]


def test_an_api_that_never_answers_is_one_error_without_the_token(site: Site) -> None:
    def lost(_call: Call) -> bool:
        raise httpx.ConnectError("refused")

    site.lost = lost
    with pytest.raises(ApiError) as caught:
        keep_comment(forge(site), 5, MARK, "new")
    assert "no answer (ConnectError)" in caught.value.message
    assert TOKEN not in caught.value.message


def limited(status: int, headers: dict[str, str]) -> Callable[[Call], httpx.Response | None]:
    left = [1]
    return lambda _call: httpx.Response(status, json={}, headers=headers) if left and left.pop() else None


@pytest.mark.parametrize(
    ("status", "headers", "waited"),
    [
        (429, {"retry-after": "7"}, [7.0]),
        (403, {"retry-after": "60"}, [60.0]),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}, [30.0]),
        (429, {"ratelimit-reset": "1005"}, [5.0]),
        (429, {}, [2.0]),
        (502, {}, [1.0]),
    ],
)
def test_a_limit_is_waited_for(site: Site, status: int, headers: dict[str, str], waited: list[float]) -> None:
    waits = Waits()
    site.fault = limited(status, headers)
    assert keep_comment(forge(site, waits), 5, MARK, "new").what == "created"
    assert waits.waited == waited


def test_a_limit_of_an_hour_is_not_waited_for(site: Site) -> None:
    waits = Waits()
    site.fault = lambda _call: httpx.Response(
        429, json={"message": "slow down"}, headers={"retry-after": "3600"}
    )
    with pytest.raises(ApiError, match="429 slow down"):
        keep_comment(forge(site, waits), 5, MARK, "new")
    assert waits.waited == []


def test_a_token_that_only_reads_is_told_apart(site: Site) -> None:
    site.reads_only = True
    with pytest.raises(ApiError) as caught:
        keep_comment(forge(site), 5, MARK, "new")
    assert caught.value.may_not


def test_the_token_follows_no_redirect_and_no_page_elsewhere(site: Site) -> None:
    asked: list[str] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        link = {"Link": '<https://elsewhere.invalid/2>; rel="next"'}
        return httpx.Response(200, json=[], headers=link)

    host: Host = "gitlab" if site.host == "gitlab" else "github"
    job = Job(host=host, api=BASES[host], repository="7", token=TOKEN)
    there = forge_of(job, Api(job.api, headers_of(job), Waits(), httpx.MockTransport(elsewhere)))
    with pytest.raises(ApiError, match="another host"):
        list(there.comments(5))
    moved = httpx.MockTransport(
        lambda _r: httpx.Response(302, headers={"location": "https://elsewhere.invalid"})
    )
    there = forge_of(job, Api(job.api, headers_of(job), Waits(), moved))
    with pytest.raises(ApiError, match="302"):
        list(there.comments(5))
    assert set(asked) == {httpx.URL(job.api).host}


@given(st.text(min_size=0, max_size=400), st.integers(0, 300))
def test_a_comment_is_never_too_long_and_keeps_its_beginning(line: str, times: int) -> None:
    site = Site("github")
    text = (line + "\n") * times
    keep_comment(forge(site), 5, MARK, text)
    (body,) = bodies(site)
    assert len(body) <= LONGEST
    assert body.startswith(MARK)
    assert body == f"{MARK}\n{text}" or "Cut here" in body


@given(st.text())
def test_no_stack_name_ends_the_marker_early(stack: str) -> None:
    inner = marker("preview", stack).removeprefix("<!--").removesuffix("-->")
    assert "--" not in inner
    assert "\n" not in inner


def test_one_issue_is_opened_updated_and_closed(site: Site) -> None:
    mark = marker("drift", "prod")
    assert close_issue(forge(site), mark, "none").what == "nothing"
    assert keep_issue(forge(site), mark, "Drift of stack prod", "one").what == "created"
    assert keep_issue(forge(site), mark, "Drift of stack prod", "two").what == "updated"
    assert [(entry["title"], entry["body"]) for entry in site.issues] == [
        ("Drift of stack prod", f"{mark}\ntwo")
    ]
    assert LABEL in site.issues[0]["labels"]
    assert close_issue(forge(site), mark, "gone").what == "closed"
    assert site.issues[0]["state"] == "closed"
    assert keep_issue(forge(site), mark, "Drift of stack prod", "again").what == "created"
