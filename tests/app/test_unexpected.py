"""What nobody foresaw: a problem for the client, one line in the log, and no secret in it."""

import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from app.observability import configure_logging, log
from models.app_data import AppData
from models.user import User
from tests.cast import Cast
from tests.conftest import MakeApi

PLANTED = "sk_planted-key-that-no-log-may-show"


@pytest.mark.parametrize("path", ["/v1/users/me", "/v1/users/me/apps/notes/data/k"], ids=["comfortable", "hot"])
async def test_an_unexpected_error_is_a_problem_and_one_line(
    make_api: MakeApi, cast: Cast, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: str
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
