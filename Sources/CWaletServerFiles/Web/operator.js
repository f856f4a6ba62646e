// The operator's page: reads /metrics every two seconds and /admin/usage every fifteen, keeps five minutes, and draws.

import { keys, request, ServerError } from './api.js';
import { ColumnChart, gauge, LineChart } from './charts.js';
import { announce, compact, count, decimal, element, keyForm, money, placeIcons, seconds, setIcon, span } from './dom.js';
import { parseMetrics, quantile, rate, Snapshot } from './metrics.js';

const pollEvery = 2000, usageEvery = 15_000;
const keepFor = 300;          // seconds
const rateOver = 10;          // seconds that a rate of what is live looks back
const windowOf = 60;          // seconds that quantiles, and rates of what is counted at a request's end, look back

const wanted = new Set(['walet_build_info', 'process_start_time_seconds', 'process_resident_memory_bytes', 'walet_num_requests_running',
    'walet_num_requests_waiting', 'walet_kv_cache_usage_perc', 'walet_num_preemptions_total', 'walet_prefix_cache_hits_total',
    'walet_prefix_cache_bytes', 'walet_prompt_tokens_total', 'walet_prompt_tokens_cached_total', 'walet_generation_tokens_total',
    'walet_request_success_total', 'walet_requests_refused_total', 'walet_time_to_first_token_seconds_bucket',
    'walet_time_to_first_token_seconds_count', 'walet_inter_token_latency_seconds_count', 'walet_request_queue_time_seconds_bucket',
    'walet_time_per_output_token_seconds_bucket']);

const page = Object.fromEntries(['model', 'pause', 'notice', 'state', 'about', 'tiles', 'charts', 'usage', 'forget-key']
    .map((id) => [id, document.getElementById(id)]));

placeIcons();

const share = (value) => `${decimal(value * 100, value > 0 && value < 0.1 ? 1 : 0)}%`;
const number = (value) => (value === 0 || value >= 10 ? compact(Math.round(value)) : decimal(value, 1));
const tiers = [['memory', 'In memory'], ['disk', 'On disk']];

const charts = {
    output: new LineChart({ title: 'Output', note: 'Pieces a second as they leave, about one a token', series: ['All answers'], format: number }),
    requests: new LineChart({ title: 'Requests', series: ['Running', 'Waiting'], format: (value) => (Number.isInteger(value) ? count(value) : decimal(value)) }),
    first: new LineChart({ title: 'Time to first token', note: 'Over the last minute', series: ['Median', '99 of 100'], format: seconds }),
    prompt: new LineChart({ title: 'Prompt tokens', note: 'A second, of requests that ended, over the last minute', series: ['All', 'From the cache'], format: number }),
    cache: new LineChart({ title: 'Found in the prefix cache', note: 'Share of prompt tokens, over the last minute', series: tiers.map(([, name]) => name), format: share, ceiling: 1 }),
    memory: new LineChart({ title: 'Keys and values', note: 'Share of the pages in use', series: ['In use'], format: share, ceiling: 1 }),
    queue: new LineChart({ title: 'Time in the queue', note: 'Over the last minute', series: ['Median', '99 of 100'], format: seconds }),
    token: new LineChart({ title: 'Time per output token', note: 'Of requests that ended, over the last minute', series: ['Median', '99 of 100'], format: seconds }),
    trouble: new LineChart({ title: 'Refused and failed', note: 'Requests a minute, over the last minute', series: ['Refused', 'Failed'], format: number }),
    spend: new ColumnChart({ title: 'Spend by day', note: 'UTC', format: (value) => money(value, usage?.currency) }),
};
const { spend, ...live } = charts;
page.charts.append(...Object.values(live).map((chart) => chart.element));

let snapshots = [];
let points = [];
let usage = null;
let isPaused = false;
let metricsProblem = null, usageProblem = null;
let timers = [];

// --- Polling

async function readMetrics() {
    try {
        const response = await request('metrics', { key: keys.operator.get(), accept: 'text/plain; version=0.0.4', signal: AbortSignal.timeout(10_000) });
        const snapshot = new Snapshot(parseMetrics(await response.text(), wanted), performance.now() / 1000);
        const restarted = snapshots.length > 0 && snapshot.sum('process_start_time_seconds') !== snapshots.at(-1).sum('process_start_time_seconds');
        if (restarted) snapshots = [];
        snapshots = [...snapshots.filter(({ time }) => snapshot.time - time <= keepFor + windowOf), snapshot];
        metricsProblem = null;
        drawModels(snapshot);
        points.push(measure(snapshots.length - 1));
        points = points.filter(({ time }) => snapshot.time - time <= keepFor);
    } catch (error) {
        metricsProblem = problemOf(error);
    }
    draw();
}

async function readUsage() {
    try {
        const response = await request('admin/usage', { key: keys.operator.get(), signal: AbortSignal.timeout(10_000) });
        const object = await response.json();
        if (!Array.isArray(object?.keys)) throw new ServerError('server', 'The usage is not what was expected.');
        usage = object;
        usageProblem = null;
    } catch (error) {
        usageProblem = problemOf(error);
    }
    drawUsage();
    drawNotice();
}

function problemOf(error) {
    if (error instanceof ServerError) return error;
    return new ServerError('network', error.name === 'TimeoutError' ? 'The server did not answer within ten seconds.' : 'The answer cannot be read.');
}

// One reading at a time, also where the server is slow, and none while nobody looks.
function repeat(read, every) {
    const state = { isActive: true };
    (async () => {
        while (state.isActive) {
            if (!document.hidden) await read();
            await new Promise((resolve) => { setTimeout(resolve, every); });
        }
    })();
    return state;
}

function start() {
    timers.forEach((timer) => { timer.isActive = false; });
    timers = isPaused ? [] : [repeat(readMetrics, pollEvery), repeat(readUsage, usageEvery)];
}

// --- Measuring

// The oldest snapshot within a stretch of time, or, where the server answered too seldom for that, the last one before.
function before(index, length) {
    const now = snapshots[index].time;
    const first = snapshots.findIndex(({ time }) => now - time <= length + 0.5);
    return snapshots[Math.max(0, Math.min(first, index - 1))];
}

function measure(index) {
    const now = snapshots[index];
    const model = page.model.value;
    const recent = before(index, rateOver), minute = before(index, windowOf);
    const output = rate(recent, now, (snapshot) => {
        const firsts = snapshot.sum('walet_time_to_first_token_seconds_count', model);
        const others = snapshot.sum('walet_inter_token_latency_seconds_count', model);
        return firsts === null && others === null ? null : (firsts ?? 0) + (others ?? 0);
    });
    const prompt = rate(minute, now, (snapshot) => snapshot.sum('walet_prompt_tokens_total', model));
    const cached = rate(minute, now, (snapshot) => snapshot.sum('walet_prompt_tokens_cached_total', model));
    const found = tiers.map(([tier]) => rate(minute, now, (snapshot) => snapshot.sum('walet_prefix_cache_hits_total', model, { tier })));
    return {
        time: now.time,
        output: [output],
        requests: [now.sum('walet_num_requests_running', model), now.sum('walet_num_requests_waiting', model)],
        first: [0.5, 0.99].map((part) => quantile(minute, now, 'walet_time_to_first_token_seconds', model, part)),
        prompt: [prompt, cached],
        cache: found.map((hits) => (hits !== null && prompt > 0 ? Math.min(1, hits / prompt) : null)),
        memory: [now.largest('walet_kv_cache_usage_perc', model)],
        token: [0.5, 0.99].map((part) => quantile(minute, now, 'walet_time_per_output_token_seconds', model, part)),
        trouble: [rate(minute, now, (snapshot) => snapshot.sum('walet_requests_refused_total', '') ?? 0),
            rate(minute, now, (snapshot) => snapshot.sum('walet_request_success_total', model, { finished_reason: 'error' }) ?? 0)]
            .map((value) => (value === null ? null : value * 60)),
        queue: [0.5, 0.99].map((part) => quantile(minute, now, 'walet_request_queue_time_seconds', model, part)),
    };
}

// --- Drawing

function draw() {
    drawNotice();
    drawState();
    const now = snapshots.at(-1);
    if (!now) return;
    for (const [name, chart] of Object.entries(live)) {
        chart.update(points.map((point) => ({ time: point.time, values: point[name] })), now.time);
    }
    drawTiles(now, points.at(-1));
}

function drawModels(snapshot) {
    const names = [...new Set(['walet_num_requests_running', 'walet_prompt_tokens_total'].flatMap((name) => snapshot.labelValues(name, 'model')))].sort();
    if (names.join('\n') === (page.model.names ?? '')) return;
    page.model.names = names.join('\n');
    const chosen = page.model.value;
    page.model.replaceChildren(element('option', { value: '' }, 'All models'), ...names.map((name) => element('option', { value: name }, name)));
    page.model.value = names.includes(chosen) ? chosen : '';
}

function drawState() {
    const text = isPaused ? 'Paused' : metricsProblem ? 'No figures' : snapshots.length > 0 ? 'Live' : 'Connecting…';
    page.state.textContent = text;
    page.state.className = `state ${isPaused ? 'paused' : metricsProblem ? 'down' : 'live'}`;
    const now = snapshots.at(-1);
    if (!now) return;
    const build = now.samples('walet_build_info', '')[0]?.labels;
    const started = now.sum('process_start_time_seconds', '');
    const resident = now.sum('process_resident_memory_bytes', '');
    page.about.textContent = [build?.get('version') ? `Walet ${build.get('version')}` : null,
        started ? `up ${span(Math.max(0, Date.now() / 1000 - started))}` : null,
        resident ? `${decimal(resident / 1e9)} GB resident` : null].filter(Boolean).join(' · ');
}

function drawTiles(now, point) {
    const model = page.model.value;
    const show = (value, format) => (value === null || value === undefined ? '–' : format(value));
    const succeeded = now.sum('walet_request_success_total', model), refused = now.sum('walet_requests_refused_total', '');
    const failed = now.sum('walet_request_success_total', model, { finished_reason: 'error' });
    const prompts = now.sum('walet_prompt_tokens_total', model), cached = now.sum('walet_prompt_tokens_cached_total', model);
    const held = tiers.map(([tier, name]) => [name, now.sum('walet_prefix_cache_bytes', model, { tier })]).filter(([, bytes]) => bytes !== null);
    const tiles = [
        ['Output', show(point.output[0], number), 'pieces a second'],
        ['Running', show(point.requests[0], count), `${show(point.requests[1], count)} waiting`],
        ['First token', show(point.first[0], seconds), `${show(point.first[1], seconds)} for 99 of 100`],
        ['From the cache', prompts > 0 ? share((cached ?? 0) / prompts) : '–', 'of all prompt tokens'],
        ['Keys and values', show(point.memory[0], share), held.length > 0 ? `cached: ${held.map(([name, bytes]) => `${decimal(bytes / 1e9)} GB ${name.toLowerCase()}`).join(', ')}` : 'of the pages in use'],
        ['Requests', show(succeeded, compact), `${show(failed ?? 0, compact)} failed, ${show(refused ?? 0, compact)} refused`],
    ];
    if (page.tiles.children.length !== tiles.length) {
        page.tiles.replaceChildren(...tiles.map(([name]) => element('div', { class: 'tile' }, element('dt', {}, name), element('dd', { class: 'figure' }), element('dd', { class: 'quiet' }))));
    }
    tiles.forEach(([, value, note], index) => {
        const [, figure, small] = page.tiles.children[index].children;
        figure.textContent = value;
        small.textContent = note;
    });
}

// The same notice is not drawn again, so that a half-typed key stays.
function drawNotice() {
    const problem = [metricsProblem, usageProblem].find((each) => each?.kind === 'key' || each?.kind === 'permission') ?? metricsProblem;
    const mark = problem ? `${problem.kind} ${problem.message}` : '';
    page['forget-key'].hidden = !keys.operator.get();
    if (page.notice.mark === mark) return;
    page.notice.mark = mark;
    if (!problem) {
        page.notice.replaceChildren();
        return;
    }
    const needsKey = problem.kind === 'key' || problem.kind === 'permission';
    page.notice.replaceChildren(element('div', { class: `notice ${needsKey ? '' : 'error'}`, role: 'alert' },
        element('p', { class: 'notice-title' }, needsKey ? (keys.operator.get() ? 'The server does not accept this key here' : 'These figures need an operator key') : 'The figures cannot be read'),
        element('p', {}, needsKey ? 'It is kept in this tab until the tab closes.' : `${problem.message} Trying again every ${pollEvery / 1000} seconds.`),
        needsKey ? keyForm((key) => keys.operator.set(key), () => {
            page.notice.mark = null;
            start();
            document.getElementById('main').focus({ preventScroll: true });
        }) : null));
}

// --- Keys

const amount = (value) => {
    const result = Number(value ?? 0);
    return Number.isFinite(result) && result >= 0 ? result : 0;
};

function drawUsage() {
    if (!usage) {
        page.usage.replaceChildren(element('p', { class: 'quiet' }, usageProblem && usageProblem.kind !== 'key' && usageProblem.kind !== 'permission'
            ? usageProblem.message : 'Keys and what they spent appear here.'));
        return;
    }
    const currency = usage.currency ?? 'USD';
    const list = usage.keys.toSorted((a, b) => amount(b.spend?.month) - amount(a.spend?.month));
    const days = (usage.days ?? []).slice(-14);
    drawSpend(list, days);
    const today = usage.days?.at(-1);
    const rows = list.map((key) => {
        const day = (key.days ?? []).find((each) => each.day === today) ?? {};
        const limits = key.limits ?? {};
        return element('tr', { class: key.state === 'active' ? null : 'inactive' },
            element('th', { scope: 'row' }, element('span', { class: 'key-name' }, key.name ?? key.id), key.state && key.state !== 'active' ? element('span', { class: 'badge' }, key.state) : null,
                element('span', { class: 'quiet' }, [key.tenant, key.id].filter(Boolean).join(' · '))),
            element('td', { class: 'right' }, compact(amount(day.requests)), amount(key.running) > 0 ? element('span', { class: 'quiet' }, `${count(amount(key.running))} now`) : null),
            ...['fresh', 'cached', 'output'].map((name) => element('td', { class: 'right' }, compact(amount(day[name])))),
            element('td', {}, budget('Budget of the day', amount(key.spend?.day), limits.budget_day, currency)),
            element('td', {}, budget('Budget of the month', amount(key.spend?.month), limits.budget_month, currency)),
            element('td', { class: 'quiet' }, limitText(limits)));
    });
    const groups = element('tr', {}, element('th', { scope: 'col', rowspan: 2 }, 'Key'), element('th', { scope: 'col', rowspan: 2, class: 'right' }, 'Requests today'),
        element('th', { scope: 'colgroup', colspan: 3, class: 'group' }, 'Tokens today'), element('th', { scope: 'colgroup', colspan: 2, class: 'group' }, 'Spent of the budget'),
        element('th', { scope: 'col', rowspan: 2 }, 'Limits'));
    const head = element('tr', {}, ['Fresh', 'Cached', 'Output'].map((name) => element('th', { scope: 'col', class: 'right' }, name)),
        ['Today', 'This month'].map((name) => element('th', { scope: 'col' }, name)));
    const place = page.usage.querySelector('.keys');
    const table = element('table', {}, element('caption', { class: 'sr-only' }, 'Keys: tokens of today, spend and limits'), element('thead', {}, groups, head), element('tbody', {}, rows));
    if (place) {
        place.replaceChildren(table);
        return;
    }
    page.usage.replaceChildren(element('div', { class: 'spend' }, spend.element),
        element('div', { class: 'table keys', role: 'group', 'aria-label': 'Keys', tabindex: 0 }, table));
}

// The four keys that spent most have a colour each; the rest share one.
function drawSpend(list, days) {
    const costs = list.map((key) => {
        const byDay = new Map((key.days ?? []).map((each) => [each.day, amount(each.cost)]));
        const values = days.map((day) => byDay.get(day) ?? 0);
        return { name: key.name ?? key.id, values, total: values.reduce((sum, value) => sum + value, 0) };
    }).filter(({ total }) => total > 0).sort((a, b) => b.total - a.total);
    const series = costs.slice(0, 4);
    const rest = costs.slice(4);
    if (rest.length > 0) series.push({ name: `${rest.length} more`, values: days.map((_, index) => rest.reduce((sum, { values }) => sum + values[index], 0)) });
    spend.update(days, series);
}

function budget(label, spent, limit, currency) {
    if (limit === null || limit === undefined) return element('span', {}, money(spent, currency));
    return gauge(label, spent, amount(limit), `${money(spent, currency)} of ${money(amount(limit), currency)}`);
}

function limitText(limits) {
    const parts = [[limits.requests_per_minute, 'requests/min'], [limits.tokens_per_minute, 'tokens/min'], [limits.concurrency, 'at once']]
        .filter(([value]) => Number.isFinite(value)).map(([value, unit]) => `${compact(value)} ${unit}`);
    return parts.length > 0 ? parts.join(', ') : 'none';
}

// --- Controls

page.model.addEventListener('change', () => {
    points = snapshots.map((_, index) => measure(index));
    draw();
});

page.pause.addEventListener('click', () => {
    isPaused = !isPaused;
    setIcon(page.pause, isPaused ? 'play' : 'pause');
    page.pause.querySelector('.sr-only').textContent = isPaused ? 'Go on' : 'Pause';
    announce(isPaused ? 'Paused' : 'Live again');
    start();
    drawState();
});

page['forget-key'].addEventListener('click', () => {
    keys.operator.set('');
    usage = null;
    snapshots = [];
    points = [];
    page.notice.mark = null;
    page.tiles.replaceChildren();
    page.usage.replaceChildren();
    announce('The operator key is forgotten');
    start();
});

document.addEventListener('visibilitychange', () => {
    if (!document.hidden && !isPaused) start();
});

drawState();
drawUsage();
start();
