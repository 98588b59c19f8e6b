"""The Python client: every scenario by both of its kinds, the server's side, and what it asks of
nobody."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from satchel_client import (
    AsyncServer,
    InFile,
    Json,
    Missing,
    NoGuest,
    NotFound,
    PreconditionFailed,
    SatchelError,
    Server,
    Session,
    SignedOut,
    Store,
    Unstorable,
)
from satchel_client.storable import check_value

from tests.clients.desk import APP, code_for, invite, register, token_for
from tests.clients.devices import SCENARIOS, VALUES, AsyncDevice, Device, run
from tests.clients.tools import PACKAGE
from tests.serving import ROOT, Served, served

PAGE = PACKAGE.parent / "README.md"
NOTES = ROOT / "clients" / "examples" / "notes" / "notes.py"
MOST_LINES = 60


@pytest.fixture(scope="module")
def satchel(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("python client")
    with served(mongodb_uri, folder, otp_per_client_per_hour="1000") as found:
        register(found)
        yield found


@pytest.mark.parametrize("kind", [Device, AsyncDevice], ids=["waits", "awaits"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
async def test_a_scenario(
    satchel: Served, tmp_path: Path, scenario: dict[str, Any], kind: type[Device]
) -> None:
    await run(scenario, satchel, tmp_path, kind)


@pytest.mark.parametrize("kind", [Device, AsyncDevice], ids=["waits", "awaits"])
async def test_what_waits_is_sent_once_the_person_is_signed_in_again(
    satchel: Served, kind: type[Device]
) -> None:
    """In the background, without being asked to: the end of a session ends no thread and no
    task."""
    email = f"{uuid4().hex}@example.com"
    satchel.post("/v1/users", {"email": email})
    device = kind(satchel, None)
    device.session.begin({**token_for(satchel, email), "accessToken": "over.over.over"})
    device.open()
    device.store.put("n1", 1)
    with pytest.raises(SignedOut):
        await device.done(device.store.flush())
    assert device.store.pending == 1
    device.session.begin(token_for(satchel, email))
    for _ in range(400):
        if device.store.pending == 0:
            break
        await device.pause()
    assert device.store.pending == 0
    await device.close()


@pytest.mark.parametrize("kind", [Device, AsyncDevice], ids=["waits", "awaits"])
async def test_a_guest_whom_a_sign_in_has_kept_is_forgotten_when_it_is_said(
    satchel: Served, kind: type[Device]
) -> None:
    email = f"{uuid4().hex}@example.com"
    invite(satchel, email)
    device, other = kind(satchel, None), kind(satchel, None)
    for each, act in ((other, other.enter), (device, None)):
        await device.begin_as_guest() if act is None else act(email)
        each.store.put("n1", "the person's" if each is other else "the guest's")
        await each.done(each.store.flush())
    guest = device.session.user_id
    assert await device.done(device.session.begin_as_guest()) == guest
    assert device.session.is_guest
    assert await device.sign_in_as_guest(email) == "kept"
    assert (device.session.is_guest, device.session.guest_id) == (False, guest)
    token = json.loads(device.tokens.get() or "{}")["guest"]["refresh"]
    await device.done(device.session.forget_guest())
    assert device.session.guest_id is None
    with pytest.raises(NoGuest):
        await device.done(device.session.merge_guest("source"))
    refused = httpx2.post(f"{satchel.url}/v1/auth/refresh", json={"refreshToken": token})
    assert refused.status_code == 401
    await device.close()
    await other.close()


def test_the_examples_of_its_page_run(
    satchel: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(examples) == 3
    monkeypatch.chdir(tmp_path)
    printed: list[tuple[Any, ...]] = []
    names: dict[str, Any] = {"print": lambda *shown: printed.append(shown)}
    for example, email in zip(examples, ("ann", "cleo", ""), strict=True):
        monkeypatch.setattr(
            "builtins.input", lambda _, to=email: code_for(satchel, f"{to}@example.com")
        )
        text = example.replace("http://127.0.0.1:8000", satchel.url).replace("sk_…", satchel.admin)
        exec(text, names)
    assert [(entry.key, entry.value) for entry in printed[0][0]] == [
        ("note.1", {"title": "Milk", "done": True})
    ]
    assert printed[1][0] == "became"
    assert printed[2] == ("note.1", 1)
    assert [shown[1] for shown in printed if shown[0] == 1] == ["created"]
    lines = [shown[1] for shown in printed if shown[0] == "appdata"]
    assert [line["value"] for line in lines] == [{"title": "Milk"}]


@pytest.mark.parametrize("kind", [Device, AsyncDevice], ids=["waits", "awaits"])
async def test_a_store_that_is_closed_is_in_no_sign_out_s_way(
    satchel: Served, kind: type[Device]
) -> None:
    device = kind(satchel, None)
    email = f"{uuid4().hex}@example.com"
    satchel.post("/v1/users", {"email": email})
    device.session.begin(token_for(satchel, email))
    device.open()
    for _ in range(2):
        await device.done(device.store.close())
    await device.done(device.session.sign_out())
    assert device.session.user_id is None
    await device.done(device.session.close())


def test_notes_on_the_command_line(satchel: Served, tmp_path: Path) -> None:
    """The example: offline too, and short."""
    assert len(NOTES.read_text().splitlines()) < MOST_LINES

    def notes(*arguments: str, server: str = satchel.url) -> str:
        environment = {
            **os.environ,
            "NOTES_HOME": str(tmp_path),
            "NOTES_SERVER": server,
            "PYTHONPATH": str(PACKAGE.parent),
        }
        command = [sys.executable, str(NOTES), *arguments]
        made = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return made.stdout + made.stderr

    assert "sign in first" in notes("list")
    session = Session(satchel.url, InFile(tmp_path / "tokens"))
    challenge = session.request_code(email="notes@example.com")
    session.sign_in(challenge, code_for(satchel, "notes@example.com"))
    session.close()
    assert "milk" in notes("add", "milk")
    nowhere = "http://127.0.0.1:1"
    offline = notes("add", "oat", "milk", server=nowhere)
    assert "offline: 1 notes wait" in offline and "… oat milk" in offline
    assert "not sent yet" in notes("sign-out", server=nowhere)
    listed = notes("list")
    assert (
        sorted(line.split(maxsplit=1)[1] for line in listed.splitlines()) == ["milk", "oat milk"]
        and "…" not in listed
    )
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o600
    notes("sign-out")
    assert list(tmp_path.glob("*")) == []


async def test_the_server_s_side(satchel: Served) -> None:
    with Server(satchel.url, satchel.admin) as server:
        email = f"{uuid4().hex}@example.com"
        user = server.create_user(email=email, name="Ann")
        found = server.find_user(email)
        assert found is not None and found["id"] == user["id"]
        assert server.update_user(user["id"], {"name": "Ann B."})["name"] == "Ann B."
        assert server.put(user["id"], APP, "n1", {"a": 1})["version"] == 1
        assert server.put(user["id"], APP, "n1", {"a": 2}, version=1)["version"] == 2
        with pytest.raises(PreconditionFailed) as late:
            server.put(user["id"], APP, "n1", {"a": 3}, version=1)
        assert late.value.current["value"] == {"a": 2}
        results = server.batch(
            user["id"], APP, [{"dataKey": "n2", "value": None}, {"dataKey": "n3", "value": 3}]
        )
        assert [result["status"] for result in results] == ["stored", "stored"]
        assert {item["dataKey"]: item["value"] for item in server.values(user["id"], APP)} == {
            "n1": {"a": 2},
            "n2": None,
            "n3": 3,
        }
        assert server.get(user["id"], APP, "n2") is None
        assert server.get(user["id"], APP, "n4", default="none") == "none"
        server.delete(user["id"], APP, "n3")
        with pytest.raises(NotFound):
            server.get(user["id"], APP, "n3")
        told = {
            change["dataKey"]
            for changes, _ in server.changes(user["id"], APP)
            for change in changes
        }
        assert told == {"n1", "n2"}
        assert server.delete_user(user["id"])["deleted"]["appdata"] == 3
        with pytest.raises(NotFound):
            server.get(user["id"], APP, "n1", default="none")
    async with AsyncServer(satchel.url, satchel.admin) as other:
        user = await other.create_user(name="Bob", email=f"{uuid4().hex}@example.com")
        await other.put(user["id"], APP, "n1", [1], version=0)
        assert [item["dataKey"] async for item in other.values(user["id"], APP)] == ["n1"]
        found = await other.find_user(user["email"])
        assert found is not None and found["id"] == (await other.user(user["id"]))["id"]
        await other.batch(user["id"], APP, [{"dataKey": "n2", "value": {}}])
        assert (await other.patch(user["id"], APP, "n2", {"a": 1}))["value"] == {"a": 1}
        pages = [page async for page, _ in other.changes(user["id"], APP)]
        assert [change["dataKey"] for page in pages for change in page] == ["n1", "n2"]
        assert [(app["appId"], app["keys"]) for app in await other.apps(user["id"])] == [(APP, 2)]
        with pytest.raises(Unstorable, match="at most 200"):
            await other.batch(user["id"], APP, [{"dataKey": f"k{i}"} for i in range(201)])
        assert user["id"] in {each["id"] async for each in other.users(prefix="Bob")}


async def test_people_in_and_out_again(satchel: Served) -> None:
    salt = uuid4().hex[:6]
    emails = [f"{salt}.{place}@example.com" for place in range(1002)]  # two requests
    people = [{"user": {"email": email}, "verified": ["email"]} for email in emails]
    with Server(satchel.url, satchel.admin) as server:
        tried = list(server.import_people(people[:1], dry_run=True))
        assert [told["status"] for told in tried] == ["created"]
        assert server.find_user(emails[0]) is None
        told = list(server.import_people(people))
        assert [each["line"] for each in told] == list(range(1, 1003))
        assert {each["status"] for each in told} == {"created"}
        server.put(told[0]["id"], APP, "n1", "mine")
        exported = list(server.export(told[0]["id"]))
        assert exported[-1]["kind"] == "end"
        assert [each["document"]["value"] for each in exported if each["kind"] == "appdata"] == [
            "mine"
        ]
        with pytest.raises(NotFound):
            list(server.export("0" * 24))
    async with AsyncServer(satchel.url, satchel.admin) as other:
        again = [each["status"] async for each in other.import_people(people[:2])]
        assert again == ["unchanged", "unchanged"]
        kinds = [each["kind"] async for each in other.export(told[0]["id"])]
        assert kinds == [each["kind"] for each in exported]


@pytest.mark.parametrize("name", sorted(VALUES))
def test_a_value_is_refused_as_the_server_refuses_it(satchel: Served, name: str) -> None:
    writes = [{"dataKey": "n1", "value": VALUES[name]}, {"dataKey": "n2", "value": 1}]
    user = satchel.post("/v1/users", {})["id"]
    if name == "infinite":
        told = "not_finite"  # no JSON has it
    else:
        answer = httpx2.post(
            f"{satchel.url}/v1/users/{user}/apps/{APP}/batch",
            # half of a pair is no UTF-8, and is spelled in ASCII
            content=json.dumps({"writes": writes}, ensure_ascii=name == "surrogate").encode(),
            headers={**satchel.headers, "Content-Type": "application/json"},
        )
        told = (answer.json()["results"][0].get("errors") or [{"code": "stored"}])[0]["code"]
    try:
        found = "stored" if check_value(VALUES[name]) == VALUES[name] else "changed"
    except Unstorable as error:
        found = error.errors[0]["code"]
    assert found == told


async def test_an_error_of_the_app_s_own_ends_nothing(satchel: Served) -> None:
    """What waits is tried again, and the second time the decision holds."""
    email = f"{uuid4().hex}@example.com"
    satchel.post("/v1/users", {"email": email})
    one, other = Failing(satchel, None), Device(satchel, None)
    for device in (one, other):
        device.session.begin(token_for(satchel, email))
        device.open()
    one.network.is_offline = True
    one.store.put("n1", {"a": 1})
    other.store.put("n1", {"b": 1})
    await other.done(other.store.flush())
    one.network.is_offline = False
    for _ in range(600):
        if one.store.pending == 0:
            break
        await one.pause()
    assert one.contents() == {"n1": {"a": 1, "b": 1}} and one.has_failed
    await one.close()
    await other.close()


async def test_a_store_of_one_person_writes_to_no_other_who_has_signed_in_meanwhile(
    satchel: Served,
) -> None:
    emails = [f"{uuid4().hex}@example.com" for _ in range(2)]
    ids = [satchel.post("/v1/users", {"email": email})["id"] for email in emails]
    device = Device(satchel, None)
    device.session.begin(token_for(satchel, emails[0]))
    device.store = Store(device.session, APP, **device.options())
    device.store.put("n1", "the first one's")
    device.session.begin(token_for(satchel, emails[1]))
    with pytest.raises(SatchelError):
        device.store.flush()
    assert device.store.pending == 1
    for user_id in ids:
        assert satchel.get(f"/v1/users/{user_id}/apps/{APP}/data")["items"] == []
    await device.close()


class Failing(Device):
    """A device whose app fails to decide, once."""

    has_failed = False

    def decide(
        self, base: Json | Missing, mine: Json | Missing, theirs: Json | Missing, key: str
    ) -> Json | Missing:
        if not self.has_failed:
            self.has_failed = True
            raise RuntimeError("the app's own")
        return super().decide(base, mine, theirs, key)
