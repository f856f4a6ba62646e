// Charts in SVG: lines over time, columns by day, a bar of shares. Each has a name and a description for screen readers, tells its
// series apart by more than colour, and can be read as a table.

import { element, svg } from './dom.js';

const height = 150;
const margin = { left: 52, right: 10, top: 10, bottom: 22 };
let lastID = 0;

/// Bounds and steps of an axis from zero that people like to read.
export function scale(largest, steps = 3) {
    if (!(largest > 0) || !Number.isFinite(largest)) return { top: 1, step: 1 };
    const rough = largest / steps;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((each) => each >= rough * 0.999) ?? rough;
    return { top: Math.ceil(largest / step - 0.001) * step, step };
}

function frame(title, note, body, table) {
    return element('figure', { class: 'chart' },
        element('figcaption', {}, element('h3', {}, title), note ? element('p', { class: 'quiet' }, note) : null),
        body,
        element('details', { class: 'chart-table' }, element('summary', {}, 'As a table', element('span', { class: 'sr-only' }, `: ${title}`)), table));
}

function picture(title) {
    lastID += 1;
    const name = svg('title', { id: `chart-title-${lastID}` }, title);
    const description = svg('desc', { id: `chart-description-${lastID}` });
    const drawing = svg('g');
    // No title inside the picture: browsers would show it as a hint over the values under the pointer.
    const root = svg('svg', { role: 'img', height, 'aria-labelledby': `${name.id} ${description.id}` }, name, description, drawing);
    return { root, description, drawing };
}

/// Lines over a stretch of time that ends now.
export class LineChart {
    #series;
    #format;
    #span;
    #ceiling;
    #picture;
    #legend;
    #table = element('div', { class: 'table-place' });
    #points = [];
    #now = 0;
    #width = 0;
    #hover = null;

    /// `series`: names; `format`: a value to text; `span`: seconds; `ceiling`: the axis' end where it is always the same.
    constructor({ title, note = null, series, format, span = 300, ceiling = null }) {
        this.#series = series;
        this.#format = format;
        this.#span = span;
        this.#ceiling = ceiling;
        this.#picture = picture(title);
        this.#legend = series.map(() => element('dd', {}, '–'));
        const legend = element('dl', { class: 'legend' }, series.map((name, index) => element('div', { class: `series-${index + 1}` },
            element('dt', {}, svg('svg', { class: 'swatch', width: 22, height: 8, 'aria-hidden': 'true' }, svg('path', { class: 'line', d: 'M1 4H21' })), name),
            this.#legend[index])));
        this.element = frame(title, note, element('div', {}, legend, this.#picture.root), this.#table);
        this.element.querySelector('details').addEventListener('toggle', () => this.#drawTable());
        const root = this.#picture.root;
        root.addEventListener('pointermove', (event) => {
            this.#hover = event.clientX - root.getBoundingClientRect().left;
            this.#draw();
        });
        root.addEventListener('pointerleave', () => {
            this.#hover = null;
            this.#draw();
        });
        new ResizeObserver(([entry]) => {
            this.#width = entry.contentRect.width;
            this.#draw();
        }).observe(root);
    }

    /// `points`: `{time, values}` in order of time, one value a series, null where there is none.
    update(points, now) {
        this.#points = points;
        this.#now = now;
        this.#draw();
        this.#drawTable();
    }

    #draw() {
        const { drawing, description } = this.#picture;
        const width = this.#width - margin.left - margin.right;
        if (width <= 0) return;
        const inner = height - margin.top - margin.bottom;
        const values = this.#points.flatMap((point) => point.values).filter((value) => value !== null);
        const { top, step } = scale(this.#ceiling ?? Math.max(0, ...values));
        const x = (time) => margin.left + width * (1 - (this.#now - time) / this.#span);
        const y = (value) => margin.top + inner * (1 - Math.min(value, top) / top);
        const parts = [];
        for (let value = 0; value <= top * 1.001; value += step) {
            parts.push(svg('path', { class: value === 0 ? 'axis' : 'grid', d: `M${margin.left} ${round(y(value))}h${round(width)}` }),
                svg('text', { class: 'tick', x: margin.left - 8, y: y(value) + 4, 'text-anchor': 'end' }, this.#format(value)));
        }
        for (const [share, text, anchor] of [[0, ago(this.#span), 'start'], [0.5, ago(this.#span / 2), 'middle'], [1, 'now', 'end']]) {
            parts.push(svg('text', { class: 'tick', x: margin.left + width * share, y: height - 5, 'text-anchor': anchor }, text));
        }
        for (let index = this.#series.length - 1; index >= 0; index -= 1) {
            const runs = this.#runs(index);
            const lines = runs.map((run) => run.map(([time, value]) => `${round(x(time))} ${round(y(value))}`).join('L'));
            if (index === 0) {
                const areas = runs.map((run, place) => `M${round(x(run[0][0]))} ${round(y(0))}L${lines[place]}L${round(x(run.at(-1)[0]))} ${round(y(0))}Z`);
                parts.push(svg('path', { class: `area series-${index + 1}`, d: areas.join('') }));
            }
            // A single value is a point: a round end of a line without length.
            parts.push(svg('path', { class: `line series-${index + 1}`, d: lines.map((line) => (line.includes('L') ? `M${line}` : `M${line}h0`)).join('') }));
        }
        const point = this.#pointAt(x) ?? this.#points.at(-1);
        if (this.#hover !== null && point) {
            parts.push(svg('path', { class: 'cursor', d: `M${round(x(point.time))} ${margin.top}v${inner}` }));
            for (const [index, value] of point.values.entries()) {
                if (value !== null) parts.push(svg('circle', { class: `dot series-${index + 1}`, cx: x(point.time), cy: y(value), r: 3.5 }));
            }
        }
        drawing.replaceChildren(...parts);
        this.#legend.forEach((place, index) => { place.textContent = this.#text(point?.values[index] ?? null); });
        description.textContent = this.#series.map((name, index) => this.#summary(name, index)).join(' ');
    }

    // Unbroken stretches of a series.
    #runs(index) {
        const runs = [];
        let run = null;
        for (const { time, values } of this.#points) {
            if (this.#now - time > this.#span) continue;
            if (values[index] === null) {
                run = null;
            } else {
                if (!run) runs.push(run = []);
                run.push([time, values[index]]);
            }
        }
        return runs;
    }

    #pointAt(x) {
        if (this.#hover === null) return null;
        let best = null;
        for (const point of this.#points) {
            if (!best || Math.abs(x(point.time) - this.#hover) < Math.abs(x(best.time) - this.#hover)) best = point;
        }
        return best;
    }

    #text(value) {
        return value === null ? '–' : this.#format(value);
    }

    #summary(name, index) {
        const values = this.#points.map((point) => point.values[index]).filter((value) => value !== null);
        if (values.length === 0) return `${name}: no values yet.`;
        return `${name}: now ${this.#text(this.#points.at(-1).values[index])}, between ${this.#text(Math.min(...values))} and ${this.#text(Math.max(...values))}.`;
    }

    #drawTable() {
        const details = this.element.querySelector('details');
        if (!details.open) return;
        const rows = [];
        let next = Infinity;
        for (const point of this.#points.toReversed()) {
            if (point.time > next) continue;
            next = point.time - this.#span / 15;
            rows.push([ago(this.#now - point.time), ...point.values.map((value) => this.#text(value))]);
        }
        this.#table.replaceChildren(table(['When', ...this.#series], rows));
    }
}

/// A column for each day, in parts.
export class ColumnChart {
    #format;
    #picture;
    #series = element('ul', { class: 'legend' });
    #table = element('div', { class: 'table-place' });
    #data = { days: [], series: [] };
    #width = 0;

    constructor({ title, note = null, format }) {
        this.#format = format;
        this.#picture = picture(title);
        this.element = frame(title, note, element('div', {}, this.#series, this.#picture.root), this.#table);
        new ResizeObserver(([entry]) => {
            this.#width = entry.contentRect.width;
            this.#draw();
        }).observe(this.#picture.root);
    }

    /// `series`: `{name, values}`, a value for each day.
    update(days, series) {
        this.#data = { days, series };
        this.#series.replaceChildren(...series.map(({ name }, index) => element('li', { class: `series-${index + 1}` },
            svg('svg', { class: 'swatch', width: 12, height: 12, 'aria-hidden': 'true' }, svg('rect', { class: 'column', width: 12, height: 12, rx: 3 })), name)));
        this.#table.replaceChildren(table(['Day', ...series.map(({ name }) => name)],
            days.map((day, index) => [day, ...series.map(({ values }) => this.#format(values[index]))]).toReversed()));
        this.#draw();
    }

    #draw() {
        const { days, series } = this.#data;
        const { drawing, description } = this.#picture;
        const width = this.#width - margin.left - margin.right;
        if (width <= 0 || days.length === 0) return;
        const inner = height - margin.top - margin.bottom;
        const totals = days.map((_, index) => series.reduce((total, { values }) => total + values[index], 0));
        const { top, step } = scale(Math.max(...totals));
        const parts = [];
        for (let value = 0; value <= top * 1.001; value += step) {
            const y = margin.top + inner * (1 - value / top);
            parts.push(svg('path', { class: value === 0 ? 'axis' : 'grid', d: `M${margin.left} ${round(y)}h${round(width)}` }),
                svg('text', { class: 'tick', x: margin.left - 8, y: y + 4, 'text-anchor': 'end' }, this.#format(value)));
        }
        const slot = width / days.length, thickness = Math.min(36, slot * 0.68);
        const every = Math.ceil(52 / slot);
        days.forEach((day, index) => {
            const x = margin.left + slot * (index + 0.5) - thickness / 2;
            let base = 0;
            series.forEach(({ values }, place) => {
                const value = values[index];
                if (!(value > 0)) return;
                const from = margin.top + inner * (1 - base / top), to = margin.top + inner * (1 - (base + value) / top);
                base += value;
                parts.push(svg('rect', { class: `column series-${place + 1}`, x: round(x), y: round(to), width: round(thickness), height: round(Math.max(from - to, 0.5)) }));
            });
            if ((days.length - 1 - index) % every === 0) {
                parts.push(svg('text', { class: 'tick', x: x + thickness / 2, y: height - 5, 'text-anchor': 'middle' }, day.slice(5)));
            }
        });
        drawing.replaceChildren(...parts);
        description.textContent = `${days.length} days to ${days.at(-1)}: ${this.#format(totals.reduce((a, b) => a + b, 0))} in all, at most ${this.#format(Math.max(...totals))} a day.`;
    }
}

/// A table of texts; the first column names the row.
export function table(head, rows) {
    return element('table', {}, element('thead', {}, element('tr', {}, head.map((name) => element('th', { scope: 'col' }, name)))),
        element('tbody', {}, rows.map(([first, ...rest]) => element('tr', {}, element('th', { scope: 'row' }, first), rest.map((cell) => element('td', {}, cell))))));
}

/// How full something is, as a bar with words.
export function gauge(label, value, limit, text) {
    const share = limit > 0 ? Math.min(1, Math.max(0, value / limit)) : value > 0 ? 1 : 0;
    const state = share >= 1 ? 'full' : share >= 0.8 ? 'high' : 'fine';
    return element('div', { class: `gauge ${state}` },
        svg('svg', { role: 'img', 'aria-label': `${label}: ${Math.round(share * 100)}%`, width: '100%', height: 6, viewBox: '0 0 100 6', preserveAspectRatio: 'none' },
            svg('rect', { class: 'track', width: 100, height: 6 }), svg('rect', { class: 'fill', width: round(share * 100), height: 6 })),
        element('span', {}, text));
}

function ago(seconds) {
    const whole = Math.round(seconds);
    if (whole <= 0) return 'now';
    if (whole % 60 === 0) return `${whole / 60} min ago`;
    return whole < 60 ? `${whole} s ago` : `${Math.floor(whole / 60)} min ${whole % 60} s ago`;
}

function round(value) {
    return Math.round(value * 10) / 10;
}
