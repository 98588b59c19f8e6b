"""Routes by which people come in: many by lines, and one by what they are known by."""

from typing import Annotated, Any, Final, Literal

from fastapi import Path, Query, Request, Response
from fastapi.params import Body

from app.app_data.quotas import rooms_of
from app.apps.registry import app_registry
from app.errors import Duplicate, Forbidden, Invalid, NotFound, Problem
from app.identity.access import keys
from app.identity.caller import Caller
from app.identity.principal import Principal, authorize
from app.people.apps import Apps
from app.people.importing import Importer, Outcome, Result
from app.people.lines import PersonLine
from app.people.lines.told import Key, Told, told_of
from app.people.streaming import NDJSON, answer_of, import_stream
from app.shown.documents import UserView, user_view
from app.users.examples import USER_SHOWN
from app.users.service import find_user
from app.web.etags import etag
from app.web.openapi.answers import mismatch_of, problems
from app.web.openapi.examples import answers
from app.web.openapi.patch_bodies import REF
from app.web.preconditions import request_precondition
from app.web.routing import Router
from models.auth_identity import PHONE
from models.email import canonical_email
from models.phone import canonical_phone
from models.precondition import Expected

router = Router(prefix="/v1/users", tags=["Import and export"])
IMPORT_PATH: Final = "/v1/users/import"
By = Literal["email", "phone", "valuUserId", "merkosUserId", "externalId"]

_LINE: Final[dict[str, Any]] = {
    "user": {"email": "ann@example.com", "phone": "+14155550142", "name": "Ann"},
    "verified": ["email", "phone"],
    "profile": {"bio": "Boats."},
    "externalIds": [{"appId": "notes", "externalId": "crm-7"}],
    "appData": [{"appId": "notes", "dataKey": "settings", "value": {"theme": "dark"}}],
}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": (
            "One person a line, at most 1,000 lines and 25 MiB: `PersonLine`, or a line of an"
            " export."
        ),
        "content": {NDJSON: {"schema": {"$ref": f"{REF}PersonLine"}, "example": _LINE}},
    }
}
_RESULTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": (
            "A line for each: `line` (the first is 1), `status` (`created`, `updated`,"
            " `unchanged`, `conflict`, `invalid`), `id` of the person, `errors`"
        ),
        "content": {NDJSON: {"schema": {"type": "string"}}},
    }
}
ONE: Final = Body(openapi_examples={"ann": {"value": _LINE}})


@router.post(
    "/import",
    access=keys("users:import"),
    operation_id="importUsers",
    summary="Import people, a line each",
    responses=problems() | _RESULTS,
    openapi_extra=_BODY,
    response_class=Response,
)
async def import_users(
    request: Request,
    caller: Caller,
    dry_run: Annotated[
        bool, Query(alias="dryRun", description="Say what would be done, and write nothing.")
    ] = False,
) -> Response:
    """Who is known by any of a line's emails, phones and ids is updated, anybody else created.

    A line is written whole or not at all; sent again it changes nothing. Lines that are refused
    keep no other from being written.
    """
    authorize(caller, "users:import")
    results = import_stream(importer_of(request, caller, dry=dry_run), request.stream())
    return Response(await answer_of(results), media_type=NDJSON)


@router.put(
    "/by/{field}/{value}",
    access=keys("users:import"),
    operation_id="putUserBy",
    summary="Create or update whom an email, a phone or an id finds",
    responses=problems(409)
    | mismatch_of({"$ref": f"{REF}UserView"})
    | answers(USER_SHOWN)
    | {201: {"model": UserView, "description": "Created"}},
)
async def put_user_by(
    field: Annotated[By, Path(examples=["valuUserId"])],
    value: Annotated[str, Path(max_length=512, examples=["v-1"])],
    line: Annotated[PersonLine, ONE],
    caller: Caller,
    request: Request,
    response: Response,
    app_id: Annotated[
        str | None, Query(alias="appId", max_length=256, description="Whose `externalId` it is.")
    ] = None,
) -> UserView:
    """One line of an import. Whom another of its keys finds is no match but a conflict. With
    `If-None-Match: *` they are created only, with `If-Match` changed only where they have that
    version."""
    authorize(caller, "users:import")
    key = _key_of(field, value, app_id)
    told = _with_key(line, field, value, key)
    importer = importer_of(request, caller, only=key, expected=request_precondition(request))
    (result,) = await importer.write([told])
    if result.errors or result.user_id is None:
        raise _problem(result)
    user = await find_user(result.user_id)
    response.status_code = 201 if result.outcome is Outcome.CREATED else 200
    response.headers["ETag"] = etag(user.version, user.id)
    return user_view(user)


def _problem(result: Result) -> Problem:
    """Why a line was not written, as a route says it."""
    kind: type[Problem] = Invalid if result.outcome is Outcome.INVALID else Duplicate
    if all(each["code"] == "forbidden" for each in result.errors):
        kind = Forbidden
    return kind(result.errors[0]["detail"], errors=list(result.errors))


def importer_of(
    request: Request,
    caller: Principal,
    *,
    dry: bool = False,
    only: Key | None = None,
    expected: Expected | None = None,
) -> Importer:
    """What writes the lines that a caller sends."""
    apps = Apps(app_registry(request.scope), rooms_of(request.scope))
    return Importer(apps, caller.name, caller.is_admin, dry, only, expected)


def _key_of(field: By, value: str, app_id: str | None) -> Key:
    """What a path names.

    Raises:
        NotFound: nobody could be known by it.
        Invalid: an external id without its app.
    """
    try:
        if field == "email":
            return Key("email", canonical_email(value))
        if field == "phone":
            return Key("identity", PHONE, canonical_phone(value))
    except ValueError as error:
        raise NotFound(f"nobody can be known by this: {error}") from None
    if field != "externalId":
        return Key(field, value)
    if app_id is None:
        raise Invalid.field("?appId", "missing", "an external id is an app's: say which")
    return Key("externalId", app_id, value)


def _with_key(line: PersonLine, field: By, value: str, key: Key) -> Told:
    """What the body tells, with what the path names where the body leaves it out.

    Raises:
        Invalid: the path names nothing that a line could.
    """
    content = line.model_dump(by_alias=True, exclude_unset=True)
    user = content.setdefault("user", {})
    if field == "externalId":
        content.setdefault("externalIds", [])
        if key[1:] not in {(each["appId"], each["externalId"]) for each in content["externalIds"]}:
            content["externalIds"].append({"appId": key.first, "externalId": key.second})
    elif user.get(field) is None:
        user[field] = value
    told = told_of(content)
    told.keys.setdefault(key, "")
    return told
