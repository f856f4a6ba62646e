// Makes elements without ever parsing text as HTML, and holds what both pages share: icons, numbers, announcements.

/// An element with attributes and children. Functions under "onclick"-like names become listeners; null and false are left out.
export function element(name, attributes = {}, ...children) {
    return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
    return fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);
}

function fill(node, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) {
        if (value === null || value === undefined || value === false) continue;
        if (typeof value === 'function') node.addEventListener(key.slice(2), value);
        else node.setAttribute(key, value === true ? '' : String(value));
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return node;
}

// Strokes on a grid of 24.
const strokes = {
    menu: 'M4 7h16M4 12h16M4 17h10',
    plus: 'M12 5v14M5 12h14',
    close: 'M6 6l12 12M18 6L6 18',
    sliders: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5',
    send: 'M12 19V5M6 11l6-6 6 6',
    stop: 'M7 7h10v10H7z',
    copy: 'M9 9h10v11H9zM15 9V5H5v11h4',
    check: 'M5 12.5l4.5 4.5L19 7.5',
    retry: 'M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4',
    edit: 'M5 19l1-4L16 5l3 3L9 18zM14 7l3 3',
    download: 'M12 4v11M7 11l5 5 5-5M5 20h14',
    trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
    left: 'M14.5 6l-6 6 6 6',
    right: 'M9.5 6l6 6-6 6',
    down: 'M12 5v14M6 13l6 6 6-6',
    tool: 'M14.5 6.5a4 4 0 0 1 5-1L17 8l1 2 2 .5 1-2a4 4 0 0 1-5.5 4L8 20l-3-3 7.5-7.5a4 4 0 0 1 2-3z',
    key: 'M14 10a4 4 0 1 0-2.6 3.7L13 15h2v2h2v2h3v-3l-6-5.5z',
    system: 'M4 5h16v11H4zM9 20h6M12 16v4',
    light: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1',
    dark: 'M19 14.5A7.5 7.5 0 0 1 9.5 5 7.5 7.5 0 1 0 19 14.5z',
    pause: 'M9 6v12M15 6v12',
    play: 'M8 5.5l10 6.5-10 6.5z',
};

export function icon(name) {
    return svg('svg', { class: `icon icon-${name}`, viewBox: '0 0 24 24', 'aria-hidden': 'true', focusable: 'false' },
        svg('path', { d: strokes[name] }));
}

/// Puts an icon before the words of each element that asks for one by `data-icon`, and the three of the colour button.
export function placeIcons(root = document) {
    for (const node of root.querySelectorAll('[data-icon]')) node.prepend(icon(node.dataset.icon));
    root.querySelector('#theme')?.prepend(icon('system'), icon('light'), icon('dark'));
}

/// Another icon in the same place.
export function setIcon(node, name) {
    node.querySelector('.icon').replaceWith(icon(name));
}

/// Tells a screen reader, politely and once.
export function announce(text) {
    const region = document.getElementById('announcer');
    region.textContent = '';
    // A region that is emptied and filled in one turn is not spoken again where the words are the same.
    setTimeout(() => { region.textContent = text; }, 50);
}

/// A field for a key, where one is missing. `done` runs after the key was stored.
export function keyForm(setKey, done) {
    const field = element('input', { type: 'password', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'none', required: true });
    return element('form', {
        class: 'key-form',
        onsubmit: (event) => {
            event.preventDefault();
            setKey(field.value);
            done();
        },
    }, element('label', {}, element('span', {}, 'API key'), field),
    element('button', { type: 'submit', class: 'button primary' }, icon('key'), 'Use this key'));
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export function count(value) {
    return whole.format(value);
}

export function compact(value) {
    return Math.abs(value) < 10000 ? whole.format(value) : short.format(value);
}

export function decimal(value, digits = 1) {
    return value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

export function plural(value, one, many = `${one}s`) {
    return `${count(value)} ${value === 1 ? one : many}`;
}

/// Money as people read it: cents from a dollar on, three significant digits below.
export function money(value, currency = 'USD') {
    const digits = Math.abs(value) >= 1 || value === 0
        ? { minimumFractionDigits: 2, maximumFractionDigits: 2 }
        : { minimumFractionDigits: 2, maximumSignificantDigits: 3, roundingPriority: 'morePrecision' };
    try {
        return new Intl.NumberFormat('en', { style: 'currency', currency, ...digits }).format(value);
    } catch {
        return `${value.toLocaleString('en', digits)} ${currency}`;
    }
}

export function seconds(value) {
    if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
    if (value < 10) return `${decimal(value, 2)} s`;
    if (value < 60) return `${decimal(value, 1)} s`;
    return span(value);
}

/// A length of time in its two largest units.
export function span(value) {
    const total = Math.round(value);
    const parts = [[Math.floor(total / 86400), 'd'], [Math.floor(total / 3600) % 24, 'h'],
        [Math.floor(total / 60) % 60, 'min'], [total % 60, 's']];
    const first = parts.findIndex(([number]) => number > 0);
    if (first < 0) return '0 s';
    return parts.slice(first, first + 2).filter(([number]) => number > 0).map(([number, unit]) => `${number} ${unit}`).join(' ');
}

/// Copies text and says so on the button for a moment.
export async function copyFrom(button, text) {
    let copied = true;
    try {
        await navigator.clipboard.writeText(text);
    } catch {
        copied = copyBySelection(text);
    }
    announce(copied ? 'Copied' : 'The browser did not allow copying');
    if (!copied) return;
    setIcon(button, 'check');
    clearTimeout(button.copyTimer);
    button.copyTimer = setTimeout(() => setIcon(button, 'copy'), 1500);
}

// Over plain HTTP from another machine the clipboard's own interface does not exist.
function copyBySelection(text) {
    const area = element('textarea', { class: 'sr-only', 'aria-hidden': 'true', tabindex: '-1' });
    area.value = text;
    const before = document.activeElement;
    (before?.closest('dialog') ?? document.body).append(area);
    area.select();
    let done = false;
    try { done = document.execCommand('copy'); } catch { done = false; }
    area.remove();
    before?.focus({ preventScroll: true });
    return done;
}

/// Gives the browser a file to save.
export function save(name, type, text) {
    const address = URL.createObjectURL(new Blob([text], { type }));
    const link = element('a', { href: address, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/// Storage of this tab. Where the browser forbids it, memory serves until the page is left.
const memory = new Map();
export const tab = {
    get(name) {
        try { return sessionStorage.getItem(name) ?? memory.get(name) ?? ''; } catch { return memory.get(name) ?? ''; }
    },
    set(name, value) {
        memory.set(name, value);
        try {
            if (value) sessionStorage.setItem(name, value);
            else sessionStorage.removeItem(name);
        } catch { /* memory has it */ }
    },
};
