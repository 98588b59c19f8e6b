"""Key files under several commands at once: no key that a command told of is lost."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.identity import signing_keys
from app.outside.keyring import Keys, new_keys, read_keys
from app.settings import Settings, private_files
from scripts import keyring as command

ROUNDS = 8


def test_of_rotations_at_once_each_key_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, told = tmp_path / "ring.json", list[str]()
    monkeypatch.setattr(command.typer, "echo", lambda line, **_: told.append(line.split()[0]))
    with ThreadPoolExecutor(ROUNDS) as pool:
        list(pool.map(lambda _: command.rotate(path), range(ROUNDS)))
    assert len(set(told)) == ROUNDS
    assert set(read_keys(path).by_id) == set(told)


def test_a_rotation_waits_for_a_removal_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ring.json"
    old = new_keys()
    private_files.replace(path, old.with_new().dump().encode())
    rotating = threading.Thread(target=command.rotate, args=(path,))
    seen = list[Keys]()

    async def counting(**_: Any) -> Any:
        rotating.start()
        rotating.join(0.3)
        seen.append(read_keys(path))
        return None, {}

    monkeypatch.setattr(command, "_status", counting)
    before = read_keys(path)
    done = CliRunner().invoke(command.cli, ["remove", old.current, "--file", str(path)])
    rotating.join()
    assert done.exit_code == 0, done.output
    assert seen == [before]
    after = read_keys(path)
    assert before.current in after.by_id
    assert (old.current in after.by_id, len(after.by_id), after.current == before.current) == (
        False,
        2,
        False,
    )


def test_signing_keys_of_rotations_and_prunings_at_once_stay(tmp_path: Path) -> None:
    path = tmp_path / "keys.pem"
    signing_keys.ensure_keys(Settings(_env_file=None, data_dir=tmp_path, token_key_file=path))

    def both(_: int) -> str:
        kid = signing_keys.rotate(path).kid
        signing_keys.prune(path)
        return kid

    with ThreadPoolExecutor(ROUNDS) as pool:
        made = list(pool.map(both, range(ROUNDS)))
    assert len(set(made)) == ROUNDS
    assert set(made) <= {key.kid for key in signing_keys.read_keys(path)}
