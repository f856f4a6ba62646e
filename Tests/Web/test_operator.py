"""The operator's page: figures, charts, keys."""

import math
import random
import re

import pytest
from playwright.sync_api import expect

from mock_server import OPERATOR_KEY, metrics_page


def open_page(page, server, key=True):
    if key and server.operator_key:
        page.add_init_script(f"sessionStorage.setItem('walet.operator-key', {server.operator_key!r})")
    page.goto(server.url + "operator")
    if key:
        expect(page.locator("#state")).to_have_text("Live")
    return page


def tile(page, name):
    return page.locator(".tile", has=page.get_by_text(name, exact=True)).locator(".figure")


def test_figures_need_the_operators_key(page, server, mock):
    open_page(page, server, key=False)
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("These figures need an operator key")
    field = page.get_by_label("API key")
    field.fill("wrong")
    field.press("Enter")
    expect(notice).to_contain_text("The server does not accept this key here")
    page.get_by_label("API key").fill(OPERATOR_KEY)
    page.get_by_label("API key").press("Enter")
    expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#main")).to_be_focused()
    expect(notice).to_have_count(0)
    assert page.evaluate("JSON.stringify([localStorage, document.cookie, location.href])").find(OPERATOR_KEY) < 0
    # It is another key than the one for chats.
    assert page.evaluate("sessionStorage['walet.key'] ?? null") is None
    page.get_by_role("button", name="Forget the operator key").click()
    expect(notice).to_contain_text("These figures need an operator key")
    assert page.evaluate("sessionStorage['walet.operator-key'] ?? null") is None


def test_a_half_typed_key_survives_the_polling(page, server, mock):
    open_page(page, server, key=False)
    field = page.get_by_label("API key")
    field.fill("half")
    page.wait_for_timeout(4500)
    expect(field).to_have_value("half")
    expect(field).to_be_focused()


def test_figures_come_alive(page, server):
    open_page(page, server)
    expect(page.locator(".tile")).to_have_count(6)
    expect(page.locator("#charts .chart")).to_have_count(9)
    if server.mock:
        expect(page.locator("#about")).to_contain_text("Walet 0.5.0 · up 10 min")
        expect(tile(page, "Output")).to_have_text(re.compile(r"^[\d,.]+$"))
        expect(tile(page, "First token")).to_have_text(re.compile(r"^\d+ ms$"))
        expect(tile(page, "From the cache")).to_have_text(re.compile(r"^\d+%$"))


def test_each_chart_has_a_description_and_a_table(page, server, mock):
    open_page(page, server)
    expect(tile(page, "First token")).to_contain_text("ms")
    chart = page.locator(".chart", has=page.get_by_role("heading", name="Requests", exact=True))
    picture = chart.locator("svg[role=img]")
    expect(picture.locator("title")).to_have_text("Requests")
    expect(picture.locator("desc")).to_contain_text("Running: now")
    chart.get_by_text("As a table").click()
    expect(chart.locator("thead th")).to_have_text(["When", "Running", "Waiting"])
    expect(chart.locator("tbody th").first).to_have_text("now")


def test_a_point_under_the_pointer_is_read(page, server, mock):
    open_page(page, server)
    page.wait_for_timeout(5000)
    chart = page.locator(".chart").first
    box = chart.locator("svg[role=img]").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 60)
    expect(chart.locator(".cursor")).to_have_count(1)
    page.mouse.move(0, 0)
    expect(chart.locator(".cursor")).to_have_count(0)


def test_figures_of_one_model_can_be_chosen(page, server, mock):
    open_page(page, server)
    expect(page.get_by_label("Model", exact=True).locator("option")).to_have_text(["All models", "kimi-k2-thinking", 'small "quoted" \\ name'])
    expect(tile(page, "Keys and values")).to_contain_text("%")
    page.get_by_label("Model", exact=True).select_option('small "quoted" \\ name')
    expect(tile(page, "Running")).to_have_text("0")
    expect(tile(page, "Keys and values")).to_have_text("–")


def test_keys_show_spend_and_limits(page, server, mock):
    open_page(page, server)
    rows = page.locator(".keys tbody tr")
    expect(rows).to_have_count(6)
    expect(rows.filter(has_text="Finance")).to_contain_text("finance · wk_")
    expect(rows.filter(has_text="Finance")).to_contain_text("of $5.00")
    expect(rows.filter(has_text="Finance")).to_contain_text("60 requests/min, 200K tokens/min, 8 at once")
    expect(rows.filter(has_text="Legal")).to_contain_text("revoked")
    # A key's name is text.
    expect(rows.filter(has_text="Nightly")).to_contain_text("Nightly <b>batch</b>")
    expect(page.locator(".spend .legend li")).to_have_count(5)
    page.locator(".spend").get_by_text("As a table").click()
    expect(page.locator(".spend tbody tr")).to_have_count(14)


def test_pause_stops_the_questions(page, server, mock):
    open_page(page, server)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_have_text("Paused")
    page.wait_for_timeout(500)
    before = len(mock.state.authorizations)
    page.wait_for_timeout(4500)
    assert len(mock.state.authorizations) == before
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#state")).to_have_text("Live")
    page.wait_for_timeout(1000)
    assert len(mock.state.authorizations) > before


def test_a_server_that_goes_away_is_told(page, server, mock):
    open_page(page, server)
    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("The figures cannot be read")
    expect(page.locator("#state")).to_have_text("No figures")
    page.context.set_offline(False)
    expect(page.locator("#state")).to_have_text("Live")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_server_that_tells_nothing_breaks_nothing(page, server, mock):
    page.route("**/metrics", lambda route: route.fulfill(status=200, content_type="text/plain", body="nonsense{\nwalet_num_requests_running\n\x00"))
    page.route("**/admin/usage", lambda route: route.fulfill(status=200, json={"keys": [{"id": "wk_1"}, {"id": "wk_2", "limits": None, "days": None, "spend": None}]}))
    open_page(page, server)
    expect(tile(page, "Running")).to_have_text("–")
    expect(page.locator(".keys tbody tr")).to_have_count(2)


# --- The arithmetic, against Python's

QUANTILES = """async ([before, after, times, name, shares]) => {
    const { parseMetrics, Snapshot, quantile, rate } = await import('./web/metrics.js');
    const wanted = new Set([name + '_bucket', 'walet_prompt_tokens_total']);
    const [first, last] = [before, after].map((text, index) => new Snapshot(parseMetrics(text, wanted), times[index]));
    return [shares.map((share) => quantile(first, last, name, '', share)), rate(first, last, (each) => each.sum('walet_prompt_tokens_total', ''))];
}"""


def histogram_quantile(buckets, share):
    """As Prometheus defines it; buckets are (bound, cumulative count) in order, the last bound is infinite."""
    total = buckets[-1][1]
    if total == 0:
        return None
    rank = share * total
    below_bound, below = 0.0, 0
    for bound, count in buckets:
        if count >= rank:
            if math.isinf(bound):
                return below_bound
            return below_bound + (bound - below_bound) * ((rank - below) / ((count - below) or 1))
        below_bound, below = bound, count
    return None


def test_quantiles_and_rates_agree_with_their_definition(page, server, mock):
    page.goto(server.url)
    generator = random.Random(3)
    name = "walet_time_to_first_token_seconds"
    bounds = [0.01, 0.05, 0.1, 0.5, 1, 5, math.inf]
    shares = [0.01, 0.5, 0.9, 0.99, 1]
    for _ in range(40):
        samples = [[generator.choice([0, 0, generator.randint(1, 50)]) for _ in bounds] for _ in range(2)]
        texts, cumulative = [], [0] * len(bounds)
        base = [0] * len(bounds)
        for counts in samples:
            total = 0
            for index, count in enumerate(counts):
                base[index] += count
            lines, total = [], 0
            for bound, count in zip(bounds, base):
                total += count
                # Two models, whose counts add up.
                part = total // 3
                label = "+Inf" if math.isinf(bound) else str(bound)
                lines += [f'{name}_bucket{{model="a",le="{label}"}} {part}', f'{name}_bucket{{le="{label}",model="b,}}\\""}} {total - part}']
            texts.append("\n".join(lines) + f"\nwalet_prompt_tokens_total{{model=\"a\"}} {1000 * len(texts) + 7} 1700000000000\n")
        ours, rate = page.evaluate(QUANTILES, [*texts, [10, 30], name, shares])
        growth, total = [], 0
        for bound, count in zip(bounds, samples[1]):
            total += count
            growth.append((bound, total))
        for share, value in zip(shares, ours):
            expected = histogram_quantile(growth, share)
            assert value == (None if expected is None else pytest.approx(expected)), (growth, share)
        assert rate == pytest.approx(50)


def test_a_counter_that_began_anew_has_no_rate(page, server, mock):
    page.goto(server.url)
    quantiles, rate = page.evaluate(QUANTILES, [metrics_page(mock.state), "walet_prompt_tokens_total 5\n", [1, 2], "walet_time_to_first_token_seconds", [0.5]])
    assert quantiles == [None] and rate is None
