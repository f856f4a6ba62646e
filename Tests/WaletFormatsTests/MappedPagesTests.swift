import Foundation
import Testing
import WaletFormats
import WaletTensor

@Suite struct MappedPagesTests {
    /// Bytes of a file that a process has entered can be told, let go of and read again, and are the file's all along.
    @Test func pagesAreEnteredAndLetGoOf() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "walet-mapped-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        // Not whole pages, so that the last one is a part.
        let contents = Data((0..<(5 << 20) + 1234).map { UInt8(truncatingIfNeeded: $0 &* 167 >> 3) })
        try contents.write(to: URL(filePath: path))
        let file = try MappedFile(path)
        #expect(Data(file.bytes) == contents)
        let start = try #require(file.bytes.baseAddress)
        #if os(Linux)
            PageTable.populate(file.bytes)
            let entered = try #require(PageTable.entered(at: start))
            #expect(entered.all >= contents.count && entered.huge <= entered.all)
            PageTable.drop(file.bytes)
            #expect(try #require(PageTable.entered(at: start)).all == 0)
        #endif
        file.dropCache(0..<file.size)
        #expect(Data(file.bytes) == contents)
        #expect(PageTable.entered(at: start + 1) == nil)
    }
}
