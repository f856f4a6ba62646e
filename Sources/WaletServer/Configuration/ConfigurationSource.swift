import Configuration
import Foundation
import WaletJSON

/// What is wrong with the server's configuration.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// `--port`, `WALET_PORT`, or the file's name and the member.
    public let place: String
    public let reason: String

    public init(place: String, reason: String) {
        self.place = place
        self.reason = reason
    }

    public var description: String { "\(place): \(reason)" }
}

/// The three places of a setting: the command line, then the environment, then a file.
struct ConfigurationSource {
    /// Names as in `tls_cert`, which is `--tls-cert` on the command line and `WALET_TLS_CERT` in the environment.
    private let layers: [(reader: ConfigReader, place: (String) -> String)]

    /// - Parameters:
    ///   - flags: what the command line says, by name.
    ///   - file: a JSON object; each member is one of `names`.
    /// - Throws: ``ConfigurationError`` for a file that cannot be read or has members that nobody knows.
    init(
        flags: [String: String], environment: [String: String], file: String?, names: Set<String>
    ) throws(ConfigurationError) {
        let file = file ?? environment["WALET_CONFIG"]
        let members = try file.map { (file) throws(ConfigurationError) in try Self.read(file, names) } ?? [:]
        layers = [
            (ConfigReader(provider: Self.provider(flags)), { "--" + $0.replacing("_", with: "-") }),
            (
                ConfigReader(provider: EnvironmentVariablesProvider(environmentVariables: environment)),
                { "WALET_" + $0.uppercased() }
            ),
            (ConfigReader(provider: Self.provider(members)), { "\(file ?? ""): \($0)" }),
        ]
    }

    /// The first place's value, and what that place is called.
    func value(_ name: String) -> (text: String, place: String)? {
        for layer in layers {
            if let text = layer.reader.string(forKey: ConfigKey(["walet", name])) { return (text, layer.place(name)) }
        }
        return nil
    }

    private static func provider(_ values: [String: String]) -> InMemoryProvider {
        InMemoryProvider(
            values: Dictionary(
                uniqueKeysWithValues: values.map {
                    (AbsoluteConfigKey(["walet", $0.key]), ConfigValue(.string($0.value), isSecret: false))
                }))
    }

    private static let maximumBytes = 1 << 20

    private static func read(_ file: String, _ names: Set<String>) throws(ConfigurationError) -> [String: String] {
        func fail(_ reason: String) -> ConfigurationError { ConfigurationError(place: file, reason: reason) }
        guard let handle = FileHandle(forReadingAtPath: file) else { throw fail("the file cannot be read") }
        defer { try? handle.close() }
        guard let data = try? handle.read(upToCount: maximumBytes + 1) else { throw fail("the file cannot be read") }
        guard data.count <= maximumBytes else { throw fail("expected at most \(maximumBytes) bytes, found more") }
        let value: JSONValue
        do {
            value = try JSONValue(parsing: data)
        } catch {
            throw fail("\(error)")
        }
        guard let object = value.objectValue else { throw fail("expected a JSON object, found \(value.kind)") }
        var values: [String: String] = [:]
        for (key, value) in object.members {
            guard names.contains(key) else { throw fail("there is no setting '\(key.prefix(100))'") }
            values[key] = try text(value, place: "\(file): \(key)")
        }
        return values
    }

    /// A member as the command line would have it: lists with commas between, `{"a": "b"}` as `a=b`.
    private static func text(_ value: JSONValue, place: String) throws(ConfigurationError) -> String {
        func scalar(_ value: JSONValue) throws(ConfigurationError) -> String {
            switch value {
            case .string(let text): return text
            case .bool, .int, .double: return value.text()
            case .null, .array, .object:
                throw ConfigurationError(
                    place: place, reason: "expected text, a number or a boolean, found \(value.kind)")
            }
        }
        switch value {
        case .array(let elements):
            var texts: [String] = []
            for element in elements { texts.append(try scalar(element)) }
            return texts.joined(separator: ",")
        case .object(let object):
            var texts: [String] = []
            for (key, value) in object.members { texts.append("\(key)=\(try scalar(value))") }
            return texts.joined(separator: ",")
        default: return try scalar(value)
        }
    }
}
