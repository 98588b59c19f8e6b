"""What a page of the console is: a module with a `Page`, its routes, and a template of the same
name beside it.

A page that does something does it by POST, from a form of ours, by a call of the API or of a
service under the same rules; `app/console/navigation.py` names every page.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pymongo.errors import PyMongoError

from app.console.frame.calls import Api, Refused
from app.console.frame.forms import Form, read_form, refuse_other_sites
from app.console.frame.rendering import render
from app.console.session import credential_of, keep, viewer
from app.database.rights import collecting
from app.errors import Internal, Problem
from app.errors.driver import from_driver
from app.identity.principal import Principal, authorize
from app.identity.standing import hold_admin, hold_key, hold_session
from models.api_key import APP_SCOPES

NOTE: Final = "satchel_note"
PER_PAGE: Final = 50
_NOTE_SECONDS: Final = 60
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the navigation: in which group, and what its page needs."""

    group: str
    title: str
    path: str
    scope: str

    def is_for(self, principal: Principal) -> bool:
        """Whether the page is for whoever is signed in."""
        if principal.is_admin:
            return True
        beyond = principal.app_id is not None and self.scope not in APP_SCOPES
        return self.scope in principal.scopes and not beyond


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around every page: the groups that are for whoever is signed in, and the pages of
    this one."""

    groups: list[Entry]
    tabs: list[Entry]
    group: str
    path: str

    @classmethod
    def of(cls, request: Request, principal: Principal, entry: Entry) -> "Frame":
        """The frame of a page, by its entry, for who is signed in."""
        mine = entries_for(request, principal)
        groups = list({each.group: each for each in reversed(mine)}.values())[::-1]
        tabs = [each for each in mine if each.group == entry.group]
        return cls(groups, tabs if len(tabs) > 1 else [], entry.group, entry.path)


def entries_for(request: Request, principal: Principal) -> list[Entry]:
    """The navigation's lines that are for who is signed in."""
    return [entry for entry in request.app.state.console_entries if entry.is_for(principal)]


class Desk:
    """One request for a page, by somebody who is signed in."""

    def __init__(self, page: "Page", request: Request, principal: Principal) -> None:
        self.page, self.request, self.principal = page, request, principal
        self.api = Api(request, credential_of(request))
        self.form = Form()

    def __getitem__(self, name: str) -> str:
        """A parameter of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str:
        """A parameter of the query, empty where it is not there."""
        return self.request.query_params.get(name, "").strip()

    @property
    def paging(self) -> dict[str, Any]:
        """The parameters of a list's page."""
        return {"limit": PER_PAGE, "cursor": self.query("cursor")}

    def link(self, **changes: str | None) -> str:
        """The address of this page with parameters changed; None takes one away."""
        kept = {**dict(self.request.query_params), **changes}
        given = urlencode({name: value for name, value in kept.items() if value})
        return self.request.url.path + (f"?{given}" if given else "")

    @property
    def nonce(self) -> str:
        """What a form carries so that, sent twice, it is done once."""
        return token_urlsafe(12)

    def require_admin(self) -> None:
        """See that whoever is signed in is an admin, now and in what is written.

        Raises:
            Forbidden: they are none.
        """
        caller = self.principal
        authorize(caller, "admin")
        if caller.kind == "key":
            hold_key(caller.id)
        else:
            hold_session(caller.id, caller.session_id, caller.issued_at, caller.key_id)
            hold_admin(caller.id)

    def once(self) -> dict[str, str]:
        """Headers by which a form that is sent twice is done once."""
        return {"Idempotency-Key": f"console-{self.form['once']}"} if self.form["once"] else {}

    def show(self, values: Mapping[str, Any], *, status: int = 200, template: str = "") -> Response:
        """The page with these values."""
        frame = Frame.of(self.request, self.principal, self.page.entry)
        note = unquote(self.request.cookies.get(NOTE, ""))
        around = {"desk": self, "frame": frame, "title": self.page.title, "note": note}
        answer = render(template or self.page.template, {**around, **values}, status)
        if note:
            answer.delete_cookie(NOTE, path="/console")
        return answer

    def done(self, path: str, note: str) -> Response:
        """Back to a page, which says what was done."""
        answer = RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})
        answer.set_cookie(
            NOTE,
            quote(note[:500]),
            max_age=_NOTE_SECONDS,
            path="/console",
            httponly=True,
            secure=self.request.url.scheme == "https",
            samesite="strict",
        )
        return answer


Handler = Callable[[Desk], Awaitable[Values | Response]]


class Page:
    """A page: its template, its title, its place in the navigation.

    Args:
        module: `__name__`; the template stands beside it.
        title: of the page.
        path: where it is.
        group: in the navigation.
        scope: what a key needs to see anything of it.
        listed: whether the navigation names it.
    """

    def __init__(
        self, module: str, title: str, path: str, *, group: str, scope: str, listed: bool = True
    ) -> None:
        self.template = module.removeprefix("app.console.").replace(".", "/") + ".html"
        self.title, self.path, self.listed = title, path, listed
        self.entry = Entry(group, title, path, scope)
        self.router = APIRouter(include_in_schema=False)

    def get(self, path: str = "") -> Callable[[Handler], Handler]:
        """A route that shows something."""
        return self._route("GET", path or self.path)

    def post(self, path: str) -> Callable[[Handler], Handler]:
        """A route that does something, by a form."""
        return self._route("POST", path)

    def _route(self, method: str, path: str) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            async def endpoint(request: Request) -> Response:
                return await _answer(self, handler, request)

            endpoint.__name__ = handler.__name__
            self.router.add_api_route(path, endpoint, methods=[method], name=handler.__name__)
            return handler

        return add


async def _answer(page: Page, handler: Handler, request: Request) -> Response:
    if request.method == "POST":
        refuse_other_sites(request)
    principal = await viewer(request)
    if principal is None:
        return led_to_sign_in(request)
    answer = await _tried(Desk(page, request, principal), handler)
    keep(request, answer)
    return answer


async def _tried(desk: Desk, handler: Handler) -> Response:
    """What a page answers; a refusal is a page as well."""
    try:
        if not desk.page.entry.is_for(desk.principal):
            needed = f"This page needs a key with the scope {desk.page.entry.scope}, or an admin."
            return desk.show({"detail": needed}, status=403, template="frame/refused.html")
        with collecting():
            if desk.request.method == "POST":
                desk.form = await read_form(desk.request)
            shown = await handler(desk)
        return shown if isinstance(shown, Response) else desk.show(shown)
    except Refused as refused:
        return desk.show(
            {
                "detail": refused.detail,
                "errors": refused.problem.get("errors", []),
                "into": refused.problem.get("into"),
            },
            status=refused.status,
            template="frame/refused.html",
        )
    except (Problem, PyMongoError) as error:
        problem = error if isinstance(error, Problem) else from_driver(error)
        if isinstance(problem, Internal):
            raise
        values = {"detail": problem.detail or problem.code.value, "errors": problem.errors}
        return desk.show(values, status=problem.status, template="frame/refused.html")


def led_to_sign_in(request: Request) -> Response:
    """To the form, which leads back where a page was asked for."""
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    query = "?" + urlencode({"next": back}) if request.method == "GET" else ""
    return RedirectResponse(f"/console{query}", 303, headers={"Cache-Control": "no-store"})
