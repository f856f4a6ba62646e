// A conversation as a tree: asking again or editing a question makes a branch, and nothing is lost. What is shown and sent is the
// path from the root along the chosen branches. Lives in memory only.

/// A node is one of
/// `{role: 'user', text}`,
/// `{role: 'assistant', text, thinking, thinkingSeconds, calls: [{id, name, arguments}], model, state, finish, usage, timing, cost}`,
/// `{role: 'tools', results: [{id, name, text}]}`, each with `parent`, `children` and `active`, the index of the chosen child.
export class Conversation {
    root = { role: 'root', parent: null, children: [], active: 0 };
    stream = null;        // {node, controller} of the answer under way
    draft = '';

    get title() {
        const first = this.path().find((node) => node.role === 'user');
        if (!first) return 'New conversation';
        const line = first.text.trim().split('\n', 1)[0];
        return line.length > 60 ? `${line.slice(0, 59)}…` : line || 'New conversation';
    }

    get isEmpty() {
        return this.root.children.length === 0;
    }

    get last() {
        return this.path().at(-1) ?? this.root;
    }

    /// Adds a branch below a node and chooses it.
    add(parent, content) {
        const node = { ...content, parent, children: [], active: 0 };
        parent.children.push(node);
        parent.active = parent.children.length - 1;
        return node;
    }

    /// Takes a node with all below it away.
    remove(node) {
        const siblings = node.parent.children;
        siblings.splice(siblings.indexOf(node), 1);
        node.parent.active = Math.max(0, Math.min(node.parent.active, siblings.length - 1));
    }

    path() {
        const nodes = [];
        for (let node = this.root.children[this.root.active]; node; node = node.children[node.active]) nodes.push(node);
        return nodes;
    }

    /// The messages of a request that continues after a node.
    messages(node) {
        const nodes = [];
        for (let each = node; each.parent; each = each.parent) nodes.unshift(each);
        return nodes.flatMap((each, index) => messagesOf(each, nodes[index + 1]?.role === 'tools'));
    }

    totals() {
        const totals = { answers: 0, tokens: 0, cost: 0, currency: 'USD', hasCost: false };
        const visit = [...this.root.children];
        // Branches that are not shown were paid for as well.
        while (visit.length > 0) {
            const node = visit.pop();
            visit.push(...node.children);
            if (!node.usage) continue;
            totals.answers += 1;
            totals.tokens += node.usage.prompt + node.usage.output;
            if (node.cost) {
                totals.cost += node.cost.total;
                totals.currency = node.cost.currency;
                totals.hasCost = true;
            }
        }
        return totals;
    }
}

function messagesOf(node, hasResults) {
    if (node.role === 'user') return [{ role: 'user', content: node.text }];
    if (node.role === 'tools') return node.results.map(({ id, text }) => ({ role: 'tool', tool_call_id: id, content: text }));
    const message = { role: 'assistant', content: node.text };
    if (hasResults && node.calls.length > 0) {
        // A model that thinks between calls wants its thoughts back with them.
        if (node.thinking) message.reasoning_content = node.thinking;
        message.tool_calls = node.calls.map(({ id, name, arguments: given }) => ({ id, type: 'function', function: { name, arguments: given } }));
    }
    // An answer that failed before its first word is not part of the conversation.
    return node.text || message.tool_calls ? [message] : [];
}

/// Tokens from the usage of a response. `cached` and `thinking` are null where the server does not report them.
export function readUsage(usage) {
    const number = (value) => (Number.isFinite(value) && value >= 0 ? value : null);
    const prompt = number(usage?.prompt_tokens), output = number(usage?.completion_tokens);
    if (prompt === null || output === null) return null;
    return {
        prompt, output,
        cached: number(usage.prompt_tokens_details?.cached_tokens) ?? number(usage.prompt_cache_hit_tokens),
        thinking: number(usage.completion_tokens_details?.reasoning_tokens),
    };
}

/// What tokens cost at prices per million, in parts. Null without prices.
export function costOf(usage, pricing) {
    if (!usage || !pricing) return null;
    const cached = Math.min(usage.cached ?? 0, usage.prompt);
    const parts = {
        fresh: (usage.prompt - cached) * pricing.input / 1e6,
        cached: cached * pricing.cached / 1e6,
        output: usage.output * pricing.output / 1e6,
    };
    return { ...parts, total: parts.fresh + parts.cached + parts.output, currency: pricing.currency };
}

/// The path that is shown, as JSON: `messages` can be sent to a server as it is.
export function exportJSON(conversation, settings) {
    const path = conversation.path();
    return `${JSON.stringify({
        format: 'walet-conversation', version: 1, exported_at: new Date().toISOString(), title: conversation.title, settings,
        messages: conversation.messages(conversation.last),
        answers: path.filter((node) => node.role === 'assistant').map((node) => ({
            model: node.model, state: node.state, finish_reason: node.finish, text: node.text, reasoning: node.thinking,
            tool_calls: node.calls, usage: node.usage, cost: node.cost, timing: node.timing,
        })),
    }, null, 2)}\n`;
}

/// The path that is shown, as Markdown.
export function exportMarkdown(conversation) {
    const parts = [`# ${conversation.title}`];
    for (const node of conversation.path()) {
        if (node.role === 'user') {
            parts.push('## You', node.text);
        } else if (node.role === 'tools') {
            for (const result of node.results) parts.push(`## Result of ${result.name}`, fenced(result.text, ''));
        } else {
            parts.push(`## ${node.model}`);
            if (node.thinking) parts.push(node.thinking.trim().split('\n').map((line) => `> ${line}`).join('\n'));
            if (node.text) parts.push(node.text.trim());
            for (const call of node.calls) parts.push(`Calls \`${call.name}\``, fenced(call.arguments, 'json'));
        }
    }
    return `${parts.join('\n\n')}\n`;
}

// A fence longer than any run of back-ticks in the text.
function fenced(text, language) {
    const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((run) => run[0].length));
    const fence = '`'.repeat(longest + 1);
    return `${fence}${language}\n${text}\n${fence}`;
}
