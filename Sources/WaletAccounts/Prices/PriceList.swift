// The operator's prices, from a JSON file.

import Foundation
import WaletJSON

/// Prices per model, with one for all models that it does not name.
///
/// ```json
/// {
///   "default": {"input": "0.56", "cached_input": "0.14", "output": "2.24"},
///   "models": {
///     "smollm2": {"input": "0.05", "cached_input": "0.0125", "output": "0.10"}
///   }
/// }
/// ```
///
/// US dollars per million tokens with at most nine decimals, as strings or as numbers. All three prices must be there, and
/// nothing else: a misspelt name must not become a wrong bill. `default` may be left out, and is then ``Price/standard``.
public struct PriceList: Sendable, Hashable {
    public let fallback: Price
    public let models: [String: Price]

    /// ``Price/standard`` for every model.
    public static let standard = PriceList(fallback: .standard, models: [:])

    /// The name under which the fallback is stored.
    static let fallbackName = "*"

    public init(fallback: Price, models: [String: Price]) {
        self.fallback = fallback
        self.models = models
    }

    /// - Throws: ``AccountsError/file(path:reason:)`` where it cannot be read,
    ///   ``AccountsError/invalidFile(path:field:expected:found:)``.
    public init(file: String) throws(AccountsError) {
        try self.init(json: try PriceFile.read(file), source: file)
    }

    /// - Parameter source: what errors call the document.
    public init(json: JSONValue, source: String) throws(AccountsError) {
        let file = PriceFile(source: source)
        let object = try file.object(json, "the document")
        try file.expect(object, only: ["default", "models"], in: "the document")
        var models: [String: Price] = [:]
        if let list = object["models"] {
            for (name, value) in try file.object(list, "models").members {
                guard Names.isModel(name), name != Self.fallbackName else {
                    throw .invalidFile(
                        path: source, field: "models", expected: "names of models", found: AccountsError.excerpt(name))
                }
                // Two spellings of one accent are one key of a dictionary.
                guard models[name] == nil else {
                    throw .invalidFile(path: source, field: "models", expected: "each name once", found: name)
                }
                models[name] = try file.price(value, "models.\(name)")
            }
        }
        let fallback =
            if let value = object["default"] { try file.price(value, "default") } else { Price.standard }
        self.init(fallback: fallback, models: models)
    }

    /// The price of a model, and the name under which it stands in the list ("*" for the fallback).
    package func entry(for model: String) -> (name: String, price: Price) {
        models[model].map { (model, $0) } ?? (Self.fallbackName, fallback)
    }

    /// All prices by name, the fallback first, the rest in the order of their names.
    package var entries: [(name: String, price: Price)] {
        [(Self.fallbackName, fallback)] + models.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}

/// Reads prices out of JSON, with errors that say where.
package struct PriceFile {
    let source: String

    package static let maximumBytes = 4 << 20

    static func read(_ path: String) throws(AccountsError) -> JSONValue {
        let bytes: Data
        do {
            guard let handle = FileHandle(forReadingAtPath: path) else {
                throw AccountsError.file(path: path, reason: String(cString: strerror(errno)))
            }
            defer { try? handle.close() }
            bytes = try handle.read(upToCount: maximumBytes + 1) ?? Data()
        } catch let error as AccountsError {
            throw error
        } catch {
            throw .file(path: path, reason: "it cannot be read")
        }
        guard bytes.count <= maximumBytes else {
            throw .file(path: path, reason: "it has more than \(maximumBytes) bytes")
        }
        do throws(JSONError) {
            return try JSONValue(parsing: bytes, maximumDepth: 16)
        } catch {
            throw .file(path: path, reason: "\(error)")
        }
    }

    func object(_ value: JSONValue, _ field: String) throws(AccountsError) -> JSONObject {
        guard let object = value.objectValue else { throw wrong(field, expected: "an object", value) }
        return object
    }

    func expect(_ object: JSONObject, only names: Set<String>, in field: String) throws(AccountsError) {
        for key in object.keys where !names.contains(key) {
            throw .invalidFile(
                path: source, field: field, expected: names.sorted().joined(separator: ", "),
                found: AccountsError.excerpt(key))
        }
    }

    func price(_ value: JSONValue, _ field: String, others: Set<String> = []) throws(AccountsError) -> Price {
        let object = try object(value, field)
        try expect(object, only: others.union(["input", "cached_input", "output"]), in: field)
        do {
            return try Price(
                fresh: try money(object, "input", field), cached: try money(object, "cached_input", field),
                output: try money(object, "output", field))
        } catch .invalid(let name, let expected, let found) {
            throw .invalidFile(path: source, field: "\(field).\(name)", expected: expected, found: found)
        }
    }

    private func money(_ object: JSONObject, _ name: String, _ field: String) throws(AccountsError) -> Money {
        let path = "\(field).\(name)"
        let value = object[name] ?? .null
        let text: String
        switch value {
        case .string(let string): text = string
        case .int(let number): text = "\(number)"
        // The shortest text that gives the same number is what was written, for up to 15 digits.
        case .double(let number): text = "\(number)"
        default: throw wrong(path, expected: "US dollars per million tokens", value)
        }
        do throws(DecimalText.Failure) {
            if case .double = value, text.prefix(while: { $0 != "e" }).filter(\.isNumber).count > 15 {
                throw DecimalText.Failure.tooManyDecimals
            }
            return Money(nanodollars: try DecimalText.scaled(text, by: 9, allowsExponent: value.stringValue == nil))
        } catch {
            let expected =
                switch error {
                case .notADecimal: "US dollars per million tokens such as 0.56"
                case .tooManyDecimals: "at most nine decimals, and a string where there are more than 15 digits"
                case .tooLarge: "at most \(Price.maximum) USD per million tokens"
                }
            throw .invalidFile(path: source, field: path, expected: expected, found: AccountsError.excerpt(text))
        }
    }

    private func wrong(_ field: String, expected: String, _ value: JSONValue) -> AccountsError {
        .invalidFile(path: source, field: field, expected: expected, found: value.isNull ? "nothing" : value.kind)
    }
}
