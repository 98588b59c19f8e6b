"""The pages: readable without credentials, and nothing in them comes from elsewhere."""

import re
from pathlib import Path

import pytest

from app.console.routes import SWAGGER_UI
from app.errors.codes import Code
from tests.cast import Cast
from tests.conftest import MakeApi


async def test_the_type_of_a_problem_leads_to_what_it_means(cast: Cast) -> None:
    problem = (await cast.owner.get("/v1/users/me/apps/notes/data/none")).json()
    path, anchor = problem["type"].split("#")
    page = (await cast.nobody.get(path)).text
    assert anchor == "not_found"
    assert set(re.findall(r'id="(\w+)"', page)) == {code.value for code in Code}


async def test_console_is_readable_without_credentials_and_loads_nothing_from_elsewhere(
    cast: Cast,
) -> None:
    answer = await cast.nobody.get("/console")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert re.findall(r'(?:src|href)="(https?:)?//', answer.text) == []


@pytest.mark.parametrize("page", ["/docs", "/console", "/docs/errors"])
async def test_no_page_needs_the_internet(cast: Cast, page: str) -> None:
    answer = await cast.nobody.get(page)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "'unsafe-eval'" not in policy
    assert "script-src 'self';" in policy or "script-src" not in policy
    for link in re.findall(r'(?:src|href)="([^"#]+)', answer.text):
        assert link.startswith("/"), link
        assert (await cast.nobody.get(link)).status_code in (200, 503)


async def test_the_files_of_the_documentation_are_of_the_version_that_is_told(cast: Cast) -> None:
    script = await cast.nobody.get("/docs/static/swagger-ui-bundle.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert f'"{SWAGGER_UI}"' in script.text
    assert "Apache License" in (await cast.nobody.get("/docs/static/LICENSE")).text
    for name in ("routes.py", "..%2Froutes.py", "%2Fetc%2Fpasswd"):
        assert (await cast.nobody.get(f"/docs/static/{name}")).status_code == 404
    assert (await cast.nobody.get("/redoc")).status_code == 404


async def test_the_console_says_where_the_key_is_and_not_what(
    cast: Cast, make_api: MakeApi
) -> None:
    page = (await cast.nobody.get("/console")).text
    assert "admin-key" in page
    assert "sk_" not in page.replace("sk_...", "")
    relative = await make_api(
        data_dir=Path(".satchel"), token_key_file=(await make_api()).settings.token_key_path
    )
    assert "KEY=$(cat .satchel/admin-key)" in (await relative.client.get("/console")).text
