// The chat page: the conversation, the message box, and what connects them with the server.

import { chatChunks, keys, models, ServerError } from './api.js';
import { actionButton, AnswerView, versions } from './answer.js';
import { Conversation, costOf, exportJSON, exportMarkdown, readUsage } from './conversation.js';
import { announce, compact, copyFrom, element, icon, keyForm, money, placeIcons, plural, save, setIcon, tab } from './dom.js';
import { Settings } from './settings.js';

const page = Object.fromEntries(['model', 'history', 'history-note', 'thread', 'log', 'prompt', 'composer', 'send', 'send-label', 'totals',
    'jump', 'sidebar', 'settings', 'new-chat', 'export-json', 'export-markdown'].map((id) => [id, document.getElementById(id)]));

// What walet-nano, the model that comes with Walet, was trained on; other models are asked more.
const nanoSuggestions = [
    { title: 'Add two numbers', text: 'What is 12345 + 54321?' },
    { title: 'Count letters', text: 'How many times does the letter r occur in "stroberri"?' },
    { title: 'Find a day', text: 'Today is Monday. What day is it in 240 days?' },
    { title: 'Tanya harga', text: 'Sejuta token harganya 1.25 USD. Berapa harga 8 juta token?' },
];
const generalSuggestions = [
    { title: 'Explain an idea', text: 'Explain mixture-of-experts models to a colleague who knows databases but not machine learning.' },
    { title: 'Write some code', text: 'Write a Swift function that merges two sorted arrays, with a test for each edge case.' },
    { title: 'Compare in a table', text: 'Compare SQLite and PostgreSQL for a service with one machine, as a table.' },
    { title: 'Improve a text', text: 'Make this friendlier and half as long: “Your application cannot be processed until all documents have been received.”' },
];

const suggestions = () => (page.model.value === 'walet-nano' ? nanoSuggestions : generalSuggestions);

const views = new Map();        // node -> view with an `element`
const conversations = [new Conversation()];
let current = conversations[0];
let known = [];                 // models
let isFollowing = true;

placeIcons();
const settings = new Settings(() => loadModels());

// --- Models

async function loadModels() {
    page.model.disabled = true;
    let problem = null;
    try {
        known = await models(keys.chat.get());
        if (known.length === 0) problem = new ServerError('server', 'This server has no models yet.');
    } catch (error) {
        known = [];
        problem = error;
    }
    const wanted = tab.get('walet.model');
    page.model.replaceChildren(...known.map(({ id }) => element('option', { value: id }, id)));
    if (problem) page.model.append(element('option', { value: '' }, problem.kind === 'key' ? 'A key is needed' : 'No models'));
    else page.model.value = known.some(({ id }) => id === wanted) ? wanted : known[0].id;
    page.model.disabled = problem !== null;
    showPrices();
    if (current.isEmpty) drawThread(problem);
}

function chosenModel() {
    return known.find(({ id }) => id === page.model.value) ?? null;
}

function showPrices() {
    const model = chosenModel();
    const parts = [];
    if (model?.pricing) {
        const { input, cached, output, currency } = model.pricing;
        parts.push(`A million tokens of ${model.id} cost ${money(input, currency)} fresh, ${money(cached, currency)} cached and ${money(output, currency)} as an answer.`);
    }
    if (model?.context) parts.push(`It reads ${compact(model.context)} tokens at most.`);
    settings.showPrices(parts.join(' '));
}

page.model.addEventListener('change', () => {
    tab.set('walet.model', page.model.value);
    showPrices();
    if (current.isEmpty) drawThread();
});

// --- Asking

function send(text) {
    if (text.trim() === '' || current.stream || !canAsk()) return false;
    ask(current, current.add(current.last, { role: 'user', text }));
    return true;
}

function canAsk() {
    if (!settings.check()) return false;
    if (chosenModel()) return true;
    announce('There is no model to ask.');
    page.thread.querySelector('.key-form input')?.focus();
    return false;
}

/// Asks for an answer after a node, as a new branch below it.
async function ask(conversation, parent) {
    const model = chosenModel();
    const { system, parameters } = settings.parameters();
    const node = conversation.add(parent, {
        role: 'assistant', text: '', thinking: '', thinkingSeconds: null, calls: [], model: model.id, state: 'running', finish: null,
        usage: null, timing: null, cost: null,
    });
    const controller = new AbortController();
    const stream = { node, controller };
    conversation.stream = stream;
    const view = new AnswerView(node, actions);
    views.set(node, view);
    isFollowing = true;
    if (conversation === current) drawThread();
    drawHistory();
    const body = {
        model: model.id, messages: [...(system ? [{ role: 'system', content: system }] : []), ...conversation.messages(parent)],
        stream: true, stream_options: { include_usage: true }, ...parameters,
    };
    const start = performance.now();
    let first = null, last = null, failure = null;
    try {
        for await (const chunk of chatChunks(body, { key: keys.chat.get(), signal: controller.signal })) {
            const choice = chunk.choices?.[0];
            const delta = choice?.delta;
            const thinking = delta?.reasoning_content ?? delta?.reasoning;
            if (thinking || delta?.content || delta?.tool_calls?.length > 0) {
                last = performance.now();
                first ??= last;
            }
            if (typeof thinking === 'string' && thinking) view.addThinking(thinking);
            if (typeof delta?.content === 'string' && delta.content) view.addText(delta.content);
            for (const call of Array.isArray(delta?.tool_calls) ? delta.tool_calls : []) view.addCall(call);
            if (choice?.finish_reason) node.finish = choice.finish_reason;
            if (chunk.usage) node.usage = readUsage(chunk.usage) ?? node.usage;
        }
        node.state = 'done';
    } catch (error) {
        if (error.name === 'AbortError') {
            node.state = 'stopped';
            node.finish = 'stopped';
        } else {
            node.state = 'failed';
            failure = error instanceof ServerError ? error : new ServerError('cut', 'The answer cannot be read.');
            if (!(error instanceof ServerError)) console.error(error);
        }
    }
    const total = (performance.now() - start) / 1000;
    const length = first === null ? 0 : (last - first) / 1000;
    node.timing = {
        first: first === null ? null : (first - start) / 1000, total,
        speed: node.usage?.output > 1 && length > 0.05 ? (node.usage.output - 1) / length : null,
    };
    node.cost = costOf(node.usage, model.pricing);
    conversation.stream = null;
    view.finish(failure);
    if (conversation === current) drawControls();
    drawHistory();
    if (failure?.kind === 'key' && conversation === current) view.element.querySelector('.key-form input')?.focus();
}

function stop() {
    current.stream?.controller.abort();
}

const actions = {
    again(node) {
        if (current.stream || !canAsk()) return;
        const parent = node.parent;
        // What failed before its first word is not worth a version.
        if (node.state === 'failed' && !node.text && node.calls.length === 0) remove(node);
        ask(current, parent);
        page.prompt.focus({ preventScroll: true });
    },
    select(node, role) {
        if (current.stream) return;
        node.parent.active = node.parent.children.indexOf(node);
        drawThread();
        const place = views.get(node).place;
        (place.querySelector(`[data-role=${role}]:enabled`) ?? place.querySelector('.versions button:enabled'))?.focus();
    },
    sendResults(node, results) {
        if (current.stream || !canAsk()) return;
        ask(current, current.add(node, { role: 'tools', results }));
        page.prompt.focus({ preventScroll: true });
    },
    setKey: (key) => settings.setKey(key),
    openSettings: (field) => settings.open(field),
    drawn: () => follow(),
};

function remove(node) {
    views.get(node)?.discard?.();
    views.delete(node);
    current.remove(node);
}

// --- The thread

function viewOf(node) {
    let view = views.get(node);
    if (!view) {
        view = node.role === 'user' ? questionView(node) : resultsView(node);
        views.set(node, view);
    }
    return view;
}

function drawThread(problem = null) {
    const path = current.path();
    page.thread.replaceChildren(...(path.length === 0 ? [welcome(problem)] : path.map((node) => viewOf(node).element)));
    for (const node of path) {
        const view = views.get(node);
        view.refresh();
        if (view.form) view.form.hidden = node.children.length > 0;
    }
    drawControls();
    follow();
}

function welcome(problem) {
    const box = element('section', { class: 'welcome' },
        element('img', { src: 'web/icon.svg', alt: '', width: 72, height: 72 }),
        element('h2', {}, 'What would you like to know?'),
        element('p', { class: 'quiet' }, 'The model runs on this server. What you write goes nowhere else.'));
    if (problem) {
        const isKey = problem.kind === 'key';
        const notice = element('div', { class: `notice ${isKey ? '' : 'error'}`, role: 'alert' },
            element('p', { class: 'notice-title' }, isKey ? (keys.chat.get() ? 'The server does not accept this key' : 'This server asks for a key') : 'The models cannot be listed'),
            element('p', {}, isKey ? 'You get one from whoever runs it. It is kept in this tab until the tab closes.' : problem.message),
            isKey ? keyForm((key) => settings.setKey(key), () => page.prompt.focus())
                : element('button', { type: 'button', class: 'button', onclick: () => loadModels() }, icon('retry'), 'Try again'));
        box.append(notice);
    } else {
        box.append(element('ul', { class: 'suggestions', 'aria-label': 'Suggestions' }, suggestions().map(({ title, text }) => element('li', {},
            element('button', {
                type: 'button',
                onclick: () => {
                    page.prompt.value = text;
                    resize(page.prompt);
                    page.prompt.focus();
                },
            }, element('strong', {}, title), element('span', {}, text))))));
    }
    return box;
}

function questionView(node) {
    const text = element('div', { class: 'content', dir: 'auto' }, node.text);
    const foot = element('div', { class: 'message-foot' });
    const article = element('article', { class: 'message user' }, element('h2', { class: 'sr-only' }, 'You'), text, foot);
    return {
        element: article,
        place: foot,
        refresh() {
            const focused = foot.contains(document.activeElement) ? document.activeElement.dataset.role : null;
            const copy = actionButton('copy', 'Copy', 'copy', () => copyFrom(copy, node.text));
            foot.replaceChildren(actionButton('edit', 'Edit', 'edit', () => edit(node, article, text, foot)), copy, ...versions(node, actions.select));
            if (focused) foot.querySelector(`[data-role=${focused}]`)?.focus();
        },
    };
}

function edit(node, article, text, foot) {
    if (current.stream) return;
    const area = element('textarea', { 'aria-label': 'Edit your message', rows: 3 });
    area.value = node.text;
    const close = () => {
        form.replaceWith(text);
        foot.hidden = false;
        article.classList.remove('editing');
        foot.querySelector('[data-role=edit]')?.focus();
    };
    const submit = () => {
        if (area.value.trim() === '' || !canAsk()) return;
        close();
        ask(current, current.add(node.parent, { role: 'user', text: area.value }));
        page.prompt.focus({ preventScroll: true });
    };
    const form = element('form', {
        class: 'edit',
        onsubmit: (event) => {
            event.preventDefault();
            submit();
        },
        onkeydown: (event) => {
            if (event.key === 'Escape') {
                event.stopPropagation();
                close();
            } else if (isSendKey(event) && event.target === area) {
                event.preventDefault();
                submit();
            }
        },
    }, area, element('div', { class: 'row end' },
        element('button', { type: 'button', class: 'button small', onclick: close }, 'Cancel'),
        element('button', { type: 'submit', class: 'button small primary' }, 'Send again')));
    text.replaceWith(form);
    foot.hidden = true;
    article.classList.add('editing');
    resize(area);
    area.addEventListener('input', () => resize(area));
    area.focus();
}

function resultsView(node) {
    const article = element('article', { class: 'message results-given' }, element('h2', { class: 'sr-only' }, 'Results of tools'),
        node.results.map(({ name, text }) => element('details', {}, element('summary', {}, icon('right'), `Result of ${name}`), element('pre', { tabindex: 0 }, text))));
    return { element: article, place: article, refresh() {} };
}

// --- The end of the page, and whether the reader is there

function isAtEnd() {
    return page.log.scrollHeight - page.log.scrollTop - page.log.clientHeight < 48;
}

function follow() {
    if (isFollowing) page.log.scrollTop = page.log.scrollHeight;
    page.jump.hidden = isFollowing || isAtEnd();
}

page.log.addEventListener('scroll', () => {
    const { scrollTop } = page.log;
    // Only the reader scrolls up; growth below does not.
    if (scrollTop < (page.log.before ?? 0) - 2) isFollowing = isAtEnd();
    else if (isAtEnd()) isFollowing = true;
    page.log.before = scrollTop;
    page.jump.hidden = isFollowing || isAtEnd();
}, { passive: true });

page.jump.addEventListener('click', () => {
    isFollowing = true;
    follow();
    page.prompt.focus({ preventScroll: true });
});

new ResizeObserver(() => follow()).observe(page.log);

// --- Controls

function drawControls() {
    const isRunning = current.stream !== null;
    setIcon(page.send, isRunning ? 'stop' : 'send');
    page['send-label'].textContent = isRunning ? 'Stop' : 'Send';
    page.send.classList.toggle('stop', isRunning);
    const { answers, tokens, cost, currency, hasCost } = current.totals();
    page.totals.textContent = answers === 0 ? ''
        : [plural(answers, 'answer'), `${compact(tokens)} tokens`, hasCost ? money(cost, currency) : null].filter(Boolean).join(' · ');
    for (const id of ['export-json', 'export-markdown']) page[id].disabled = current.isEmpty;
    document.title = current.isEmpty ? 'Walet' : `${current.title} · Walet`;
}

function drawHistory() {
    const focused = page.history.contains(document.activeElement) ? document.activeElement.dataset.place : null;
    page.history.replaceChildren(...conversations.map((each, index) => element('li', { class: each.stream ? 'running' : null },
        element('button', {
            type: 'button', class: 'history-open', 'aria-current': each === current ? 'true' : null, 'data-place': `open-${index}`, onclick: () => show(each),
        }, each.title),
        element('button', { type: 'button', class: 'icon-button small', 'data-place': `forget-${index}`, onclick: () => forget(each) },
            icon('trash'), element('span', { class: 'sr-only' }, `Forget “${each.title}”`)))));
    if (focused) page.history.querySelector(`[data-place="${focused}"]`)?.focus();
}

function show(conversation) {
    current.draft = page.prompt.value;
    current = conversation;
    page.prompt.value = current.draft;
    resize(page.prompt);
    isFollowing = true;
    drawThread();
    drawHistory();
    if (page.sidebar.matches(':popover-open')) page.sidebar.hidePopover();
}

function forget(conversation) {
    conversation.stream?.controller.abort();
    const index = conversations.indexOf(conversation);
    conversations.splice(index, 1);
    if (conversations.length === 0) conversations.push(new Conversation());
    if (conversation === current) {
        current = conversations[Math.min(index, conversations.length - 1)];
        page.prompt.value = current.draft;
        drawThread();
    }
    drawHistory();
    announce('Forgotten');
    (page.history.querySelectorAll('.history-open')[Math.min(index, conversations.length - 1)])?.focus();
}

page['new-chat'].addEventListener('click', () => {
    let empty = conversations.find((each) => each.isEmpty);
    if (!empty) {
        empty = new Conversation();
        conversations.unshift(empty);
    }
    show(empty);
    page.prompt.focus();
});

function fileName(extension) {
    const name = current.title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '').slice(0, 50);
    return `${name || 'conversation'}.${extension}`;
}

page['export-json'].addEventListener('click', () => save(fileName('json'), 'application/json', exportJSON(current, settings.values)));
page['export-markdown'].addEventListener('click', () => save(fileName('md'), 'text/markdown', exportMarkdown(current)));

// --- The message box

function isSendKey(event) {
    // While an input method composes, Enter belongs to it.
    return event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}

function submitPrompt() {
    if (!send(page.prompt.value)) return;
    page.prompt.value = '';
    resize(page.prompt);
}

function resize(area) {
    area.style.height = 'auto';
    area.style.height = `${Math.min(area.scrollHeight + 2, window.innerHeight * 0.4)}px`;
}

page.composer.addEventListener('submit', (event) => {
    event.preventDefault();
    if (current.stream) stop();
    else submitPrompt();
    page.prompt.focus();
});
page.prompt.addEventListener('keydown', (event) => {
    if (!isSendKey(event)) return;
    event.preventDefault();
    if (!current.stream) submitPrompt();
});
page.prompt.addEventListener('input', () => resize(page.prompt));

document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || event.defaultPrevented || page.settings.open || page.sidebar.matches(':popover-open')) return;
    if (current.stream) {
        event.preventDefault();
        stop();
    }
});

// On a wide page the sidebar stands beside the conversation and is not a popover any more.
matchMedia('(min-width: 60rem)').addEventListener('change', () => {
    if (page.sidebar.matches(':popover-open')) page.sidebar.hidePopover();
});

drawThread();
drawHistory();
loadModels();
page.prompt.focus({ preventScroll: true });
