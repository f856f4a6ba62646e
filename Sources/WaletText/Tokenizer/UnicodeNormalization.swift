// Unicode normalization forms and lower case, with the tables of the reference engine instead of the platform's.

/// NFC, NFD, NFKC and NFKD of UAX #15, as `tokenizers` computes them.
struct UnicodeNormalization: Sendable {
    enum Form: Sendable { case nfc, nfd, nfkc, nfkd }

    let form: Form
    private let tables: Tables

    init(_ form: Form) {
        self.form = form
        tables = form == .nfkc || form == .nfkd ? Self.compatible : Self.canonical
    }

    private static let canonical = Tables(compatibility: false)
    private static let compatible = Tables(compatibility: true)

    private var composes: Bool { form == .nfc || form == .nfkc }

    /// Whether text up to and including a scalar can be normalized apart from what is before it.
    private func isStable(_ scalar: UInt32) -> Bool {
        let flags = tables.flags(scalar)
        return composes
            ? flags & (Tables.changes | Tables.hasClass | Tables.isSecond) == 0
            : flags & (Tables.decomposes | Tables.hasClass) == 0
    }

    /// Calls a closure with each stretch that the form changes or may change, and what it becomes.
    func rewrite(_ text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>, [UInt32]) -> Void) {
        var index = 0
        var lastStable = 0
        while index < text.count {
            let start = index
            let scalar = UnicodeShadow.scalar(text, &index)
            if isStable(scalar) {
                lastStable = start
                continue
            }
            // From the last stable scalar, which may take part, to before the next one.
            while index < text.count {
                var next = index
                if isStable(UnicodeShadow.scalar(text, &next)) { break }
                index = next
            }
            let stretch = lastStable..<index
            body(stretch, normalize(text, stretch))
            lastStable = index
        }
    }

    private func normalize(_ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> [UInt32] {
        var scalars: [UInt32] = []
        var index = range.lowerBound
        while index < range.upperBound { tables.decompose(UnicodeShadow.scalar(text, &index), into: &scalars) }
        order(&scalars)
        return composes ? compose(scalars) : scalars
    }

    /// Canonical ordering: marks by their class, equal classes in their order.
    private func order(_ scalars: inout [UInt32]) {
        var index = 0
        while index < scalars.count {
            guard tables.combiningClass(scalars[index]) != 0 else {
                index += 1
                continue
            }
            var end = index
            while end < scalars.count, tables.combiningClass(scalars[end]) != 0 { end += 1 }
            if end - index > 1 {
                let sorted = scalars[index..<end].enumerated().map { (tables.combiningClass($1), $0, $1) }
                    .sorted { ($0.0, $0.1) < ($1.0, $1.1) }
                for (offset, entry) in sorted.enumerated() { scalars[index + offset] = entry.2 }
            }
            index = end
        }
    }

    private func compose(_ scalars: [UInt32]) -> [UInt32] {
        var output: [UInt32] = []
        var starter: Int?
        var lastClass = 0
        for scalar in scalars {
            let combiningClass = tables.combiningClass(scalar)
            if let starter, lastClass < combiningClass || lastClass == 0 && starter == output.count - 1,
                let composed = tables.compose(output[starter], scalar)
            {
                output[starter] = composed
                continue
            }
            output.append(scalar)
            if combiningClass == 0 {
                starter = output.count - 1
                lastClass = 0
            } else {
                lastClass = combiningClass
            }
        }
        return output
    }

    /// Decompositions, compositions and classes in a form made for look-up.
    private struct Tables: Sendable {
        static let decomposes: UInt8 = 1
        /// Has no place in the composed form.
        static let changes: UInt8 = 2
        static let hasClass: UInt8 = 4
        /// May join with a scalar before it.
        static let isSecond: UInt8 = 8

        private var decompositions: [UInt32: [UInt32]] = [:]
        private var compositions: [UInt64: UInt32] = [:]
        private var classes: [UInt32: UInt8] = [:]
        private var marked: [UInt32: UInt8] = [:]
        private var blocks = [Bool](repeating: false, count: 0x1100)

        init(compatibility: Bool) {
            var whole: [[UInt32]: UInt32] = [:]
            var composing: [([UInt32], UInt32)] = []
            for word in UnicodeTables.canonical.split(separator: " ") {
                let fields = word.split(separator: ":")
                guard fields.count == 2, let scalar = UInt32(fields[0], radix: 16) else { continue }
                let composes = fields[1].last == "="
                let sequence = Self.scalars(fields[1].prefix { $0 != "=" })
                decompositions[scalar] = sequence
                mark(scalar, composes ? Self.decomposes : Self.decomposes | Self.changes)
                if composes {
                    whole[sequence] = scalar
                    composing.append((sequence, scalar))
                }
            }
            for (sequence, scalar) in composing {
                guard let last = sequence.last, sequence.count >= 2 else { continue }
                let prefix = Array(sequence.dropLast())
                guard let first = prefix.count == 1 ? prefix[0] : whole[prefix] else { continue }
                compositions[UInt64(first) << 32 | UInt64(last)] = scalar
                mark(last, Self.isSecond)
            }
            if compatibility {
                for word in UnicodeTables.compatibility.split(separator: " ") {
                    let fields = word.split(separator: ":")
                    guard fields.count == 2, let scalar = UInt32(fields[0], radix: 16) else { continue }
                    decompositions[scalar] = Self.scalars(fields[1])
                    mark(scalar, Self.decomposes | Self.changes)
                }
            }
            for word in UnicodeTables.combiningClasses.split(separator: " ") {
                let fields = word.split { $0 == "-" || $0 == ":" }.compactMap { UInt32($0, radix: 16) }
                guard fields.count >= 2, let first = fields.first, let value = fields.last else { continue }
                for scalar in first...(fields.count == 3 ? fields[1] : first) {
                    classes[scalar] = UInt8(truncatingIfNeeded: value)
                    mark(scalar, Self.hasClass)
                }
            }
            for jamo: UInt32 in 0x1161...0x11C2 where jamo < 0x1176 || jamo > 0x11A7 { mark(jamo, Self.isSecond) }
            for block in 0xAC...0xD7 { blocks[block] = true }
        }

        private static func scalars(_ text: some StringProtocol) -> [UInt32] {
            text.split(separator: ",").compactMap { UInt32($0, radix: 16) }
        }

        private mutating func mark(_ scalar: UInt32, _ flag: UInt8) {
            marked[scalar, default: 0] |= flag
            blocks[Int(scalar >> 8)] = true
        }

        private static let syllables: Range<UInt32> = 0xAC00..<0xD7A4

        @inline(__always)
        func flags(_ scalar: UInt32) -> UInt8 {
            guard blocks[Int(scalar >> 8)] else { return 0 }
            if Self.syllables.contains(scalar) { return Self.decomposes }
            return marked[scalar] ?? 0
        }

        func combiningClass(_ scalar: UInt32) -> Int {
            blocks[Int(scalar >> 8)] ? Int(classes[scalar] ?? 0) : 0
        }

        func decompose(_ scalar: UInt32, into output: inout [UInt32]) {
            if Self.syllables.contains(scalar) {
                let index = scalar - 0xAC00
                output.append(0x1100 + index / 588)
                output.append(0x1161 + index % 588 / 28)
                if index % 28 != 0 { output.append(0x11A7 + index % 28) }
            } else if let sequence = decompositions[scalar] {
                output.append(contentsOf: sequence)
            } else {
                output.append(scalar)
            }
        }

        func compose(_ first: UInt32, _ second: UInt32) -> UInt32? {
            if (0x1100..<0x1113).contains(first), (0x1161..<0x1176).contains(second) {
                return 0xAC00 + ((first - 0x1100) * 21 + second - 0x1161) * 28
            }
            if Self.syllables.contains(first), (first - 0xAC00) % 28 == 0, (0x11A8..<0x11C3).contains(second) {
                return first + second - 0x11A7
            }
            return compositions[UInt64(first) << 32 | UInt64(second)]
        }
    }
}

/// The lower case of one scalar, without regard to its neighbours.
enum UnicodeLowercase {
    private static let table: [UInt32: [UInt32]] = {
        var table: [UInt32: [UInt32]] = [:]
        for word in UnicodeTables.lowercase.split(separator: " ") {
            let fields = word.split(separator: ":")
            guard fields.count == 2 else { continue }
            let bounds = fields[0].split(separator: "-").compactMap { UInt32($0, radix: 16) }
            guard let first = bounds.first, let last = bounds.last else { continue }
            for scalar in first...last {
                if fields[1].last == "*" {
                    table[scalar] = fields[1].dropLast().split(separator: ",").compactMap { UInt32($0, radix: 16) }
                } else if let difference = Int(fields[1]) {
                    table[scalar] = [UInt32(truncatingIfNeeded: Int(scalar) + difference)]
                }
            }
        }
        return table
    }()

    /// Nil where the scalar is its own lower case.
    static func of(_ scalar: UInt32) -> [UInt32]? { table[scalar] }
}
