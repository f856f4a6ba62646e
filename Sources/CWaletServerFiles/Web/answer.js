// One answer on the page: thinking folded away, Markdown, tool calls, what it cost, what went wrong and what to do about it.

import { announce, copyFrom, count, decimal, element, icon, keyForm, money, plural, seconds, span } from './dom.js';
import { keys } from './api.js';
import { CodeBlock, MarkdownStream } from './markdown.js';

/// How an answer shows itself. `actions`: `again(node)`, `select(node, index)`, `sendResults(node, results)`, `setKey(key)`,
/// `openSettings(field)`, `drawn()` after each change of height.
export class AnswerView {
    #node;
    #actions;
    #content = element('div', { class: 'content markdown' });
    #thinkingText = document.createTextNode('');
    #thinkingTitle = element('span');
    #thinking;
    #calls = element('div', { class: 'calls' });
    #callBlocks = [];
    #notice = element('div', { class: 'notices' });
    #meta = element('div', { class: 'meta-place' });
    #foot = element('div', { class: 'message-foot' });
    #waiting = element('p', { class: 'waiting' }, element('span', { class: 'dots', 'aria-hidden': 'true' }, element('i'), element('i'), element('i')),
        element('span', {}, 'Waiting for the first token'));
    #stream = new MarkdownStream(this.#content);
    #timer = 0;
    #clock = 0;
    #pause = 40;
    #pendingThinking = '';
    #length = 0;
    #thinkingStart = 0;
    #hasText = false;
    #countdown = 0;

    constructor(node, actions) {
        this.#node = node;
        this.#actions = actions;
        this.#thinking = element('details', { class: 'thinking', hidden: true },
            element('summary', {}, icon('right'), this.#thinkingTitle),
            element('div', { class: 'thinking-text', dir: 'auto' }, this.#thinkingText));
        this.element = element('article', { class: 'message assistant', 'aria-busy': 'true' },
            element('h2', { class: 'author' }, element('img', { src: 'web/icon.svg', alt: '', width: 20, height: 20 }),
                element('span', { class: 'sr-only' }, 'Answer of '), node.model),
            this.#waiting, this.#thinking, this.#content, this.#calls, this.#notice, this.#meta, this.#foot);
    }

    // --- While the answer comes

    addThinking(text) {
        this.#begin();
        if (!this.#thinkingStart) {
            this.#thinkingStart = performance.now();
            this.#thinking.hidden = false;
            this.#thinking.classList.add('running');
            this.#tick();
            this.#clock = setInterval(() => this.#tick(), 1000);
            announce('Thinking');
        }
        this.#node.thinking += text;
        this.#pendingThinking += text;
        this.#schedule();
    }

    addText(text) {
        this.#begin();
        this.#endThinking('Thought for');
        if (!this.#hasText) {
            this.#hasText = true;
            announce('Answering');
        }
        this.#node.text += text;
        this.#stream.append(text);
        this.#length += text.length;
        this.#schedule();
    }

    /// A piece of a tool call, as the interface streams it.
    addCall({ index = 0, id, function: part }) {
        this.#begin();
        this.#endThinking('Thought for');
        if (!Number.isInteger(index) || index < 0 || index > this.#node.calls.length || index > 127) return;
        if (!this.#node.calls[index]) {
            this.#node.calls[index] = { id: id ?? '', name: '', arguments: '' };
            const title = element('span', { class: 'call-name' });
            const given = element('div');
            const block = { title, given };
            this.#callBlocks[index] = block;
            this.#calls.append(element('div', { class: 'call', role: 'group', 'aria-label': `Tool call ${index + 1}` },
                element('p', { class: 'call-head' }, icon('tool'), element('span', {}, 'Calls '), title), given));
        }
        const call = this.#node.calls[index];
        if (id) call.id = id;
        if (typeof part?.name === 'string') call.name += part.name;
        if (typeof part?.arguments === 'string') call.arguments += part.arguments;
        this.#schedule();
    }

    #begin() {
        this.#waiting.remove();
    }

    #tick() {
        this.#thinkingTitle.textContent = `Thinking… ${span((performance.now() - this.#thinkingStart) / 1000)}`;
    }

    #endThinking(words) {
        if (!this.#clock) return;
        clearInterval(this.#clock);
        this.#clock = 0;
        this.#node.thinkingSeconds = (performance.now() - this.#thinkingStart) / 1000;
        this.#thinking.classList.remove('running');
        this.#thinkingTitle.textContent = `${words} ${span(Math.max(1, this.#node.thinkingSeconds))}`;
    }

    // Draws at most 25 times a second, and less often when drawing is slow, so that the page has most of the time for its reader.
    #schedule() {
        if (this.#timer) return;
        this.#timer = setTimeout(() => {
            this.#timer = 0;
            const start = performance.now();
            this.#draw(false);
            this.#pause = Math.min(2000, Math.max(40, 4 * (performance.now() - start)));
        }, this.#pause);
    }

    #draw(isFinal) {
        if (this.#pendingThinking) {
            this.#thinkingText.appendData(this.#pendingThinking);
            this.#pendingThinking = '';
        }
        // A very long answer is laid out only where it is seen.
        if (this.#length > 60_000) this.#content.classList.add('long');
        this.#stream.render(isFinal);
        for (const [index, block] of this.#callBlocks.entries()) this.#drawCall(this.#node.calls[index], block);
        this.#actions.drawn();
    }

    #drawCall(call, { title, given }) {
        if (given.shown === call.arguments && title.textContent === call.name) return;
        title.textContent = call.name;
        given.shown = call.arguments;
        let text = call.arguments, label = 'arguments';
        try {
            text = JSON.stringify(JSON.parse(call.arguments || '{}'), null, 2);
        } catch {
            label = this.#node.state === 'running' ? 'arguments' : 'arguments (not complete)';
        }
        const code = new CodeBlock({ language: 'json', label });
        const lines = text.split('\n');
        lines.forEach((line, index) => code.write(line, index + 1 < lines.length ? '\n' : ''));
        code.close();
        given.replaceChildren(code.node);
    }

    // --- When it is complete

    /// Shows the end: `node.state` is done, stopped or failed; `error` says why it failed.
    finish(error = null) {
        clearTimeout(this.#timer);
        this.#begin();
        this.#endThinking(this.#node.state === 'done' ? 'Thought for' : 'Thinking ended after');
        this.#draw(true);
        this.element.setAttribute('aria-busy', 'false');
        this.element.classList.add(this.#node.state);
        this.#showMeta();
        if (error) this.#showError(error);
        else if (this.#node.state === 'stopped') this.#say('Stopped.');
        else if (this.#node.finish === 'length') this.#sayLength();
        else if (this.#node.finish === 'content_filter') this.#say('The server withheld the rest.');
        else if (!this.#node.text && this.#node.calls.length === 0) this.#say('The answer is empty.');
        if (this.#node.state === 'done' && this.#node.calls.length > 0) this.#askForResults();
        this.refresh();
        if (!error) this.#announceEnd();
        this.#actions.drawn();
    }

    #announceEnd() {
        const text = this.#content.textContent;
        const start = this.#node.state === 'stopped' ? 'Stopped.' : 'Answer complete.';
        const calls = this.#node.calls.length > 0 ? ` ${plural(this.#node.calls.length, 'tool call')}.` : '';
        announce(`${start}${calls} ${text.length > 600 ? `${text.slice(0, 600)}… The rest is in the conversation.` : text}`);
    }

    /// Brings the buttons below the answer up to date.
    refresh() {
        if (this.#node.state === 'running') return;
        const focused = this.#foot.contains(document.activeElement) ? document.activeElement.dataset.role : null;
        const copy = actionButton('copy', 'Copy', 'copy', () => copyFrom(copy, this.#node.text));
        this.#foot.replaceChildren(...(this.#node.text ? [copy] : []),
            actionButton('again', 'Regenerate', 'retry', () => this.#actions.again(this.#node)),
            ...versions(this.#node, this.#actions.select));
        if (focused) this.#foot.querySelector(`[data-role=${focused}]`)?.focus();
    }

    get place() {
        return this.#foot;
    }

    /// The results can be given only where nothing follows yet.
    get form() {
        return this.element.querySelector('.results');
    }

    #say(text, ...more) {
        this.#notice.append(element('p', { class: 'notice' }, text, ...more));
    }

    #sayLength() {
        this.#say('The answer reached the limit of tokens. ',
            element('button', { type: 'button', class: 'link', onclick: () => this.#actions.openSettings('max_tokens') }, 'Change the limit'));
    }

    #showMeta() {
        const { usage, timing, cost, finish } = this.#node;
        if (!usage) return;
        const speed = timing.speed ? `${decimal(timing.speed)} tokens/s` : null;
        const short = [plural(usage.output, 'token'), speed, cost ? money(cost.total, cost.currency) : null].filter(Boolean);
        const rows = [
            ['Prompt', usage.cached === null ? plural(usage.prompt, 'token')
                : `${plural(usage.prompt, 'token')}: ${count(usage.prompt - usage.cached)} fresh, ${count(usage.cached)} cached`],
            ['Answer', usage.thinking ? `${plural(usage.output, 'token')}, of them ${count(usage.thinking)} thinking` : plural(usage.output, 'token')],
            ['First token', timing.first === null ? null : `after ${seconds(timing.first)}`],
            ['In all', seconds(timing.total)],
            ['Cost', cost ? `${money(cost.total, cost.currency)}: fresh ${money(cost.fresh, cost.currency)}, cached ${money(cost.cached, cost.currency)}, answer ${money(cost.output, cost.currency)}` : null],
            ['Ended', finish ? endings[finish] ?? finish : null],
        ].filter(([, value]) => value !== null);
        this.#meta.replaceChildren(element('details', { class: 'meta' },
            element('summary', {}, icon('right'), short.join(' · ')),
            element('dl', {}, rows.map(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]))));
    }

    // --- Tool results

    #askForResults() {
        const fields = this.#node.calls.map((call) => {
            const area = element('textarea', { rows: 2, class: 'mono', spellcheck: 'false' });
            return { call, area };
        });
        const form = element('form', {
            class: 'results',
            onsubmit: (event) => {
                event.preventDefault();
                this.#actions.sendResults(this.#node, fields.map(({ call, area }) => ({ id: call.id, name: call.name, text: area.value })));
            },
        }, fields.map(({ call, area }) => element('label', {}, element('span', {}, `Result of ${call.name}`), area)),
        element('button', { type: 'submit', class: 'button primary' }, fields.length === 1 ? 'Send the result' : 'Send the results'));
        this.#calls.append(form);
    }

    // --- Errors

    #showError(error) {
        const { title, advice } = explain(error, this.#node);
        const retry = element('button', { type: 'button', class: 'button', onclick: () => this.#actions.again(this.#node) }, icon('retry'), 'Try again');
        const box = element('div', { class: 'notice error', role: 'alert' },
            element('p', { class: 'notice-title' }, title), element('p', {}, error.message), advice ? element('p', { class: 'advice' }, advice) : null);
        if (error.kind === 'key') {
            box.append(keyForm(this.#actions.setKey, () => this.#actions.again(this.#node)));
        } else if (error.kind === 'wait' && error.retryAfter > 0) {
            this.#wait(box, retry, error.retryAfter);
        } else {
            if (error.kind !== 'budget' && error.kind !== 'permission') box.append(retry);
            if (error.kind === 'request') {
                box.append(element('button', { type: 'button', class: 'button', onclick: () => this.#actions.openSettings(null) }, icon('sliders'), 'Settings'));
            }
        }
        this.#notice.append(box);
    }

    #wait(box, retry, total) {
        const until = performance.now() + total * 1000;
        // Seconds that tick are for the eye; a screen reader hears the wait once, and when it is over.
        const text = element('p', { class: 'advice', 'aria-hidden': 'true' });
        box.append(element('p', { class: 'sr-only' }, `You can try again in ${span(total)}.`), text, retry);
        retry.disabled = true;
        const tick = () => {
            const left = Math.ceil((until - performance.now()) / 1000);
            text.textContent = left > 0 ? `You can try again in ${span(left)}.` : 'You can try again now.';
            if (left > 0) return;
            clearInterval(this.#countdown);
            retry.disabled = false;
            announce('You can try again now.');
        };
        tick();
        this.#countdown = setInterval(tick, 500);
    }

    /// Stops what ticks, when the answer is taken from the page for good.
    discard() {
        clearInterval(this.#clock);
        clearInterval(this.#countdown);
        clearTimeout(this.#timer);
    }
}

const endings = { stop: 'by itself', length: 'at the limit of tokens', tool_calls: 'to call tools', stopped: 'stopped by you' };

function explain(error, node) {
    const isLong = error.code === 'context_length_exceeded' || /context/.test(error.code ?? '');
    switch (error.kind) {
    case 'key': return { title: keys.chat.get() ? 'The server does not accept this key' : 'The server asks for a key', advice: null };
    case 'permission': return { title: 'This key may not do that', advice: 'Choose another model, or ask whoever runs this server.' };
    case 'budget': return { title: 'The budget of this key is spent', advice: 'Trying again does not help. Ask whoever runs this server.' };
    case 'wait': return error.status === 429
        ? { title: 'Too many requests at the moment', advice: null } : { title: 'The server is busy', advice: null };
    case 'missing': return { title: `The model ${node.model} is not here`, advice: 'Choose another one at the top of the page.' };
    case 'request': return {
        title: 'The server did not accept the request',
        advice: isLong ? 'Start a new conversation, or shorten what you sent.' : null,
    };
    case 'network': return { title: 'No connection', advice: 'Is the server running, and the network up?' };
    case 'cut': return { title: 'The answer was cut off', advice: node.text ? 'What came so far stands above.' : null };
    default: return { title: 'The server failed', advice: 'If it happens again, tell whoever runs this server.' };
    }
}

/// A small button below a message.
export function actionButton(role, label, iconName, onclick) {
    return element('button', { type: 'button', class: 'action', 'data-role': role, onclick }, icon(iconName), element('span', {}, label));
}

/// The buttons that go through the branches at a node, where there are several.
export function versions(node, select) {
    const siblings = node.parent.children;
    if (siblings.length < 2) return [];
    const index = siblings.indexOf(node);
    const step = (role, name, label, to) => element('button', {
        type: 'button', class: 'action icon-only', 'data-role': role, disabled: to < 0 || to >= siblings.length, onclick: () => select(siblings[to], role),
    }, icon(name), element('span', { class: 'sr-only' }, label));
    return [element('span', { class: 'versions' }, step('previous', 'left', 'Version before', index - 1),
        element('span', {}, element('span', { class: 'sr-only' }, 'Version '), `${index + 1} / ${siblings.length}`),
        step('next', 'right', 'Next version', index + 1))];
}
