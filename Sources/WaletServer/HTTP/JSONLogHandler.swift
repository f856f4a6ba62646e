import Foundation
import Logging
import Synchronization
import WaletJSON

/// Writes log entries as JSON, one object a line, to standard error: `time`, `level`, `message`, and the metadata.
public struct JSONLogHandler: LogHandler {
    public var metadata: Logger.Metadata = [:]
    public var logLevel: Logger.Level {
        get { own ?? settings.logLevel }
        set { own = newValue }
    }
    public var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let settings: LiveSettings
    /// A logger's own level, where it was given one.
    private var own: Logger.Level?
    private let sink: @Sendable (String) -> Void

    /// - Parameters:
    ///   - settings: the level, which may change.
    ///   - sink: takes one line without its end; by default standard error.
    public init(label: String, settings: LiveSettings, sink: (@Sendable (String) -> Void)? = nil) {
        self.label = label
        self.settings = settings
        self.sink = sink ?? Self.standardError
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var object = JSONObject([
            ("time", .string(Date.now.formatted(Self.timeFormat))),
            ("level", .string(event.level.rawValue)), ("logger", .string(label)),
            ("message", .string("\(event.message)")),
        ])
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        if let error = event.error { all["error"] = .string("\(error)") }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) where object[key] == nil {
            object[key] = Self.json(value)
        }
        sink(JSONValue.object(object).text())
    }

    private static let timeFormat = Date.ISO8601FormatStyle(includingFractionalSeconds: true)

    private static func json(_ value: Logger.Metadata.Value) -> JSONValue {
        switch value {
        case .string(let text): .string(text)
        case .stringConvertible(let value as Int): .int(value)
        case .stringConvertible(let value as Double): value.isFinite ? .double(value) : .string("\(value)")
        case .stringConvertible(let value as Bool): .bool(value)
        case .stringConvertible(let value): .string("\(value)")
        case .array(let values): .array(values.map(json))
        case .dictionary(let members):
            .object(JSONObject(members.sorted { $0.key < $1.key }.map { ($0.key, json($0.value)) }))
        }
    }

    private static let lock = Mutex(())

    private static func standardError(_ line: String) {
        // One write a line: lines of other threads never mix into it.
        lock.withLock { _ in try? FileHandle.standardError.write(contentsOf: Data((line + "\n").utf8)) }
    }
}
