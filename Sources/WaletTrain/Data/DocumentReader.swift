// The texts of files: one document a line of JSON, or one a file.

import Foundation
import WaletFormats
import WaletJSON

/// Reads documents from `.jsonl` files, whose lines are objects with a member `text`, and from `.txt` files; or conversations
/// from `.jsonl` files, whose lines are objects with a member `messages`.
public struct DocumentReader: Sendable {
    /// In the order in which they are read.
    public let files: [String]

    /// - Parameter paths: files, or folders whose `.jsonl` and `.txt` files are read in the order of their names.
    /// - Throws: ``DataError`` for a path that is neither.
    public init(_ paths: [String]) throws(DataError) {
        var files: [String] = []
        for path in paths {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
                throw .storage(.missing(path: path))
            }
            if isFolder.boolValue {
                do throws(StorageError) {
                    let names = try StorageFolder(path, create: false).names().filter(Self.isText)
                    files += names.map { path + "/" + $0 }
                    if names.isEmpty {
                        throw .file(path: path, operation: "find documents", reason: "no .jsonl or .txt file in it")
                    }
                } catch {
                    throw .storage(error)
                }
            } else if Self.isText(path) {
                files.append(path)
            } else {
                throw .badDocument(file: path, line: 1, reason: "documents are .jsonl or .txt files")
            }
        }
        self.files = files
    }

    private static func isText(_ name: String) -> Bool { name.hasSuffix(".jsonl") || name.hasSuffix(".txt") }

    /// Calls a closure with documents in batches of some megabytes, for work on all cores.
    /// - Throws: ``DataError/badDocument(file:line:reason:)`` and what the closure throws.
    public func forEachBatch(
        bytes limit: Int = 8 << 20, _ body: ([String]) throws(DataError) -> Void
    ) throws(DataError) {
        var batch: [String] = []
        var size = 0
        for file in files {
            try Self.read(file) { (text) throws(DataError) in
                batch.append(text)
                size += text.utf8.count
                guard size >= limit else { return }
                try body(batch)
                batch = []
                size = 0
            }
        }
        if !batch.isEmpty { try body(batch) }
    }

    /// Calls a closure with conversations in batches, for work on all cores.
    /// - Throws: ``DataError/badDocument(file:line:reason:)`` and what the closure throws.
    public func forEachConversationBatch(
        count limit: Int = 8192, _ body: ([TrainingConversation]) throws(DataError) -> Void
    ) throws(DataError) {
        var batch: [TrainingConversation] = []
        for file in files {
            guard file.hasSuffix(".jsonl") else {
                throw .badDocument(file: file, line: 1, reason: "conversations are lines of .jsonl files")
            }
            try Self.read(file) { (value, line) throws(DataError) in
                guard let conversation = TrainingConversation(json: value) else {
                    throw .badDocument(
                        file: file, line: line,
                        reason: "it has no \"messages\" with roles, the assistant's among them, or a \"thinking\" "
                            + "that is neither true nor false")
                }
                batch.append(conversation)
                guard batch.count >= limit else { return }
                try body(batch)
                batch = []
            }
        }
        if !batch.isEmpty { try body(batch) }
    }

    private static func read(_ path: String, _ body: (String) throws(DataError) -> Void) throws(DataError) {
        guard path.hasSuffix(".txt") else {
            return try read(path) { (value, line) throws(DataError) in
                guard let text = value["text"]?.stringValue else {
                    throw .badDocument(file: path, line: line, reason: "it has no string \"text\"")
                }
                try body(text)
            }
        }
        try read(path) { (bytes: UnsafeRawBufferPointer) throws(DataError) in
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw .badDocument(file: path, line: 1, reason: "it is not UTF-8")
            }
            try body(text)
        }
    }

    /// Reads the values of a file of JSON lines, with their lines' numbers from 1.
    private static func read(_ path: String, _ body: (JSONValue, Int) throws(DataError) -> Void) throws(DataError) {
        try read(path) { (bytes: UnsafeRawBufferPointer) throws(DataError) in
            var start = 0
            var line = 0
            while start < bytes.count {
                let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
                line += 1
                if end > start {
                    let value: JSONValue
                    do throws(JSONError) {
                        value = try JSONValue(
                            parsing: UnsafeRawBufferPointer(rebasing: bytes[start..<end]), maximumDepth: 32)
                    } catch {
                        throw .badDocument(file: path, line: line, reason: error.description)
                    }
                    try body(value, line)
                }
                start = end + 1
            }
        }
    }

    private static func read(
        _ path: String, _ body: (UnsafeRawBufferPointer) throws(DataError) -> Void
    ) throws(DataError) {
        let file: MappedFile
        do throws(FormatError) { file = try MappedFile(path) } catch {
            throw .storage(.file(path: path, operation: "read it", reason: error.found))
        }
        try body(file.bytes)
        do throws(FormatError) { try file.checkIntact() } catch {
            throw .storage(.file(path: path, operation: "read it", reason: "it was cut meanwhile"))
        }
    }
}
