"""Somebody at a browser, and what the browser complained of."""

from pathlib import Path

from playwright.sync_api import Locator, Page

AXE = (Path(__file__).parents[2] / "vendor" / "axe.js").read_text()

SQUEEZED = """[...document.querySelectorAll("tbody td, tbody th")]
    .map(cell => [cell.innerText.trim().slice(0, 60), cell.clientWidth])
    .filter(([text, width]) => text.length > 8 && width > 0 && width < 48)"""
"""Cells of a table whose text is broken into letters."""


class Visitor:
    """A page of the console, open in a browser."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        page.on("console", lambda said: self._hear(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self._hear(str(error)))
        page.on("dialog", lambda dialog: (self._hear(f"dialog {dialog.message}"), dialog.dismiss()))

    def _hear(self, complaint: str) -> None:
        self.complaints.append(complaint)

    def sign_in(self, key: str) -> None:
        self.page.goto(f"{self.url}/console")
        self.page.get_by_label("API key").fill(key)
        self.press("Sign in")

    def open(self, path: str) -> int:
        """Open a page; its status."""
        answer = self.page.goto(f"{self.url}{path}")
        assert answer is not None
        return answer.status

    def press(self, name: str) -> None:
        """Press a button, and wait for the page that it leads to."""
        self.follow(self.page.get_by_role("button", name=name, exact=True))

    def follow(self, link: Locator) -> None:
        """Click, and wait for the page that it leads to."""
        with self.page.expect_navigation():
            link.click()

    def unfold(self, name: str, within: str = "body") -> None:
        """Open what asks for an action."""
        self.page.locator(within).locator("summary", has_text=name).first.click()

    @property
    def text(self) -> str:
        return self.page.locator("main").inner_text()

    @property
    def note(self) -> str:
        return self.page.locator(".note").inner_text()

    def faults(self) -> list[str]:
        """What is wrong with the page as it is: by axe-core, by its width, by what it has run."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        wrong = [
            f"{one['id']}: {[node['html'][:200] for node in one['nodes']]}"
            for one in found
            if one["impact"] in ("moderate", "serious", "critical")
        ]
        wide, room = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        if wide > room:
            wrong.append(f"{wide} pixels do not fit into {room}")
        squeezed = self.page.evaluate(SQUEEZED)
        wrong += [f"{width} pixels for: {text}" for text, width in squeezed]
        planted = "document.querySelectorAll('[onerror], [onload], script:not([src]):not([type])')"
        if self.page.evaluate(f"{planted}.length") or self.page.title() == "owned":
            wrong.append("what somebody stored is a part of the page")
        return wrong + self.complaints
