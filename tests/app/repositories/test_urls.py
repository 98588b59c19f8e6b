"""Repository URLs: every spelling of one repository is one, and what is none is refused."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import Invalid
from app.repositories.hosts.registry import HOSTS, check_hosts, known_hosts
from app.repositories.hosts.urls import parse_repository
from app.settings import Settings, load_settings
from app.settings.faults import SettingsError, unknown_variables
from models.repository_connection import ServiceType

SETTINGS = Settings(
    _env_file=None, repository_hosts=["GitLab=git.example.com", "GitHub=ghe.example.com"]
)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/Acme/Notes",
        "https://github.com/acme/notes/",
        "https://github.com/acme/notes.git",
        "https://www.github.com/acme/notes",
        "https://GITHUB.com:443/ACME/notes.git/",
        "git@github.com:acme/notes.git",
        "git@github.com:Acme/Notes",
        "ssh://git@github.com/acme/notes.git",
        "ssh://git@github.com:22/acme/notes",
        "https://github.com/acme/notes.GIT",
        "https://github.com/acme/notes.git//",
        "https://github.com//acme/notes//",
        "https://github.com/acme/notes.git.git",
        "https://github.com/acme/notes" + ".git" * 500,
        "git@github.com:/acme/notes.Git/.gIT//",
        "https://octocat@github.com/acme/notes.git",
        "https://Octo-Cat@www.github.com:443/Acme/notes.git/",
        "https://x-access-token@github.com/acme/notes",
        "ssh://git@ssh.github.com:443/acme/notes.git",
        "ssh://git@SSH.github.com:443/Acme/Notes/",
        "ssh://git@ssh.github.com/acme/notes",
        "git@ssh.github.com:acme/notes.git",
        "org-1234@github.com:acme/notes.git",
        "ssh://org-1234@github.com/acme/notes.git",
        "https://github.com/acme/no%74es",
        "https://github.com/%41cme/notes%2Egit",
    ],
)
def test_every_spelling_is_one_repository(url: str) -> None:
    found = parse_repository(url, "GitHub", SETTINGS)
    assert (found.url, found.path, found.api_url) == (
        "https://github.com/acme/notes",
        "acme/notes",
        "https://api.github.com",
    )


@pytest.mark.parametrize(
    ("url", "service", "found"),
    [
        (
            "https://some_body@bitbucket.org/Team/repo.git",
            "Bitbucket",
            "https://bitbucket.org/team/repo",
        ),
        (
            "ssh://git@altssh.bitbucket.org:443/team/repo.git",
            "Bitbucket",
            "https://bitbucket.org/team/repo",
        ),
        ("ssh://git@altssh.gitlab.com:443/a/b/c.git", "GitLab", "https://gitlab.com/a/b/c"),
        ("https://some.body_1@gitlab.com/a/b.git", "GitLab", "https://gitlab.com/a/b"),
        ("ssh://git@git.example.com:2222/a/b.git", "GitLab", "https://git.example.com/a/b"),
        ("https://some.body@git.example.com/a/b.git", "GitLab", "https://git.example.com/a/b"),
    ],
)
def test_what_hosts_show_for_cloning_is_taken(url: str, service: Any, found: str) -> None:
    assert parse_repository(url, service, SETTINGS).url == found


FORMS = st.sampled_from(
    [
        "https://{}/{}",
        "https://www.{}/{}",
        "https://{}:443/{}",
        "ssh://git@{}/{}",
        "git@{}:{}",
        "git@WWW.{}:{}",
    ]
)
ENDS = st.lists(st.sampled_from(["/", ".git", ".GIT", ".Git"]), max_size=5).map("".join)
NAMES = st.lists(
    st.text("aZ0_.-", min_size=1, max_size=5) | st.text("abc.git/", max_size=8), max_size=4
)
DEEP = st.lists(st.integers(1, 255).map(lambda length: "a" * length), min_size=8, max_size=21)


@given(form=FORMS, names=NAMES | DEEP, start=st.sampled_from(["", "/", "//"]), ends=ENDS)
@example(
    form="git@{}:{}", names=["a" * 201] * 9 + ["a" * 215], start="", ends=""
)  # 2,048 characters, more as https
def test_what_is_canonical_stays_as_it_is(
    form: str, names: list[str], start: str, ends: str
) -> None:
    plain = "/".join(names)
    try:
        found = parse_repository(
            form.format("gitlab.com", start + plain + ends), "GitLab", SETTINGS
        )
    except Invalid:
        return
    assert parse_repository(found.url, "GitLab", SETTINGS) == found
    assert not found.url.endswith((".git", "/"))
    assert parse_repository(f"https://gitlab.com/{plain.upper()}", "GitLab", SETTINGS) == found


@pytest.mark.parametrize(
    ("url", "service", "api"),
    [
        ("https://gitlab.com/a/b/c/d", "GitLab", "https://gitlab.com/api/v4"),
        ("git@bitbucket.org:team/repo.git", "Bitbucket", "https://api.bitbucket.org/2.0"),
        ("https://git.example.com/a/b", "GitLab", "https://git.example.com/api/v4"),
        ("git@ghe.example.com:a/b.git", "GitHub", "https://ghe.example.com/api/v3"),
    ],
)
def test_each_host_has_its_service_and_api(url: str, service: Any, api: str) -> None:
    assert parse_repository(url, service, SETTINGS).api_url == api


@pytest.mark.parametrize(
    "url",
    [
        "",
        "github.com/acme/notes",
        "http://github.com/acme/notes",
        "file:///etc/passwd",
        "https://github.com/acme",
        "https://github.com/acme/notes/tree/main",
        "https://github.com/acme/../notes",
        "https://github.com/acme/..",
        "https://github.com/acme/no%2e%2etes",
        "https://github.com//notes",
        "https://github.com/acme/notes?x=1",
        "https://github.com/acme/notes#x",
        "https://github.com:8443/acme/notes",
        "https://github.com:x/acme/notes",
        "https://[::1/acme/notes",
        "https://planted:secret@github.com/acme/notes",
        "https://planted_secret@github.com/acme/notes",
        "https://planted:x-oauth-basic@github.com/acme/notes",
        "https://:planted@github.com/acme/notes",
        "https://planted:@github.com/acme/notes",
        "https://@github.com/acme/notes",
        "https://planted%40x@github.com/acme/notes",
        "https://ghp_planted@github.com/acme/notes",
        "https://github_pat_planted@github.com/acme/notes",
        "https://0123456789abcdef0123456789abcdef01234567@github.com/acme/notes",
        "ssh://planted:x@github.com/acme/notes",
        "ssh://git:planted@ssh.github.com:443/acme/notes",
        "ssh://git@github.com:443/acme/notes",
        "ssh://git@ssh.github.com:22/acme/notes",
        "https://ssh.github.com/acme/notes",
        "ssh://git@ssh.github.com.evil.example:443/acme/notes",
        "ssh://git@altssh.gitlab.com:443/acme/notes",
        "planted@github.com:acme/notes.git",
        "org-x@github.com:acme/notes.git",
        "https://github.com/acme%2Fnotes",
        "https://github.com/acme/notes%2f..%2fother",
        "https://github.com/acme/no%252etes",
        "https://github.com/acme/no%00tes",
        "https://github.com/acme/no%c3%a9tes",
        "https://github.com/acme/no%fftes",
        "https://git%68ub.com/acme/notes",
        "ssh://root@github.com/acme/notes",
        "https://github.com/acme/no tes",
        "https://github.com/acme/notés",
        "https://github.com\\@127.0.0.1/acme/notes",
        "https://127.0.0.1/acme/notes",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/acme/notes",
        "https://github.com.evil.example/acme/notes",
        "https://evil.example/github.com/acme",
        "git@127.0.0.1:acme/notes",
        "https://gitlab.com/acme/notes",
        "https://github.com/" + "a" * 2100 + "/b",
    ],
)
def test_what_is_no_repository_of_the_service_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_repository(url, "GitHub", SETTINGS)
    assert caught.value.errors
    assert "planted" not in str(caught.value.body("r"))


@pytest.mark.parametrize(
    "entry",
    ["git.example.com", "=git.example.com", "GitLab=https://x", "GitLab=", "GitHub=a b"],
)
def test_a_malformed_host_in_the_settings_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="SATCHEL_REPOSITORY_HOSTS"):
        Settings(_env_file=None, repository_hosts=[entry])


@pytest.mark.parametrize("kind", ["Bitbucket", "Sourcehut", "gitlab"])
def test_a_host_of_ones_own_is_of_a_kind_that_one_can_have(kind: str) -> None:
    check_hosts(SETTINGS)
    with pytest.raises(SettingsError, match=r"SATCHEL_REPOSITORY_HOSTS.* GitHub=host or GitLab="):
        check_hosts(Settings(_env_file=None, repository_hosts=[f"{kind}=git.example.com"]))


@pytest.mark.parametrize("service", HOSTS)
def test_a_hosts_api_is_where_its_file_says_or_its_variable(
    service: ServiceType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host, name = HOSTS[service], f"SATCHEL_{service.upper()}_API_URL"
    assert known_hosts(Settings(_env_file=None))[host.DOMAIN] == (service, host.API)
    (tmp_path / ".env").write_text(f"{name}=https://file.example\nSATCHEL_NO_FIELD=x\n")
    from_file = Settings(_env_file=tmp_path / ".env")
    assert known_hosts(from_file)[host.DOMAIN] == (service, "https://file.example")
    assert from_file.host_settings.keys() == {f"{service.lower()}_api_url"}
    monkeypatch.setenv(name, "https://variable.example")
    from_both = Settings(_env_file=tmp_path / ".env")
    assert known_hosts(from_both)[host.DOMAIN] == (service, "https://variable.example")
    assert unknown_variables(Settings) == []


@pytest.mark.parametrize("service", HOSTS)
@pytest.mark.parametrize("form", ["{0}{0[0]}_API_URL", "{0}_APIURL", "{1}_{2}_API_URL"])
def test_a_mistyped_setting_of_a_host_is_warned_of_with_the_one_that_there_is(
    service: ServiceType,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = service.upper()
    mistyped = f"SATCHEL_{form.format(name, name[:3], name[3:])}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(mistyped, "https://x.example")
    load_settings.cache_clear()
    check_hosts(load_settings())
    load_settings.cache_clear()
    meant = f"SATCHEL_{name}_API_URL"
    told = f"warning: {mistyped} is no setting; did you mean {meant}?"
    assert told in capsys.readouterr().err.splitlines()


def test_a_setting_that_looks_like_a_hosts_is_warned_of_with_the_nearest_of_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = Settings(_env_file=None, sendr_api_url="https://x", githb_api_url="https://y")
    check_hosts(settings)
    assert capsys.readouterr().err.splitlines() == [
        "warning: SATCHEL_GITHB_API_URL is no setting; did you mean SATCHEL_GITHUB_API_URL?",
        "warning: SATCHEL_SENDR_API_URL is no setting; did you mean SATCHEL_SENDER_URL?",
    ]


@pytest.mark.parametrize("begin", ["glpat-", "gldt-", "GLPAT-", "ATBB", "ATCTT3x", "ghs_", "gho_"])
def test_a_token_in_the_place_of_a_users_name_is_refused_at_every_host(begin: str) -> None:
    for host, service in (
        ("gitlab.com", "GitLab"),
        ("bitbucket.org", "Bitbucket"),
        ("git.example.com", "GitLab"),
    ):
        with pytest.raises(Invalid) as caught:
            parse_repository(f"https://{begin}planted@{host}/a/b", service, SETTINGS)  # type: ignore[arg-type]
        assert "planted" not in str(caught.value.body("r"))
