// Another opinion on whether a value is valid.

import Foundation
import WaletJSON

/// A plain recursive validator of the keywords that the tests use, `format` left out. It shares no code with the
/// grammars, and is itself checked against jsonschema's verdicts.
struct Validator {
    let root: JSONValue

    func isValid(_ value: JSONValue) -> Bool { isValid(value, root) }

    private func isValid(_ value: JSONValue, _ schema: JSONValue) -> Bool {
        if let verdict = schema.boolValue { return verdict }
        guard let keywords = schema.objectValue else { return false }
        return keywords.members.allSatisfy { holds($0, $1, value, schema) }
    }

    private func holds(_ keyword: String, _ argument: JSONValue, _ value: JSONValue, _ schema: JSONValue) -> Bool {
        let number = value.doubleValue
        let text = value.stringValue
        let elements = value.arrayValue
        let object = value.objectValue
        switch keyword {
        case "type":
            let names = argument.stringValue.map { [$0] } ?? argument.arrayValue?.compactMap(\.stringValue) ?? []
            return names.contains { name in
                switch name {
                case "integer": number.map { $0 == $0.rounded() } ?? false
                case "number": number != nil
                default: value.kind == name
                }
            }
        case "enum": return argument.arrayValue?.contains { same($0, value) } ?? false
        case "const": return same(argument, value)
        case "$ref": return resolve(argument.stringValue ?? "").map { isValid(value, $0) } ?? false
        case "allOf": return argument.arrayValue?.allSatisfy { isValid(value, $0) } ?? false
        case "anyOf": return argument.arrayValue?.contains { isValid(value, $0) } ?? false
        case "oneOf": return argument.arrayValue?.count { isValid(value, $0) } == 1
        case "minimum": return number.map { $0 >= argument.doubleValue ?? 0 } ?? true
        case "maximum": return number.map { $0 <= argument.doubleValue ?? 0 } ?? true
        case "exclusiveMinimum": return number.map { $0 > argument.doubleValue ?? 0 } ?? true
        case "exclusiveMaximum": return number.map { $0 < argument.doubleValue ?? 0 } ?? true
        case "multipleOf":
            guard let number, let step = argument.doubleValue else { return true }
            if let number = value.intValue, let step = argument.intValue { return number % step == 0 }
            return (number / step).rounded() == number / step
        case "minLength": return text.map { $0.unicodeScalars.count >= argument.intValue ?? 0 } ?? true
        case "maxLength": return text.map { $0.unicodeScalars.count <= argument.intValue ?? 0 } ?? true
        case "pattern":
            guard let text, var pattern = argument.stringValue, !pattern.isEmpty else { return true }
            // ECMA-262 has one white space more than ICU.
            pattern = pattern.replacingOccurrences(of: "\\s", with: "[\\s\\uFEFF]")
            guard let expression = try? NSRegularExpression(pattern: pattern) else { return false }
            return expression.firstMatch(in: text, range: NSRange(location: 0, length: text.utf16.count)) != nil
        case "minItems": return elements.map { $0.count >= argument.intValue ?? 0 } ?? true
        case "maxItems": return elements.map { $0.count <= argument.intValue ?? 0 } ?? true
        case "prefixItems":
            return elements.map { zip($0, argument.arrayValue ?? []).allSatisfy { isValid($0, $1) } } ?? true
        case "items":
            let listed = schema["prefixItems"]?.arrayValue?.count ?? 0
            return elements?.dropFirst(listed).allSatisfy { isValid($0, argument) } ?? true
        case "maxProperties": return object.map { $0.count <= argument.intValue ?? 0 } ?? true
        case "required":
            return object.map { object in
                argument.arrayValue?.compactMap(\.stringValue).allSatisfy { object[$0] != nil } ?? false
            } ?? true
        case "properties":
            return argument.objectValue?.members.allSatisfy { name, schema in
                object?[name].map { isValid($0, schema) } ?? true
            } ?? false
        case "additionalProperties":
            return object?.members.allSatisfy { name, member in
                schema["properties"]?.objectValue?[name] != nil || isValid(member, argument)
            } ?? true
        default: return true
        }
    }

    private func same(_ left: JSONValue, _ right: JSONValue) -> Bool {
        if let left = left.doubleValue, let right = right.doubleValue { return left == right }
        return left == right
    }

    private func resolve(_ reference: String) -> JSONValue? {
        var value = root
        for part in reference.dropFirst(2).split(separator: "/", omittingEmptySubsequences: true) {
            let name = (String(part).removingPercentEncoding ?? "")
                .replacingOccurrences(of: "~1", with: "/").replacingOccurrences(of: "~0", with: "~")
            guard let member = value[name] else { return nil }
            value = member
        }
        return value
    }
}
