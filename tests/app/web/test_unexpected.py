"""What nobody foresaw: a problem for the client, one line in the log, and no secret in it."""

import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from app.web.observability import configure_logging, log
from models.app_data import AppData
from models.user import User
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.harness import Api

PLANTED = "sk_planted-key-that-no-log-may-show"


@pytest.mark.parametrize(
    "path", ["/v1/users/me", "/v1/users/me/apps/notes/data/k"], ids=["comfortable", "hot"]
)
async def test_an_unexpected_error_is_a_problem_and_one_line(
    make_api: MakeApi,
    cast: Cast,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("nobody foresaw this")

    api = await make_api(log_level="error")
    user = api.token(cast.owner.id)
    assert (await user.get("/v1/users/me/apps/notes/data/k")).status_code == 404
    monkeypatch.setattr(User, "from_stored", broken)
    monkeypatch.setattr(AppData, "find_by_user_app_and_key", broken)
    answer = await user.get(path, headers={"X-Request-Id": "the-one"})
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert (answer.json()["code"], answer.json()["requestId"]) == ("internal", "the-one")
    assert answer.headers["x-request-id"] == "the-one"
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["requestId"]) for line in lines] == [("unexpected", "the-one")]
    assert "nobody foresaw this" in lines[0]["exception"]


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_a_traceback_shows_no_local_variables(
    make_api: MakeApi, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    api = await make_api()
    configure_logging(api.settings.model_copy(update={"log_format": log_format}))

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        planted = scope["headers"][0][1].decode()
        raise RuntimeError(str(len(planted)))

    try:
        await fails({"headers": [(b"authorization", f"Bearer {PLANTED}".encode())]}, None, None)  # type: ignore[arg-type]
    except RuntimeError:
        log.exception("unexpected", requestId="r")
    configure_logging(api.settings)
    written = capsys.readouterr().err
    assert "unexpected" in written
    assert "RuntimeError" in written
    assert PLANTED not in written


@pytest.mark.parametrize(
    "headers", [[], [(b"idempotency-key", b"gone")]], ids=["plain", "with-a-key"]
)
async def test_a_client_that_goes_away_in_the_middle_of_its_body_is_no_fault_of_ours(
    headers: list[tuple[bytes, bytes]], api: Api, cast: Cast
) -> None:
    messages = iter(
        [{"type": "http.request", "body": b'{"na', "more_body": True}, {"type": "http.disconnect"}]
    )
    statuses = []

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 200))

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "PATCH",
        "scheme": "http",
        "path": "/v1/users/me/profile",
        "raw_path": b"/v1/users/me/profile",
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [
            (b"host", b"satchel"),
            (b"authorization", f"Bearer {cast.owner.credential}".encode()),
            (b"content-type", b"application/merge-patch+json"),
            *headers,
        ],
    }
    await api.app(scope, receive, send)
    assert all(status < 500 for status in statuses)
    assert (
        'route="/v1/users/{userId}/profile",status="500"'
        not in (await cast.nobody.get("/metrics")).text
    )
