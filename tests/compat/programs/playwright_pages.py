"""What is done with one page: content, locators, input, scripts, events, waiting, pictures."""

import struct

from playwright.sync_api import Error, expect
from playwright.sync_api import TimeoutError as TooLate

from tests.compat.programs.transcript import Transcript

FORM = """<title>Form</title>
<h1 id="head" class="big">Form</h1>
<input id="name" placeholder="Name"><input id="mail" type="email" value="old@example.org">
<select id="colour" multiple><option>red<option>green<option>blue</select>
<label><input type="checkbox" id="yes"> Yes</label>
<label><input type="radio" name="size" value="s"> Small</label>
<label><input type="radio" name="size" value="l"> Large</label>
<button id="add" onclick="add()">Add</button><button disabled>Never</button>
<ul id="list"></ul><p hidden>secret</p>
<div id="box" style="width:120px;height:80px;background:teal" ondblclick="this.id='twice'"></div>
<script>
function add() {
  const item = document.createElement("li");
  item.textContent = document.getElementById("name").value || "nothing";
  document.getElementById("list").append(item);
  console.log("added", item.textContent);
}
</script>"""


def first_line(error):
    return str(error).partition("\n")[0]


def refused(t: Transcript, name, error, function, *args, **kwargs):
    """Tell that `function` raises `error`, and the first line of what it says."""
    try:
        t.say(name, f"no {error.__name__} but", function(*args, **kwargs))
    except error as raised:
        t.say(name, type(raised).__name__, first_line(raised))


def reading(t: Transcript, browser, shop):
    t.section("read")
    page = browser.new_page(viewport={"width": 640, "height": 480})
    page.set_content(FORM)
    t.say("title", page.title(), page.url)
    t.say("text_content", page.text_content("#head"), page.inner_text("#head"))
    t.say("get_attribute", page.get_attribute("#head", "class"))
    t.say("inner_html", page.locator("#colour").inner_html())
    t.say("count", page.locator("option").count(), page.locator("li").count())
    t.say("all_inner_texts", page.locator("option").all_text_contents())
    t.say("nth", page.locator("option").nth(1).text_content())
    t.say("filter", page.locator("option").filter(has_text="bl").text_content())
    t.say("get_by_role", page.get_by_role("button", name="Add").get_attribute("id"))
    t.say("get_by_placeholder", page.get_by_placeholder("Name").get_attribute("id"))
    t.say("get_by_label", page.get_by_label("Large").get_attribute("value"))
    t.say("get_by_text", page.get_by_text("Small").evaluate("e => e.tagName"))
    t.say("input_value", page.input_value("#mail"))
    states = [page.locator("button").nth(n).is_enabled() for n in range(2)]
    t.say("is_enabled", states, page.is_visible("p"), page.is_hidden("p"))
    t.say("query_selector", page.query_selector("#nothing"))
    t.say("query_selector_all", len(page.query_selector_all("input")))
    t.say("bounding_box", {k: page.locator("#box").bounding_box()[k] for k in ("width", "height")})
    t.say("viewport", page.viewport_size)
    refused(t, "strict", Error, page.locator("button").click, timeout=2000)
    refused(t, "timeout", TooLate, page.locator("#nothing").click, timeout=50)
    refused(t, "bad selector", Error, page.locator("xpath=//[").count)
    page.close()
    t.say("closed", page.is_closed())
    refused(t, "title of a closed page", Error, page.title)


def typing(t: Transcript, browser, shop):
    t.section("input")
    page = browser.new_page()
    page.set_content(FORM)
    for name in ("Ada", "Grace", ""):
        page.fill("#name", name)
        page.click("#add")
    t.say("click", page.locator("#list li").all_inner_texts())
    page.locator("#name").press_sequentially("abc")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.type("D")
    t.say("keyboard", page.input_value("#name"))
    page.keyboard.press("Tab")
    t.say("focus", page.evaluate("document.activeElement.id"))
    page.check("#yes")
    t.say("check", page.is_checked("#yes"))
    page.uncheck("#yes")
    t.say("uncheck", page.is_checked("#yes"))
    page.get_by_label("Large").check()
    t.say("radio", page.evaluate("document.querySelector('[name=size]:checked').value"))
    t.say("select_option", page.select_option("#colour", ["red", "blue"]))
    page.dblclick("#box")
    t.say("dblclick", page.locator("#twice").count())
    page.hover("#twice")
    t.say("hover", page.wait_for_selector("#twice:hover") is not None)
    page.locator("#name").clear()
    t.say("clear", page.input_value("#name"))
    page.locator("#add").dispatch_event("click")
    t.say("dispatch_event", page.locator("#list li").last.inner_text())
    expect(page.locator("#list li")).to_have_count(4)
    expect(page.locator("#head")).to_have_text("Form")
    try:
        expect(page.locator("#head")).to_have_text("Other", timeout=50)
    except AssertionError as error:
        t.say("expect", first_line(error))
    page.close()


def scripts(t: Transcript, browser, shop):
    t.section("script")
    page = browser.new_page()
    page.set_content(FORM)
    t.say("evaluate", page.evaluate("1 + 2"), page.evaluate("[1, {a: null}, 'x', 2.5]"))
    t.say("argument", page.evaluate("([a, b]) => a * b", [6, 7]))
    t.say("promise", page.evaluate("() => new Promise(done => setTimeout(done, 5, 'later'))"))
    t.say("await", page.evaluate("async () => (await Promise.all([1, 2])).length"))
    refused(t, "throws", Error, page.evaluate, "() => { throw new RangeError('why') }")
    refused(t, "syntax", Error, page.evaluate, "1 +")
    handle = page.evaluate_handle("({a: 1, b: [2]})")
    t.say("handle", handle.json_value(), sorted(handle.get_properties()))
    t.say("eval_on_selector_all", page.eval_on_selector_all("input", "all => all.length"))
    log = []

    def ask(x, y):
        log.append((x, y))
        return x + y

    page.expose_function("ask", ask)
    t.say("expose_function", page.evaluate("async () => await ask(1, 2) + await ask(3, 4)"), log)
    page.expose_binding("where", lambda source, word: (source["page"] is page, word))
    t.say("expose_binding", page.evaluate("where('here')"))

    def nested(n):
        # A call of the browser into Python that itself asks the browser.
        return page.evaluate("n => n * 10", n)

    page.expose_function("nested", nested)
    t.say("nested", page.evaluate("nested(4)"))
    page.add_script_tag(content="window.added = 'script'")
    page.add_style_tag(content="#head { color: rgb(1, 2, 3) }")
    style = "getComputedStyle(document.getElementById('head')).color"
    t.say("tags", page.evaluate("added"), page.evaluate(style))
    page.add_init_script("window.early = 1")
    page.goto("about:blank")
    t.say("init script", page.evaluate("early"))
    page.evaluate("setTimeout(() => { document.title = 'late' }, 5)")
    page.wait_for_function("document.title == 'late'")
    t.say("wait_for_function", page.title())
    page.evaluate("setTimeout(() => document.body.append(document.createElement('hr')), 5)")
    t.say("wait_for_selector", page.wait_for_selector("hr", state="attached") is not None)
    page.wait_for_timeout(1)
    page.close()


def happenings(t: Transcript, browser, shop):
    t.section("event")
    page, log = browser.new_page(), []
    page.set_content(FORM)
    page.on("console", lambda message: log.append((message.type, message.text)))
    with page.expect_console_message():
        page.click("#add")
    t.say("console", log)
    with page.expect_console_message() as message:
        page.evaluate("console.warn('careful', 1)")
    t.say("expect_console_message", message.value.type, message.value.text)
    t.say("its arguments", [argument.json_value() for argument in message.value.args])
    page.once("dialog", lambda dialog: dialog.accept("Ada"))
    t.say("prompt", page.evaluate("prompt('Who?', 'nobody')"))
    page.once("dialog", lambda dialog: dialog.dismiss())
    t.say("confirm", page.evaluate("confirm('Sure?')"))
    page.once("dialog", lambda dialog: (log.append(dialog.message), dialog.accept()))
    t.say("alert", page.evaluate("alert('Look!')"), log[-1])
    with page.expect_event("pageerror") as error:
        page.evaluate("setTimeout(() => { throw new TypeError('uncaught') })")
    t.say("pageerror", error.value.name, error.value.message)
    with page.expect_popup() as popup:
        page.evaluate("open('about:blank') && 1")
    t.say("popup", popup.value.url, popup.value.opener() is page, len(page.context.pages))
    popup.value.close()
    page.on("close", lambda closed: log.append(closed is page))
    with page.expect_event("worker") as worker:
        page.evaluate("{ new Worker(URL.createObjectURL(new Blob(['']))) }")
    t.say("worker", worker.value.evaluate("6 * 7"))
    try:
        with page.expect_event("popup", timeout=50):
            pass
    except TooLate as error:
        t.say("none comes", first_line(error))
    page.close()
    t.say("close", log[-1])


def pictures(t: Transcript, browser, shop):
    t.section("picture")
    page = browser.new_page(viewport={"width": 320, "height": 200})
    page.set_content("<body style='margin:0'><div style='width:100px;height:900px'>tall")
    t.say("screenshot", png_size(page.screenshot()))
    t.say("full page", png_size(page.screenshot(full_page=True)))
    t.say("element", png_size(page.locator("div").screenshot()))
    clip = {"x": 0, "y": 0, "width": 50, "height": 20}
    t.say("clip", png_size(page.screenshot(clip=clip)))
    t.say("jpeg", page.screenshot(type="jpeg")[:3])
    page.set_viewport_size({"width": 100, "height": 50})
    t.say("resized", png_size(page.screenshot()), page.evaluate("innerWidth"))
    t.say("pdf", page.pdf()[:5])
    page.emulate_media(color_scheme="dark", media="print")
    t.say("media", page.evaluate("matchMedia('print').matches"))
    page.close()


def png_size(data):
    return struct.unpack(">II", data[16:24])


SECTIONS = (reading, typing, scripts, happenings, pictures)
