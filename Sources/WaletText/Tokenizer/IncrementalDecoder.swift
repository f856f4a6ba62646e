// Tokens to text while they arrive, never half a character.

/// What is done to the bytes of tokens on their way to text, besides putting them together.
struct OutputRules: Sendable {
    /// Put between tokens: a space where the file names no decoder, as the reference does.
    var separator: [UInt8] = []
    /// How many of `strippedByte` are left out where the text begins.
    var stripCount = 0
    var strippedByte: UInt8 = 0x20
    /// A sequence that the first token loses wherever it stands in it (Metaspace), replaced by a space in all others.
    var firstTokenLoses: [UInt8] = []
}

/// Turns tokens into text one by one.
///
/// A piece ends only where a character ends: up to three bytes of an incomplete one are held back. All pieces and
/// ``finish()`` together are what `Tokenizer/decode(_:skipSpecial:)` gives for all ids.
///
/// ```swift
/// var decoder = IncrementalDecoder(tokenizer, skipSpecial: true)
/// for id in ids { print(decoder.append(id), terminator: "") }
/// print(decoder.finish())
/// ```
public struct IncrementalDecoder: Sendable {
    private let storage: Tokenizer.Storage
    private let skipSpecial: Bool
    private var held: [UInt8] = []
    private var isFirst = true
    private var toStrip: Int

    /// - Parameter skipSpecial: leaves special tokens out of the text.
    public init(_ tokenizer: Tokenizer, skipSpecial: Bool) {
        storage = tokenizer.storage
        self.skipSpecial = skipSpecial
        toStrip = tokenizer.storage.outputRules.stripCount
    }

    /// The text that one more token makes sure of; may be empty.
    public mutating func append(_ id: Int) -> String {
        var bytes = held
        held = []
        appendBytes(of: id, to: &bytes)
        let complete = bytes.count - Self.incompleteTail(bytes)
        held = Array(bytes[complete...])
        return String(decoding: bytes[..<complete], as: UTF8.self)
    }

    /// What is held back, as text: U+FFFD for a character that was never completed. The decoder is then as new.
    public mutating func finish() -> String {
        let text = String(decoding: held, as: UTF8.self)
        held = []
        isFirst = true
        toStrip = storage.outputRules.stripCount
        return text
    }

    mutating func appendBytes(of id: Int, to bytes: inout [UInt8]) {
        guard let output = storage.output[id] else { return }
        let added = Int32(exactly: id).flatMap { storage.added.isEmpty ? nil : storage.added[$0] }
        if skipSpecial, added?.isSpecial == true { return }
        let rules = storage.outputRules
        var piece = output
        if isFirst {
            if !rules.firstTokenLoses.isEmpty { piece = ArraySlice(Self.removing(rules.firstTokenLoses, piece)) }
        } else {
            bytes += rules.separator
        }
        isFirst = false
        while toStrip > 0, let byte = piece.first {
            if byte == rules.strippedByte {
                piece.removeFirst()
                toStrip -= 1
            } else {
                toStrip = 0
            }
        }
        if !rules.firstTokenLoses.isEmpty { piece = ArraySlice(Self.replacing(rules.firstTokenLoses, piece)) }
        bytes += piece
    }

    private static func removing(_ pattern: [UInt8], _ text: ArraySlice<UInt8>) -> [UInt8] {
        replacing(pattern, text, with: [])
    }

    static func replacing(_ pattern: [UInt8], _ text: some Collection<UInt8>, with replacement: [UInt8] = [0x20])
        -> [UInt8]
    {
        let text = Array(text)
        var output: [UInt8] = []
        var index = 0
        while index < text.count {
            if !pattern.isEmpty, text[index...].starts(with: pattern) {
                output += replacement
                index += pattern.count
            } else {
                output.append(text[index])
                index += 1
            }
        }
        return output
    }

    /// How many bytes at the end begin a character that is not complete but may still become one.
    static func incompleteTail(_ bytes: [UInt8]) -> Int {
        for length in 1...3 where length <= bytes.count {
            let lead = bytes[bytes.count - length]
            if lead < 0x80 { return 0 }
            if lead < 0xC0 { continue }
            let needed = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
            guard lead >= 0xC2, lead <= 0xF4, length < needed else { return 0 }
            if length > 1 {
                // Some second bytes make overlong forms, surrogates, or more than U+10FFFF.
                let second = bytes[bytes.count - length + 1]
                let range: ClosedRange<UInt8> =
                    switch lead {
                    case 0xE0: 0xA0...0xBF
                    case 0xED: 0x80...0x9F
                    case 0xF0: 0x90...0xBF
                    case 0xF4: 0x80...0x8F
                    default: 0x80...0xBF
                    }
                if !range.contains(second) { return 0 }
            }
            return length
        }
        return 0
    }
}
