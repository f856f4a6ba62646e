"""For everybody: keyboard, screen reader, colours, small pages, little motion."""

import re

import pytest
from playwright.sync_api import expect

from mock_server import OPERATOR_KEY


def active(page):
    return page.evaluate("""() => {
        const node = document.activeElement;
        return node.id || node.getAttribute('data-role') || node.className || node.tagName;
    }""")


def begin(page):
    """Puts the keyboard's place before the first element of the page, which has its message box focused."""
    page.evaluate("() => { document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex'); }")


# --- Keyboard


def test_a_whole_conversation_without_a_mouse(page, server, chat):
    chat.open()
    page.reload()
    expect(page.get_by_label("Model", exact=True)).to_be_enabled()
    keyboard = page.keyboard
    expect(chat.prompt).to_be_focused()
    keyboard.type("Hello")
    keyboard.press("Enter")
    expect(chat.answer).to_have_attribute("aria-busy", "false", timeout=120_000)
    expect(chat.prompt).to_be_focused()
    # Backwards from the message box are the buttons of the last answer.
    for _ in range(10):
        keyboard.press("Shift+Tab")
        if active(page) == "again":
            break
    keyboard.press("Enter")
    expect(chat.answer.locator(".versions")).to_contain_text("2 / 2")
    chat.complete()
    # The settings take the focus and give it back.
    page.locator("#open-settings").focus()
    keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Settings")
    expect(dialog).to_be_visible()
    for _ in range(30):
        keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || document.getElementById('settings').contains(document.activeElement)")
    keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert active(page) == "open-settings"


def test_everything_that_acts_is_reached_by_tab_and_shows_it(chat, mock, page):
    chat.open("thinks").ask()
    begin(page)
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body") or seen and active(page) == "skip":
            break
        visible = page.evaluate("""() => {
            const node = document.activeElement, style = getComputedStyle(node);
            const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
            const box = node.closest('.composer');
            return ring || (box !== null && getComputedStyle(box).outlineStyle !== 'none');
        }""")
        assert visible, f"no focus ring on {active(page)}"
        seen.append(active(page))
    assert seen[0] == "skip"
    for wanted in ["model", "theme", "open-settings", "new-chat", "export-markdown", "export-json", "log", "edit", "copy", "again", "prompt", "send"]:
        assert wanted in seen, (wanted, seen)
    assert seen.index("log") < seen.index("edit") < seen.index("again") < seen.index("prompt") < seen.index("send")


def test_the_skip_link_leads_to_the_message_box(chat, page):
    chat.open()
    begin(page)
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to the message box")
    expect(link).to_be_focused()
    expect(link).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(chat.prompt).to_be_focused()


# --- Screen reader


def test_streaming_is_not_read_out_piece_by_piece(chat, mock, page):
    chat.open("thinks")
    page.evaluate("""() => {
        window.spoken = [];
        const region = document.getElementById('announcer');
        new MutationObserver(() => { if (region.textContent) window.spoken.push(region.textContent); }).observe(region, { childList: true, characterData: true, subtree: true });
    }""")
    chat.ask()
    page.wait_for_timeout(300)
    spoken = page.evaluate("window.spoken")
    assert spoken[:2] == ["Thinking", "Answering"]
    assert len(spoken) == 3
    assert spoken[2].startswith("Answer complete. Merging walks both arrays at once")
    # No other live region holds the answer.
    assert page.evaluate("[...document.querySelectorAll('[aria-live], [role=log], [role=status], [role=alert]')].filter((node) => node.contains(document.querySelector('.assistant .content'))).length") == 0


def test_the_page_has_the_roles_and_names_that_a_reader_needs(chat, mock, page):
    chat.open("thinks").ask("Merge")
    expect(page.get_by_role("main")).to_be_visible()
    expect(page.get_by_role("banner")).to_be_visible()
    expect(page.get_by_role("complementary", name="Conversations")).to_be_visible()
    expect(page.get_by_role("region", name="Conversation", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", level=1, name="Walet")).to_be_visible()
    expect(page.get_by_role("heading", level=2, name="You", exact=True)).to_have_count(1)
    expect(page.get_by_role("heading", level=2, name="Answer of thinks")).to_be_visible()
    expect(page.get_by_role("textbox", name="Message", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title() == "Merge · Walet"
    unnamed = page.evaluate("""[...document.querySelectorAll('button, a, input, select, textarea, summary')].filter((node) =>
        !(node.textContent.trim() || node.getAttribute('aria-label') || node.labels?.length)).map((node) => node.outerHTML)""")
    assert unnamed == []


# --- axe-core


@pytest.fixture(params=["light", "dark"])
def context_options(request):
    return {"color_scheme": getattr(request, "param", "light"), "reduced_motion": "reduce"}


def test_an_empty_conversation_is_accessible(chat, page, assert_accessible):
    chat.open()
    assert_accessible(page)


def test_an_answer_is_accessible(chat, page, assert_accessible):
    chat.open("thinks" if chat.server.mock else None).ask()
    for summary in page.locator("article.assistant summary").all():
        summary.click()
    assert_accessible(page)


def test_an_answer_under_way_is_accessible(chat, mock, page, assert_accessible):
    chat.open("slow-thinking").ask(wait=False)
    expect(chat.answer.locator(".thinking summary")).to_have_text("Thinking… 1 s")
    assert_accessible(page)


def test_all_of_markdown_is_accessible(chat, mock, page, assert_accessible):
    chat.open("kitchen-sink").ask()
    assert_accessible(page)


def test_tool_calls_are_accessible(chat, mock, page, assert_accessible):
    chat.open("tool-calls").ask()
    assert_accessible(page)


def test_errors_are_accessible(chat, mock, page, assert_accessible):
    mock.state.fail_next = (429, {"Retry-After": "30"}, {"error": {"message": "Slower.", "type": "x", "code": None}})
    chat.open("echo").ask()
    chat.answer.get_by_role("button", name="Regenerate").click()
    chat.complete()
    mock.state.needs_key = True
    chat.ask("Again")
    chat.questions.first.get_by_role("button", name="Edit").click()
    assert_accessible(page)


def test_the_settings_are_accessible(chat, page, assert_accessible):
    chat.open()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Definitions, as JSON").fill("[1")
    assert_accessible(page)


def test_the_operator_page_is_accessible(page, server, assert_accessible):
    page.goto(server.url + "operator")
    if server.mock:
        expect(page.get_by_label("API key")).to_be_visible()
        assert_accessible(page)
        page.get_by_label("API key").fill(OPERATOR_KEY)
        page.get_by_label("API key").press("Enter")
        expect(page.locator(".keys")).to_be_visible()
        for summary in page.get_by_text("As a table").all():
            summary.click()
    assert_accessible(page)


# --- Colours


def luminance(color):
    parts = [float(part) / 255 for part in re.findall(r"[\d.]+", color)[:3]]
    return sum(weight * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4) for weight, part in zip((0.2126, 0.7152, 0.0722), parts))


def test_colours_follow_the_system_and_the_switch(chat, page, context_options):
    chat.open()
    paper = lambda: luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    is_dark = context_options["color_scheme"] == "dark"
    assert (paper() < 0.2) == is_dark
    switch = page.get_by_role("button", name=re.compile("^Colours: as the system"))
    switch.click()
    page.get_by_role("button", name=re.compile("^Colours: light")).click()
    assert paper() < 0.2
    page.reload()
    assert paper() < 0.2
    page.get_by_role("button", name=re.compile("^Colours: dark")).click()
    assert (paper() < 0.2) == is_dark


def test_nothing_moves_where_motion_is_not_wanted(chat, mock, page):
    chat.open("waits").ask(wait=False)
    expect(chat.answer.locator(".dots")).to_be_visible()
    assert page.evaluate("document.getAnimations().filter((each) => each.playState === 'running').length") == 0
    page.keyboard.press("Escape")


# --- Small pages


SMALL = {"width": 320, "height": 568}


def overflow(page):
    """How far the page can be scrolled to the side, and what sticks out."""
    return page.evaluate("""() => {
        const wide = [...document.querySelectorAll('body *')].filter((node) => {
            const box = node.getBoundingClientRect();
            return box.width > 0 && box.right > innerWidth + 1 && !node.closest('pre, .table, .sr-only, .table-place, dialog:not([open])')
                && getComputedStyle(node).position !== 'fixed';
        });
        return [document.documentElement.scrollWidth - innerWidth, wide.map((node) => node.outerHTML.slice(0, 120))];
    }""")


def test_the_chat_fits_320_pixels(chat, page, assert_accessible):
    page.set_viewport_size(SMALL)
    chat.open("kitchen-sink" if chat.server.mock else None)
    assert overflow(page) == [0, []]
    chat.ask("A-very-long-word-without-an-end-" * 10)
    assert overflow(page) == [0, []]
    page.get_by_role("button", name="Conversations").click()
    expect(page.get_by_role("button", name="New conversation", exact=True).first).to_be_visible()
    assert overflow(page) == [0, []]
    page.keyboard.press("Escape")
    expect(page.locator("#sidebar")).to_be_hidden()
    page.get_by_role("button", name="Settings").click()
    assert overflow(page) == [0, []]
    assert_accessible(page)


def test_the_operator_page_fits_320_pixels(page, server):
    page.set_viewport_size(SMALL)
    if server.operator_key:
        page.add_init_script(f"sessionStorage.setItem('walet.operator-key', {server.operator_key!r})")
    page.goto(server.url + "operator")
    expect(page.locator("#state")).to_have_text("Live")
    if server.mock:
        expect(page.locator(".keys")).to_be_visible()
    assert overflow(page) == [0, []]


def test_targets_are_large_enough_to_touch(chat, mock, page):
    page.set_viewport_size(SMALL)
    chat.open("thinks").ask()
    small = page.evaluate("""[...document.querySelectorAll('button, select, input, summary')].filter((node) => node.checkVisibility({ visibilityProperty: true })).map((node) => {
        const box = node.getBoundingClientRect();
        return [Math.min(box.width, box.height), node.outerHTML.slice(0, 100)];
    }).filter(([size]) => size > 1 && size < 24)""")
    assert small == []
