// `pack.json`: what a packed folder was made of, and which of its files are whole.

import Foundation
import WaletFormats
import WaletJSON

/// The journal of a packed folder. It is written anew after every file, so that a run that was cut short goes on where it
/// stopped.
public struct PackJournal: Sendable, Equatable {
    /// A file of the source.
    public struct Source: Sendable, Equatable {
        public var name: String
        public var stamp: FileStamp
    }

    /// A file of the packed folder that is whole and was compared with the source.
    public struct File: Sendable, Equatable {
        public var name: String
        public var bytes: Int
        public var sha256: String
    }

    public static let name = "pack.json"
    /// Files that were laid out by other rules cannot be gone on with.
    static let layout = 1
    private static let maximumSize = 16 << 20

    public var sources: [Source]
    public var files: [File] = []
    /// Whether all files are there.
    public var isComplete = false

    init(sources: [Source]) { self.sources = sources }

    /// - Throws: ``FormatError`` for a file that is no journal, or one of other rules.
    init(path: String) throws(FormatError) {
        func failure(_ field: String?, _ expected: String, _ found: String) -> FormatError {
            FormatError(file: path, field: field, expected: expected, found: found)
        }
        let data: Data
        do {
            let handle = try FileHandle(forReadingFrom: URL(filePath: path))
            defer { try? handle.close() }
            data = try handle.read(upToCount: Self.maximumSize + 1) ?? Data()
        } catch {
            throw failure(nil, "a readable file", error.localizedDescription)
        }
        guard data.count <= Self.maximumSize else {
            throw failure(nil, "at most \(Self.maximumSize) bytes", "more")
        }
        let json: JSONValue
        do throws(JSONError) { json = try JSONValue(parsing: data) } catch {
            throw failure(nil, "the journal of a packed folder", "\(error)")
        }
        guard json["layout"]?.intValue == Self.layout else {
            throw failure(
                "layout", "\(Self.layout)", json["layout"].map { "\($0.text().prefix(40))" } ?? "no such field")
        }
        guard let sources = json["sources"]?.arrayValue, let files = json["files"]?.arrayValue,
            let isComplete = json["complete"]?.boolValue
        else { throw failure(nil, "sources, files and complete", "other fields") }
        self.sources = []
        for source in sources {
            guard let name = source["name"]?.stringValue, let size = source["bytes"]?.intValue,
                let seconds = source["seconds"]?.intValue, let nanoseconds = source["nanoseconds"]?.intValue
            else { throw failure("sources", "name, bytes, seconds and nanoseconds", "other fields") }
            self.sources.append(
                Source(name: name, stamp: FileStamp(size: size, seconds: seconds, nanoseconds: nanoseconds)))
        }
        for file in files {
            guard let name = file["name"]?.stringValue, let bytes = file["bytes"]?.intValue,
                let sha256 = file["sha256"]?.stringValue
            else { throw failure("files", "name, bytes and sha256", "other fields") }
            self.files.append(File(name: name, bytes: bytes, sha256: sha256))
        }
        self.isComplete = isComplete
    }

    var text: String {
        let sources = sources.map { source -> JSONValue in
            [
                "name": .string(source.name), "bytes": .int(source.stamp.size),
                "seconds": .int(source.stamp.seconds), "nanoseconds": .int(source.stamp.nanoseconds),
            ]
        }
        let files = files.map { file -> JSONValue in
            ["name": .string(file.name), "bytes": .int(file.bytes), "sha256": .string(file.sha256)]
        }
        let json: JSONValue = [
            "layout": .int(Self.layout), "complete": .bool(isComplete), "sources": .array(sources),
            "files": .array(files),
        ]
        return json.text(.pretty) + "\n"
    }
}
