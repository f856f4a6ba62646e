import CWaletSystem
import WaletFormats

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A file of weights that is read in blocks: past the page cache where that is wanted and can be had.
final class WeightFile: Sendable {
    /// What offsets, sizes and targets of direct reads are multiples of.
    static let block = 4096

    let mapped: MappedFile
    /// For reads of whole blocks; -1 where there are no direct reads.
    let direct: Int32
    private let stamp: FileStamp

    init(_ mapped: MappedFile) throws(FormatError) {
        guard let stamp = FileStamp(mapped.descriptor) else {
            throw FormatError(file: mapped.path, expected: "a readable file", found: String(cString: strerror(errno)))
        }
        self.mapped = mapped
        self.stamp = stamp
        let direct = walet_open_direct(mapped.descriptor)
        self.direct = direct >= 0 && FileStamp(direct) == stamp ? direct : -1
        if direct >= 0, self.direct < 0 { close(direct) }
    }

    deinit { if direct >= 0 { close(direct) } }

    /// - Throws: ``FormatError`` where the file has been written to, or cut, since it was opened.
    func checkUnchanged() throws(FormatError) {
        guard let now = FileStamp(mapped.descriptor), now != stamp else { return }
        throw FormatError(
            file: mapped.path, expected: "the \(stamp.size) bytes that it had when it was opened",
            found: now.size == stamp.size
                ? "others: the file was written to while in use"
                : "\(now.size) bytes; it was cut or replaced while in use")
    }
}

/// All files of a model, and where a view of a mapped file lies in them.
struct WeightFiles: Sendable {
    let files: [WeightFile]
    /// Address and number of each file, by address.
    private let bases: [(address: UInt, file: Int)]

    init(_ mapped: [MappedFile]) throws(FormatError) {
        var files: [WeightFile] = []
        for file in mapped { files.append(try WeightFile(file)) }
        self.files = files
        bases = files.indices.compactMap { index in
            mapped[index].bytes.baseAddress.map { (UInt(bitPattern: $0), index) }
        }.sorted { $0.address < $1.address }
    }

    /// The file and the offset of mapped bytes; nil for memory that is no file's.
    func locate(_ bytes: UnsafeRawBufferPointer) -> (file: Int, offset: Int)? {
        guard let start = bytes.baseAddress.map({ UInt(bitPattern: $0) }) else { return nil }
        var low = 0
        var high = bases.count
        while low < high {
            let middle = (low + high) / 2
            if bases[middle].address <= start { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let (address, file) = bases[low - 1]
        let offset = Int(start - address)
        return offset + bytes.count <= files[file].mapped.size ? (file, offset) : nil
    }
}
