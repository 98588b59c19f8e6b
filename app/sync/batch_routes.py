"""The route of batches: a hot endpoint, since outboxes are sent by it."""

from typing import Final

from app.app_data.quotas import rooms_of
from app.app_data.writes import preference
from app.apps.json_schemas import schemas_of
from app.apps.registry import app_registry
from app.errors import Invalid
from app.identity.access import owner_or
from app.identity.principal import authorize, may
from app.relations.leases import Lease, leases
from app.sync.batch import Sender, write_batch
from app.sync.batch_body import parse_batch
from app.sync.cursor import cursor_at
from app.web.hot import Answer, HotEndpoint, HotRequest, json_answer, resolve
from app.web.idempotency import Claim, claim_of
from models.app import NAME_RULE, is_name
from models.app_data_batch import Place
from models.app_data_queries import queries_of
from models.user import User

BATCH_PATH: Final = "/v1/users/{userId}/apps/{appId}/batch"


async def _post(request: HotRequest) -> Answer:
    principal = await request.caller()
    user_id, app_id = resolve(request, principal), request.path["appId"]
    if not is_name(app_id):
        raise Invalid.field("path:appId", "malformed", f"appId has {NAME_RULE}")
    authorize(principal, request.needs, user_id=user_id, app_id=app_id)
    body = await request.body()
    app = await app_registry(request.scope).settings_of(app_id)
    batch = parse_batch(body, require_version=app.require_version)
    wish = preference(request.header(b"prefer"))
    sender = Sender(
        Place(user_id, app_id, principal.name, app.history, tuple(queries_of(app).values())),
        Lease(leases(request.scope), User, user_id),
        rooms_of(request.scope),
        may(principal, "data:read", user_id=user_id),
        await _claim(request, body),
        None if wish is None else wish == "representation",
        schemas_of(app),
        app.quota,
    )
    results, at = await write_batch(sender, batch)
    told = sender.rooms.headers(user_id, app_id, app.quota)
    answer = {"results": results, "cursor": cursor_at(user_id, app_id, at)}
    return json_answer(
        200, answer, [(name.lower().encode(), value.encode()) for name, value in told.items()]
    )


async def _claim(request: HotRequest, body: bytes) -> Claim | None:
    key = request.header(b"idempotency-key")
    return None if key is None else claim_of(await request.caller(), key, request.scope, body)


def batch_endpoint() -> HotEndpoint:
    """What is served before FastAPI is asked."""
    return HotEndpoint(BATCH_PATH, {"POST": _post}, {"POST": owner_or("data:write")})
