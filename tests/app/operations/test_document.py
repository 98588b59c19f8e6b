"""The OpenAPI document says of the application what the application says of itself."""

from tests.conftest import MakeApi
from tests.harness import Api

DESCRIPTION = {
    "title": "Satchel",
    "version": "0.1.0",
    "summary": "Everything an app knows about a person, under one user.",
}


async def test_the_document_names_the_server(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    assert document["servers"] == [{"url": f"http://{api.settings.host}:{api.settings.port}"}]
    assert DESCRIPTION.items() <= document["info"].items()


async def test_the_document_names_the_server_as_the_outside_reaches_it(make_api: MakeApi) -> None:
    api = await make_api(public_url="https://satchel.example.com/api/")
    document = (await api.client.get("/openapi.json")).json()
    assert document["servers"] == [{"url": "https://satchel.example.com/api"}]
