"""Rights of admins that are taken away while they write."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.database.rights import collecting, confirm, held, hold, settle
from models import ApiKey, RefreshToken, User
from models.api_key import hash_key
from models.base import now
from tests.app.withdrawn import at_the_last_moment
from tests.cast import Cast
from tests.factories.grants import signed_in
from tests.harness import Api

pytestmark = pytest.mark.usefixtures("no_hosts")


async def test_a_key_changes_nobody_who_becomes_an_admin_meanwhile(
    cast: Cast, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, user_id = await api.key("users:write"), ObjectId(cast.owner.id)
    grants = [{"role": "admin"}, {"roles": ["user", "admin"]}]
    for path in ("/profile", "/preferences", ""):
        for fields in grants:
            body = {
                "": {"name": "Eve"},
                "/profile": {"bio": "Eve"},
                "/preferences": {"theme": "dark"},
            }[path]

            async def grant(fields: Any = fields) -> None:
                await User.change({"_id": user_id}, fields)

            await User.raw().update_one(
                {"_id": user_id}, {"$set": {"roles": ["user"]}, "$unset": {"role": ""}}
            )
            with monkeypatch.context() as patched:
                happened = at_the_last_moment(patched, grant)
                answer = await key.merge(f"/v1/users/{cast.owner.id}{path}", body)
            assert (happened, answer.status_code) == (["it has"], 403), path
            assert "Eve" not in (await cast.admin.get(f"/v1/users/{cast.owner.id}{path}")).text


async def test_of_two_admins_who_demote_each_other_at_once_one_stays(cast: Cast, api: Api) -> None:
    outcomes = set()
    for _ in range(8):
        pair = [await signed_in(api, cast) for _ in range(2)]
        ids = [ObjectId(each.id) for each in pair]
        await User.raw().update_many({"_id": {"$in": ids}}, {"$set": {"role": "admin"}})
        one, other = pair
        answers = await asyncio.gather(
            one.merge(f"/v1/users/{other.id}", {"role": None}),
            other.merge(f"/v1/users/{one.id}", {"role": None}),
        )
        outcomes.add(tuple(sorted(answer.status_code for answer in answers)))
        assert await User.raw().count_documents({"_id": {"$in": ids}, "role": "admin"}) == 1
    assert outcomes == {(200, 403)}


async def test_of_two_keys_that_revoke_each_other_at_once_one_stays(api: Api) -> None:
    for _ in range(8):
        one, other = [await api.key("admin") for _ in range(2)]
        rows = [
            await ApiKey.raw().find_one({"hash": hash_key(each.credential or "")})
            for each in (one, other)
        ]
        ids = [row["_id"] for row in rows if row]
        answers = await asyncio.gather(
            one.delete(f"/v1/api-keys/{ids[1]}"),
            other.delete(f"/v1/api-keys/{ids[0]}"),
        )
        assert sorted(answer.status_code for answer in answers) == [204, 401]
        assert await ApiKey.raw().count_documents({"_id": {"$in": ids}}) == 1


async def test_of_two_sessions_that_end_each_other_at_once_one_stays(cast: Cast, api: Api) -> None:
    for all_others in (False, True) * 4:
        one = await signed_in(api, cast)
        user_id: Any = ObjectId(one.id)
        first = await RefreshToken.raw().find_one({"userId": user_id})
        until = now() + timedelta(days=1)
        second = await RefreshToken(
            user_id=user_id,
            token_hash=f"second {user_id}",
            auth_method="google",
            ends_at=until,
            expires_at=until,
        ).add()
        assert first is not None
        tokens = api.app.state.authenticator.tokens
        token, _ = tokens.mint(user_id, issued_at=now().timestamp(), session_id=second.id)
        paths = ["/v1/auth/sessions"] * 2
        if not all_others:
            paths = [f"/v1/auth/sessions/{second.id}", f"/v1/auth/sessions/{first['_id']}"]
        answers = await asyncio.gather(
            one.delete(paths[0]), api.caller(token, one.id).delete(paths[1])
        )
        assert sorted(answer.status_code for answer in answers) == [204, 401]
        assert await RefreshToken.raw().count_documents({"userId": user_id}) == 1


async def test_rights_are_of_one_request_and_looked_at_until_a_commit() -> None:
    looked: list[str] = []

    async def right(_: Any) -> None:
        looked.append("at")

    nobody: Any = None
    hold("outside of a request", right)
    await confirm(nobody)
    with collecting():
        hold("one", right)
        hold("one", right)
        assert held() == ("one",)
        await confirm(nobody)
        await confirm(nobody)
        settle()
        assert held() == ()
        await confirm(nobody)
    assert (held(), looked) == ((), ["at", "at"])
