"""What a person does on the chat page."""

import json
import re
import time

from playwright.sync_api import expect

from mock_server import KEY


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


# --- Streaming


def test_an_answer_grows_while_it_comes(chat):
    model = "thinks" if chat.server.mock else None
    chat.open(model).ask("Explain in a few sentences why the sky is blue.", wait=False)
    expect(chat.answer).to_have_attribute("aria-busy", "true")
    lengths = set()
    while chat.answer.get_attribute("aria-busy") == "true":
        lengths.add(len(chat.answer.inner_text()))
        time.sleep(0.03)
    assert len(lengths) >= 3
    assert chat.content.inner_text().strip() != ""


def test_a_streamed_answer_is_shown_whole(chat, mock):
    chat.open("echo").ask("Grüße an 🐦 und <b>alle</b>")
    expect(chat.content).to_have_text("You said: Grüße an 🐦 und <b>alle</b>")


def test_thinking_is_folded_away_with_a_running_time(chat, mock):
    chat.open("slow-thinking").ask(wait=False)
    summary = chat.answer.locator(".thinking summary")
    expect(summary).to_have_text(re.compile(r"^Thinking… \d+ s$"))
    expect(summary).to_have_text("Thinking… 2 s")
    text = chat.answer.locator(".thinking-text")
    expect(text).to_be_hidden()
    summary.click()
    expect(text).to_be_visible()
    expect(text).to_contain_text("thought5 ")
    chat.page.keyboard.press("Escape")
    chat.complete()
    expect(summary).to_have_text(re.compile(r"^Thinking ended after \d+ s$"))


def test_thinking_stays_out_of_the_answer(chat, mock):
    chat.open("thinks").ask()
    expect(chat.answer.locator(".thinking summary")).to_have_text(re.compile(r"^Thought for \d+ s$"))
    expect(chat.content).not_to_contain_text("The user wants")
    assert chat.answer.locator(".thinking").get_attribute("open") is None
    expect(chat.answer.locator("pre")).to_contain_text("func merge<Element: Comparable>")
    expect(chat.answer.locator("table tbody tr")).to_have_count(2)


def test_code_is_copied_as_it_was_written(chat, mock):
    chat.open("thinks").ask()
    chat.answer.get_by_role("button", name="Copy the code").click()
    text = chat.page.evaluate("navigator.clipboard.readText()")
    assert text.startswith("/// Merges two sorted arrays into one.\nfunc merge")
    assert text.endswith("    return result + a[i...] + b[j...]\n}\n")


def test_an_answer_is_copied_as_markdown(chat, mock):
    chat.open("thinks").ask()
    chat.answer.locator("[data-role=copy]").click()
    wait_until(lambda: "**linear**" in chat.page.evaluate("navigator.clipboard.readText()"))


def test_every_form_of_event_stream_is_read(chat, mock):
    chat.open("odd-stream").ask()
    expect(chat.content).to_have_text("Grüße 🐦 und Ende")


# --- Stop


def test_stop_closes_the_request(chat):
    model = "slow" if chat.server.mock else None
    chat.open(model)
    failed = []
    chat.page.on("requestfailed", lambda request: failed.append((request.url, request.failure)))
    chat.ask("Count from one to one thousand in words.", wait=False)
    expect(chat.content).not_to_be_empty()
    chat.stop_button.click()
    chat.complete()
    expect(chat.answer).to_contain_text("Stopped.")
    assert [failure for url, failure in failed if "chat/completions" in url] == ["net::ERR_ABORTED"]
    if chat.server.mock:
        wait_until(lambda: chat.server.mock.state.closed == ["slow"])
        assert chat.server.mock.state.finished == []
    expect(chat.send_button).to_be_visible()


def test_escape_stops_an_answer_that_has_not_begun(chat, mock):
    chat.open("waits").ask(wait=False)
    expect(chat.answer).to_contain_text("Waiting for the first token")
    wait_until(lambda: mock.state.running == 1)
    chat.page.keyboard.press("Escape")
    chat.complete()
    wait_until(lambda: mock.state.closed == ["waits"])
    expect(chat.answer).to_contain_text("Stopped.")


def test_leaving_the_page_closes_the_request(chat, mock):
    chat.open("slow").ask(wait=False)
    expect(chat.content).to_contain_text("word2")
    chat.page.goto("about:blank")
    wait_until(lambda: mock.state.closed == ["slow"])


def test_what_was_said_before_a_stop_is_part_of_the_conversation(chat, mock):
    chat.open("slow").ask(wait=False)
    expect(chat.content).to_contain_text("word3")
    chat.page.keyboard.press("Escape")
    chat.complete()
    chat.page.get_by_label("Model", exact=True).select_option("echo")
    chat.ask("Go on")
    roles = [message["role"] for message in mock.state.requests[-1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert mock.state.requests[-1]["messages"][1]["content"].startswith("word0 word1")


# --- Again, and otherwise


def test_regenerate_keeps_the_first_version(chat):
    chat.open().ask("Say a word.")
    first = chat.content.inner_text()
    chat.answer.get_by_role("button", name="Regenerate").click()
    expect(chat.answer.locator(".versions")).to_contain_text("2 / 2")
    chat.complete()
    expect(chat.answers).to_have_count(1)
    chat.answer.get_by_role("button", name="Version before").click()
    expect(chat.answer.locator(".versions")).to_contain_text("1 / 2")
    expect(chat.content).to_have_text(first)
    expect(chat.answer.get_by_role("button", name="Next version")).to_be_focused()


def test_a_regenerated_answer_sees_what_the_first_saw(chat, mock):
    chat.open("echo").ask("One").ask("Two")
    chat.answers.first.get_by_role("button", name="Regenerate").click()
    chat.complete()
    assert mock.state.requests[-1]["messages"] == [{"role": "user", "content": "One"}]
    # The other branch with its second question is one step away.
    expect(chat.questions).to_have_count(1)
    chat.answers.first.get_by_role("button", name="Version before").click()
    expect(chat.questions).to_have_count(2)


def test_an_edited_message_makes_a_branch(chat, mock):
    chat.open("echo").ask("First").ask("Second")
    chat.questions.first.get_by_role("button", name="Edit").click()
    area = chat.page.get_by_label("Edit your message")
    expect(area).to_be_focused()
    expect(area).to_have_value("First")
    area.fill("Other")
    area.press("Enter")
    chat.complete()
    expect(chat.questions).to_have_count(1)
    expect(chat.content).to_have_text("You said: Other")
    assert mock.state.requests[-1]["messages"] == [{"role": "user", "content": "Other"}]
    chat.questions.first.get_by_role("button", name="Version before").click()
    expect(chat.questions).to_have_count(2)
    expect(chat.content).to_have_text("You said: Second")


def test_escape_leaves_an_edit_as_it_was(chat, mock):
    chat.open("echo").ask("First")
    chat.questions.first.get_by_role("button", name="Edit").click()
    chat.page.get_by_label("Edit your message").fill("Changed")
    chat.page.keyboard.press("Escape")
    expect(chat.questions.first.locator(".content")).to_have_text("First")
    expect(chat.questions.first.get_by_role("button", name="Edit")).to_be_focused()
    assert len(mock.state.requests) == 1


# --- Settings


def test_what_is_not_set_is_not_sent(chat, mock):
    chat.open("echo").ask("Hi")
    assert mock.state.requests == [{"model": "echo", "messages": [{"role": "user", "content": "Hi"}], "stream": True,
                                    "stream_options": {"include_usage": True}}]


def test_what_is_set_is_sent(chat, mock):
    chat.open("echo")
    chat.page.get_by_role("button", name="Settings").click()
    values = {"System prompt": "Be brief.", "Tokens at most": "77", "Temperature": "0.65", "Top-p": "0.9", "Top-k": "40", "Min-p": "0.05",
              "Seed": "9007199254740991"}
    for label, value in values.items():
        chat.page.get_by_label(label, exact=True).fill(value)
    chat.page.get_by_label("Off", exact=True).check()
    chat.page.keyboard.press("Escape")
    chat.ask("Hi")
    request = mock.state.requests[-1]
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}
    assert {name: request[name] for name in ("max_tokens", "temperature", "top_p", "top_k", "min_p", "seed")} == {
        "max_tokens": 77, "temperature": 0.65, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "seed": 9007199254740991}
    assert request["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False}
    # They outlive a reload, in this tab.
    chat.page.reload()
    chat.page.get_by_role("button", name="Settings").click()
    expect(chat.page.get_by_label("Temperature")).to_have_value("0.65")
    chat.page.get_by_role("button", name="Back to the defaults").click()
    expect(chat.page.get_by_label("Temperature")).to_have_value("")


def test_a_setting_that_cannot_be_sent_is_shown(chat, mock):
    chat.open("echo")
    chat.page.get_by_role("button", name="Settings").click()
    chat.page.get_by_label("Temperature").fill("7")
    chat.page.keyboard.press("Escape")
    chat.ask("Hi", wait=False)
    expect(chat.page.get_by_label("Temperature")).to_be_focused()
    expect(chat.prompt).to_have_value("Hi")
    assert mock.state.requests == []


def test_tools_that_are_not_json_are_named(chat, mock):
    chat.open("echo")
    chat.page.get_by_role("button", name="Settings").click()
    tools = chat.page.get_by_label("Definitions, as JSON")
    tools.fill('[{"type": "function"}]')
    expect(chat.page.locator("#tools-error")).to_have_text('Tool 1 is not {"type": "function", "function": {"name": …}}')
    tools.fill("[1")
    expect(chat.page.locator("#tools-error")).to_contain_text("Not JSON")
    tools.fill('[{"type": "function", "function": {"name": "f"}}]')
    expect(chat.page.locator("#tools-error")).to_be_empty()


# --- Tokens and money


def test_each_answer_tells_its_tokens_speed_and_cost(chat, mock):
    chat.open("thinks").ask()
    summary = chat.answer.locator(".meta summary")
    expect(summary).to_have_text(re.compile(r"^412 tokens · [\d,.]+ tokens/s · \$0\.00111$"))
    summary.click()
    details = chat.answer.locator(".meta dl")
    expect(details).to_contain_text("1,204 tokens: 52 fresh, 1,152 cached")
    expect(details).to_contain_text("412 tokens, of them 58 thinking")
    # 52 * 0.56, 1,152 * 0.14 and 412 * 2.24 millionths.
    expect(details).to_contain_text("$0.00111: fresh $0.0000291, cached $0.000161, answer $0.000923")
    expect(chat.page.locator("#totals")).to_have_text("1 answer · 1,616 tokens · $0.00111")


def test_without_prices_no_cost_is_told(chat, mock):
    chat.open("no-prices").ask()
    expect(chat.answer.locator(".meta summary")).to_contain_text("8 tokens")
    assert "$" not in chat.answer.inner_text() + chat.page.locator("#totals").inner_text()


def test_prices_of_the_model_stand_in_the_settings(chat, mock):
    chat.open("echo")
    chat.page.get_by_role("button", name="Settings").click()
    expect(chat.page.locator("#prices")).to_have_text(
        "A million tokens of echo cost $0.56 fresh, $0.14 cached and $2.24 as an answer. It reads 131.1K tokens at most.")


# --- Keys


def test_a_server_that_asks_for_a_key_gets_one(chat, mock):
    mock.state.needs_key = True
    chat.page.goto(mock.url)
    field = chat.page.get_by_label("API key").first
    expect(chat.page.locator(".welcome")).to_contain_text("This server asks for a key")
    expect(field).to_have_attribute("type", "password")
    field.fill(KEY)
    field.press("Enter")
    expect(chat.page.get_by_label("Model", exact=True)).to_be_enabled()
    chat.page.get_by_label("Model", exact=True).select_option("echo")
    chat.ask("Hello")
    expect(chat.content).to_have_text("You said: Hello")
    assert mock.state.authorizations[-1] == ("/v1/chat/completions", f"Bearer {KEY}")
    assert chat.page.evaluate("JSON.stringify([localStorage, document.cookie, location.href])").find(KEY) < 0
    assert chat.page.evaluate("sessionStorage['walet.key']") == KEY


def test_a_key_that_stops_working_is_asked_for_again(chat, mock):
    chat.open("echo")
    mock.state.needs_key = True
    chat.ask("Hello")
    expect(chat.answer.get_by_role("alert")).to_contain_text("The server asks for a key")
    field = chat.answer.get_by_label("API key")
    expect(field).to_be_focused()
    field.fill(KEY)
    field.press("Enter")
    chat.complete()
    expect(chat.answers).to_have_count(1)
    expect(chat.content).to_have_text("You said: Hello")
    expect(chat.answer.locator(".versions")).to_have_count(0)


def test_a_key_with_impossible_characters_is_explained(chat, mock):
    chat.open("echo")
    chat.page.get_by_role("button", name="Settings").click()
    chat.page.get_by_label("API key").fill("sk-…")
    chat.page.keyboard.press("Escape")
    expect(chat.page.locator(".welcome")).to_contain_text("The server does not accept this key")


# --- Refusals and faults


def refuse(chat, mock, status, body=None, headers=None):
    mock.state.fail_next = (status, headers or {}, body if body is not None else {"error": {"message": "Because.", "type": "x", "code": None}})
    chat.open("echo").ask("Hello")
    return chat.answer.get_by_role("alert")


def test_a_rate_limit_tells_the_time_to_wait(chat, mock):
    alert = refuse(chat, mock, 429, headers={"Retry-After": "3"})
    expect(alert).to_contain_text("Too many requests at the moment")
    expect(alert).to_contain_text("Because.")
    retry = alert.get_by_role("button", name="Try again")
    expect(retry).to_be_disabled()
    expect(alert).to_contain_text(re.compile(r"You can try again in [123] s\."))
    expect(retry).to_be_enabled()
    retry.click()
    chat.complete()
    expect(chat.content).to_have_text("You said: Hello")
    expect(chat.answers).to_have_count(1)


def test_a_spent_budget_is_not_tried_again(chat, mock):
    alert = refuse(chat, mock, 429, {"error": {"message": "The day's budget is spent.", "type": "insufficient_quota", "code": "budget"}},
                   {"x-should-retry": "false"})
    expect(alert).to_contain_text("The budget of this key is spent")
    expect(alert.get_by_role("button")).to_have_count(0)


def test_a_busy_server_is_told_from_a_broken_one(chat, mock):
    alert = refuse(chat, mock, 503, headers={"Retry-After": "1"})
    expect(alert).to_contain_text("The server is busy")
    expect(alert.get_by_role("button", name="Try again")).to_be_enabled()


def test_a_page_of_a_proxy_is_not_shown_as_an_answer(chat, mock):
    alert = refuse(chat, mock, 502, "<html><script>window.hacked = 1</script>Bad gateway</html>")
    expect(alert).to_contain_text("The server failed")
    expect(alert).to_contain_text("The server answered with status 502.")
    assert chat.page.evaluate("window.hacked") is None


def test_a_conversation_that_is_too_long_gets_advice(chat, mock):
    alert = refuse(chat, mock, 400, {"error": {"message": "Too long.", "type": "invalid_request_error", "code": "context_length_exceeded"}})
    expect(alert).to_contain_text("Start a new conversation")
    alert.get_by_role("button", name="Settings").click()
    expect(chat.page.get_by_role("dialog", name="Settings")).to_be_visible()


def test_a_model_that_is_gone_is_named(chat, mock):
    expect(refuse(chat, mock, 404)).to_contain_text("The model echo is not here")


def test_a_forbidden_model_is_explained(chat, mock):
    expect(refuse(chat, mock, 403)).to_contain_text("This key may not do that")


def test_without_a_connection_the_page_says_so(chat, mock):
    chat.open("echo")
    chat.page.context.set_offline(True)
    chat.ask("Hello")
    expect(chat.answer.get_by_role("alert")).to_contain_text("No connection")
    chat.page.context.set_offline(False)
    chat.answer.get_by_role("button", name="Try again").click()
    expect(chat.content).to_have_text("You said: Hello")


def test_a_connection_that_breaks_keeps_what_came(chat, mock):
    for model, start in [("breaks", "A good beginning"), ("ends-early", "Half of")]:
        chat.open(model).ask("Hello")
        expect(chat.content).to_have_text(start)
        expect(chat.answer.get_by_role("alert")).to_contain_text("The answer was cut off")


def test_an_error_within_a_stream_is_told(chat, mock):
    chat.open("error-in-stream").ask("Hello")
    expect(chat.content).to_have_text("So far")
    expect(chat.answer.get_by_role("alert")).to_contain_text("The engine stopped.")


def test_an_answer_at_the_limit_leads_to_the_limit(chat, mock):
    chat.open("at-limit").ask("Hello")
    chat.answer.get_by_role("button", name="Change the limit").click()
    expect(chat.page.get_by_label("Tokens at most")).to_be_focused()


def test_an_empty_answer_is_called_empty(chat, mock):
    chat.open("empty").ask("Hello")
    expect(chat.answer).to_contain_text("The answer is empty.")


def test_a_server_without_models_can_be_asked_again(chat, mock, page):
    page.route("**/v1/models", lambda route: route.fulfill(status=200, json={"object": "list", "data": []}), times=1)
    page.goto(mock.url)
    expect(page.locator(".welcome")).to_contain_text("This server has no models yet.")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_label("Model", exact=True)).to_be_enabled()


# --- Tools


def test_tool_calls_are_shown_and_answered(chat, mock):
    chat.open("tool-calls").ask("What is the weather?")
    calls = chat.answer.locator(".call")
    expect(calls).to_have_count(2)
    expect(calls.first).to_contain_text("Calls get_weather")
    expect(calls.nth(1).locator("pre")).to_have_text('{\n  "city": "Berlin <b>",\n  "days": 3\n}')
    form = chat.answer.locator("form.results")
    form.get_by_label("Result of get_weather").first.fill("31 °C")
    form.get_by_label("Result of get_weather").nth(1).fill("4 °C")
    form.get_by_role("button", name="Send the results").click()
    chat.complete()
    expect(chat.content).to_have_text("It says: 31 °C, 4 °C.")
    expect(form).to_be_hidden()
    messages = mock.state.requests[-1]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert messages[1]["reasoning_content"] == "I need the weather."
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["functions.get_weather:0", "functions.get_weather:1"]
    assert json.loads(messages[1]["tool_calls"][1]["function"]["arguments"]) == {"city": "Berlin <b>", "days": 3}
    assert messages[3] == {"role": "tool", "tool_call_id": "functions.get_weather:1", "content": "4 °C"}


def test_calls_without_results_are_not_sent_back(chat, mock):
    chat.open("tool-calls").ask("What is the weather?")
    chat.page.get_by_label("Model", exact=True).select_option("echo")
    chat.ask("Never mind")
    assert [message["role"] for message in mock.state.requests[-1]["messages"]] == ["user", "user"]


# --- Conversations


def test_conversations_are_kept_until_the_tab_closes(chat, mock):
    chat.open("echo").ask("Tell me about swiftlets")
    chat.page.get_by_role("button", name="New conversation", exact=True).first.click()
    expect(chat.answers).to_have_count(0)
    expect(chat.prompt).to_be_focused()
    chat.ask("Something else")
    history = chat.page.locator("#history")
    expect(history.locator(".history-open")).to_have_text(["Something else", "Tell me about swiftlets"])
    history.get_by_role("button", name="Tell me about swiftlets", exact=True).click()
    expect(chat.content).to_have_text("You said: Tell me about swiftlets")
    history.get_by_role("button", name="Forget “Tell me about swiftlets”").click()
    expect(history.locator(".history-open")).to_have_text(["Something else"])
    expect(chat.content).to_have_text("You said: Something else")
    chat.page.reload()
    expect(chat.answers).to_have_count(0)


def test_an_answer_goes_on_while_another_conversation_is_shown(chat, mock):
    chat.open("thinks").ask("First", wait=False)
    expect(chat.answer).to_be_visible()
    chat.page.get_by_role("button", name="New conversation", exact=True).first.click()
    chat.page.get_by_label("Model", exact=True).select_option("echo")
    chat.ask("Second")
    expect(chat.content).to_have_text("You said: Second")
    chat.page.locator("#history").get_by_role("button", name="First", exact=True).click()
    chat.complete()
    expect(chat.content).to_contain_text("It is stable")
    assert sorted(mock.state.finished) == ["echo", "thinks"]


def test_forgetting_a_conversation_closes_its_request(chat, mock):
    chat.open("slow").ask("First", wait=False)
    expect(chat.content).to_contain_text("word1")
    chat.page.get_by_role("button", name="Forget “First”").click()
    wait_until(lambda: mock.state.closed == ["slow"])


def test_a_draft_stays_with_its_conversation(chat, mock):
    chat.open("echo").ask("One")
    chat.prompt.fill("half a thought")
    chat.page.get_by_role("button", name="New conversation", exact=True).first.click()
    expect(chat.prompt).to_have_value("")
    chat.page.locator("#history").get_by_role("button", name="One", exact=True).click()
    expect(chat.prompt).to_have_value("half a thought")


def download(chat, name):
    with chat.page.expect_download() as waiting:
        chat.page.get_by_role("button", name=name, exact=True).click()
    return waiting.value.suggested_filename, open(waiting.value.path(), encoding="utf-8").read()


def test_a_conversation_is_exported_as_json(chat, mock):
    mock.state.needs_key = True
    chat.page.add_init_script(f"sessionStorage.setItem('walet.key', '{KEY}')")
    chat.open("thinks").ask("Merge two arrays")
    name, text = download(chat, "JSON")
    assert name == "merge-two-arrays.json"
    exported = json.loads(text)
    assert KEY not in text
    assert exported["format"] == "walet-conversation"
    assert [message["role"] for message in exported["messages"]] == ["user", "assistant"]
    answer = exported["answers"][0]
    assert answer["model"] == "thinks" and answer["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt": 1204, "output": 412, "cached": 1152, "thinking": 58}
    assert answer["reasoning"].startswith("The user wants a function.")


def test_a_conversation_is_exported_as_markdown(chat, mock):
    chat.open("thinks").ask("Merge two arrays")
    name, text = download(chat, "Markdown")
    assert name == "merge-two-arrays.md"
    assert text.startswith("# Merge two arrays\n\n## You\n\nMerge two arrays\n\n## thinks\n\n> The user wants a function.")
    assert "```swift\n/// Merges two sorted arrays into one." in text


def test_a_suggestion_fills_the_message_box(chat):
    chat.open()
    chat.page.get_by_role("button", name="Compare in a table").click()
    expect(chat.prompt).to_be_focused()
    expect(chat.prompt).to_have_value(re.compile("^Compare SQLite"))


def test_suggestions_fit_the_model_that_comes_with_walet(chat, mock):
    chat.open("walet-nano")
    chat.page.get_by_role("button", name="Add two numbers").click()
    expect(chat.prompt).to_have_value("What is 12345 + 54321?")
    chat.page.get_by_label("Model", exact=True).select_option("echo")
    expect(chat.page.get_by_role("button", name="Compare in a table")).to_be_visible()
    expect(chat.prompt).to_have_value("What is 12345 + 54321?")


# --- The place on the page


def test_the_page_follows_the_answer_until_its_reader_scrolls_up(chat, mock):
    chat.open("slow").ask("\n".join(f"line {number}" for number in range(60)), wait=False)
    expect(chat.content).to_contain_text("word30")
    at_end = "log.scrollHeight - log.scrollTop - log.clientHeight < 60"
    assert chat.page.evaluate(f"(() => {{ const log = document.getElementById('log'); return {at_end}; }})()")
    chat.page.locator("#log").hover()
    chat.page.mouse.wheel(0, -600)
    jump = chat.page.get_by_role("button", name="Latest")
    expect(jump).to_be_visible()
    place = chat.page.evaluate("document.getElementById('log').scrollTop")
    expect(chat.content).to_contain_text("word90")
    assert chat.page.evaluate("document.getElementById('log').scrollTop") == place
    jump.click()
    expect(jump).to_be_hidden()
    assert chat.page.evaluate(f"(() => {{ const log = document.getElementById('log'); return {at_end}; }})()")


def test_enter_sends_and_shift_enter_makes_a_line(chat, mock):
    chat.open("echo")
    chat.prompt.press_sequentially("one")
    chat.prompt.press("Shift+Enter")
    chat.prompt.press_sequentially("two")
    chat.prompt.press("Enter")
    chat.complete()
    assert mock.state.requests[-1]["messages"] == [{"role": "user", "content": "one\ntwo"}]
    expect(chat.prompt).to_have_value("")


def test_enter_belongs_to_an_input_method_that_composes(chat, mock):
    chat.open("echo")
    chat.prompt.fill("かな")
    chat.page.evaluate("document.getElementById('prompt').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))")
    expect(chat.prompt).to_have_value("かな")
    assert mock.state.requests == []


def test_nothing_is_sent_while_an_answer_comes(chat, mock):
    chat.open("slow").ask("One", wait=False)
    expect(chat.content).to_contain_text("word1")
    chat.prompt.fill("Two")
    chat.prompt.press("Enter")
    expect(chat.prompt).to_have_value("Two")
    assert len(mock.state.requests) == 1
