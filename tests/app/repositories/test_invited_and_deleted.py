"""An open invitation of somebody who is deleted tells nobody that somebody was here."""

from datetime import timedelta

import pytest
from bson import ObjectId

from app.relations import audit
from models import Activity, Invitation
from models.base import now
from models.relations import references_of
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.invitations import accept, invite, invited, new_project, without_what_differs


@pytest.mark.parametrize("swept", [False, True], ids=["at once", "swept"])
async def test_an_invitation_of_somebody_who_is_deleted_looks_and_ends_like_one_of_nobody(
    cast: Cast, make_api: MakeApi, swept: bool
) -> None:
    """As it stands and is stored, once it is renewed, taken back, over, and after the sweep."""
    api = await make_api(
        **({"deletion_small_tree": 1, "deletion_inline_seconds": 30} if swept else {})
    )
    stranger, project = api.token(cast.stranger.id), await new_project(cast.owner)
    ids = [cast.stranger.id, str(ObjectId())]
    for user_id in ids:
        assert (await invite(cast.owner, project, user_id)).status_code == 202
    before = await cast.owner.get(f"/v1/projects/{project}/invitations")
    if swept:
        await Activity.raw().insert_many(
            [{"userId": ObjectId(ids[0]), "appId": "a", "timestamp": now()}] * 1
        )
    plan = (await stranger.get("/v1/users/me/deletion-plan")).json()
    gone = await stranger.delete("/v1/users/me")
    assert (gone.status_code, gone.json()["nulled"]) == (200, {"invitations": 1})
    assert (plan["nulled"], "invitations" in gone.json()["deleted"]) == ({"invitations": 1}, False)
    assert (await cast.owner.get(f"/v1/projects/{project}/invitations")).json() == before.json()
    rows = await Invitation.raw().find({}).sort("_id", 1).to_list()
    assert [row.keys() - {"version"} for row in rows] == [rows[1].keys() - {"version"}] * 2
    assert [(row["invited"], "userId" in row) for row in rows] == [
        (ObjectId(each), False) for each in ids
    ]
    for relation in references_of(Invitation):
        assert [faults async for faults in audit.faults_of(relation)] == []
    for user_id in ids:  # by whoever had the token of the deleted user: nothing is accepted
        assert (await accept(api.token(user_id), project)).status_code == 404
    seen = []
    for user_id in ids:
        path = f"/v1/projects/{project}/members/{user_id}"
        again = [
            await invite(cast.owner, project, user_id),
            await cast.owner.get(path),
            await cast.owner.delete(path),
        ]
        again += [await cast.owner.delete(path), await invite(cast.owner, project, user_id)]
        seen.append([without_what_differs(answer, user_id) for answer in again])
    assert seen[0] == seen[1]
    assert [status for status, _, _ in seen[0]] == [202, 404, 204, 404, 202]
    await Invitation.raw().update_many({}, {"$set": {"expiresAt": now() - timedelta(seconds=1)}})
    ended = [
        await cast.owner.delete(f"/v1/projects/{project}/members/{user_id}") for user_id in ids
    ]
    assert [answer.status_code for answer in ended] == [404, 404]
    assert await invited(cast.owner, project) == []
