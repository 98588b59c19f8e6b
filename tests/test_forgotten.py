"""Each look for what was forgotten finds it, and says where to tell it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from app import work
from app.app_data import jobs as app_data_jobs
from app.main import ROUTERS
from app.relations.hooks import Hooks
from app.repositories.hosts.host import GitHost
from app.repositories.hosts.registry import HOSTS
from models import DOCUMENTS, ApiKey, Invitation
from models.relations import RELATIONS
from tests import forgotten
from tests.described import OPERATIONS
from tests.factories.operations import ACCESS
from tests.factories.parameters import PARAMETERS
from tests.indexes import operations

WITHOUT = tuple(each for each in RELATIONS if each.child is not ApiKey)
EXAMPLE = "POST /v1/projects"
DOUBLED = tuple(
    dataclasses.replace(each, one_to_one=True) if each.child is Invitation else each
    for each in RELATIONS
)
MERGED = tuple(dataclasses.replace(each, merge=None) for each in RELATIONS)


def unexampled() -> dict[str, Any]:
    body = {"content": {"application/json": {"schema": {}}}}
    return {**OPERATIONS, EXAMPLE: {**OPERATIONS[EXAMPLE], "requestBody": body}}


PLANTED: dict[Callable[..., list[str]], tuple[Any, str]] = {
    forgotten.documents: (
        [each for each in DOCUMENTS if each is not Invitation],
        "models/__init__.py: Invitation (models.invitation) is not in DOCUMENTS",
    ),
    forgotten.references: (WITHOUT, "models/relations.py: apikeys.account_id has no line"),
    forgotten.indexes_of_relations: (
        DOUBLED,
        "indexes/definitions.py: no index alone and unique for invitations.userId",
    ),
    forgotten.merges: (
        MERGED,
        "models/relations.py: what a merge does to profiles.userId is not said: `merge=`, or"
        " `moving` in the domain's deletion.py",
    ),
    forgotten.routers: (
        ROUTERS[1:],
        "app/main.py: `router` of app.people.import_routes is not in ROUTERS",
    ),
    forgotten.jobs: (
        [each for each in work.MODULES if each is not app_data_jobs],
        "app/work.py: app.app_data.jobs is not in DOMAINS",
    ),
    forgotten.hooks: (Hooks(), "app/work.py: app.cards.deletion is not in HOOKS"),
    forgotten.examples: (
        unexampled(),
        "app/repositories/examples.py: no example for the body of POST /v1/projects",
    ),
    forgotten.callers_of_an_app: (
        (),
        "app/app_data: GET /v1/users/{userId}/apps takes the scope data:read, which keys and tokens"
        " of an app have, and no app: refuse them, and say so in OF_NO_APP (tests/forgotten.py)",
    ),
    forgotten.restores: (
        {**ACCESS, "PUT /v1/widgets/{widgetId}": None},
        "docs/backups.md: PUT /v1/widgets/{widgetId} is in no row of what a restore does",
    ),
    forgotten.parameters: (
        PARAMETERS.keys() - {"identityId"},
        'tests/factories/parameters.py: PARAMETERS has no "identityId" of'
        " /v1/users/me/identities/{identityId}, and no POST to what is before it makes one",
    ),
    forgotten.operations_of_documents: (
        operations.OPERATIONS.keys() - {"AppData.put"},
        "tests/indexes/operations.py, or the file of its domain beside it: AppData.put is in no"
        " line, and its signature does not say how it is called",
    ),
    forgotten.queries: ("| `/top` |", "docs/analytics.md: /funnel is not in the table of rows"),
    forgotten.hosts: (
        {**HOSTS, "Gitea": None},
        "tests/outside/hosts/gitea.py: there is none",
    ),
}


@pytest.mark.parametrize("check", forgotten.CHECKS, ids=lambda check: check.__name__)
def test_what_was_forgotten_is_named(check: Callable[..., list[str]]) -> None:
    planted, sentence = PLANTED[check]
    assert sentence in check(planted)


def test_an_attribute_that_no_host_has_is_named() -> None:
    class Gitea(GitHost):
        SIGNATUR_PREFIX = ""
        IS_LARGE = True

    said = "app/repositories/hosts/gitea.py: GitHost knows no SIGNATUR_PREFIX"
    assert [each for each in forgotten.hosts({"Gitea": Gitea}) if "knows" in each] == [said]


def test_a_host_that_no_service_names_is_named() -> None:
    found = forgotten.hosts({name: host for name, host in HOSTS.items() if name != "GitLab"})
    assert found == ["models/repository_connection.py: ServiceType has no gitlab"]


def test_what_is_gone_is_named() -> None:
    assert "docs/backups.md: there is no PATCH /v1/users/{userId}" in forgotten.restores(())
    told = {*operations.OPERATIONS, "User.fly"}
    assert forgotten.operations_of_documents(told) == ["tests/indexes: there is no User.fly"]
