// Talks to the server: keys, errors as people can use them, server-sent events. Addresses are relative, so that the page also
// works behind a proxy that serves it below a path.

import { tab } from './dom.js';

const lineLimit = 16 * 1024 * 1024;

export const keys = {
    chat: { get: () => tab.get('walet.key'), set: (value) => tab.set('walet.key', value.trim()) },
    operator: { get: () => tab.get('walet.operator-key'), set: (value) => tab.set('walet.operator-key', value.trim()) },
};

/// What went wrong. `kind` is what the page decides by: key, permission, budget, wait, missing, request, server, network, cut.
export class ServerError extends Error {
    constructor(kind, message, { status = 0, code = null, retryAfter = null } = {}) {
        super(message);
        this.name = 'ServerError';
        this.kind = kind;
        this.status = status;
        this.code = code;
        this.retryAfter = retryAfter;
    }
}

/// An answer with a status of 200 to 299, or a `ServerError`. An abort passes through as the browser's AbortError.
export async function request(path, { key = '', body = null, signal = null, accept = 'application/json' } = {}) {
    const headers = { accept };
    if (key) headers.authorization = `Bearer ${key}`;
    if (body) headers['content-type'] = 'application/json';
    let response;
    try {
        response = await fetch(path, {
            method: body ? 'POST' : 'GET', headers, body: body ? JSON.stringify(body) : undefined, signal,
            credentials: 'same-origin', cache: 'no-store', redirect: 'error', referrerPolicy: 'no-referrer',
        });
    } catch (error) {
        if (error.name === 'AbortError') throw error;
        if (key && !/^[\x21-\x7e]*$/.test(key)) {
            throw new ServerError('key', 'The key has characters that no key has. Was it copied whole?');
        }
        throw new ServerError('network', 'The server cannot be reached.');
    }
    if (response.ok) return response;
    throw await refusal(response);
}

async function refusal(response) {
    let error = null;
    try {
        error = (await response.json()).error;
    } catch { /* a proxy's page, or nothing: the status has to do */ }
    if (typeof error === 'string') error = { message: error };
    return errorFrom(error, response.status, response.headers);
}

/// From an error object in the shape of the OpenAI interface, in a body or in a stream.
export function errorFrom(error, status, headers = null) {
    const message = typeof error?.message === 'string' && error.message ? error.message : `The server answered with status ${status}.`;
    const code = typeof error?.code === 'string' ? error.code : null;
    const type = typeof error?.type === 'string' ? error.type : '';
    const final = headers?.get('x-should-retry') === 'false';
    const retryAfter = waitingTime(headers);
    let kind = 'request';
    if (status === 401) kind = 'key';
    else if (status === 402 || /budget|quota/.test(`${code} ${type}`)) kind = 'budget';
    else if (status === 403) kind = 'permission';
    else if (status === 404) kind = 'missing';
    else if (status === 429) kind = final ? 'budget' : 'wait';
    else if (status === 503 || status === 529) kind = 'wait';
    else if (status >= 500) kind = 'server';
    return new ServerError(kind, message, { status, code, retryAfter });
}

function waitingTime(headers) {
    const milliseconds = Number.parseFloat(headers?.get('retry-after-ms') ?? '');
    if (milliseconds >= 0) return Math.ceil(milliseconds / 1000);
    const text = headers?.get('retry-after');
    if (!text) return null;
    if (/^\d{1,7}$/.test(text)) return Number(text);
    const date = Date.parse(text);
    return Number.isNaN(date) ? null : Math.max(0, Math.ceil((date - Date.now()) / 1000));
}

/// The data of each event of a stream, as the HTML standard reads it; comments and other fields are passed over.
export async function* serverSentEvents(stream) {
    const reader = stream.getReader();
    const decoder = new TextDecoder();
    let rest = '';
    let data = [];
    try {
        for (;;) {
            const { done, value } = await reader.read();
            const text = done ? decoder.decode() : decoder.decode(value, { stream: true });
            rest += text;
            // A line without an end must not be split again and again: look for an end in what is new.
            if (!done && !/[\r\n]/.test(text)) {
                if (rest.length > lineLimit) throw new ServerError('cut', 'The server sent a line without an end.');
                continue;
            }
            // A carriage return that ends the piece may be half of a line's end.
            const lines = rest.split(done ? /\r\n|\n|\r/ : /\r\n|\n|\r(?!$)/);
            rest = done ? '' : lines.pop();
            for (const line of lines) {
                if (line === '') {
                    if (data.length > 0) yield data.join('\n');
                    data = [];
                } else if (line.startsWith('data:')) {
                    data.push(line.startsWith('data: ') ? line.slice(6) : line.slice(5));
                }
            }
            if (done) return;
        }
    } finally {
        // Leaving early must close the connection, or the server would go on.
        reader.cancel().catch(() => {});
    }
}

/// The chunks of a streamed chat completion. Ends normally only where the server said that it is done.
export async function* chatChunks(body, { key, signal }) {
    const response = await request('v1/chat/completions', { key, body, signal, accept: 'text/event-stream' });
    if (!/^text\/event-stream\b/i.test(response.headers.get('content-type') ?? '')) {
        throw new ServerError('server', 'The server did not send a stream of events.', { status: response.status });
    }
    let finished = false;
    try {
        for await (const text of serverSentEvents(response.body)) {
            if (text === '[DONE]') return;
            let chunk;
            try {
                chunk = JSON.parse(text);
            } catch {
                throw new ServerError('cut', 'The server sent an event that is not JSON.');
            }
            if (chunk?.error) {
                const error = typeof chunk.error === 'string' ? { message: chunk.error } : chunk.error;
                throw errorFrom(error, Number.isInteger(error.status ?? error.code) ? error.status ?? error.code : 500);
            }
            if (chunk?.choices?.[0]?.finish_reason) finished = true;
            yield chunk;
        }
    } catch (error) {
        if (error instanceof ServerError || error.name === 'AbortError') throw error;
        throw new ServerError('cut', 'The connection broke before the answer was complete.');
    }
    if (!finished) throw new ServerError('cut', 'The connection ended before the answer was complete.');
}

/// The models with what the page needs of each: `{id, context, pricing: {input, cached, output, currency} | null}`.
export async function models(key) {
    const response = await request('v1/models', { key });
    const list = (await response.json().catch(() => null))?.data;
    if (!Array.isArray(list)) throw new ServerError('server', 'The list of models is not what was expected.');
    return list.filter((entry) => typeof entry?.id === 'string').map((entry) => ({
        id: entry.id,
        context: positive(entry.walet?.context_length ?? entry.context_length ?? entry.max_model_len),
        pricing: pricing(entry.walet?.pricing),
    }));
}

function positive(value) {
    return Number.isFinite(value) && value > 0 ? value : null;
}

// Prices per million tokens, as numbers or as decimal strings.
function pricing(given) {
    if (!given) return null;
    const input = Number(given.input), output = Number(given.output);
    const cached = Number(given.cached_input ?? given.input);
    if (![input, cached, output].every((price) => Number.isFinite(price) && price >= 0)) return null;
    return { input, cached, output, currency: typeof given.currency === 'string' ? given.currency : 'USD' };
}
