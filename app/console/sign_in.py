"""Signing in to the console: by a key, or as a person by a code that is sent; and signing out."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from app.console.frame.calls import Api, Refused
from app.console.frame.forms import SMALL, Form, read_form, refuse_other_sites
from app.console.frame.pages import entries_for
from app.console.frame.rendering import render
from app.console.session import forget, known, remember, remember_person
from app.errors import Forbidden, Problem, TooLarge, Unauthenticated
from app.identity.principal import Principal
from app.settings import Settings

router = APIRouter(include_in_schema=False)
_NOTHING = "This key may not read anything that the console shows."


def sign_in_page(request: Request, *, status: int = 200, **values: Any) -> HTMLResponse:
    """The form to sign in by."""
    settings: Settings = request.app.state.settings
    shown = {"complaint": None, "challenge": None, "to": "", **values}
    shown.setdefault("next", request.query_params.get("next", ""))
    in_development = settings.environment == "development"
    deployment = {
        "version": request.app.version,
        "url": settings.url,
        "key_file": settings.data_dir / "admin-key" if in_development else None,
    }
    return render("pages/sign_in.html", {**deployment, **shown}, status)


@router.post("/console/sign-in", response_class=HTMLResponse)
async def by_key(request: Request) -> Response:
    """Take a key that opens some page, from a form of ours."""
    refuse_other_sites(request)
    try:
        form = await read_form(request, SMALL)
    except TooLarge:
        complaint = "The form has more in it than a key."
        return sign_in_page(request, status=422, complaint=complaint)
    try:
        principal = await known(request, form["key"])
    except Unauthenticated:
        complaint = "There is no such key, or it has expired."
        return sign_in_page(request, status=401, complaint=complaint, next=form["next"])
    except Forbidden:
        return sign_in_page(request, status=403, complaint=_NOTHING, next=form["next"])
    if not (home := home_of(request, principal)):
        return sign_in_page(request, status=403, complaint=_NOTHING, next=form["next"])
    response = _led(form, home)
    remember(request, response, form["key"])
    return response


@router.post("/console/sign-in/code", response_class=HTMLResponse)
async def send_code(request: Request) -> Response:
    """Send a code to a person's email or phone."""
    refuse_other_sites(request)
    form = await read_form(request, SMALL)
    to = form["to"]
    body = {"email": to} if "@" in to else {"phoneNumber": to}
    try:
        sent = await Api(request, None).send("POST", "/v1/auth/otp", body)
    except Refused as refused:
        told = {"complaint": refused.detail, "to": to, "next": form["next"]}
        return sign_in_page(request, status=refused.status, **told)
    challenge = sent.value["challengeId"]
    return sign_in_page(request, challenge=challenge, to=to, next=form["next"])


@router.post("/console/sign-in/verify", response_class=HTMLResponse)
async def by_code(request: Request) -> Response:
    """Sign in a person by the code that was sent to them, if they are an admin."""
    refuse_other_sites(request)
    form = await read_form(request, SMALL)
    again = {"challenge": form["challenge"], "to": form["to"], "next": form["next"]}
    body = {"challengeId": form["challenge"], "code": form["code"], "deviceInfo": "Console"}
    api = Api(request, None)
    try:
        pair = (await api.send("POST", "/v1/auth/otp/verify", body)).value
    except Refused as refused:
        return sign_in_page(request, status=refused.status, complaint=refused.detail, **again)
    try:
        principal = await known(request, pair["accessToken"])
    except Problem:
        await api.send("POST", "/v1/auth/logout", {"refreshToken": pair["refreshToken"]})
        complaint = "You are signed in nowhere: the console is for admins."
        return sign_in_page(request, status=403, complaint=complaint, next=form["next"])
    response = _led(form, home_of(request, principal))
    remember_person(request, response, pair)
    return response


@router.post("/console/sign-out")
async def sign_out(request: Request) -> Response:
    """Forget the key; end the person's session."""
    refuse_other_sites(request)
    response = RedirectResponse("/console", 303)
    await forget(request, response)
    return response


def home_of(request: Request, principal: Principal) -> str:
    """The first page that is for somebody; empty where none is."""
    return next((entry.path for entry in entries_for(request, principal)), "")


def _led(form: Form, home: str) -> Response:
    """To the page that was asked for, if it is one of ours."""
    wanted = form["next"]
    path = wanted if wanted.startswith("/console/") and "\\" not in wanted else home
    return RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})
