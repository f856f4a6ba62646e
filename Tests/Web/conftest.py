"""Fixtures: a real Chromium, a server, and a watch over what the page must never do."""

import json
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from mock_server import KEY, OPERATOR_KEY, MockServer

expect.set_options(timeout=20_000)


def pytest_addoption(parser):
    group = parser.getgroup("walet")
    group.addoption("--server", help="address of a running walet serve; without it a mock server is started")
    group.addoption("--api-key", default="", help="a key of that server")
    group.addoption("--operator-key", default="", help="an operator's key of that server")
    group.addoption("--model", default=None, help="the model to ask there; else its first")
    group.addoption("--chromium", default="/usr/bin/chromium", help="path of Chromium")


@pytest.fixture(scope="session")
def browser(request):
    with sync_playwright() as playwright:
        # Names other than this machine's do not resolve: should the page ask for one, it gets nothing, and the test fails.
        instance = playwright.chromium.launch(
            executable_path=request.config.getoption("--chromium"),
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"])
        yield instance
        instance.close()


class Server:
    """Where the page is, and how to ask there."""

    def __init__(self, url, key, operator_key, model, mock):
        self.url, self.key, self.operator_key, self.model, self.mock = url, key, operator_key, model, mock


@pytest.fixture(scope="session")
def session_server(request):
    url = request.config.getoption("--server")
    if url:
        yield Server(url.rstrip("/") + "/", request.config.getoption("--api-key"), request.config.getoption("--operator-key"),
                     request.config.getoption("--model"), None)
        return
    mock = MockServer()
    threading.Thread(target=mock.serve_forever, daemon=True).start()
    yield Server(mock.url, "", OPERATOR_KEY, "echo", mock)
    mock.shutdown()


@pytest.fixture
def server(session_server):
    if session_server.mock:
        session_server.mock.state.reset()
    return session_server


@pytest.fixture
def mock(server):
    """The mock server, for tests whose answers must be known."""
    if server.mock is None:
        pytest.skip("needs answers that are known: the mock server")
    return server.mock


WATCH = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => {
    window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
"""


class Watch:
    def __init__(self, context, url):
        self.host = urlsplit(url).netloc
        self.problems = []
        self.allowed = []
        context.add_init_script(WATCH)
        context.on("request", self.request)
        context.on("console", self.console)
        context.on("weberror", lambda error: self.problems.append(f"script error: {error.error}"))

    def request(self, request):
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self.host:
            self.problems.append(f"request to another host: {request.url}")
        for key in (KEY, OPERATOR_KEY):
            if key in request.url:
                self.problems.append(f"a key in an address: {request.url}")

    def console(self, message):
        # Refusals of the server are written to the console by the browser itself.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(f"console: {message.text}")

    def check(self, page):
        if not page.is_closed() and page.url.startswith("http"):
            self.problems += [f"policy violation: {text}" for text in page.evaluate("window.violations ?? []")]
        problems = [problem for problem in self.problems if not any(text in problem for text in self.allowed)]
        assert problems == [], "\n".join(problems)


@pytest.fixture
def context_options():
    """Overridden by tests that need another device or reader."""
    return {}


@pytest.fixture
def page(browser, server, context_options):
    options = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", "color_scheme": "light", **context_options}
    context = browser.new_context(**options)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url.rstrip("/"))
    watch = Watch(context, server.url)
    page = context.new_page()
    page.watch = watch
    yield page
    watch.check(page)
    context.close()


class Chat:
    """The chat page as a person uses it."""

    def __init__(self, page, server):
        self.page, self.server = page, server
        self.prompt = page.get_by_label("Message", exact=True)
        self.answers = page.locator("article.assistant")
        self.questions = page.locator("article.user")
        self.send_button = page.get_by_role("button", name="Send", exact=True)
        self.stop_button = page.get_by_role("button", name="Stop", exact=True)

    def open(self, model=None):
        if self.server.key:
            self.page.add_init_script(f"sessionStorage.setItem('walet.key', {self.server.key!r})")
        self.page.goto(self.server.url)
        expect(self.page.get_by_label("Model", exact=True)).to_be_enabled()
        model = model or self.server.model
        if model:
            self.page.get_by_label("Model", exact=True).select_option(model)
        return self

    def ask(self, text="Hello", wait=True):
        before = self.answers.count()
        self.prompt.fill(text)
        self.prompt.press("Enter")
        if wait:
            self.complete(before)
        return self

    def complete(self, index=-1):
        answer = self.answers.last if index < 0 else self.answers.nth(index)
        expect(answer).to_have_attribute("aria-busy", "false", timeout=120_000)
        return answer

    @property
    def answer(self):
        return self.answers.last

    @property
    def content(self):
        return self.answers.last.locator(".content")


@pytest.fixture
def chat(page, server):
    return Chat(page, server)


@pytest.fixture(scope="session")
def axe_source():
    import axe_playwright_python
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


@pytest.fixture
def assert_accessible(axe_source):
    """Runs axe-core on the page as it is, and fails on any violation, best practices included."""

    def check(page):
        # Through the debugger, which the page's policy does not bind. Trusted types do bind what axe does in the page: give it a world of its own.
        session = page.context.new_cdp_session(page)
        frame = session.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
        world = session.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "axe"})["executionContextId"]
        session.send("Runtime.evaluate", {"expression": axe_source + "; 0", "contextId": world})
        script = "axe.run(document, {resultTypes: ['violations']}).then((found) => JSON.stringify(found.violations.map((each) => `${each.id} (${each.impact}): ${each.help}: ${each.nodes.map((node) => node.html + ' — ' + node.failureSummary).join(' | ')}`)))"
        answer = session.send("Runtime.evaluate", {"expression": script, "contextId": world, "awaitPromise": True, "returnByValue": True})
        session.detach()
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        violations = json.loads(answer["result"]["value"])
        assert violations == [], "\n".join(violations)

    return check
