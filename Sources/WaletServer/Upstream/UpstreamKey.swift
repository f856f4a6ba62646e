import Foundation

/// The key with which this server calls another one. It is never printed.
public struct UpstreamKey: Sendable, Equatable, CustomStringConvertible {
    let secret: String

    public var description: String { "(a key)" }

    private static let maximumBytes = 4096

    /// Reads the keys of models that other servers serve.
    /// - Parameters:
    ///   - list: `NAME=FILE`, or `NAME=env:VARIABLE`, with commas between. The key itself may stand nowhere in it: all users
    ///     of a machine see the command lines of its processes.
    ///   - place: where the list stands, for errors.
    /// - Throws: ``ConfigurationError`` for a file that cannot be read, a variable that is not set, and what can be no key.
    static func read(
        _ list: [String], environment: [String: String], place: String
    ) throws(ConfigurationError) -> [String: UpstreamKey] {
        var keys: [String: UpstreamKey] = [:]
        for element in list {
            guard let equals = element.firstIndex(of: "="), equals != element.startIndex,
                element.index(after: equals) != element.endIndex
            else {
                // What was given instead may be the key itself.
                throw ConfigurationError(place: place, reason: "expected NAME=FILE or NAME=env:VARIABLE")
            }
            let name = String(element[..<equals])
            let source = String(element[element.index(after: equals)...])
            guard keys[name] == nil else {
                throw ConfigurationError(place: place, reason: "two keys are given for '\(name)'")
            }
            keys[name] = try read(source, environment: environment, place: "\(place) \(name)")
        }
        return keys
    }

    private static func read(
        _ source: String, environment: [String: String], place: String
    ) throws(ConfigurationError) -> UpstreamKey {
        let text: String
        if source.hasPrefix("env:") {
            let variable = String(source.dropFirst(4))
            guard let value = environment[variable] else {
                throw ConfigurationError(place: place, reason: "the variable \(variable.prefix(100)) is not set")
            }
            text = value
        } else {
            guard let handle = FileHandle(forReadingAtPath: source) else {
                throw ConfigurationError(place: place, reason: "the file \(source.prefix(200)) cannot be read")
            }
            defer { try? handle.close() }
            guard let data = try? handle.read(upToCount: maximumBytes + 1), data.count <= maximumBytes,
                let content = String(data: data, encoding: .utf8)
            else {
                throw ConfigurationError(
                    place: place, reason: "expected a text of at most \(maximumBytes) bytes in \(source.prefix(200))")
            }
            text = content
        }
        let secret = text.trimmingCharacters(in: .whitespacesAndNewlines)
        // What a header may hold, so that no line break smuggles another one in.
        guard (1...maximumBytes).contains(secret.utf8.count),
            secret.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else {
            throw ConfigurationError(
                place: place, reason: "expected a key of 1 to \(maximumBytes) visible ASCII characters")
        }
        return UpstreamKey(secret: secret)
    }
}
