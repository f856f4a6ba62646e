"""What the pages send, and what they may load."""

import re
import urllib.error
import urllib.request

import pytest

from mock_server import WEB

POLICY = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'", "img-src": "'self' data:", "base-uri": "'none'",
    "form-action": "'none'", "frame-ancestors": "'none'", "require-trusted-types-for": "'script'", "trusted-types": "'none'",
}

PATHS = {"": "text/html; charset=utf-8", "operator": "text/html; charset=utf-8", "web/app.css": "text/css; charset=utf-8", "web/icon.svg": "image/svg+xml",
         **{f"web/{file.name}": "text/javascript; charset=utf-8" for file in sorted(WEB.glob("*.js"))}}


@pytest.mark.parametrize("path", PATHS)
def test_each_file_has_its_type_and_its_policy(server, path):
    with urllib.request.urlopen(server.url + path) as answer:
        headers = answer.headers
        content = answer.read()
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy == POLICY
    assert headers["Content-Type"] == PATHS[path]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-cache"
    names = {"": "index.html", "operator": "operator.html"}
    assert content == (WEB / names.get(path, path.removeprefix("web/"))).read_bytes()


def test_a_file_that_is_known_is_not_sent_again(server):
    with urllib.request.urlopen(server.url + "web/chat.js") as answer:
        tag = answer.headers["ETag"]
    request = urllib.request.Request(server.url + "web/chat.js", headers={"If-None-Match": f'"other", {tag}'})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 304
    assert "script-src 'self'" in caught.value.headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["index.html", "operator.html"])
def test_pages_hold_no_script_style_or_address_of_elsewhere(name):
    text = (WEB / name).read_text()
    assert re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text) is None
    assert re.search(r"<script(?![^>]* src=)", text) is None
    for address in re.findall(r'(?:src|href)="([^"]*)"', text):
        assert re.match(r"(web/[a-z]+\.[a-z]+|operator|\./|#[a-z]+)$", address), address


def test_scripts_make_no_markup_of_text():
    for file in WEB.glob("*.js"):
        text = file.read_text()
        assert re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|setHTML", text) is None, file.name
        for address in re.findall(r"https?://[a-z0-9.]+", text):
            assert address == "http://www.w3.org", (file.name, address)


def test_another_page_cannot_frame_the_chat(page, server):
    page.watch.allowed.append("frame-ancestors")
    page.watch.allowed.append("ERR_BLOCKED_BY_RESPONSE")
    page.goto("data:text/html,<iframe id=frame></iframe>")
    page.evaluate("(url) => { document.getElementById('frame').src = url; }", server.url)
    page.wait_for_timeout(500)
    frame = page.frames[1]
    assert frame.url.startswith("chrome-error:") or frame.query_selector("#prompt") is None


def test_the_pages_use_no_storage_that_outlives_the_tab_but_for_colours(chat, page):
    chat.open().ask("Hello")
    page.locator("#theme").click()
    assert page.evaluate("Object.keys(localStorage)") == ["walet.theme"]
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("indexedDB.databases().then((all) => all.length)") == 0
