import CWaletServerFiles

/// What is part of the binary, so that it needs nothing beside it.
enum EmbeddedFile {
    /// A file's content; empty where there is none of the name.
    static func bytes(_ name: String) -> [UInt8] {
        let file = walet_server_file_named(name)
        return Array(UnsafeBufferPointer(start: file.bytes, count: file.count))
    }
}
