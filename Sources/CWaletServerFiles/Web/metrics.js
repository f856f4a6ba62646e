// Reads the Prometheus text page and makes rates and quantiles of it.

/// Families by name, each a list of `{labels: Map, value}`. Lines that are not understood are passed over. Only `wanted` names are kept.
export function parseMetrics(text, wanted) {
    const families = new Map();
    for (const line of text.split('\n')) {
        const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*/.exec(line)?.[0];
        if (!name || !wanted.has(name)) continue;
        const sample = parseSample(line, name.length);
        if (!sample) continue;
        const list = families.get(name);
        if (list) list.push(sample);
        else families.set(name, [sample]);
    }
    return families;
}

function parseSample(line, start) {
    const labels = new Map();
    let index = start;
    if (line[index] === '{') {
        index += 1;
        while (line[index] !== '}') {
            const equals = line.indexOf('="', index);
            if (equals < 0) return null;
            const name = line.slice(index, equals).trim();
            let value = '';
            index = equals + 2;
            for (; index < line.length && line[index] !== '"'; index += 1) {
                if (line[index] === '\\') {
                    index += 1;
                    value += line[index] === 'n' ? '\n' : line[index] ?? '';
                } else {
                    value += line[index];
                }
            }
            if (index >= line.length) return null;
            labels.set(name, value);
            index += 1;
            if (line[index] === ',') index += 1;
        }
        index += 1;
    }
    const text = line.slice(index).trim().split(/\s/)[0];
    const value = text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text);
    return text === '' || Number.isNaN(value) ? null : { labels, value };
}

/// What is known at a moment: numbers that answer the page's questions for one model or, with '', for all.
export class Snapshot {
    constructor(families, time) {
        this.families = families;
        this.time = time;      // seconds
    }

    samples(name, model, more = {}) {
        return (this.families.get(name) ?? []).filter(({ labels }) => (!model || !labels.has('model') || labels.get('model') === model)
            && Object.entries(more).every(([label, value]) => labels.get(label) === value));
    }

    /// The sum over all labels, or null where the server does not tell.
    sum(name, model, more) {
        const samples = this.samples(name, model, more);
        return samples.length === 0 ? null : samples.reduce((total, { value }) => total + value, 0);
    }

    largest(name, model) {
        const samples = this.samples(name, model);
        return samples.length === 0 ? null : Math.max(...samples.map(({ value }) => value));
    }

    /// A histogram's buckets, summed over all labels: bound -> observations at most that large.
    buckets(name, model) {
        const buckets = new Map();
        for (const { labels, value } of this.samples(`${name}_bucket`, model)) {
            const text = labels.get('le') ?? '';
            const bound = text === '+Inf' ? Infinity : Number(text);
            if (!Number.isNaN(bound)) buckets.set(bound, (buckets.get(bound) ?? 0) + value);
        }
        return buckets;
    }

    labelValues(name, label) {
        return [...new Set((this.families.get(name) ?? []).map(({ labels }) => labels.get(label)).filter((value) => value !== undefined))];
    }
}

/// How much a counter grew a second between two snapshots; null where it is not there or began anew.
export function rate(before, after, value) {
    const first = value(before), last = value(after);
    const length = after.time - before.time;
    // A counter is shown from its first event on: before that it was zero.
    if (last === null || length <= 0) return null;
    const growth = last - (first ?? 0);
    return growth < 0 ? null : growth / length;
}

/// The quantile of what was observed between two snapshots, as Prometheus computes it: even within a bucket. Null: nothing observed.
export function quantile(before, after, name, model, share) {
    const first = before.buckets(name, model), last = after.buckets(name, model);
    const bounds = [...last.keys()].sort((a, b) => a - b);
    const counts = bounds.map((bound) => last.get(bound) - (first.get(bound) ?? 0));
    const total = counts.at(-1) ?? 0;
    if (!(total > 0) || counts.some((count, index) => count < (counts[index - 1] ?? 0))) return null;
    const rank = share * total;
    const index = counts.findIndex((count) => count >= rank);
    if (index < 0) return null;
    // Above the last bound nothing is known but that.
    if (bounds[index] === Infinity) return bounds[index - 1] ?? null;
    const lower = bounds[index - 1] ?? 0, below = counts[index - 1] ?? 0;
    return lower + (bounds[index] - lower) * ((rank - below) / (counts[index] - below || 1));
}
