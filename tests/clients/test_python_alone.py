"""What the Python client does without a server: its wheel, keys and values that it refuses,
merges."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import httpx2
import pytest
from satchel_client import (
    MISSING,
    AsyncSession,
    AsyncStore,
    InFile,
    Session,
    SignedOut,
    Store,
    Unstorable,
    merge_fields,
)
from satchel_client.storable import check_key, check_value

from tests.clients.tools import PACKAGE


def test_the_client_asks_no_clock() -> None:
    """So a clock that is wrong changes nothing: what it waits for, it waits by a monotonic
    clock."""
    clock = re.compile(r"\b(?:time\.(?:time|time_ns|localtime|gmtime)|datetime|date\.today)\b")
    asked = [path.name for path in PACKAGE.glob("*.py") if clock.search(path.read_text())]
    assert asked == []


def test_the_wheel_works_by_itself(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(PACKAGE.parent, source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source],
        check=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("satchel_client-*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", tmp_path / "there", wheel],
        check=True,
        timeout=120,
    )
    assert (tmp_path / "there" / "satchel_client" / "py.typed").exists()
    smoke = (
        "import satchel_client as s; print(s.merge_fields({'a': 1}, {'a': 2}, {'a': 1, 'b': 3}),"
        " s.__file__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "there")}
    said = subprocess.run(
        [sys.executable, "-c", smoke], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("{'a': 2, 'b': 3} ") and str(tmp_path) in said.stdout


@pytest.mark.parametrize("key", ["", ".", "..", "a b", "ä", "x" * 257, "a/b", "a\n"])
def test_a_key_that_no_server_takes_is_refused_at_once(key: str) -> None:
    with pytest.raises(Unstorable) as refused:
        check_key(key)
    assert refused.value.code == "invalid"
    assert [error["code"] for error in refused.value.errors] == ["malformed"]


def test_what_is_no_json_is_refused_and_what_is_given_is_copied() -> None:
    holds_itself: list[Any] = []
    holds_itself.append(holds_itself)
    for value in ({1, 2}, b"bytes", holds_itself):
        with pytest.raises(Unstorable):
            check_value(value)
    given = {"a": [1]}
    assert check_value(given) == given and check_value(given) is not given
    check_value("x" * (512 * 1024 - 2))
    with pytest.raises(Unstorable, match="too_large"):
        check_value("x" * (512 * 1024 - 1))


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}),
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 3}),
        ({"a": 1}, MISSING, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": 2}, MISSING, {"a": 2}),
        ({"a": 1}, MISSING, {"a": 1}, MISSING),
        ({"a": 1}, {}, {"a": 1, "b": 1}, {"b": 1}),
        (
            {"a": {"x": 1, "y": 1}},
            {"a": {"x": 2, "y": 1}},
            {"a": {"x": 1, "y": 2}},
            {"a": {"x": 2, "y": 2}},
        ),
        (MISSING, {"a": 1}, {"b": 1}, {"b": 1, "a": 1}),
        ([1], [1, 2], [1, 3], [1, 3]),
        (True, 1, True, 1),
    ],
)
def test_the_merge_by_field(base: Any, mine: Any, theirs: Any, merged: Any) -> None:
    assert merge_fields(base, mine, theirs) == merged


@pytest.mark.parametrize("folder", [True, False], ids=["in a file", "in memory"])
def test_a_store_that_was_closed_says_so(tmp_path: Path, folder: bool) -> None:
    session = Session("http://satchel.invalid")
    session.use({"userId": "ann", "accessToken": "token"})
    store = Store(session, "notes", on_conflict=merge_fields, folder=tmp_path if folder else None)
    store.put("n1", 1)
    store.close()
    store.close()
    for act in (lambda: store.get("n1"), store.list, lambda: store.put("n1", 2)):
        with pytest.raises(SignedOut, match="closed"):
            act()


@pytest.mark.parametrize("store", [Store, AsyncStore])
def test_a_store_names_its_options_so_that_a_checker_of_types_knows_them(store: type[Any]) -> None:
    named = signature(store).parameters.values()
    assert [each.name for each in named if each.kind is Parameter.VAR_KEYWORD] == []
    must = [each.name for each in named if each.default is Parameter.empty]
    assert must == ["session", "app_id", "on_conflict"]


async def _empty(request: httpx2.Request) -> httpx2.Response:
    """A server that has nothing, and whose stream is never opened."""
    if request.url.path.endswith("/events"):
        await asyncio.Event().wait()
    return httpx2.Response(200, json={"changes": [], "cursor": "c", "more": False})


async def test_a_store_that_is_closed_as_it_is_woken_ends() -> None:
    """A change wakes what sends it, and the next line closes the store."""
    session = AsyncSession("http://satchel.invalid", transport=httpx2.MockTransport(_empty))
    session.use({"userId": "ann", "accessToken": "token"})
    store = AsyncStore(session, "notes", on_conflict=merge_fields)
    store.start()
    while store.stale:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    store.put("n1", 1)
    closing = asyncio.create_task(store.close())
    done, _ = await asyncio.wait({closing}, timeout=20)
    assert done == {closing}
    await session.close()


def test_tokens_in_a_file_are_their_owners_and_may_be_kept_by_two_at_once(tmp_path: Path) -> None:
    places = [InFile(tmp_path / "tokens") for _ in range(2)]

    def keep(number: int) -> None:
        places[number % 2].set(f"{number}" * 1000)

    with ThreadPoolExecutor(8) as writers:
        list(writers.map(keep, range(200)))
    kept = places[0].get() or ""
    assert kept in {f"{number}" * 1000 for number in range(200)}
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o600
