// Colours for code, a line at a time, so that code can be coloured while it is written. It knows comments, strings, numbers and
// words of the language: enough to read by, in time linear in the text.

import { element } from './dom.js';

const longestLine = 2000;

const words = (text) => new Set(text.split(' '));

const cStyle = { comment: '//', block: ['/*', '*/'], quotes: '"\'' };

const languages = {
    swift: { ...cStyle, quotes: '"', triple: '"""', words: words('actor any as associatedtype async await borrowing break case catch class consuming continue default defer deinit do else enum extension fallthrough false fileprivate final for func guard if import in indirect init inout internal is isolated lazy let mutating nil nonisolated open operator override package private protocol public repeat required rethrows return self Self sending some static struct subscript super switch throw throws true try typealias unowned var weak where while') },
    javascript: { ...cStyle, quotes: '"\'`', words: words('abstract any as async await boolean break case catch class const continue declare default delete do else enum export extends false finally for from function get if implements import in instanceof interface let new null number of private public readonly return set static string super switch this throw true try type typeof undefined var void while yield') },
    c: { ...cStyle, words: words('alignas alignof auto bool break case catch char class const constexpr continue default delete do double else enum explicit extern false float for friend if inline int long namespace new noexcept nullptr operator override private protected public return short signed sizeof static struct switch template this throw true try typedef typename union unsigned using virtual void volatile while include define ifdef ifndef endif pragma') },
    java: { ...cStyle, triple: '"""', words: words('abstract as boolean break by case catch char class companion const continue data default do double else enum extends false final finally float for foreach fun if implements import in instanceof int interface internal is long namespace native new null object open out override package private protected public return sealed short static string super switch synchronized this throw throws true try using val var void volatile when where while') },
    go: { ...cStyle, quotes: '"\'`', words: words('any bool break byte case chan const continue default defer else error fallthrough false float32 float64 for func go goto if import int int32 int64 interface map nil package range return rune select string struct switch true type uint8 var') },
    rust: { ...cStyle, quotes: '"', words: words('as async await bool box break const continue crate dyn else enum extern f32 f64 false fn for i32 i64 if impl in let loop match mod move mut pub ref return Self self static str struct super trait true type u8 u32 u64 unsafe use usize where while') },
    python: { comment: '#', quotes: '"\'', triple: '"""', words: words('and as assert async await break case class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise return self True try while with yield') },
    shell: { comment: '#', quotes: '"\'', words: words('case cd do done echo elif else esac exit export fi for function if in local return set shift sudo test then until while') },
    sql: { comment: '--', block: ['/*', '*/'], quotes: '\'"', ignoresCase: true, words: words('add all alter and as asc avg begin between by case cast check column commit constraint count create cross database default delete desc distinct drop else end exists foreign from full group having in index inner insert into is join key left like limit max min not null offset on or order outer over partition primary references returning right rollback select set sum table then transaction union unique update using values view when where with') },
    json: { quotes: '"', words: words('true false null') },
    yaml: { comment: '#', quotes: '"\'', words: words('true false null yes no on off') },
    css: { block: ['/*', '*/'], quotes: '"\'', words: words('important media supports keyframes import from to') },
    html: { block: ['<!--', '-->'], quotes: '"', words: words('') },
};

const aliases = { js: 'javascript', jsx: 'javascript', ts: 'javascript', tsx: 'javascript', typescript: 'javascript', mjs: 'javascript',
    cpp: 'c', 'c++': 'c', cc: 'c', h: 'c', hpp: 'c', cuda: 'c', metal: 'c', objc: 'c', kotlin: 'java', kt: 'java', cs: 'java',
    csharp: 'java', scala: 'java', dart: 'java', golang: 'go', rs: 'rust', py: 'python', python3: 'python', ruby: 'python', rb: 'python',
    bash: 'shell', sh: 'shell', zsh: 'shell', console: 'shell', dockerfile: 'shell', makefile: 'shell', make: 'shell', toml: 'yaml',
    ini: 'yaml', yml: 'yaml', jsonc: 'json', json5: 'json', xml: 'html', svg: 'html', scss: 'css', less: 'css', postgresql: 'sql', sqlite: 'sql' };

export class Highlighter {
    #rules;
    #until = null;      // what ends the comment or string that a line before opened
    #class = '';

    constructor(language) {
        const name = language.toLowerCase();
        const known = Object.hasOwn(aliases, name) ? aliases[name] : name;
        this.#rules = Object.hasOwn(languages, known) ? languages[known] : null;
    }

    /// The nodes of the next line.
    line(text) {
        if (!this.#rules || text.length > longestLine) return [document.createTextNode(text)];
        const nodes = [];
        let plain = '';
        const add = (kind, piece) => {
            if (plain) nodes.push(document.createTextNode(plain));
            plain = '';
            nodes.push(element('span', { class: `code-${kind}` }, piece));
        };
        let index = 0;
        while (index < text.length) {
            const length = this.#token(text, index, add);
            if (length > 0) {
                index += length;
            } else {
                const word = /[\p{L}\p{N}_]+|./uy;
                word.lastIndex = index;
                const piece = word.exec(text)?.[0] ?? text[index];
                plain += piece;
                index += piece.length;
            }
        }
        if (plain) nodes.push(document.createTextNode(plain));
        return nodes;
    }

    // Adds what begins at an index and returns its length; 0: nothing that has a colour.
    #token(text, index, add) {
        const rules = this.#rules;
        if (this.#until) {
            const end = text.indexOf(this.#until, index);
            const stop = end < 0 ? text.length : end + this.#until.length;
            add(this.#class, text.slice(index, stop));
            if (end >= 0) this.#until = null;
            return stop - index;
        }
        if (rules.comment && text.startsWith(rules.comment, index) && (rules.comment !== '#' || /^$|\s/.test(text[index - 1] ?? ''))) {
            add('comment', text.slice(index));
            return text.length - index;
        }
        for (const [start, end, kind] of [rules.block ? [...rules.block, 'comment'] : null, rules.triple ? [rules.triple, rules.triple, 'string'] : null].filter(Boolean)) {
            if (!text.startsWith(start, index)) continue;
            this.#until = end;
            this.#class = kind;
            add(kind, start);
            return start.length;
        }
        const character = text[index];
        if (rules.quotes.includes(character)) {
            let stop = index + 1;
            while (stop < text.length && text[stop] !== character) stop += text[stop] === '\\' ? 2 : 1;
            if (stop >= text.length) {
                if (character !== '`') return 0;
                this.#until = character;
                this.#class = 'string';
            }
            stop = Math.min(text.length, stop + 1);
            add('string', text.slice(index, stop));
            return stop - index;
        }
        if (/[0-9]/.test(character)) {
            const number = /0[xXbBoO][0-9a-fA-F_]+|[0-9][0-9_]*(?:\.[0-9_]+)?(?:[eE][+-]?[0-9]+)?/y;
            number.lastIndex = index;
            const piece = number.exec(text)[0];
            add('number', piece);
            return piece.length;
        }
        if (/[A-Za-z_@]/.test(character)) {
            const word = /@?[A-Za-z_][A-Za-z0-9_]*/y;
            word.lastIndex = index;
            const piece = word.exec(text)?.[0];
            if (!piece || !rules.words.has(rules.ignoresCase ? piece.toLowerCase() : piece)) return 0;
            add('word', piece);
            return piece.length;
        }
        return 0;
    }
}
