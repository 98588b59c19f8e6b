"""Files of people: `python -m scripts users import`, NDJSON and CSV, stopped and gone on with."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from typer.testing import CliRunner

import scripts.users
from app.people.tables import UnknownFieldError, columns_of, line_of
from models import AppData, AuthIdentity, ExternalId, Profile, User
from models.deployment import Deployment

HEADINGS = ("Mail", "name", "valuUserId", "Bio", "Tags", "crm", "Notes", "Shoe size")
MAPPING = ("Mail=email", "Bio=profile.bio", "Tags=roles", "crm=externalId:crm")
MAPPING += ("Notes=appData:notes:all",)


def test_cells_become_the_parts_of_a_line() -> None:
    names = ("email", "phone", "roles", "A", "B", "C", "D", "E", "F", "status", "other")
    mapping = {"A": "profile.avatar.url", "B": "preferences.notifications.push"}
    mapping |= {"C": "appData:notes:k", "D": "externalId:crm", "E": "profile.bio"}
    mapping |= {"F": "identity:google"}
    columns = columns_of(names, mapping)
    assert "other" not in columns
    row = {
        "email": "a@example.com",
        "roles": "user; editor",
        "A": "https://x.example",
        "B": "false",
    }
    row |= {"C": '{"n": 1}', "D": "7", "E": "12", "other": "?", "phone": " "}
    row |= {"F": "1093", "status": "inactive"}
    assert line_of(row, columns, ("email", "phone")) == {
        "user": {"email": "a@example.com", "roles": ["user", "editor"], "status": "inactive"},
        "identities": [{"provider": "google", "providerId": "1093"}],
        "profile": {"avatar": {"url": "https://x.example"}, "bio": "12"},
        "preferences": {"notifications": {"push": False}},
        "appData": [{"appId": "notes", "dataKey": "k", "value": {"n": 1}}],
        "externalIds": [{"appId": "crm", "externalId": "7"}],
        "verified": ["email"],
    }
    unknown = ({"A": "nothing"}, {"Z": "email"}, {"A": "appData:notes"}, {"A": "externalId:"})
    lost = ({"A": "email"}, {"A": "profile.avatar", "B": "profile.avatar.url"})
    for wrong in (*unknown, {"A": "identity:phone"}, *lost):
        with pytest.raises(UnknownFieldError):
            columns_of(names, wrong)
    with pytest.raises(UnknownFieldError, match="called 'email'"):
        columns_of(["email", "email"], {})


def test_a_number_in_a_cell_is_never_rounded() -> None:
    columns = columns_of(["appData:crm:number"], {})
    (value,) = line_of({"appData:crm:number": "123456789012345678901"}, columns, ())["appData"]
    assert value["value"] == 123456789012345678901  # which the import refuses, and names


Run = Callable[..., Any]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, base_settings: Any, database: AsyncDatabase[Any]) -> Run:
    """Runs the command on the test's database, in a thread of its own, since it has a loop of its
    own."""
    monkeypatch.setattr(scripts.users, "load_settings", lambda: base_settings)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(scripts.users.cli, ["import", *arguments])

    return run


def table(path: Path, people: int) -> Path:
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(HEADINGS)
        for number in range(people):
            mail = f"Person{number}@Example.com" if number != 3 else "no address"
            notes = json.dumps({"n": number, "text": "two\nlines"})
            cells = (mail, f"P{number}", f"v{number}", "Boats", "user", f"c{number}", notes, "43")
            rows.writerow(cells)
    return path


def counted(result: Any) -> Any:
    return json.loads(result.stdout.splitlines()[-1])


def mapped(path: Path, *more: str) -> list[str]:
    maps = [part for each in MAPPING for part in ("--map", each)]
    return [str(path), *maps, "--verified", "email", "--json", *more]


async def test_a_table_comes_in_and_its_report_says_what_is_wrong(
    run: Run, tmp_path: Path, off_loop: Any
) -> None:
    path = table(tmp_path / "people.csv", 12)
    dry = await off_loop(run, *mapped(path, "--dry-run"))
    assert (dry.exit_code, counted(dry)["created"], counted(dry)["invalid"]) == (1, 11, 1)
    assert await User.raw().count_documents({}) == 0
    done = await off_loop(run, *mapped(path))
    assert (done.exit_code, counted(done)["created"], counted(done)["invalid"]) == (1, 11, 1)
    (refused,) = [json.loads(line) for line in (tmp_path / "people.csv.refused").open()]
    assert refused["errors"][0]["pointer"] == "/user/email"
    user = await User.find_by_email("person5@example.com")
    assert user is not None and user.email_verified_at is not None and user.valu_user_id == "v5"
    profile = await Profile.find_by_user_id(user.id)  # type: ignore[arg-type]
    assert profile is not None and profile.bio == "Boats"
    value = await AppData.find_envelope(user.id, "notes", "all")  # type: ignore[arg-type]
    assert value is not None and value["value"] == {"n": 5, "text": "two\nlines"}
    assert await ExternalId.users_of("crm", ["c5"]) == {"c5": user.id}
    assert await AuthIdentity.raw().count_documents({}) == 11
    assert counted(done)["leftOut"] == ["Shoe size"] and "'Shoe size'" in done.stderr
    again = await off_loop(run, *mapped(path, "--again"))
    assert counted(again)["unchanged"] == 11


async def test_a_row_whose_cells_have_shifted_is_refused(
    run: Run, tmp_path: Path, off_loop: Any
) -> None:
    path = tmp_path / "people.csv"
    path.write_text("email,name,profile.bio\na@example.com,Ann, the first,Boats\n")
    done = await off_loop(run, str(path), "--json")
    assert (done.exit_code, counted(done)["invalid"]) == (1, 1)
    (refused,) = [json.loads(line) for line in (tmp_path / "people.csv.refused").open()]
    assert refused["line"] == 2 and "more cells" in refused["errors"][0]["detail"]
    assert await User.raw().count_documents({}) == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("people.csv", "email;name\na@example.com;Ann, the first\n".encode("utf-8-sig")),
        ("people.csv", b"email\tname\r\na@example.com\tAnn, the first\r\n"),
        ("people.csv", b'name,email\n"Ann, the first",a@example.com\n'),
        (
            "people.ndjson",
            '{"user":{"email":"a@example.com","name":"Ann, the first"}}\r\n'.encode("utf-8-sig"),
        ),
    ],
    ids=["semicolons", "tabs", "commas", "a mark before NDJSON"],
)
async def test_a_file_is_read_as_programs_write_it(
    run: Run, tmp_path: Path, off_loop: Any, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert counted(await off_loop(run, str(path), "--json"))["created"] == 1
    user = await User.find_by_email("a@example.com")
    assert user is not None and user.name == "Ann, the first"


async def test_a_file_in_another_encoding_is_said_to_be(
    run: Run, tmp_path: Path, off_loop: Any
) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes("email,name\na@example.com,Jörg\n".encode("latin-1"))
    done = await off_loop(run, str(path))
    assert done.exit_code == 1 and "people.csv is not UTF-8" in done.output


async def test_what_was_done_in_another_way_or_elsewhere_is_not_done_here(
    run: Run, tmp_path: Path, off_loop: Any
) -> None:
    path = tmp_path / "people.csv"
    path.write_text("email,Bio\na@example.com,Boats\n")
    assert counted(await off_loop(run, str(path), "--json"))["created"] == 1
    repeated = counted(await off_loop(run, str(path), "--json"))
    assert (repeated["created"], repeated["after"]) == (1, 2)
    mapped = counted(await off_loop(run, str(path), "--json", "--map", "Bio=profile.bio"))
    assert (mapped["created"], mapped["updated"], mapped["after"]) == (0, 1, 0)
    vouched = counted(await off_loop(run, str(path), "--json", "--verified", "email"))
    assert (vouched["updated"], vouched["after"]) == (1, 0)
    await User.raw().delete_many({})
    await Profile.raw().delete_many({})
    await AuthIdentity.raw().delete_many({})
    await Deployment.begin_epoch()  # as another database has another one
    elsewhere = counted(await off_loop(run, str(path), "--json", "--verified", "email"))
    assert (elsewhere["created"], elsewhere["after"]) == (1, 0)
    assert await User.raw().count_documents({}) == 1


async def test_a_run_that_was_stopped_goes_on_where_it_was(
    run: Run, tmp_path: Path, off_loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts.users, "_TOGETHER", 5)
    path = tmp_path / "people.ndjson"
    lines = [json.dumps({"user": {"email": f"p{number}@example.com"}}) for number in range(23)]
    path.write_text("\n".join(lines) + "\n")
    written, calls = scripts.users._written, []

    async def until_killed(importer: Any, chosen: Any) -> Any:
        calls.append([number for number, _ in chosen])
        if len(calls) == 3:
            raise ValueError("killed")
        return await written(importer, chosen)

    monkeypatch.setattr(scripts.users, "_written", until_killed)
    stopped = await off_loop(run, str(path), "--json")
    assert (stopped.exit_code, await User.raw().count_documents({})) == (1, 10)
    calls[:] = [[], [], [], []]
    done = await off_loop(run, str(path), "--json")
    assert (done.exit_code, counted(done)["created"], counted(done)["unchanged"]) == (0, 23, 0)
    assert calls[4][0] == 11
    finished = await off_loop(run, str(path), "--json")
    assert counted(finished)["created"] == 23
    path.write_text("\n".join([*lines, lines[0]]) + "\n")
    changed = await off_loop(run, str(path), "--json")
    assert counted(changed)["unchanged"] == 24


async def test_a_cell_may_be_as_large_as_a_value(run: Run, tmp_path: Path, off_loop: Any) -> None:
    path, text = tmp_path / "people.csv", "x" * 500_000
    path.write_text(f"email,appData:notes:all\na@example.com,{text}\n")
    done = await off_loop(run, str(path), "--json")
    assert (done.exit_code, counted(done)["created"]) == (0, 1)
    row = await AppData.raw().find_one({"dataKey": "all"})
    assert row is not None and row["value"] == text
    path.write_text(f"email,appData:notes:all\na@example.com,{text * 9}\n")
    larger = await off_loop(run, str(path))
    assert larger.exit_code == 1 and "field larger than field limit" in larger.output


async def test_a_mapping_that_fits_nothing_is_told(run: Run, tmp_path: Path, off_loop: Any) -> None:
    path = table(tmp_path / "people.csv", 2)
    wrong = await off_loop(run, str(path), "--map", "Mail=shoes")
    assert wrong.exit_code == 1 and "shoes" in wrong.output
    assert await User.raw().count_documents({}) == 0
