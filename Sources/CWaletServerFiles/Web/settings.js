// The settings' form: what is sent with each request. Kept in this tab.

import { keys } from './api.js';
import { tab } from './dom.js';

const fields = ['system', 'thinking', 'max_tokens', 'temperature', 'top_p', 'top_k', 'min_p', 'seed', 'tools'];

export class Settings {
    #dialog = document.getElementById('settings');
    #form = document.getElementById('settings-form');
    #key = document.getElementById('key');
    #toolsError = document.getElementById('tools-error');
    #onKey;

    /// `onKey` is called when another key was entered.
    constructor(onKey) {
        this.#onKey = onKey;
        this.#restore();
        this.#key.value = keys.chat.get();
        this.#form.addEventListener('submit', (event) => {
            event.preventDefault();
            this.#dialog.close();
        });
        this.#form.addEventListener('input', () => this.#save());
        this.#key.addEventListener('change', () => this.setKey(this.#key.value));
        document.getElementById('open-settings').addEventListener('click', () => this.open());
        document.getElementById('reset-settings').addEventListener('click', () => {
            const key = this.#key.value;
            this.#form.reset();
            this.#key.value = key;
            this.#save();
        });
        this.#dialog.addEventListener('click', (event) => {
            // The backdrop belongs to the dialog; its content fills the rest.
            if (event.target === this.#dialog) this.#dialog.close();
        });
        this.#save();
    }

    open(field = null) {
        if (!this.#dialog.open) this.#dialog.showModal();
        if (field) this.#form.elements[field].focus();
    }

    setKey(value) {
        if (value.trim() === keys.chat.get()) return;
        keys.chat.set(value);
        this.#key.value = keys.chat.get();
        this.#onKey();
    }

    /// Shows the first field that cannot be sent as it is, and returns false, or returns true.
    check() {
        if (this.#form.checkValidity()) return true;
        this.open();
        this.#form.reportValidity();
        return false;
    }

    /// The values as typed, without the key.
    get values() {
        return Object.fromEntries(fields.map((name) => [name, this.#form.elements[name].value]).filter(([, value]) => value !== ''));
    }

    /// The parameters of a request. What is empty is not sent: the server's defaults hold.
    parameters() {
        const { system, thinking, tools, ...numbers } = this.values;
        const parameters = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, Number(value)]));
        if (thinking) {
            // Templates ask for the one or the other.
            const isOn = thinking === 'on';
            parameters.chat_template_kwargs = { enable_thinking: isOn, thinking: isOn };
        }
        if (tools?.trim()) parameters.tools = JSON.parse(tools);
        return { system: system ?? '', parameters };
    }

    showPrices(text) {
        document.getElementById('prices').textContent = text;
    }

    #save() {
        const problem = toolsProblem(this.#form.elements.tools.value);
        this.#form.elements.tools.setCustomValidity(problem);
        this.#form.elements.tools.setAttribute('aria-invalid', String(problem !== ''));
        this.#toolsError.textContent = problem;
        tab.set('walet.settings', JSON.stringify(this.values));
    }

    #restore() {
        let stored = {};
        try {
            stored = JSON.parse(tab.get('walet.settings')) ?? {};
        } catch { /* nothing stored yet */ }
        for (const name of fields) {
            if (typeof stored[name] === 'string') this.#form.elements[name].value = stored[name];
        }
    }
}

function toolsProblem(text) {
    if (text.trim() === '') return '';
    let list;
    try {
        list = JSON.parse(text);
    } catch (error) {
        return `Not JSON: ${error.message}`;
    }
    if (!Array.isArray(list)) return 'Expected a list of tools: [ … ]';
    const index = list.findIndex((tool) => tool?.type !== 'function' || typeof tool.function?.name !== 'string');
    return index < 0 ? '' : `Tool ${index + 1} is not {"type": "function", "function": {"name": …}}`;
}
