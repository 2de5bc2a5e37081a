"""What is done across pages: visits, routes, forms, downloads, contexts, requests, frames."""

import json
from pathlib import Path

from playwright.sync_api import Error

from tests.compat.programs.playwright_pages import refused
from tests.compat.programs.transcript import Transcript


def visits(t: Transcript, browser, shop):
    t.section("visit")
    page = browser.new_page()
    answer = page.goto(shop)
    t.say("goto", answer.status, answer.ok, page.title(), path(page.url, shop))
    t.say("response", answer.headers["content-type"], len(answer.body()) > 100)
    t.say("goods", page.locator("#goods li").all_inner_texts())
    page.get_by_role("link", name="About", exact=True).click()
    page.wait_for_url("**/about")
    t.say("link", page.title(), page.inner_text("p"))
    page.go_back()
    t.say("back", page.title())
    page.go_forward()
    t.say("forward", page.title())
    page.reload()
    t.say("reload", page.title())
    moved = page.goto(f"{shop}/old")
    first = moved.request.redirected_from
    t.say("redirect", path(page.url, shop), path(first.url, shop), first.response().status)
    t.say("missing", page.goto(f"{shop}/nothing").status, page.title())
    refused(t, "refused", Error, page.goto, "chrome-error://nothing")
    with page.expect_navigation():
        page.evaluate("location.href = '/'")
    t.say("expect_navigation", page.title())
    page.close()


def path(url, shop):
    return url.removeprefix(shop)


def forms(t: Transcript, browser, shop):
    t.section("form")
    page = browser.new_page()
    page.goto(shop)
    page.get_by_placeholder("Your name").fill("Ada")
    page.select_option("select", "cheese")
    page.get_by_label("Wrapped").check()
    page.fill("textarea", "two lines\nof text")
    with page.expect_request("**/order") as request:
        page.get_by_role("button", name="Order").click()
    t.say("request", request.value.method, request.value.post_data.split("&")[:2])
    page.wait_for_url("**/order")
    t.say("answer", page.title(), json.loads(page.inner_text("pre")))
    with page.expect_response("**/about") as response:
        page.goto(f"{shop}/about")
    t.say("response", response.value.status, response.value.request.resource_type)
    page.close()


def routes(t: Transcript, browser, shop):
    t.section("route")
    page, seen = browser.new_page(), []
    page.route("**/api/price*", lambda route: route.fulfill(json={"price": 99}))
    page.goto(shop)
    fetch = "async of => (await (await fetch('/api/price?of=' + of)).json()).price"
    t.say("fulfil", page.evaluate(fetch, "apple"))
    page.unroute("**/api/price*")
    t.say("unroute", page.evaluate(fetch, "apple"))

    def doubled(route):
        answer = route.fetch()
        body = answer.json()
        route.fulfill(response=answer, json={**body, "price": body["price"] * 2})

    page.route("**/api/**", doubled)
    t.say("fetch", page.evaluate(fetch, "cheese"))
    page.route("**/about", lambda route: route.abort())
    refused(t, "abort", Error, page.goto, f"{shop}/about", wait_until="commit")

    def note(route):
        seen.append((route.request.method, path(route.request.url, shop)))
        route.continue_()

    page.unroute_all()
    page.route("**/*", note)
    page.goto(f"{shop}/about")
    t.say("continue", seen, page.title())
    invented = "http://nowhere.invalid/page"
    page.route("**/page", lambda route: route.fulfill(body="<title>Invented</title>"))
    page.goto(invented)
    t.say("invented", page.title())
    page.close()


def downloads(t: Transcript, browser, shop):
    t.section("download")
    page = browser.new_page()
    page.goto(shop)
    with page.expect_download() as download:
        page.get_by_role("link", name="Prices").click()
    t.say("name", download.value.suggested_filename, download.value.failure())
    t.say("text", Path(download.value.path()).read_text().splitlines())
    with page.expect_popup() as popup:
        page.get_by_role("link", name="About, in a new window").click()
    popup.value.wait_for_url("**/about")
    t.say("new window", popup.value.title(), len(page.context.pages))
    page.set_content("<input type=file>")
    upload = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"uploaded"}
    page.set_input_files("input", upload)
    t.say("upload", page.evaluate("document.querySelector('input').files[0].text()"))
    popup.value.close()
    page.close()


def contexts(t: Transcript, browser, shop):
    t.section("context")
    one = browser.new_context(locale="de-DE", user_agent="tester", timezone_id="Asia/Tokyo")
    two = browser.new_context(extra_http_headers={"X-Test": "1"}, java_script_enabled=False)
    t.say("contexts", len(browser.contexts))
    page = one.new_page()
    page.goto(f"{shop}/cookie")
    t.say("first visit", page.inner_text("body"))
    page.reload()
    t.say("second", page.inner_text("body"))
    t.say("cookies", [(cookie["name"], cookie["value"]) for cookie in one.cookies()])
    one.clear_cookies()
    page.reload()
    t.say("cleared", page.inner_text("body"))
    t.say("emulated", page.evaluate("[navigator.language, navigator.userAgent]"))
    t.say("time zone", page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone"))
    other = two.new_page()
    other.goto(f"{shop}/cookie")
    t.say("apart", other.inner_text("body"))
    other.set_content("<noscript>no script</noscript>")
    t.say("without scripts", other.inner_text("body"))
    page.evaluate("localStorage.setItem('k', 'v')")
    state = one.storage_state()
    again = browser.new_context(storage_state=state)
    third = again.new_page()
    third.goto(f"{shop}/about")
    t.say("storage", third.evaluate("localStorage.getItem('k')"))
    answer = again.request.get(f"{shop}/api/price", params={"of": "bread"})
    t.say("request", answer.status, answer.json())
    t.say("post", "Ben" in again.request.post(f"{shop}/order", form={"who": "Ben"}).text())
    for context in (one, two, again):
        context.close()
    t.say("closed", len(browser.contexts))


def frames(t: Transcript, browser, shop):
    t.section("frame")
    page = browser.new_page()
    page.goto(shop)
    page.set_content(f"<iframe name=inner src='{shop}/about'></iframe><iframe srcdoc='plain'>")
    inner = page.frame_locator("iframe[name=inner]")
    t.say("frame_locator", inner.locator("p").inner_text())
    t.say("frames", len(page.frames), page.frame("inner").title())
    inner.get_by_role("link", name="Back").click()
    t.say("moved", inner.locator("h1").inner_text(), page.frame("inner").parent_frame is not None)
    page.close()


def many_pages(t: Transcript, browser, shop):
    t.section("pages")
    context = browser.new_context()
    pages = [context.new_page() for _ in range(5)]
    for n, page in enumerate(pages):
        page.set_content(f"<title>{n}</title><input><button onclick='document.title+=1'>x")
    for page in reversed(pages):
        page.click("button")
    t.say("titles", [page.title() for page in pages])
    for turn in range(3):
        for n, page in enumerate(pages):
            page.fill("input", f"{turn}{n}")
        t.say("in turns", [page.input_value("input") for page in pages])
    heard = []
    for n, page in enumerate(pages):
        page.on("console", lambda message, n=n: heard.append((n, message.text)))
    for n, page in enumerate(pages):
        with page.expect_console_message():
            page.evaluate("n => console.log(n * n)", n)
    t.say("console", sorted(heard))
    context.close()
    t.say("closed", [page.is_closed() for page in pages])


SECTIONS = (visits, forms, routes, downloads, contexts, frames, many_pages)
