import re

from app.errors import Code
from tests.cast import Cast


async def test_the_type_of_a_problem_leads_to_what_it_means(cast: Cast) -> None:
    problem = (await cast.owner.get("/v1/users/me/apps/notes/data/none")).json()
    path, anchor = problem["type"].split("#")
    page = (await cast.nobody.get(path)).text
    assert anchor == "not_found"
    assert set(re.findall(r'id="(\w+)"', page)) == {code.value for code in Code}


async def test_console_is_readable_without_credentials_and_loads_nothing_from_elsewhere(cast: Cast) -> None:
    answer = await cast.nobody.get("/console")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert re.findall(r'(?:src|href)="(https?:)?//', answer.text) == []
