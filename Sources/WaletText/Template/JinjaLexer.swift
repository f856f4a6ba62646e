// A template's text to tokens, with Jinja2's white-space rules for trim_blocks and lstrip_blocks.

struct JinjaToken: Sendable {
    enum Kind: Sendable, Equatable {
        case data([UInt8])
        case blockBegin, blockEnd, variableBegin, variableEnd
        case name(String)
        case string([UInt8])
        case integer(Int)
        case float(Double)
        case symbol(String)
        case end
    }

    var kind: Kind
    var line: Int

    /// The token in an error message.
    var text: String {
        switch kind {
        case .data: "text"
        case .blockBegin: "'{%'"
        case .blockEnd: "'%}'"
        case .variableBegin: "'{{'"
        case .variableEnd: "'}}'"
        case .name(let name): "'\(name.prefix(80))'"
        case .string: "a string"
        case .integer(let value): "\(value)"
        case .float(let value): "\(value)"
        case .symbol(let symbol): "'\(symbol)'"
        case .end: "the end of the template"
        }
    }
}

struct JinjaLexer {
    private let source: [UInt8]
    private var offset = 0
    private var line = 1
    private var tokens: [JinjaToken] = []
    /// Whether the token before ended with a newline, so that a tag here starts its line.
    private var atLineStart = true

    /// Splits a template into tokens; the last one is `.end`.
    static func tokens(of text: String) throws(TemplateError) -> [JinjaToken] {
        var lexer = JinjaLexer(text)
        try lexer.run()
        return lexer.tokens
    }

    private init(_ text: String) {
        // Jinja2 turns every kind of newline into \n and drops one at the end.
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        var previous: UInt8 = 0
        for byte in text.utf8 {
            if byte == UInt8(ascii: "\r") {
                bytes.append(UInt8(ascii: "\n"))
            } else if !(byte == UInt8(ascii: "\n") && previous == UInt8(ascii: "\r")) {
                bytes.append(byte)
            }
            previous = byte
        }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        source = bytes
    }

    private enum Tag { case variable, block, comment }

    private mutating func run() throws(TemplateError) {
        while offset < source.count {
            guard let (start, tag) = nextTag(from: offset) else {
                emit(data: Array(source[offset...]))
                break
            }
            var sign = byte(at: start + 2)
            if sign != UInt8(ascii: "-"), sign != UInt8(ascii: "+") { sign = nil }
            data(until: start, tag, sign: sign)
            advance(to: start)
            if tag == .block, let body = rawBegin(at: start) {
                try raw(from: body)
                continue
            }
            advance(to: start + (sign == nil ? 2 : 3))
            switch tag {
            case .comment: try comment()
            case .block:
                tokens.append(JinjaToken(kind: .blockBegin, line: line))
                try inside(close: UInt8(ascii: "%"), end: .blockEnd)
            case .variable:
                tokens.append(JinjaToken(kind: .variableBegin, line: line))
                try inside(close: UInt8(ascii: "}"), end: .variableEnd)
            }
        }
        tokens.append(JinjaToken(kind: .end, line: line))
    }

    // MARK: Between tags

    private func byte(at index: Int) -> UInt8? { index < source.count ? source[index] : nil }

    private mutating func advance(to end: Int) {
        for index in offset..<end where source[index] == UInt8(ascii: "\n") { line += 1 }
        offset = end
    }

    private func nextTag(from start: Int) -> (Int, Tag)? {
        var index = start
        while index + 1 < source.count {
            if source[index] == UInt8(ascii: "{") {
                switch source[index + 1] {
                case UInt8(ascii: "{"): return (index, .variable)
                case UInt8(ascii: "%"): return (index, .block)
                case UInt8(ascii: "#"): return (index, .comment)
                default: break
                }
            }
            index += 1
        }
        return nil
    }

    private mutating func emit(data bytes: [UInt8]) {
        if !bytes.isEmpty { tokens.append(JinjaToken(kind: .data(bytes), line: line)) }
    }

    /// Emits the text before a tag, stripped as its sign and the environment's lstrip_blocks ask.
    private mutating func data(until end: Int, _ tag: Tag, sign: UInt8?) {
        emit(data: Array(source[offset..<stripped(until: end, tag, sign: sign)]))
    }

    private func stripped(until end: Int, _ tag: Tag, sign: UInt8?) -> Int {
        if sign == UInt8(ascii: "-") { return endOfText(before: end) }
        guard sign == nil, tag != .variable else { return end }
        var lineStart = end
        while lineStart > offset, source[lineStart - 1] != UInt8(ascii: "\n") { lineStart -= 1 }
        guard lineStart > offset || atLineStart, endOfText(before: end) <= lineStart else { return end }
        return lineStart
    }

    /// The end of what remains when white space before an index is stripped.
    private func endOfText(before end: Int) -> Int {
        var end = end
        while end > offset {
            var first = end - 1
            while first > offset, source[first] & 0xC0 == 0x80 { first -= 1 }
            guard MarkedText.scalar(in: source, at: first).0.isPythonSpace else { break }
            end = first
        }
        return end
    }

    private func skippingSpace(from start: Int) -> Int {
        var index = start
        while index < source.count {
            let (scalar, length) = MarkedText.scalar(in: source, at: index)
            guard scalar.isPythonSpace else { break }
            index += length
        }
        return index
    }

    private func matches(_ text: StaticString, at index: Int) -> Bool {
        guard index + text.utf8CodeUnitCount <= source.count else { return false }
        for position in 0..<text.utf8CodeUnitCount where source[index + position] != text.utf8Start[position] {
            return false
        }
        return true
    }

    /// Ends a tag: what follows it is stripped by `-`, left alone by `+`, and loses one newline after a block.
    private mutating func close(at end: Int, sign: UInt8?, trims: Bool) {
        var end = end
        if sign == UInt8(ascii: "-") {
            end = skippingSpace(from: end)
        } else if sign == nil, trims, byte(at: end) == UInt8(ascii: "\n") {
            end += 1
        }
        advance(to: end)
        atLineStart = source[end - 1] == UInt8(ascii: "\n")
    }

    private mutating func comment() throws(TemplateError) {
        guard let end = source.firstOffset(of: Array("#}".utf8), from: offset) else {
            throw .syntax(line: line, reason: "a comment is not closed: '#}' is missing")
        }
        let before = end > offset ? source[end - 1] : 0
        let sign = before == UInt8(ascii: "-") || before == UInt8(ascii: "+") ? before : nil
        close(at: end + 2, sign: sign, trims: true)
    }

    /// Where the body of `{% raw %}` begins, if that is the tag at a place.
    private func rawBegin(at start: Int) -> Int? {
        var index = start + 2
        if let sign = byte(at: index), sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { index += 1 }
        index = skippingSpace(from: index)
        guard matches("raw", at: index) else { return nil }
        index = skippingSpace(from: index + 3)
        if matches("-%}", at: index) { return skippingSpace(from: index + 3) }
        return matches("%}", at: index) ? index + 2 : nil
    }

    private mutating func raw(from body: Int) throws(TemplateError) {
        let opening = line
        atLineStart = source[body - 1] == UInt8(ascii: "\n")
        advance(to: body)
        var search = body
        while let start = source.firstOffset(of: Array("{%".utf8), from: search) {
            search = start + 2
            var index = start + 2
            var sign = byte(at: index)
            if sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { index += 1 } else { sign = nil }
            index = skippingSpace(from: index)
            guard matches("endraw", at: index) else { continue }
            index = skippingSpace(from: index + 6)
            var endSign = byte(at: index)
            if endSign == UInt8(ascii: "-") || endSign == UInt8(ascii: "+") { index += 1 } else { endSign = nil }
            guard matches("%}", at: index) else { continue }
            data(until: start, .block, sign: sign)
            close(at: index + 2, sign: endSign, trims: true)
            return
        }
        throw .syntax(line: opening, reason: "'{% raw %}' is not closed: '{% endraw %}' is missing")
    }

    // MARK: Inside tags

    private mutating func inside(close closing: UInt8, end: JinjaToken.Kind) throws(TemplateError) {
        let opening = line
        var brackets: [UInt8] = []
        while true {
            advance(to: skippingSpace(from: offset))
            guard let byte = byte(at: offset) else {
                throw .syntax(line: opening, reason: "a tag is not closed")
            }
            if brackets.isEmpty {
                let signed = byte == UInt8(ascii: "-") || (byte == UInt8(ascii: "+") && end == .blockEnd)
                let start = signed ? offset + 1 : offset
                if self.byte(at: start) == closing, self.byte(at: start + 1) == UInt8(ascii: "}") {
                    tokens.append(JinjaToken(kind: end, line: line))
                    close(at: start + 2, sign: signed ? byte : nil, trims: end == .blockEnd)
                    return
                }
            }
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): try number()
            case UInt8(ascii: "'"), UInt8(ascii: "\""): try string(quote: byte)
            default:
                if try !name() { try symbol(&brackets) }
            }
        }
    }

    private func isDigit(_ byte: UInt8?) -> Bool {
        byte.map { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") } ?? false
    }

    /// The end of `\d+(_\d+)*` from a place, or the place itself.
    private func digits(from start: Int, where isDigit: (UInt8) -> Bool) -> Int {
        var index = start
        while let byte = byte(at: index) {
            if isDigit(byte) {
                index += 1
            } else if byte == UInt8(ascii: "_"), index > start, let next = self.byte(at: index + 1), isDigit(next) {
                index += 2
            } else {
                break
            }
        }
        return index
    }

    private func text(_ range: Range<Int>) -> String {
        String(decoding: source[range].filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
    }

    private mutating func number() throws(TemplateError) {
        let start = offset
        let decimal: (UInt8) -> Bool = { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
        if source[start] == UInt8(ascii: "0"), let letter = byte(at: start + 1),
            let radix = [UInt8(ascii: "x"): 16, UInt8(ascii: "o"): 8, UInt8(ascii: "b"): 2][letter | 0x20]
        {
            let end = digits(from: start + 2) {
                Character(Unicode.Scalar($0)).hexDigitValue.map { $0 < radix } ?? false
            }
            guard end > start + 2, let value = Int(text(start + 2..<end), radix: radix) else {
                throw .syntax(line: line, reason: "a number that is malformed or beyond 64 bits")
            }
            tokens.append(JinjaToken(kind: .integer(value), line: line))
            offset = end
            return
        }
        let integerEnd = digits(from: start, where: decimal)
        var end = integerEnd
        if start == 0 || source[start - 1] != UInt8(ascii: ".") {
            if byte(at: end) == UInt8(ascii: "."), isDigit(byte(at: end + 1)) {
                end = digits(from: end + 1, where: decimal)
            }
            if let letter = byte(at: end), letter | 0x20 == UInt8(ascii: "e") {
                var exponent = end + 1
                if let sign = byte(at: exponent), sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") {
                    exponent += 1
                }
                if isDigit(byte(at: exponent)) { end = digits(from: exponent, where: decimal) }
            }
        }
        if end > integerEnd {
            guard let value = Double(text(start..<end)) else {
                throw .syntax(line: line, reason: "a malformed number")
            }
            tokens.append(JinjaToken(kind: .float(value), line: line))
        } else {
            let text = text(start..<end)
            guard let value = Int(text), text.count == 1 || text.utf8.first != UInt8(ascii: "0") || value == 0 else {
                throw .syntax(line: line, reason: "a number that is malformed or beyond 64 bits")
            }
            tokens.append(JinjaToken(kind: .integer(value), line: line))
        }
        offset = end
    }

    private mutating func name() throws(TemplateError) -> Bool {
        var end = offset
        while end < source.count {
            let (scalar, length) = MarkedText.scalar(in: source, at: end)
            let isPart =
                scalar.isASCII
                ? scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                : end == offset ? scalar.properties.isXIDStart : scalar.properties.isXIDContinue
            guard isPart else { break }
            end += length
        }
        guard end > offset else { return false }
        tokens.append(JinjaToken(kind: .name(String(decoding: source[offset..<end], as: UTF8.self)), line: line))
        offset = end
        return true
    }

    private mutating func string(quote: UInt8) throws(TemplateError) {
        let opening = line
        var value: [UInt8] = []
        var index = offset + 1
        while true {
            guard let byte = byte(at: index) else {
                throw .syntax(line: opening, reason: "a string is not closed")
            }
            index += 1
            if byte == quote { break }
            if byte == UInt8(ascii: "\\") {
                try escape(&index, into: &value)
            } else {
                value.append(byte)
            }
        }
        tokens.append(JinjaToken(kind: .string(value), line: opening))
        advance(to: index)
    }

    /// Python's escapes; an unknown one stays as it is, backslash included.
    private func escape(_ index: inout Int, into value: inout [UInt8]) throws(TemplateError) {
        guard let byte = byte(at: index) else { return }
        index += 1
        switch byte {
        case UInt8(ascii: "\n"): break
        case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): value.append(byte)
        case UInt8(ascii: "a"): value.append(0x07)
        case UInt8(ascii: "b"): value.append(0x08)
        case UInt8(ascii: "f"): value.append(0x0C)
        case UInt8(ascii: "n"): value.append(0x0A)
        case UInt8(ascii: "r"): value.append(0x0D)
        case UInt8(ascii: "t"): value.append(0x09)
        case UInt8(ascii: "v"): value.append(0x0B)
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            var code = UInt32(byte - UInt8(ascii: "0"))
            var count = 1
            while count < 3, let next = self.byte(at: index), next >= UInt8(ascii: "0"), next <= UInt8(ascii: "7") {
                code = code * 8 + UInt32(next - UInt8(ascii: "0"))
                index += 1
                count += 1
            }
            try append(code, to: &value)
        case UInt8(ascii: "x"): try hexadecimal(2, &index, into: &value)
        case UInt8(ascii: "u"): try hexadecimal(4, &index, into: &value)
        case UInt8(ascii: "U"): try hexadecimal(8, &index, into: &value)
        case UInt8(ascii: "N"): throw .syntax(line: line, reason: "characters by name (\\N{…}) are not supported")
        default: value += [UInt8(ascii: "\\"), byte]
        }
    }

    private func hexadecimal(_ count: Int, _ index: inout Int, into value: inout [UInt8]) throws(TemplateError) {
        var code: UInt32 = 0
        for _ in 0..<count {
            guard let byte = byte(at: index), byte < 0x80,
                let digit = Character(Unicode.Scalar(byte)).hexDigitValue
            else { throw .syntax(line: line, reason: "an escape needs \(count) hexadecimal digits") }
            code = code << 4 | UInt32(digit)
            index += 1
        }
        try append(code, to: &value)
    }

    private func append(_ code: UInt32, to value: inout [UInt8]) throws(TemplateError) {
        guard let scalar = Unicode.Scalar(code) else {
            throw .syntax(line: line, reason: "an escape that names no Unicode character")
        }
        value.append(contentsOf: String(Character(scalar)).utf8)
    }

    private static let symbols: [(StaticString, String)] = [
        ("//", "//"), ("**", "**"), ("==", "=="), ("!=", "!="), (">=", ">="), ("<=", "<="), ("+", "+"), ("-", "-"),
        ("/", "/"), ("*", "*"), ("%", "%"), ("~", "~"), ("[", "["), ("]", "]"), ("(", "("), (")", ")"), ("{", "{"),
        ("}", "}"), (">", ">"), ("<", "<"), ("=", "="), (".", "."), (":", ":"), ("|", "|"), (",", ","), (";", ";"),
    ]

    private mutating func symbol(_ brackets: inout [UInt8]) throws(TemplateError) {
        for (text, symbol) in Self.symbols where matches(text, at: offset) {
            let byte = source[offset]
            switch byte {
            case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): brackets.append(byte)
            case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"):
                let opening: [UInt8: UInt8] = [
                    UInt8(ascii: ")"): UInt8(ascii: "("), UInt8(ascii: "]"): UInt8(ascii: "["),
                    UInt8(ascii: "}"): UInt8(ascii: "{"),
                ]
                guard let last = brackets.popLast(), last == opening[byte] else {
                    throw .syntax(line: line, reason: "unexpected '\(symbol)'")
                }
            default: break
            }
            tokens.append(JinjaToken(kind: .symbol(symbol), line: line))
            offset += text.utf8CodeUnitCount
            return
        }
        let (scalar, _) = MarkedText.scalar(in: source, at: offset)
        throw .syntax(line: line, reason: "unexpected character '\(scalar)'")
    }
}
