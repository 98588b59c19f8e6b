"""What a delivery tells of its repository: which one it is, what it is called, and what it was called before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.repositories.hosts.api import id_told
from models.repository_connection import ServiceType

_RENAMED: Final = frozenset({"renamed", "transferred"})
_ABOUT: Final = frozenset({"repository", "repo:updated", "repo:transfer", "System Hook", "Project Hook"})
Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """A repository as a delivery tells it: the host's id, its path, and the path that it had before a rename."""

    id: str | None = None
    path: str | None = None
    before: str | None = None


def told_by(service: ServiceType, event: str, payload: Payload) -> Told:
    """What a delivery tells of its repository; what it does not tell is None."""
    told = {"GitHub": _github, "GitLab": _gitlab, "Bitbucket": _bitbucket}[service](event, payload)
    return Told(told.id, _lower(told.path), _lower(told.before))


def is_about_the_repository(event: str) -> bool:
    """Whether an event tells that something about the repository itself is different now."""
    return event in _ABOUT


def _github(event: str, payload: Payload) -> Told:
    """The events `repository` `renamed` and `transferred`, and every other one."""
    repository = _part(payload, "repository")
    path, before = _text(repository, "full_name"), None
    if event == "repository" and payload.get("action") in _RENAMED and path and "/" in path:
        owner, name = path.split("/", 1)
        old = _part(payload, "changes", "owner", "from")
        login = _text(_part(old, "user"), "login") or _text(_part(old, "organization"), "login")
        before = f"{login or owner}/{_text(_part(payload, 'changes', 'repository', 'name'), 'from') or name}"
    return Told(id_told(repository.get("id")), path, before)


def _gitlab(_: str, payload: Payload) -> Told:
    """`project_rename` and `project_transfer` tell of themselves; a project's own events of their `project`."""
    project = _part(payload, "project")
    known = id_told(project.get("id", payload.get("project_id")))
    path = _text(project, "path_with_namespace") or _text(payload, "path_with_namespace")
    return Told(known, path, _text(payload, "old_path_with_namespace"))


def _bitbucket(event: str, payload: Payload) -> Told:
    """`repo:updated` tells names in its `changes`, `repo:transfer` the workspace that it comes from."""
    repository = _part(payload, "repository")
    path, changed = _text(repository, "full_name"), _part(payload, "changes", "full_name")
    before = _text(changed, "old")
    workspace = _text(_part(payload, "previous_workspace"), "slug")
    if event == "repo:transfer" and workspace and path:
        before = f"{workspace}/{path.rpartition('/')[2]}"
    return Told(id_told(repository.get("uuid")), _text(changed, "new") or path, before)


def _part(value: Any, *names: str) -> Payload:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _text(part: Payload, name: str) -> str | None:
    value = part.get(name)
    return value if isinstance(value, str) and value else None


def _lower(path: str | None) -> str | None:
    return None if path is None else path.lower()
