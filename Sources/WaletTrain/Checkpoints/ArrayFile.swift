// Named arrays as a safetensors file, which any tool of the field reads.

import WaletFormats

/// Writes and reads fp32 arrays as safetensors (huggingface/safetensors, README "Format").
enum ArrayFile {
    /// Writes arrays in their order.
    /// - Returns: the file's size and hash.
    static func write(
        _ arrays: [CheckpointArray], _ name: String, in folder: StorageFolder
    ) throws(CheckpointError) -> (bytes: Int, checksum: Checksum) {
        let header = try header(arrays)
        var hasher = ChecksumHasher()
        do throws(StorageError) {
            let file = try folder.file(name, .createNew)
            hasher.update(header)
            try file.write(header, at: 0)
            var offset = header.count
            for array in arrays {
                let failure: StorageError? = array.values.withUnsafeBytes { bytes in
                    hasher.update(bytes)
                    do throws(StorageError) {
                        try file.write(bytes, at: offset)
                        return nil
                    } catch {
                        return error
                    }
                }
                if let failure { throw failure }
                offset += array.values.count * 4
            }
            try file.synchronize()
            return (offset, hasher.finish())
        } catch {
            throw .storage(error)
        }
    }

    /// What the file begins with.
    /// - Throws: ``CheckpointError/badSnapshot(name:reason:)`` for arrays that no file can hold.
    private static func header(_ arrays: [CheckpointArray]) throws(CheckpointError) -> [UInt8] {
        var names: Set<String> = []
        for array in arrays {
            guard count(array.shape) == array.values.count else {
                throw .badSnapshot(
                    name: array.name, reason: "\(array.values.count) numbers do not have the shape \(array.shape)")
            }
            guard names.insert(array.name).inserted else {
                throw .badSnapshot(name: array.name, reason: "there are two of this name")
            }
        }
        return SafetensorsWriter.header(
            arrays.map { SafetensorsWriter.Entry(name: $0.name, element: .f32, shape: $0.shape) })
    }

    /// The numbers of a shape; nil for one that cannot be.
    private static func count(_ shape: [Int]) -> Int? {
        var count = 1
        for dimension in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
            guard dimension >= 0, !overflow else { return nil }
            count = product
        }
        return count
    }

    /// Reads the arrays of a file, in their order.
    static func read(_ path: String) throws(FormatError) -> [CheckpointArray] {
        let file = try SafetensorsFile(path)
        var arrays: [CheckpointArray] = []
        for tensor in file.tensors {
            guard tensor.element == .f32 else {
                throw FormatError(file: path, field: tensor.name, expected: "F32", found: tensor.element.rawValue)
            }
            let count = tensor.range.count / 4
            let values = [Float](unsafeUninitializedCapacity: count) { buffer, filled in
                UnsafeMutableRawBufferPointer(buffer).copyMemory(
                    from: UnsafeRawBufferPointer(start: file.pointer(to: tensor), count: count * 4))
                filled = count
            }
            arrays.append(CheckpointArray(name: tensor.name, shape: tensor.shape, values: values))
        }
        try file.file.checkIntact()
        return arrays
    }
}
