"""`scripts run`, in real processes: a start, what stands in its way, and the end of everything it
started."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.factories.starts import SECONDS, Satchel, Start

ROOT = Path(__file__).parents[2]


def test_welcome_names_url_docs_console_and_the_key(satchel: Satchel) -> None:
    url = f"http://127.0.0.1:{satchel.port}"
    key = (satchel.data_dir / "admin-key").read_text().strip()
    assert all(
        text in satchel.output
        for text in (url, f"{url}/docs", f"{url}/console", key, "first start")
    )


def test_admin_key_opens_the_api(satchel: Satchel) -> None:
    status, user = satchel.call("POST", "/v1/users", {"email": "ada@example.org"})
    assert (status, user["email"]) == (201, "ada@example.org")


def test_quick_start_of_the_readme_works_when_pasted(satchel: Satchel) -> None:
    readme = (ROOT / "README.md").read_text()
    lines = readme.split("```sh\n")[1].split("```")[0]
    assert len(lines.splitlines()) == 5
    own = lines.replace("127.0.0.1:8000", f"127.0.0.1:{satchel.port}").replace(
        ".satchel/", f"{satchel.data_dir}/"
    )
    done = subprocess.run(
        ["bash", "-c", own], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    said = done.stdout.splitlines()
    told = [json.loads(line) for line in said if line[:1] in ("{", "[")]
    stored, refused, batch, changes, event, counts, plan, receipt, gone = told
    assert "event: changed" in said and any(line.startswith('data: {"cursor":') for line in said)
    assert (stored["dataKey"], stored["version"]) == ("settings", 1)
    assert (refused["status"], refused["current"]["value"]) == (412, {"theme": "dark"})
    assert [result["status"] for result in batch["results"]] == ["stored", "stored"]
    assert {
        change["dataKey"]: (change["value"], change["version"]) for change in changes["changes"]
    } == {
        "n1": ({"title": "Milk"}, 1),
        "settings": ({"theme": "dark", "size": 2}, 2),
    }
    assert event == {"accepted": 1, "duplicates": 0, "quarantined": 0}
    assert {"eventName": "signup", "count": 1} in counts
    assert (
        plan["deleted"]
        == receipt["deleted"]
        == {
            "users": 1,
            "profiles": 1,
            "preferences": 1,
            "appdata": 2,
        }
    )
    assert gone["status"] == 404


def test_sign_in_of_the_guide_works_when_pasted(satchel: Satchel) -> None:
    lines = (ROOT / "docs" / "sign-in.md").read_text().split("```sh\n")[1].split("```")[0]
    own = lines.replace("127.0.0.1:8000", f"127.0.0.1:{satchel.port}").replace(
        ".satchel/", f"{satchel.data_dir}/"
    )
    done = subprocess.run(
        ["bash", "-c", own], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    me, chosen, refreshed, sessions, status, ended = done.stdout.splitlines()
    assert json.loads(me)["nextSteps"] == ["chooseRole"]
    assert (json.loads(chosen)["role"], json.loads(chosen)["nextSteps"]) == ("creator", [])
    assert json.loads(refreshed)["refreshToken"].startswith("rt_")
    assert [one["deviceInfo"] for one in json.loads(sessions)["items"]] == ["curl"]
    assert (status, json.loads(ended)["status"]) == ("204", 401)


def test_console_opens_in_a_browser(satchel: Satchel) -> None:
    chromium = shutil.which("chromium")
    assert chromium, "apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 380, "height": 700})
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        answer = page.goto(f"http://127.0.0.1:{satchel.port}/console")
        assert answer is not None
        assert answer.status == 200
        assert page.locator("h1").inner_text().startswith("Satchel")
        assert f"127.0.0.1:{satchel.port}/v1/analytics/events" in page.locator("pre").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
        page.get_by_role("link", name="Readiness").click()
        assert "ready" in page.locator("body").inner_text()
        browser.close()
    assert troubles == []


def test_documentation_shows_every_operation_in_a_browser_without_internet(
    satchel: Satchel,
) -> None:
    chromium = shutil.which("chromium")
    assert chromium, "apt-get install chromium"
    base = f"http://127.0.0.1:{satchel.port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        troubles: list[str] = []
        asked: list[str] = []
        page.on(
            "console",
            lambda message: troubles.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{base}/docs")
        page.locator("#operations-Users-createUser").wait_for()
        page.locator("#operations-Users-createUser").click()
        page.get_by_text("ann@example.com").first.wait_for()
        operations = json.loads(
            urllib.request.urlopen(f"{base}/openapi.json", timeout=SECONDS).read()
        )["paths"]
        # A long page draws what is in sight: it is asked what it knows, and led to what stands
        # last.
        assert page.evaluate("ui.specSelectors.operations().size") == sum(
            map(len, operations.values())
        )
        last = [operation for item in operations.values() for operation in item.values()][-1]
        place = f"operations-{last['tags'][0].replace(' ', '_')}-{last['operationId']}"
        for _ in range(100):
            page.mouse.wheel(0, 20_000)
            if page.locator(f"#{place}").count():
                break
            page.wait_for_timeout(100)
        assert page.locator(f"#{place}").count() == 1
        browser.close()
    assert troubles == []
    assert [url for url in asked if not url.startswith((f"{base}/", "data:"))] == []


def test_secrets_and_logs_are_for_their_owner_only(satchel: Satchel) -> None:
    files = [path for path in satchel.data_dir.iterdir() if path.is_file()]
    assert {"admin-key", "mongodb-uri", "server.log", "worker.log", "mongod.log"} <= {
        path.name for path in files
    }
    assert {path.name for path in files if path.stat().st_mode & 0o077} == set()
    assert satchel.data_dir.stat().st_mode & 0o777 == 0o700


def test_second_start_on_the_port_says_that_a_satchel_has_it(
    satchel: Satchel, start: Start
) -> None:
    second = start(port=satchel.port)
    assert second.end() == 1
    assert f"Another Satchel listens on 127.0.0.1:{satchel.port}" in second.output
    assert not second.data_dir.exists()
