"""Wrong settings are told by name, form and example, all in one round, and never with what was
set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pymongo.errors import InvalidURI, OperationFailure

from app.settings import load_settings
from app.settings.faults import SettingsError
from scripts.cli import _told

ROOT = Path(__file__).parents[2]
RING = '{"current":"1","keys":{"1":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAsecretk="}}'
WRONG = {
    "SATCHEL_ENVIRONMENT": "production",
    "SATCHEL_SENDER_SECRET": "fifteen-letters",
    "SATCHEL_KEYRING": RING,
    "SATCHEL_PORT": "hidden-port",
    "SATCHEL_CORS_ORIGINS": "https://app.example",
    "SATCHEL_OIDC_PROVIDERS": (
        '{"Hidden":{"issuers":["hidden"],"jwksUrl":"ftp://hidden","clientIds":[]}}'
    ),
}
SECRETS = ("fifteen", "secretk", "hidden", "Hidden", "app.example\n")


def command(
    name: str, environment: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """A command in an environment of these variables alone."""
    return subprocess.run(
        [sys.executable, "-m", "scripts", *name.split()],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without settings, of an empty folder."""
    for name in [name for name in os.environ if name.startswith("SATCHEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    load_settings.cache_clear()
    return monkeypatch


def faults() -> list[str]:
    """The lines that loading the settings gives."""
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return caught.value.faults


@pytest.mark.parametrize("name", ["serve", "worker", "run", "check-database", "keyring status"])
def test_a_command_says_all_faults_in_lines_without_values(name: str, tmp_path: Path) -> None:
    done = command(name, WRONG, tmp_path)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in lines[:4]] == [
        "SATCHEL_SENDER_SECRET",
        "SATCHEL_OIDC_PROVIDERS",
        "SATCHEL_PORT",
        "SATCHEL_CORS_ORIGINS",
    ]
    assert [line.partition(";")[0] for line in lines[4:]] == [
        "production needs SATCHEL_MONGODB_URI",
        "production needs SATCHEL_TOKEN_KEY_FILE",
        "production needs SATCHEL_SECRET_KEY_FILE",
        "production needs SATCHEL_WEBHOOK_KEY_FILE",
        "production needs SATCHEL_SENDER_URL",
        "production needs SATCHEL_LEDGER",
    ]
    assert all("such as SATCHEL_" in line for line in lines)
    assert [secret for secret in SECRETS if secret in done.stdout + done.stderr] == []


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example/",
        "https://a.example/app",
        "a.example",
        "https://a.example?x",
        "https://u@a.example",
    ],
)
def test_an_origin_with_more_than_host_and_port_is_refused(
    wrong: pytest.MonkeyPatch, origin: str
) -> None:
    wrong.setenv("SATCHEL_CORS_ORIGINS", f'["https://ok.example:8443", "{origin}"]')
    assert faults() == [
        "SATCHEL_CORS_ORIGINS: an origin is scheme://host or scheme://host:port, without a path or"
        ' a slash at its end; such as SATCHEL_CORS_ORIGINS=["https://app.example.com"]'
    ]


def test_good_origins_are_taken(wrong: pytest.MonkeyPatch) -> None:
    good = [
        "*",
        "https://a.example",
        "http://localhost:3000",
        "http://[::1]:3000",
        "capacitor://localhost",
    ]
    wrong.setenv("SATCHEL_CORS_ORIGINS", str(good).replace("'", '"'))
    assert load_settings().cors_origins == good
    load_settings.cache_clear()


def test_an_unknown_variable_is_warned_of_with_the_nearest_name(
    wrong: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong.setenv("SATCHEL_POOL_MAXSIZE", "5")
    Path(".env").write_text("SATCHEL_PROT=9\n# SATCHEL_OTHER=1\nSATCHEL_IMAGE=x\n")
    load_settings()
    load_settings.cache_clear()
    assert capsys.readouterr().err.splitlines() == [
        "warning: SATCHEL_POOL_MAXSIZE is no setting; did you mean SATCHEL_POOL_MAX_SIZE?",
        "warning: SATCHEL_PROT is no setting; did you mean SATCHEL_PORT?",
    ]


def test_a_refused_password_and_a_malformed_string_are_one_line() -> None:
    refused = _told(OperationFailure("Authentication failed.", 18, {"errmsg": "user x"}))
    malformed = _told(InvalidURI("hidden:pass@word"))
    assert refused == "The database refuses the user or password of SATCHEL_MONGODB_URI."
    assert malformed is not None
    assert malformed.startswith("SATCHEL_MONGODB_URI is malformed: such as mongodb://")
    assert _told(OperationFailure("other", 11000)) is None


@pytest.mark.parametrize(
    "uri",
    [
        "postgres://user:hidden@h",
        "hidden",
        "mongodb://user:hidden@h:99999",
        "mongodb://user:hidden@h:0",
        "mongodb://user:hidden@h:port",
        "mongodb://user:hidden@[::1",
        "mongodb://user:hidden@h,",
        "mongodb://user:hidden/@h",
        " mongodb://user:hidden@h",
        "mongodb+srv://user:hidden@",
    ],
)
def test_a_malformed_connection_string_is_one_line_among_the_others(
    wrong: pytest.MonkeyPatch, uri: str
) -> None:
    wrong.setenv("SATCHEL_MONGODB_URI", uri)
    wrong.setenv("SATCHEL_TELLER_WEBHOOK_SECRETS", "hidden")
    told = {line.partition(":")[0]: line for line in faults()}
    assert told.keys() == {"SATCHEL_MONGODB_URI", "SATCHEL_TELLER_WEBHOOK_SECRETS"}
    assert "hidden" not in "".join(told.values())
    assert told["SATCHEL_TELLER_WEBHOOK_SECRETS"].endswith('=["<32 random characters>"]')


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://h",
        "mongodb://user:p%40ss@a.example:27017,b.example:27018/db?replicaSet=rs0",
        "mongodb://[::1]:27017,[fe80::1%25eth0]/",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock",
        "mongodb+srv://user:p@cluster.example/?retryWrites=true",
    ],
)
def test_a_sound_connection_string_is_taken(wrong: pytest.MonkeyPatch, uri: str) -> None:
    wrong.setenv("SATCHEL_MONGODB_URI", uri)
    found = load_settings().mongodb_uri
    load_settings.cache_clear()
    assert found is not None
    assert found.get_secret_value() == uri


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "SATCHEL_MONGODB_URI is not set"),
        (
            {"SATCHEL_MONGODB_URI": "mongodb://127.0.0.1:1", "SATCHEL_KEYRING": "hidden"},
            "SATCHEL_KEYRING is no key ring",
        ),
    ],
)
def test_what_a_server_cannot_start_without_is_one_line(
    tmp_path: Path, environment: dict[str, str], told: str
) -> None:
    ended = command("serve", {"SATCHEL_PORT": "1", **environment}, tmp_path)
    lines = (ended.stdout + ended.stderr).splitlines()
    assert (ended.returncode, len(lines), lines[0].startswith(told)) == (1, 1, True)
    assert "hidden" not in lines[0]
