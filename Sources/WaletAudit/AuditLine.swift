// An entry as a line of JSON: one spelling for each content, so that equal entries have equal hashes.

import WaletJSON

/// An entry as it stands in the log.
///
/// A line is an object in WaletJSON's compact spelling with sorted keys. It has `index` (from 0), `time` (RFC 3339,
/// UTC), `kind`, and what the kind has. Its leaf in the tree is the hash of its bytes without the line end.
public struct AuditRecord: Sendable {
    /// The entry's place, from 0.
    public let index: Int
    /// When it was logged, such as `2026-11-25T10:00:00.000000Z`.
    public let time: String
    /// "request", "key", "configuration", "server", or "log" for what the log says about itself.
    public let kind: String
    /// The line without its end.
    public let line: [UInt8]
    /// All of it.
    public let value: JSONValue

    /// The leaf of the entry in the tree.
    public var leafHash: MerkleHash { .leaf(line) }

    static let maximumDepth = 32
    /// What a line may have, its end included. Two texts of the largest size fit, escaped.
    static let maximumBytes = 16 << 20

    /// Reads a line.
    /// - Throws: why it is not an entry in its one spelling.
    package init(parsing line: [UInt8]) throws(Problem) {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue(parsing: line, maximumDepth: Self.maximumDepth)
        } catch {
            throw Problem(reason: "\(error)")
        }
        guard value.objectValue != nil else { throw Problem(reason: "expected an object, found \(value.kind)") }
        guard case .int(let index)? = value["index"], index >= 0 else {
            throw Problem(reason: "index: expected a number from 0, found \(Self.found(value["index"]))")
        }
        guard let time = value["time"]?.stringValue, AuditTime.isValid(time) else {
            throw Problem(reason: "time: expected YYYY-MM-DDThh:mm:ss.ssssssZ, found \(Self.found(value["time"]))")
        }
        guard let kind = value["kind"]?.stringValue, kind == "log" || AuditEntry.kinds.contains(kind) else {
            throw Problem(reason: "kind: expected one that the log knows, found \(Self.found(value["kind"]))")
        }
        guard Self.spell(value) == line else { throw Problem(reason: "it is not in its one spelling") }
        self.index = index
        self.time = time
        self.kind = kind
        self.line = line
        self.value = value
    }

    package struct Problem: Error { let reason: String }

    /// The line of a body, without its end.
    static func line(_ body: JSONObject, index: Int, time: String) throws(AuditError) -> [UInt8] {
        var object = body
        object["index"] = .int(index)
        object["time"] = .string(time)
        let value = JSONValue.object(object)
        if let (field, reason) = unwritable(value, at: "", depth: 0) { throw .badEntry(field: field, reason: reason) }
        let line = spell(value)
        guard line.count < maximumBytes else { throw .entryTooLarge(bytes: line.count, limit: maximumBytes - 1) }
        return line
    }

    private static func spell(_ value: JSONValue) -> [UInt8] {
        Array(value.text(JSONValue.Style(sortKeys: true)).utf8)
    }

    /// The first member that JSON cannot carry or a reader would refuse.
    private static func unwritable(_ value: JSONValue, at field: String, depth: Int) -> (String, String)? {
        guard depth <= maximumDepth else { return (field, "nested deeper than \(maximumDepth)") }
        switch value {
        case .double(let number) where !number.isFinite: return (field, "\(number) is no number of JSON")
        case .array(let elements):
            for element in elements {
                if let problem = unwritable(element, at: field, depth: depth + 1) { return problem }
            }
        case .object(let object):
            for (key, member) in object.members {
                if let problem = unwritable(member, at: depth == 0 ? key : field, depth: depth + 1) { return problem }
            }
        default: break
        }
        return nil
    }

    private static func found(_ value: JSONValue?) -> String {
        switch value {
        case nil: "none"
        case .string(let text)?: quoted(text)
        case .int(let number)?: "\(number)"
        case let value?: value.kind
        }
    }
}

/// Times in UTC with microseconds, in the one form that lines have.
package enum AuditTime {
    /// - Parameter microseconds: since 1970-01-01; bounded to the years 1970 to 9999.
    package static func text(microseconds: Int) -> String {
        let bounded = min(max(microseconds, 0), 253_402_300_799_999_999)
        let (seconds, fraction) = bounded.quotientAndRemainder(dividingBy: 1_000_000)
        let (days, second) = seconds.quotientAndRemainder(dividingBy: 86_400)
        let (year, month, day) = date(days: days)
        return "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))T\(pad(second / 3600, 2)):\(pad(second / 60 % 60, 2)):"
            + "\(pad(second % 60, 2)).\(pad(fraction, 6))Z"
    }

    package static func isValid(_ text: String) -> Bool {
        let pattern = Array("0000-00-00T00:00:00.000000Z".utf8)
        let bytes = Array(text.utf8)
        return bytes.count == pattern.count
            && zip(bytes, pattern).allSatisfy { $1 == 0x30 ? (0x30...0x39).contains($0) : $0 == $1 }
    }

    private static func pad(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// The Gregorian date of a day since 1970-01-01, by eras of 400 years that begin in March.
    private static func date(days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let (era, dayOfEra) = shifted.quotientAndRemainder(dividingBy: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (
            yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        )
    }
}
