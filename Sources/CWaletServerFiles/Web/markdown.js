// Markdown to DOM nodes. The text comes from a model and is hostile until shown otherwise: it becomes text nodes and a fixed set
// of elements, never HTML; only http and https addresses become links; pictures become links, so that nothing is fetched; nesting
// is bounded; and every step is linear in the text, also for text made to be slow.
//
// It reads what models write: CommonMark's blocks and spans and GitHub's tables and strike-through, with these differences: four
// spaces do not make code, underlining does not make a heading ("---" is a rule), a line's end is kept, HTML is text, and
// formulas stay as they were written.

import { element, icon, copyFrom } from './dom.js';
import { Highlighter } from './syntax.js';

const maximumNesting = 12;         // of lists and quotes
const maximumSpanNesting = 20;     // of emphasis and links
const blockSize = 16 * 1024;       // a longer paragraph, list or quote is shown in pieces
const maximumColumns = 64;
const maximumRows = 400;           // a longer table goes on in a new one: the browser lays a table out as a whole
const maximumAddress = 2000;

/// Shows a text that is still being written. What is finished is not touched again, so the work is linear in the text.
export class MarkdownStream {
    #container;
    #pending = '';
    #tail = [];        // nodes of the last block, which the next piece may change
    #open = null;      // a code block or table that takes lines as they come

    constructor(container) {
        this.#container = container;
    }

    append(text) {
        this.#pending += text;
    }

    /// Brings the page up to date. `isFinal`: nothing more comes.
    render(isFinal = false) {
        for (const node of this.#tail) node.remove();
        this.#tail = [];
        while (this.#pending !== '') {
            if (this.#open) {
                if (this.#feed(isFinal)) break;
            } else if (this.#blocks(isFinal)) {
                break;
            }
        }
        if (isFinal) {
            this.#open?.close();
            this.#open = null;
            this.#pending = '';
        }
    }

    // Gives whole lines to the open block. True: all that there is was used.
    #feed(isFinal) {
        let from = 0;
        for (;;) {
            let end = this.#pending.indexOf('\n', from);
            if (end < 0) {
                if (!isFinal || from >= this.#pending.length) break;
                end = this.#pending.length;
            }
            const verdict = this.#open.line(clean(this.#pending.slice(from, end)));
            if (verdict !== 'other') from = Math.min(end + 1, this.#pending.length);
            if (verdict === 'full') {
                this.#open = this.#open.next();
                this.#container.append(this.#open.node);
            } else if (verdict !== 'more') {
                this.#open.close();
                this.#open = null;
                this.#pending = this.#pending.slice(from);
                return false;
            }
        }
        this.#pending = this.#pending.slice(from);
        if (!isFinal) this.#open.partial(clean(this.#pending));
        return true;
    }

    // Shows finished blocks for good and the last one for now. True: all that there is was used.
    #blocks(isFinal) {
        const { lines, offsets } = splitLines(this.#pending);
        const endsWithin = !this.#pending.endsWith('\n');
        const blocks = parseBlocks(lines, 0);
        if (blocks.length === 0) {
            if (isFinal) this.#pending = '';
            return true;
        }
        let stable = blocks.length;
        const last = blocks[blocks.length - 1];
        let opened = null;
        if (!isFinal) {
            stable -= 1;
            const partialLine = endsWithin ? lines.length - 1 : lines.length;
            // A block that begins in the unfinished line may still turn out to belong to the one before.
            if (last.from >= partialLine) stable -= 1;
            else if (last.kind === 'code' && !last.isClosed) opened = new CodeBlock(last);
            else if (last.kind === 'table' && last.from + 1 < partialLine && last.to === lines.length) opened = new Table(last);
        }
        stable = Math.max(stable, 0);
        for (const block of blocks.slice(0, stable)) this.#container.append(renderBlock(block, 0));
        if (opened) {
            this.#container.append(opened.node);
            this.#open = opened;
            this.#pending = this.#pending.slice(offsets[last.from + opened.headLines] ?? this.#pending.length);
            return false;
        }
        for (const block of blocks.slice(stable)) {
            const node = renderBlock(block, 0);
            this.#tail.push(...(node instanceof DocumentFragment ? node.childNodes : [node]));
        }
        this.#container.append(...this.#tail);
        if (isFinal) {
            this.#tail = [];
            return true;
        }
        if (stable > 0) this.#pending = this.#pending.slice(offsets[blocks[stable].from]);
        return true;
    }
}

/// Shows a whole text.
export function renderMarkdown(text, container) {
    const stream = new MarkdownStream(container);
    stream.append(text);
    stream.render(true);
}

// --- Lines ---------------------------------------------------------------------------------------------------------------

// Ends a piece of a line that was too long; `joined` puts the pieces together again.
const cut = '\u0000';

function clean(line) {
    return (line.endsWith('\r') ? line.slice(0, -1) : line).replaceAll('\u0000', '\ufffd');
}

function splitLines(text) {
    const lines = [], offsets = [];
    let from = 0;
    while (from < text.length) {
        let end = text.indexOf('\n', from);
        if (end < 0) end = text.length;
        while (end - from > blockSize) {
            let stop = text.lastIndexOf(' ', from + blockSize) + 1;
            if (stop <= from + blockSize / 2) stop = from + blockSize;
            // Not between the halves of a surrogate pair.
            if (/[\ud800-\udbff]/.test(text[stop - 1])) stop -= 1;
            lines.push(clean(text.slice(from, stop)) + cut);
            offsets.push(from);
            from = stop;
        }
        lines.push(clean(text.slice(from, end)));
        offsets.push(from);
        from = end + 1;
    }
    return { lines, offsets };
}

function joined(lines) {
    let text = '';
    for (const [index, line] of lines.entries()) {
        if (line.endsWith(cut)) text += line.slice(0, -1);
        else text += index + 1 < lines.length ? `${line}\n` : line;
    }
    return text;
}

function isBlank(line) {
    return /^[ \t]*$/.test(line);
}

function indentation(line) {
    let width = 0;
    for (const character of line) {
        if (character === ' ') width += 1;
        else if (character === '\t') width += 4 - (width % 4);
        else break;
    }
    return width;
}

// Takes up to `width` columns of white space from the beginning.
function dedent(line, width) {
    let column = 0, index = 0;
    while (index < line.length && column < width) {
        if (line[index] === ' ') column += 1;
        else if (line[index] === '\t') column += 4 - (column % 4);
        else break;
        index += 1;
    }
    return ' '.repeat(Math.max(0, column - width)) + line.slice(index);
}

// --- Blocks --------------------------------------------------------------------------------------------------------------

const fencePattern = /^( {0,3})(`{3,}|~{3,})(.*)$/;
const headingPattern = /^ {0,3}(#{1,6})(?=[ \t]|$)/;
const quotePattern = /^ {0,3}>/;
const itemPattern = /^( {0,3})([-*+]|(\d{1,9})[.)])(?=[ \t]|$)/;

function fence(line) {
    const match = fencePattern.exec(line);
    return match && !(match[2][0] === '`' && match[3].includes('`')) ? match : null;
}

function closesFence(line, opening) {
    const match = /^ {0,3}(`+|~+)[ \t]*$/.exec(line);
    return match !== null && match[1][0] === opening[0] && match[1].length >= opening.length;
}

function isRule(line) {
    if (line.length > 200) return false;
    return /^(\*{3,}|-{3,}|_{3,})$/.test(line.replace(/[ \t]/g, '')) && indentation(line) < 4;
}

// Whether a line ends a paragraph that it follows.
function interrupts(lines, index) {
    const line = lines[index];
    if (isBlank(line) || fence(line) || headingPattern.test(line) || isRule(line) || quotePattern.test(line)) return true;
    const item = itemPattern.exec(line);
    if (item && line.length > item[0].length && (item[3] === undefined || item[3] === '1')) return true;
    return tableHead(lines, index) !== null;
}

function parseBlocks(lines, depth) {
    const blocks = [];
    let index = 0;
    while (index < lines.length) {
        if (isBlank(lines[index])) {
            index += 1;
            continue;
        }
        const block = depth < maximumNesting ? parseBlock(lines, index, depth) : paragraph(lines, index, false);
        blocks.push(block);
        index = block.to;
    }
    return blocks;
}

function parseBlock(lines, from, depth) {
    const line = lines[from];
    const opening = fence(line);
    if (opening) return codeBlock(lines, from, opening);
    const heading = headingPattern.exec(line);
    if (heading) {
        return { kind: 'heading', from, to: from + 1, level: heading[1].length, text: headingText(line.slice(heading[0].length)) };
    }
    if (isRule(line)) return { kind: 'rule', from, to: from + 1 };
    if (quotePattern.test(line)) return quote(lines, from, depth);
    const item = itemPattern.exec(line);
    if (item) return list(lines, from, item, depth);
    const head = tableHead(lines, from);
    if (head) return table(lines, from, head);
    return paragraph(lines, from, true);
}

function headingText(text) {
    let trimmed = text.trim();
    let end = trimmed.length;
    while (end > 0 && trimmed[end - 1] === '#') end -= 1;
    if (end === 0 || /[ \t]/.test(trimmed[end - 1])) trimmed = trimmed.slice(0, end).trimEnd();
    return trimmed;
}

function codeBlock(lines, from, opening) {
    let to = from + 1;
    while (to < lines.length && !closesFence(lines[to], opening[2])) to += 1;
    const isClosed = to < lines.length;
    return {
        kind: 'code', from, to: isClosed ? to + 1 : to, isClosed, opening: opening[2], indent: opening[1].length,
        language: opening[3].trim().split(/\s/)[0].slice(0, 40), lines: lines.slice(from + 1, to),
    };
}

function quote(lines, from, depth) {
    const inner = [];
    let to = from, size = 0, canContinue = false;
    while (to < lines.length && (size < blockSize || depth > 0)) {
        const line = lines[to];
        if (quotePattern.test(line)) {
            const text = line.replace(/^ {0,3}> ?/, '');
            inner.push(text);
            canContinue = !isBlank(text) && !fence(text);
        } else if (canContinue && !interrupts(lines, to)) {
            inner.push(line);
        } else {
            break;
        }
        size += line.length;
        to += 1;
    }
    return { kind: 'quote', from, to, blocks: parseBlocks(inner, depth + 1) };
}

function list(lines, from, first, depth) {
    const isOrdered = first[3] !== undefined;
    const mark = isOrdered ? first[2].at(-1) : first[2];
    const items = [];
    let index = from, size = 0, isLoose = false;
    while (index < lines.length && (size < blockSize || depth > 0)) {
        const match = itemPattern.exec(lines[index]);
        if (!match || (match[3] !== undefined) !== isOrdered || isRule(lines[index])) break;
        if ((isOrdered ? match[2].at(-1) : match[2]) !== mark) break;
        const rest = lines[index].slice(match[0].length);
        const gap = indentation(rest);
        const markWidth = match[0].length;
        const width = markWidth + (gap >= 1 && gap <= 4 && !isBlank(rest) ? gap : 1);
        // Models often indent what belongs to "1. " by two spaces: that counts too.
        const least = Math.min(width, match[1].length + 2);
        const inner = [dedent(rest, width - markWidth)];
        size += lines[index].length;
        index += 1;
        let blanks = 0, inFence = openFence(inner[0], null);
        while (index < lines.length && (size < 4 * blockSize || depth > 0)) {
            const line = lines[index];
            if (isBlank(line)) {
                blanks += 1;
                inner.push('');
            } else if (indentation(line) >= least) {
                inner.push(dedent(line, width));
                if (blanks > 0 && !inFence) isLoose = true;
                blanks = 0;
                inFence = openFence(inner.at(-1), inFence);
            } else if (blanks === 0 && !inFence && !itemPattern.test(line) && !isBlank(inner.at(-1)) && !interrupts(lines, index)) {
                inner.push(line);
            } else {
                break;
            }
            size += line.length + 1;
            index += 1;
        }
        while (inner.length > 0 && isBlank(inner.at(-1))) inner.pop();
        items.push(parseBlocks(inner, depth + 1));
        if (blanks > 0 && index < lines.length && itemPattern.test(lines[index])) isLoose = true;
    }
    return { kind: 'list', from, to: index, isOrdered, start: isOrdered ? Number(first[3]) : 1, isLoose, items };
}

function openFence(line, current) {
    if (current) return closesFence(line, current) ? null : current;
    return fence(line)?.[2] ?? null;
}

function paragraph(lines, from, canEnd) {
    let to = from + 1, size = lines[from].length;
    while (to < lines.length && size < blockSize && !isBlank(lines[to]) && !(canEnd && interrupts(lines, to))) {
        size += lines[to].length;
        to += 1;
    }
    return { kind: 'paragraph', from, to, lines: lines.slice(from, to) };
}

// --- Tables --------------------------------------------------------------------------------------------------------------

function tableHead(lines, index) {
    const line = lines[index], rule = lines[index + 1];
    if (rule === undefined || !line.includes('|') || rule.length > 2000) return null;
    if (!/^[ \t]*[|:-][|: \t-]*$/.test(rule) || !rule.includes('-')) return null;
    const marks = cells(rule);
    if (marks.length > maximumColumns || !marks.every((mark) => /^:?-+:?$/.test(mark))) return null;
    if (marks.length === 1 && !rule.includes('|')) return null;
    const names = cells(line);
    if (names.length !== marks.length) return null;
    return {
        names,
        sides: marks.map((mark) => (mark.endsWith(':') ? (mark.startsWith(':') ? 'center' : 'right') : null)),
    };
}

function isRow(lines, index) {
    const line = lines[index];
    return !isBlank(line) && !fence(line) && !headingPattern.test(line) && !quotePattern.test(line) && line.includes('|');
}

function table(lines, from, head) {
    let to = from + 2;
    while (to < lines.length && isRow(lines, to)) to += 1;
    return { kind: 'table', from, to, ...head, rows: lines.slice(from + 2, to) };
}

// The cells of a row; "\|" is a bar in a cell.
function cells(line) {
    let text = line.trim();
    if (text.startsWith('|')) text = text.slice(1);
    const result = [];
    let cell = '';
    for (let index = 0; index < text.length; index += 1) {
        if (text[index] === '\\' && text[index + 1] === '|') {
            cell += '|';
            index += 1;
        } else if (text[index] === '|') {
            result.push(cell.trim());
            cell = '';
            if (result.length > maximumColumns) return result;
        } else {
            cell += text[index];
        }
    }
    if (cell.trim() !== '' || !text.endsWith('|')) result.push(cell.trim());
    return result;
}

class Table {
    headLines = 2;
    #body = element('tbody');
    #names;
    #sides;
    #partial = null;
    #rows = 0;

    constructor({ names, sides }) {
        this.#names = names;
        this.#sides = sides;
        const head = element('tr', {}, names.map((name, column) => this.#cell('th', name, column)));
        this.node = element('div', { class: 'table', role: 'group', 'aria-label': 'Table', tabindex: '0' },
            element('table', {}, element('thead', {}, head), this.#body));
    }

    line(text) {
        this.partial('');
        if (text.length > blockSize || !isRow([text], 0)) return 'other';
        this.#body.append(this.#row(text));
        this.#rows += 1;
        return this.#rows < maximumRows ? 'more' : 'full';
    }

    next() {
        return new Table({ names: this.#names, sides: this.#sides });
    }

    partial(text) {
        this.#partial?.remove();
        this.#partial = null;
        if (!text.startsWith('|') || text.length > blockSize) return;
        this.#partial = this.#row(text);
        this.#body.append(this.#partial);
    }

    close() {
        this.partial('');
    }

    #row(text) {
        const given = cells(text);
        return element('tr', {}, this.#sides.map((_, column) => this.#cell('td', given[column] ?? '', column)));
    }

    #cell(name, text, column) {
        const cell = element(name, { class: this.#sides[column], dir: 'auto', scope: name === 'th' ? 'col' : null });
        renderSpans(text, cell);
        return cell;
    }
}

// --- Code ----------------------------------------------------------------------------------------------------------------

/// A block of code with its language and a button that copies it. Takes lines as they come.
export class CodeBlock {
    headLines = 1;
    #opening;
    #indent;
    #code = element('code');
    #text = [];
    #partial = element('span');
    #highlighter;
    #size = 0;

    constructor({ language = '', opening = null, indent = 0, label = null }) {
        this.#opening = opening;
        this.#indent = indent;
        this.#highlighter = new Highlighter(language);
        const button = element('button', { type: 'button', class: 'code-copy', onclick: () => copyFrom(button, this.text) },
            icon('copy'), element('span', {}, 'Copy'), element('span', { class: 'sr-only' }, ' the code'));
        this.#code.append(this.#partial);
        this.node = element('figure', { class: 'code' },
            element('figcaption', {}, element('span', { class: 'language' }, label ?? (language || 'text')), button),
            element('pre', { tabindex: '0', role: 'group', 'aria-label': `Code${language ? `, ${language}` : ''}` }, this.#code));
    }

    get text() {
        return this.#text.join('') + this.#partial.textContent;
    }

    line(text) {
        if (this.#opening && closesFence(text, this.#opening)) return 'end';
        this.write(dedent(text, this.#indent), '\n');
        return 'more';
    }

    /// Adds a finished line.
    write(text, end) {
        this.#partial.replaceChildren();
        this.#text.push(text, end);
        this.#size += text.length;
        // Colours cost elements; a text of this size is not read by its colours.
        const nodes = this.#size < 100_000 ? this.#highlighter.line(text) : [document.createTextNode(text)];
        this.#partial.before(...nodes, end);
    }

    partial(text) {
        const mayClose = this.#opening && /^ {0,3}(`+|~+)$/.test(text) && text.trim()[0] === this.#opening[0];
        this.#partial.replaceChildren(mayClose ? '' : dedent(text, this.#indent));
    }

    close() {
        if (this.#partial.textContent !== '') this.write(this.#partial.textContent, '');
        this.#partial.remove();
    }
}

// --- Blocks to nodes -----------------------------------------------------------------------------------------------------

function renderBlock(block, depth, isTight = false) {
    switch (block.kind) {
    case 'heading':
        // The page and each message have headings of their own above these.
        return spans(`h${Math.min(6, block.level + 2)}`, block.text);
    case 'rule':
        return element('hr');
    case 'quote':
        return element('blockquote', {}, block.blocks.map((inner) => renderBlock(inner, depth + 1)));
    case 'list':
        return renderList(block, depth);
    case 'code': {
        const code = new CodeBlock(block);
        const lines = joined(block.lines.map((line) => dedent(line, block.indent))).split('\n');
        for (const line of block.lines.length > 0 ? lines : []) code.write(line, '\n');
        code.close();
        return code.node;
    }
    case 'table': {
        const parts = document.createDocumentFragment();
        let part = new Table(block);
        parts.append(part.node);
        for (const row of block.rows) {
            if (part.line(row) !== 'full') continue;
            part = part.next();
            parts.append(part.node);
        }
        return parts;
    }
    default: {
        const text = joined(block.lines.map((line) => line.trimStart())).trimEnd();
        if (!isTight) return spans('p', text);
        const fragment = document.createDocumentFragment();
        renderSpans(text, fragment);
        return fragment;
    }
    }
}

function spans(name, text) {
    const node = element(name, { dir: 'auto' });
    renderSpans(text, node);
    return node;
}

function renderList(block, depth) {
    const items = block.items.map((blocks) => {
        const item = element('li', { dir: 'auto' });
        const task = blocks[0]?.kind === 'paragraph' ? /^\[([ xX])\][ \t]+/.exec(blocks[0].lines[0]) : null;
        if (task) {
            const isDone = task[1] !== ' ';
            blocks[0].lines[0] = blocks[0].lines[0].slice(task[0].length);
            item.className = 'task';
            item.append(element('span', { class: 'box', 'aria-hidden': 'true' }, isDone ? '☑' : '☐'),
                element('span', { class: 'sr-only' }, isDone ? 'Done: ' : 'To do: '));
        }
        item.append(...blocks.map((inner) => renderBlock(inner, depth + 1, !block.isLoose)));
        return item;
    });
    const start = block.isOrdered && block.start !== 1 ? block.start : null;
    return element(block.isOrdered ? 'ol' : 'ul', { start }, items);
}

// --- Spans ---------------------------------------------------------------------------------------------------------------

const special = /[\\`*_~[\]!<&$\n]|https?:\/\//gi;
const punctuation = /[\p{P}\p{S}]/u;
const names = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', hellip: '…', mdash: '—', ndash: '–', copy: '©',
    times: '×', rarr: '→', larr: '←', le: '≤', ge: '≥', ne: '≠', deg: '°', middot: '·', bull: '•', euro: '€' };

/// Shows a text with emphasis, code, links and so on below a parent.
export function renderSpans(source, parent) {
    parent.append(new SpanParser(source.endsWith(cut) ? source.slice(0, -1) : source).parse());
}

class SpanParser {
    #source;
    #position = 0;
    #plain = '';
    #nodes = document.createDocumentFragment();
    #heights = new Map();       // of elements: how deep they nest
    #delimiters = null;         // the last of a chain
    #place = 0;                 // of the next in the chain
    #brackets = [];
    #runs = null;               // length of a run of back-ticks -> where such runs begin
    #absent = new Set();        // closing marks that are known not to come any more

    constructor(source) {
        this.#source = source;
    }

    parse() {
        const source = this.#source;
        while (this.#position < source.length) {
            special.lastIndex = this.#position;
            const match = special.exec(source);
            const next = match ? match.index : source.length;
            this.#plain += source.slice(this.#position, next);
            this.#position = next;
            if (match) this.#special(match[0]);
        }
        this.#flush();
        this.#emphasis(null);
        return this.#nodes;
    }

    #special(found) {
        switch (found) {
        case '\n': return this.#lineBreak();
        case '\\': return this.#escape();
        case '`': return this.#code();
        case '*': case '_': case '~': return this.#delimiterRun(found);
        case '[': return this.#openBracket(1);
        case '!': return this.#source[this.#position + 1] === '[' ? this.#openBracket(2) : this.#literal(1);
        case ']': return this.#closeBracket();
        case '<': return this.#angle();
        case '&': return this.#entity();
        case '$': return this.#dollar();
        default: return this.#bareAddress();
        }
    }

    #flush() {
        if (this.#plain === '') return;
        this.#nodes.append(this.#plain);
        this.#plain = '';
    }

    #push(node) {
        this.#flush();
        this.#nodes.append(node);
    }

    #literal(length) {
        this.#plain += this.#source.slice(this.#position, this.#position + length);
        this.#position += length;
    }

    // Where a mark stands at or after a position, or -1. That a mark is absent is found once, not at each try.
    #find(mark, from) {
        if (this.#absent.has(mark)) return -1;
        const found = this.#source.indexOf(mark, from);
        if (found < 0) this.#absent.add(mark);
        return found;
    }

    #lineBreak() {
        this.#plain = this.#plain.trimEnd();
        this.#push(element('br'));
        this.#position += 1;
    }

    #escape() {
        const next = this.#source[this.#position + 1];
        if (next === '(' || next === '[') {
            const closing = next === '(' ? '\\)' : '\\]';
            const end = this.#find(closing, this.#position + 2);
            if (end >= 0) return this.#formula(end + 2);
            return this.#literal(2);
        }
        if (next === '\n') {
            this.#position += 1;
            return this.#lineBreak();
        }
        if (next !== undefined && /[!-/:-@[-`{-~]/.test(next)) {
            this.#plain += next;
            this.#position += 2;
            return undefined;
        }
        return this.#literal(1);
    }

    #formula(end) {
        this.#push(element('span', { class: 'math', dir: 'ltr' }, this.#source.slice(this.#position, end)));
        this.#position = end;
    }

    // "$x$" as Pandoc reads it: the marks touch the formula, and no digit follows, so that prices stay prices.
    #dollar() {
        const source = this.#source;
        if (source[this.#position + 1] === '$') {
            const end = this.#find('$$', this.#position + 2);
            return end > this.#position + 2 ? this.#formula(end + 2) : this.#literal(2);
        }
        const end = this.#find('$', this.#position + 1);
        const inside = end < 0 ? '' : source.slice(this.#position + 1, end);
        if (inside !== '' && !/^\s|\s$|\n/.test(inside) && !/\d/.test(source[end + 1] ?? '')) return this.#formula(end + 1);
        return this.#literal(1);
    }

    #code() {
        if (!this.#runs) {
            this.#runs = new Map();
            for (const run of this.#source.matchAll(/`+/g)) {
                const same = this.#runs.get(run[0].length);
                if (same) same.places.push(run.index);
                else this.#runs.set(run[0].length, { places: [run.index], next: 0 });
            }
        }
        let length = 1;
        while (this.#source[this.#position + length] === '`') length += 1;
        const same = this.#runs.get(length);
        while (same && same.places[same.next] <= this.#position) same.next += 1;
        const end = same?.places[same.next];
        if (end === undefined) return this.#literal(length);
        let text = this.#source.slice(this.#position + length, end).replaceAll('\n', ' ');
        if (text.startsWith(' ') && text.endsWith(' ') && text.trim() !== '') text = text.slice(1, -1);
        this.#push(element('code', { dir: 'ltr' }, text));
        this.#position = end + length;
    }

    #entity() {
        const match = /^&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z]{1,10}));/.exec(this.#source.slice(this.#position, this.#position + 14));
        if (!match) return this.#literal(1);
        let text = match[3] !== undefined ? (Object.hasOwn(names, match[3]) ? names[match[3]] : null) : null;
        if (match[3] === undefined) {
            const value = match[1] !== undefined ? Number(match[1]) : Number.parseInt(match[2], 16);
            const isCharacter = value >= 32 && value <= 0x10ffff && !(value >= 0xd800 && value <= 0xdfff) && !(value >= 127 && value < 160);
            text = isCharacter ? String.fromCodePoint(value) : '\ufffd';
        }
        if (text === null) return this.#literal(match[0].length);
        this.#plain += text;
        this.#position += match[0].length;
    }

    #angle() {
        const ahead = this.#source.slice(this.#position, this.#position + maximumAddress);
        const lineBreak = /^<br\s{0,4}\/?>/i.exec(ahead);
        if (lineBreak) {
            this.#push(element('br'));
            this.#position += lineBreak[0].length;
            return;
        }
        const match = /^<(https?:\/\/[^\s<>]+)>/i.exec(ahead);
        const address = match ? safeAddress(match[1]) : null;
        if (!address) return this.#literal(1);
        this.#push(link(address, match[1]));
        this.#position += match[0].length;
    }

    #bareAddress() {
        const before = this.#source[this.#position - 1];
        const ahead = this.#source.slice(this.#position, this.#position + maximumAddress);
        let text = /^https?:\/\/[^\s<>"`|\u0000-\u001f]+/i.exec(ahead)?.[0] ?? '';
        for (;;) {
            const last = text.at(-1);
            const isUnbalanced = last === ')' && count(text, ')') > count(text, '(') || last === ']' && count(text, ']') > count(text, '[');
            if (!isUnbalanced && !/[.,:;!?'*_~}]/.test(last ?? 'x')) break;
            text = text.slice(0, -1);
        }
        const address = before && /[\p{L}\p{N}]/u.test(before) ? null : safeAddress(text);
        if (!address || this.#brackets.some((bracket) => !bracket.isPicture && bracket.isActive)) {
            // Inside the text of what may become a link an address is only text.
            return this.#literal(Math.max(text.length, 4));
        }
        this.#push(link(address, text));
        this.#position += text.length;
    }

    // --- Emphasis: CommonMark's algorithm with a chain of delimiters

    #delimiterRun(mark) {
        const source = this.#source;
        let length = 1;
        while (source[this.#position + length] === mark) length += 1;
        const before = this.#position === 0 ? ' ' : characterBefore(source, this.#position);
        const after = String.fromCodePoint(source.codePointAt(this.#position + length) ?? 32);
        const spaceBefore = /\s/u.test(before), spaceAfter = /\s/u.test(after);
        const markBefore = punctuation.test(before), markAfter = punctuation.test(after);
        const left = !spaceAfter && (!markAfter || spaceBefore || markBefore);
        const right = !spaceBefore && (!markBefore || spaceAfter || markAfter);
        const isWord = mark === '_';
        const node = document.createTextNode(source.slice(this.#position, this.#position + length));
        this.#push(node);
        this.#position += length;
        if (mark === '~' && length !== 2) return;
        const delimiter = {
            node, mark, length, original: length, place: this.#place, previous: this.#delimiters, next: null,
            canOpen: left && (!isWord || !right || markBefore),
            canClose: right && (!isWord || !left || markAfter),
        };
        if (!delimiter.canOpen && !delimiter.canClose) return;
        this.#place += 1;
        if (this.#delimiters) this.#delimiters.next = delimiter;
        this.#delimiters = delimiter;
    }

    #unlink(delimiter) {
        if (delimiter.previous) delimiter.previous.next = delimiter.next;
        if (delimiter.next) delimiter.next.previous = delimiter.previous;
        else this.#delimiters = delimiter.previous;
    }

    // Makes emphasis of the delimiters after `bottom`, and forgets them.
    #emphasis(bottom) {
        let closer = bottom ? bottom.next : this.#firstDelimiter();
        const floors = new Map();      // kind of closer -> no opener for it up to this place in the chain
        while (closer) {
            if (!closer.canClose) {
                closer = closer.next;
                continue;
            }
            const kind = `${closer.mark}${closer.canOpen}${closer.original % 3}`;
            const floor = floors.get(kind) ?? bottom?.place ?? -1;
            let opener = closer.previous;
            while (opener && opener.place > floor && !matches(opener, closer)) opener = opener.previous;
            if (!opener || opener.place <= floor) {
                floors.set(kind, closer.place - 1);
                const next = closer.next;
                if (!closer.canOpen) this.#unlink(closer);
                closer = next;
                continue;
            }
            while (opener.next !== closer) this.#unlink(opener.next);
            const used = opener.length >= 2 && closer.length >= 2 ? 2 : 1;
            if (!this.#wrap(opener.node, closer.node, closer.mark === '~' ? 'del' : used === 2 ? 'strong' : 'em')) {
                const next = closer.next;
                this.#unlink(opener);
                this.#unlink(closer);
                closer = next;
                continue;
            }
            for (const delimiter of [opener, closer]) {
                delimiter.length -= used;
                delimiter.node.data = delimiter.node.data.slice(used);
            }
            if (opener.length === 0) {
                this.#unlink(opener);
                opener.node.remove();
            }
            if (closer.length === 0) {
                const next = closer.next;
                this.#unlink(closer);
                closer.node.remove();
                closer = next;
            }
        }
        this.#delimiters = bottom;
        if (bottom) bottom.next = null;
    }

    #firstDelimiter() {
        let first = this.#delimiters;
        while (first?.previous) first = first.previous;
        return first;
    }

    // Puts what stands between two nodes into an element, unless it is nested too deep already.
    #wrap(from, to, name) {
        const children = [];
        let height = 0;
        for (let node = from.nextSibling; node && node !== to; node = node.nextSibling) {
            children.push(node);
            height = Math.max(height, this.#heights.get(node) ?? 0);
        }
        if (height >= maximumSpanNesting) return null;
        const wrapper = element(name, {}, children);
        this.#heights.set(wrapper, height + 1);
        from.after(wrapper);
        return wrapper;
    }

    // --- Links and pictures

    #openBracket(length) {
        const node = document.createTextNode(this.#source.slice(this.#position, this.#position + length));
        this.#push(node);
        this.#position += length;
        this.#brackets.push({ node, isPicture: length === 2, isActive: true, delimiter: this.#delimiters });
    }

    #closeBracket() {
        const bracket = this.#brackets.pop();
        const target = bracket?.isActive ? this.#target() : null;
        if (!target) return this.#literal(1);
        this.#flush();
        this.#emphasis(bracket.delimiter);
        const end = document.createTextNode('');
        this.#nodes.append(end);
        const wrapper = this.#wrap(bracket.node, end, bracket.isPicture ? 'span' : 'a');
        end.remove();
        if (!wrapper) return this.#literal(1);
        bracket.node.remove();
        if (bracket.isPicture) {
            wrapper.replaceWith(link(target.address, `Picture: ${wrapper.textContent || target.address}`));
        } else {
            setLink(wrapper, target.address);
            if (wrapper.textContent.trim() === '') wrapper.textContent = target.address;
            for (const outer of this.#brackets) if (!outer.isPicture) outer.isActive = false;
        }
        this.#position = target.end;
        return undefined;
    }

    // Reads "(address "title")" after a bracket. Nil where that is not there or leads anywhere but to a page of the web.
    #target() {
        const source = this.#source;
        let index = this.#position + 1;
        if (source[index] !== '(') return null;
        index = skipSpace(source, index + 1);
        let text = '';
        const limit = Math.min(source.length, index + maximumAddress);
        if (source[index] === '<') {
            const end = index + 1 + source.slice(index + 1, limit).search(/[<>\n]/);
            if (end <= index || source[end] !== '>') return null;
            text = source.slice(index + 1, end);
            index = end + 1;
        } else {
            let depth = 0;
            const from = index;
            for (; index < limit; index += 1) {
                const character = source[index];
                if (character === '\\') index += 1;
                else if (character === '(' && ++depth > 32) return null;
                else if (character === ')' && --depth < 0) break;
                else if (/[\s<]/.test(character)) break;
            }
            text = source.slice(from, index).replace(/\\([!-/:-@[-`{-~])/g, '$1');
        }
        index = skipSpace(source, index);
        if (/["'(]/.test(source[index] ?? '')) {
            const closing = source[index] === '(' ? ')' : source[index];
            const end = source.slice(index + 1, index + 1000).indexOf(closing);
            if (end < 0) return null;
            index = skipSpace(source, index + end + 2);
        }
        if (source[index] !== ')') return null;
        const address = safeAddress(text);
        return address ? { address, end: index + 1 } : null;
    }
}

function matches(opener, closer) {
    if (opener.mark !== closer.mark || !opener.canOpen) return false;
    if (opener.mark === '~') return opener.length === closer.length;
    const isBoth = opener.canClose || closer.canOpen;
    return !isBoth || (opener.original + closer.original) % 3 !== 0 || (opener.original % 3 === 0 && closer.original % 3 === 0);
}

function characterBefore(text, index) {
    const unit = text[index - 1];
    return /[\udc00-\udfff]/.test(unit) && index > 1 ? text.slice(index - 2, index) : unit;
}

function count(text, character) {
    let result = 0;
    for (let index = text.indexOf(character); index >= 0; index = text.indexOf(character, index + 1)) result += 1;
    return result;
}

function skipSpace(text, index) {
    let place = index;
    while (place < text.length && place < index + 100 && /[ \t\n]/.test(text[place])) place += 1;
    return place;
}

/// The address if it is a whole one of the web, else null: no scripts, no data, no files, no parts of this page's own address.
export function safeAddress(text) {
    if (!/^https?:\/\/[^\s/]/i.test(text) || text.length > maximumAddress) return null;
    try {
        const address = new URL(text);
        const isSafe = (address.protocol === 'http:' || address.protocol === 'https:') && !address.username && !address.password;
        return isSafe ? address.href : null;
    } catch {
        return null;
    }
}

function setLink(node, address) {
    node.setAttribute('href', address);
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow');
    // Where it really leads, whatever its words say.
    node.setAttribute('title', address);
}

function link(address, text) {
    const node = element('a', {}, text);
    setLink(node, address);
    return node;
}
