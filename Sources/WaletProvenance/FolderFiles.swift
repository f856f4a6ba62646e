// The files of a model's folder, with all folders below it, and nothing that a link leads to.

import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Walks a folder, or takes a single file for a model of one.
public struct FolderFiles: Sendable {
    public struct Entry: Sendable, Equatable {
        /// From the folder on, with `/`; "." for a model that is a file.
        public var path: String
        public var bytes: Int

        public init(path: String, bytes: Int) {
            self.path = path
            self.bytes = bytes
        }
    }

    public let root: String
    public let entries: [Entry]
    let isFile: Bool

    static let maximumFiles = 1_000_000
    static let maximumDepth = 64

    /// - Parameter ignores: says of a path below the folder whether it, with what is below it, is left out.
    /// - Throws: ``ProvenanceError/file(path:reason:)`` for a link, a device or the like, and what cannot be read.
    public init(_ root: String, ignoring ignores: (String) -> Bool = { _ in false }) throws(ProvenanceError) {
        self.root = root
        var status = stat()
        guard stat(root, &status) == 0 else { throw .file(path: root, reason: String(cString: strerror(errno))) }
        if status.st_mode & S_IFMT == S_IFREG {
            isFile = true
            entries = [Entry(path: ".", bytes: Int(status.st_size))]
            return
        }
        isFile = false
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .file(path: root, reason: "neither a file nor a folder") }
        var found: [Entry] = []
        var folders = [""]
        while let folder = folders.popLast() {
            guard folder.split(separator: "/").count <= Self.maximumDepth else {
                throw .file(path: root + "/" + folder, reason: "folders are nested too deep")
            }
            for name in try Self.names(in: folder.isEmpty ? root : root + "/" + folder) {
                let path = folder.isEmpty ? name : folder + "/" + name
                if ignores(path) { continue }
                var status = stat()
                guard lstat(root + "/" + path, &status) == 0 else {
                    throw .file(path: root + "/" + path, reason: String(cString: strerror(errno)))
                }
                switch status.st_mode & S_IFMT {
                case S_IFDIR: folders.append(path)
                case S_IFREG: found.append(Entry(path: path, bytes: Int(status.st_size)))
                case S_IFLNK: throw .file(path: root + "/" + path, reason: "it is a link, which may lead anywhere")
                default: throw .file(path: root + "/" + path, reason: "it is neither a file nor a folder")
                }
                guard found.count + folders.count <= Self.maximumFiles else {
                    throw .file(path: root, reason: "more than \(Self.maximumFiles) files")
                }
            }
        }
        entries = found.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
    }

    /// Where a file of ``entries`` lies.
    public func location(_ entry: Entry) -> String { isFile ? root : root + "/" + entry.path }

    private static func names(in folder: String) throws(ProvenanceError) -> [String] {
        guard let stream = opendir(folder) else {
            throw .file(path: folder, reason: String(cString: strerror(errno)))
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            guard let name = String(validating: bytes, as: UTF8.self) else {
                throw .file(path: folder, reason: "a file whose name is not UTF-8")
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }
}
