"""A day of Playwright's sync API: a browser, its pages, and a shop on loopback."""

import os

from playwright.sync_api import sync_playwright

from tests.compat.programs import playwright_pages, playwright_shop, playwright_visits
from tests.compat.programs.transcript import Transcript

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


def main():
    t = Transcript()
    with playwright_shop.opened() as shop, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        t.section("browser")
        t.say("launch", browser.is_connected(), browser.browser_type.name, browser.contexts)
        for section in (*playwright_pages.SECTIONS, *playwright_visits.SECTIONS):
            section(t, browser, shop)
        t.section("browser")
        browser.close()
        t.say("close", browser.is_connected())
    t.close()


if __name__ == "__main__":
    main()
