// A template is a stranger's program: it ends, it stays small, and it reaches nothing but its arguments.

import Foundation
import Synchronization
import Testing
import WaletJSON
import WaletText

@Suite struct TemplateSandboxTests {
    static func render(
        _ source: String, limits: TemplateLimits = .default, extra: [String: JSONValue] = [:]
    ) throws(TemplateError) -> RenderedPrompt {
        try ChatTemplate(source: source, bosToken: nil, eosToken: nil)
            .render(messages: [["role": "user", "content": "x"]], extra: extra, limits: limits, now: 0)
    }

    static func isLimit(_ error: TemplateError?) -> Bool {
        if case .limit = error { true } else { false }
    }

    static func error(_ source: String, limits: TemplateLimits = .default) -> TemplateError? {
        do throws(TemplateError) {
            _ = try render(source, limits: limits)
            return nil
        } catch { return error }
    }

    @Test(arguments: [
        "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(n) %}{% if true %}{{ n ~ m(n + 1) ~ m(n + 1) }}{% endif %}{% endmacro %}{{ m(0) }}",
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{% macro n() %}{% call m() %}{{ n() }}{% endcall %}{% endmacro %}{{ n() }}",
        "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
        "{{ range(10 ** 9) }}", "{% for i in range(1000000000) %}{% endfor %}", "{{ range(0, 10 ** 18, 3)|length }}",
        "{{ range(-9223372036854775807, 9223372036854775807) }}",
        "{{ range(9223372036854775807, -9223372036854775807, -1) }}",
        "{{ 'a' * 10 ** 9 }}", "{{ 10 ** 9 * 'a' }}", "{{ 'ab' * 9223372036854775807 }}", "{{ [0] * 10 ** 9 }}",
        "{{ (0,) * 10 ** 9 }}",
        "{{ 'a'.center(10 ** 9) }}", "{{ 'a'.ljust(10 ** 9) }}", "{{ 'a'.zfill(10 ** 9) }}",
        "{{ 'a'|center(10 ** 9) }}",
        "{{ '%1000000000d' % 1 }}", "{{ '%.1000000000f' % 1.5 }}", "{{ 'a'|indent(10 ** 9) }}",
        "{{ [1]|tojson(indent=10 ** 9) }}",
        "{{ 1.5|round(10 ** 9) }}", "{{ [1]|batch(10 ** 9, 0)|list }}", "{{ [1]|slice(10 ** 9)|list }}",
        "{% set ns = namespace(s='0123456789abcdef') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='0123456789abcdef') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='0123456789abcdef') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('0', ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='0123456789abcdef') %}{% for i in range(60) %}{% set ns.s = ns.s.join(ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='0123456789abcdef') %}{% for i in range(60) %}{% set ns.s = '%s%s' % (ns.s, ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='0123456789abcdef') %}{% for i in range(60) %}{% set ns.s = '{0}{0}'.format(ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='a\nb') %}{% for i in range(60) %}{% set ns.s = (ns.s ~ '\n' ~ ns.s)|indent(99) %}{% endfor %}",
        "{% set ns = namespace(s='\"') %}{% for i in range(60) %}{% set ns.s = ns.s|tojson %}{% endfor %}",
        "{% set ns = namespace(s='&') %}{% for i in range(100) %}{% set ns.s = (ns.s ~ ns.s)|e %}{% endfor %}",
        "{% set ns = namespace(l=[0]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        "{% set ns = namespace(l=[0]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
        "{% set ns = namespace(l=[0]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l|tojson }}",
        "{% set ns = namespace(a=[0], b=[0]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
        "{% set l = [] %}{% for i in range(100000) %}{% set _ = l.append(l) %}{{ l|length }}{% endfor %}{{ l }}",
        "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}", "{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}",
        "{% set l = [] %}{% set m = [] %}{% set _ = l.append(m) %}{% set _ = m.append(l) %}{{ l == m }}",
        "{% set d = {} %}{% set _ = d.update({'d': d}) %}{{ d }}",
        "{% set l = [1] %}{% for i in range(100) %}{% set _ = l.extend(l) %}{% endfor %}",
        "{% set l = [] %}{% for i in range(100000) %}{% for j in range(100000) %}{% set _ = l.insert(0, i) %}{% endfor %}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100) %}{{ messages|tojson }}{% endfor %}{% endfor %}",
        "{% for i in range(100000) %}text that is written again and again until there is too much of it {% for j in range(99) %}and more of it{% endfor %}{% endfor %}",
        "{% filter upper %}{% for i in range(100000) %}{% for j in range(100000) %}abcdefghijklmnop{% endfor %}{% endfor %}{% endfilter %}",
        "{% set x %}{% for i in range(100000) %}{% for j in range(100000) %}abcdefghijklmnop{% endfor %}{% endfor %}{% endset %}",
        "{{ dict(**dict(**{})) }}{% for i in range(100000) %}{% for j in range(100000) %}{{ dict({'a': i}, b=j) }}{% endfor %}{% endfor %}",
        String(repeating: "{% if true %}", count: 1000) + "x" + String(repeating: "{% endif %}", count: 1000),
        String(repeating: "{% for i in [1] %}", count: 1000) + "x" + String(repeating: "{% endfor %}", count: 1000),
        "{{ " + String(repeating: "(", count: 100_000) + "1" + String(repeating: ")", count: 100_000) + " }}",
        "{{ " + String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000) + " }}",
        "{{ " + String(repeating: "{'a':", count: 10_000) + "1" + String(repeating: "}", count: 10_000) + " }}",
        "{{ " + String(repeating: "not ", count: 100_000) + "1 }}",
        "{{ " + String(repeating: "-", count: 100_000) + "1 }}",
        "{{ " + String(repeating: "1 if 1 else ", count: 100_000) + "1 }}",
        "{{ 1" + String(repeating: " if 1", count: 100_000) + " }}",
        "{{ " + String(repeating: "f(", count: 10_000) + String(repeating: ")", count: 10_000) + " }}",
        "{{ a" + String(repeating: "[b", count: 10_000) + String(repeating: "]", count: 10_000) + " }}",
        "{% set " + String(repeating: "(", count: 10_000) + "a" + String(repeating: ")", count: 10_000) + " = 1 %}",
        "{{ 1 is " + String(repeating: "in [1 is ", count: 10_000) + "odd" + String(repeating: "]", count: 10_000)
            + " }}",
        String(repeating: "x", count: 2 << 20),
    ])
    func stopsAtALimit(_ source: String) {
        let error = Self.error(source)
        #expect(Self.isLimit(error), "\(error?.description.prefix(300) ?? "no error")")
    }

    @Test func longChainsNeedNoDepth() throws {
        #expect(try Self.render("{{ 0" + String(repeating: " + 1", count: 50_000) + " }}").text == "50000")
        #expect(try Self.render("{{ ''" + String(repeating: " ~ 'a'", count: 1000) + " }}").text.utf8.count == 1000)
        #expect(try Self.render("{{ 'a'" + String(repeating: "|upper", count: 50_000) + " }}").text == "A")
        #expect(try Self.render("{{ [1]" + String(repeating: "[:]", count: 10_000) + " }}").text == "[1]")
        #expect(try Self.render("{{ 1" + String(repeating: " and 1", count: 50_000) + " }}").text == "1")
        #expect(try Self.render("{{ 1" + String(repeating: " == 1", count: 50_000) + " }}").text == "True")
        let branches = String(repeating: "{% elif false %}", count: 20_000)
        #expect(try Self.render("{% if false %}" + branches + "{% else %}y{% endif %}").text == "y")
    }

    /// Threads that the system makes have 512 KB of stack on some platforms.
    @Test func theDeepestTemplatesFitASmallStack() {
        let level = TemplateLimits.default
        let sources = [
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "{% macro m(x) %}{% if true %}{% for y in [1] %}{{ ('a' ~ (m(x)|trim))|upper }}{% endfor %}{% endif %}{% endmacro %}{{ m(1) }}",
            "{% macro m() %}{% filter upper %}{% set x %}{% with %}{{ [{'a': (m() + 'x')}]|map('tojson')|list }}{% endwith %}{% endset %}{% endfilter %}{% endmacro %}{{ m() }}",
            "{% macro m() %}{{ caller() }}{% endmacro %}{% macro n() %}{% call m() %}{{ n() }}{% endcall %}{% endmacro %}{{ n() }}",
            "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
            "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}",
            "{% set d = {} %}{% set _ = d.update({'d': d}) %}{{ d|tojson(indent=1, sort_keys=true) }}",
            "{{ " + String(repeating: "(1 if 1 else -", count: 38) + "1" + String(repeating: ")", count: 38) + " }}",
            String(repeating: "{% if true %}", count: 70) + "x" + String(repeating: "{% endif %}", count: 70),
        ]
        let finished = Mutex(0)
        let done = DispatchSemaphore(value: 0)
        let thread = Thread {
            for source in sources {
                _ = Self.error(source, limits: level)
                finished.withLock { $0 += 1 }
            }
            done.signal()
        }
        #if DEBUG
            thread.stackSize = 4 << 20
        #else
            thread.stackSize = 512 << 10
        #endif
        thread.start()
        done.wait()
        #expect(finished.withLock { $0 } == sources.count)
    }

    @Test(arguments: [
        "{{ ''.__class__ }}", "{{ messages.__class__ }}", "{{ messages[0].__class__ }}", "{{ [].__len__ }}",
        "{{ range.__globals__ }}", "{{ namespace.__init__ }}", "{{ (''|attr('__class__')) }}", "{{ ''['__class__'] }}",
        "{{ messages[0]['__class__'] }}", "{{ dict.fromkeys }}", "{{ raise_exception.__code__ }}",
        "{{ ['']|map(attribute='__class__')|first }}", "{{ joiner.__doc__ }}", "{{ self }}",
        "{{ self._TemplateReference__context }}",
        "{{ loop }}", "{{ config }}", "{{ request }}", "{{ caller }}",
    ])
    func attributeWalksFindNothing(_ source: String) {
        let text = try? Self.render(source).text
        #expect(text == nil || text == "")
    }

    @Test(arguments: [
        "{{ ''.__class__.__mro__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ namespace(__class__=1) }}", "{% set ns = namespace() %}{% set ns.__init__ = 1 %}", "{{ lipsum() }}",
        "{{ messages.x.y }}", "{{ ('%s' | format).__class__.x }}", "{{ '{0.__class__}'.format(1) }}",
        "{{ '{0[a]}'.format({'a': 1}) }}",
        "{{ (messages|attr('__class__')).__base__ }}", "{{ open('/etc/passwd') }}", "{{ get_flashed_messages() }}",
        "{{ __import__('os') }}",
    ])
    func attributeWalksThatGoOnAreRefused(_ source: String) {
        #expect(Self.error(source) != nil)
    }

    @Test func unknownNamesAreRefusedBeforeRendering() throws {
        func compile(_ source: String) -> TemplateError? {
            do throws(TemplateError) {
                _ = try ChatTemplate(source: source, bosToken: nil, eosToken: nil)
                return nil
            } catch { return error }
        }
        func expect(_ source: String, _ feature: TemplateError.Feature, _ name: String, line: Int) {
            guard case .unsupported(feature, name, line, let supported)? = compile(source) else {
                Issue.record("\(source): \(String(describing: compile(source)))")
                return
            }
            #expect(!supported.isEmpty)
        }
        expect("a\nb{{ x|urlize }}", .filter, "urlize", line: 2)
        expect("{% if false %}\n{{ x is nosuch }}{% endif %}", .test, "nosuch", line: 2)
        expect("\n\n{% include 'x' %}", .tag, "include", line: 3)
        expect("{% extends 'x' %}", .tag, "extends", line: 1)
        expect("{% import 'x' as y %}", .tag, "import", line: 1)
        expect("{% from 'x' import y %}", .tag, "from", line: 1)
        expect("{% block x %}{% endblock %}", .tag, "block", line: 1)
        expect("{{ lipsum(5) }}", .function, "lipsum", line: 1)
        expect("{% set x %}{{ nosuch() }}{% endset %}", .function, "nosuch", line: 1)
        // A template that asks first may call what only other engines define.
        #expect(compile("{% if helper is defined %}{{ helper() }}{% endif %}") == nil)
        let message = compile("{{ x|urlize }}")?.description ?? ""
        #expect(message.contains("line 1") && message.contains("'urlize'") && message.contains("tojson"))
    }

    @Test func aTemplateCanRefuseAConversation() {
        #expect(Self.error("{{ raise_exception('roles must alternate') }}") == .raised(message: "roles must alternate"))
    }

    @Test func limitsAreTheCallers() throws {
        let source = "{% for i in range(100) %}x{% endfor %}"
        #expect(try Self.render(source).text.utf8.count == 100)
        #expect(Self.isLimit(Self.error(source, limits: TemplateLimits(steps: 50))))
        #expect(Self.isLimit(Self.error(source, limits: TemplateLimits(outputBytes: 99))))
        #expect(Self.isLimit(Self.error(source, limits: TemplateLimits(elements: 99))))
        #expect(Self.isLimit(Self.error("{{ ((((1)))) ~ (2 ~ (3 ~ (4 ~ 5))) }}", limits: TemplateLimits(depth: 3))))
        #expect(try Self.render(source, limits: TemplateLimits(outputBytes: 100, elements: 100)).text.utf8.count == 100)
    }

    @Test func argumentsCannotReplaceTheConversation() throws {
        let prompt = try Self.render(
            "{{ messages|length }}{{ tools }}{{ add_generation_prompt }}",
            extra: ["messages": [], "tools": "x", "add_generation_prompt": false])
        #expect(prompt.text == "1NoneTrue")
    }

    @Test func whatIsBeyondTheSubsetSaysSo() {
        for source in [
            "{{ 9223372036854775807 + 1 }}", "{{ 2 ** 64 }}", "{{ -9223372036854775807 - 2 }}",
            "{{ 9223372036854775808 }}", "{{ 1e308 * 10 ** 18 * 10.0 }}{{ 10 ** 400 }}", "{{ '\\N{BULLET}' }}",
            "{{ (-9223372036854775807 - 1) // -1 }}",
        ] {
            #expect(Self.error(source) != nil, "\(source)")
        }
        #expect((try? Self.render("{{ (-9223372036854775807 - 1) % -1 }}").text) == "0")
    }

    /// Every cut and many mutations of real templates end in a text or a typed error, soon.
    @Test func mutatedTemplatesNeverTrap() throws {
        var random = SplitMix(state: 1)
        let conversations: [[JSONValue]] = [
            [["role": "system", "content": "s"], ["role": "user", "content": "<|im_end|>é"]],
            [
                ["role": "user", "content": "q"],
                [
                    "role": "assistant", "content": nil,
                    "tool_calls": [["id": "a", "type": "function", "function": ["name": "f", "arguments": ["x": 1]]]],
                ],
                ["role": "tool", "tool_call_id": "a", "content": "r"],
            ],
        ]
        let tools: [JSONValue] = [["type": "function", "function": ["name": "f", "parameters": ["type": "object"]]]]
        let limits = TemplateLimits(steps: 3000, outputBytes: 1 << 14, depth: 200, elements: 500)
        let words = [
            "{{", "}}", "{%", "%}", "{#", "#}", "-", "(", ")", "[", "]", "|", ".", ",", "'", "\"", "\\", " if ",
            " else ", " for x in ",
            "{% endfor %}", "{% endif %}", "{% raw %}", "{% set ", "=", "==", " is ", " not ", " in ", "loop",
            "messages", "|tojson", "|length", "[::-1]",
            "**", "//", "%", "~", "0", "-1", "9223372036854775807", "1e308", "\u{0}", "é", "\n", "\r\n", "range(",
            "namespace(", "{% macro m() %}", "{% call ",
        ].map { Array($0.utf8) }
        var sources: [[UInt8]] = []
        for name in try TemplateFixtures.names() { sources.append(Array(try TemplateFixtures.source(name).utf8)) }
        var rendered = 0
        for round in 0..<20_000 {
            var bytes = sources[round % sources.count]
            for _ in 0...Int(random.next() % 4) {
                guard !bytes.isEmpty else { break }
                let place = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 6 {
                case 0: bytes.remove(at: place)
                case 1: bytes.insert(contentsOf: words[Int(random.next() % UInt64(words.count))], at: place)
                case 2: bytes[place] = UInt8(random.next() % 128)
                case 3: bytes.removeSubrange(place..<min(bytes.count, place + Int(random.next() % 40)))
                case 4:
                    bytes.insert(
                        contentsOf: bytes[place..<min(bytes.count, place + Int(random.next() % 80))], at: place)
                default: if random.next() % 8 == 0 { bytes.removeSubrange(place...) }
                }
            }
            let source = String(decoding: bytes, as: UTF8.self)
            guard let template = try? ChatTemplate(source: source, bosToken: "<s>", eosToken: nil) else { continue }
            for messages in conversations {
                guard let prompt = try? template.render(messages: messages, tools: tools, limits: limits) else {
                    continue
                }
                rendered += 1
                #expect(prompt.text.utf8.count <= 1 << 14)
                #expect(prompt.untrusted.allSatisfy { !$0.isEmpty && $0.upperBound <= prompt.text.utf8.count })
            }
        }
        #expect(rendered > 3000, "\(rendered)")
    }

    @Test func everyCutOfASmallTemplateEnds() throws {
        let bytes = Array(try TemplateFixtures.source("kimi-k2-thinking").utf8)
        for count in 0...bytes.count {
            let source = String(decoding: bytes[..<count], as: UTF8.self)
            _ = try? ChatTemplate(source: source, bosToken: nil, eosToken: nil).render(messages: [JSONValue]())
        }
    }
}

/// A small generator of random numbers that is the same everywhere.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
