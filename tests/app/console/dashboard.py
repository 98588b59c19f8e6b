"""The dashboard in a browser, and what its browser complained of."""

from playwright.sync_api import Page

from tests.app.console.visitor import AXE
from tests.serving import Served


class Console:
    """A page that is signed in, and what its browser complained of."""

    def __init__(self, page: Page, satchel: Served) -> None:
        self.page = page
        self.satchel = satchel
        self.complaints: list[str] = []
        page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type == "error" else None,
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def sign_in(self, key: str) -> None:
        self.page.goto(f"{self.satchel.url}/console")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()

    def open(self, query: str = "") -> None:
        self.page.goto(f"{self.satchel.url}/console{query}")

    def serious(self) -> list[str]:
        """What axe-core finds serious or critical."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run()")
        return [
            f"{one['id']}: {[node['html'] for node in one['nodes']]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    @property
    def span(self) -> dict[str, str]:
        data = self.page.evaluate("({...document.body.dataset})")
        return {
            "from": data["from"],
            "to": data["to"],
            "tz": data["tz"],
            "interval": data["interval"],
        }


def drawn(page: Page) -> None:
    page.locator("canvas[data-drawn]").nth(2).wait_for()
