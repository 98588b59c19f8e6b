"""Several lines of one header mean the same on both kinds of route, and long lists of errors are
cut."""

import pytest

from tests.cast import Cast
from tests.harness import Api

PROFILE, VALUE = "/v1/users/me/profile", "/v1/users/me/apps/notes/data/k"


@pytest.mark.parametrize("path", [PROFILE, VALUE])
@pytest.mark.parametrize(
    ("lines", "status"), [(('"1"', '"9"'), 200), (('"9"', '"1"'), 200), (('"8"', '"9"'), 412)]
)
async def test_lines_of_if_match_are_one_list(
    cast: Cast, api: Api, path: str, lines: tuple[str, ...], status: int
) -> None:
    assert (await cast.owner.put(VALUE, json={})).status_code == 201
    headers = [
        ("Authorization", f"Bearer {cast.owner.credential}"),
        *(("If-Match", line) for line in lines),
    ]
    assert (await api.client.put(path, json={}, headers=headers)).status_code == status


@pytest.mark.parametrize("path", [PROFILE, VALUE])
async def test_lines_of_if_none_match_are_one_list(cast: Cast, api: Api, path: str) -> None:
    assert (await cast.owner.put(VALUE, json={})).status_code == 201
    tag = (await cast.owner.get(path)).headers["etag"]
    for lines in ((tag, '"9"'), ('"9"', tag)):
        headers = [
            ("Authorization", f"Bearer {cast.owner.credential}"),
            *(("If-None-Match", line) for line in lines),
        ]
        assert (await api.client.get(path, headers=headers)).status_code == 304


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", PROFILE, {f"unknown{number}": 1 for number in range(5000)}),
        ("PATCH", PROFILE, {f"unknown{number}": 1 for number in range(5000)}),
        ("POST", "/v1/analytics/events", {f"unknown{number}": 1 for number in range(5000)}),
    ],
)
async def test_a_hundred_errors_are_listed_at_most(
    cast: Cast, method: str, path: str, body: object
) -> None:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    answer = await cast.owner.request(method, path, json=body, headers={"Content-Type": kind})
    problem = answer.json()
    assert (answer.status_code, len(problem["errors"])) == (422, 100)
    total = 5003 if method == "POST" else 5000  # three fields are missing as well
    assert f"{total} errors in all, the first 100 are listed" in problem["detail"]
    one = await cast.owner.put(PROFILE, json={"unknown": 1})
    assert "listed" not in one.json()["detail"]
