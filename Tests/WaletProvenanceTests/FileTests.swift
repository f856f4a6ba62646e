import Foundation
import Testing
import WaletProvenance

@Suite struct FileTests {
    @Test func hashesAreThoseOfTheStandard() throws {
        let folder = try TemporaryFolder()
        try folder.write("abc", "abc")
        try folder.write("empty", "")
        // FIPS 180-4's example, and the hash of nothing.
        #expect(
            try FileHash.sha256(folder.path + "/abc")
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            try FileHash.sha256(folder.path + "/empty")
                == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(try FileHash.sha256(folder.path + "/abc", range: 0..<3) == FileHash.sha256(folder.path + "/abc"))
        #expect(throws: ProvenanceError.self) { try FileHash.sha256(folder.path + "/abc", range: 0..<4) }
        #expect(throws: ProvenanceError.self) { try FileHash.sha256(folder.path) }
        #expect(throws: ProvenanceError.self) { try FileHash.sha256(folder.path + "/none") }
        try FileManager.default.createSymbolicLink(atPath: folder.path + "/link", withDestinationPath: "abc")
        #expect(throws: ProvenanceError.self) { try FileHash.sha256(folder.path + "/link") }
    }

    @Test func foldersAreWalkedInOrderAndLinksRefused() throws {
        let folder = try TemporaryFolder()
        for name in ["b", "a/c", "a/b", "z/y/x", ".hidden"] { try folder.write(name, name) }
        #expect(try FolderFiles(folder.path).entries.map(\.path) == [".hidden", "a/b", "a/c", "b", "z/y/x"])
        #expect(try FolderFiles(folder.path, ignoring: { $0 == "a" }).entries.map(\.path) == [".hidden", "b", "z/y/x"])
        let one = try FolderFiles(folder.path + "/b")
        #expect(
            one.entries == [FolderFiles.Entry(path: ".", bytes: 1)]
                && one.location(one.entries[0]) == folder.path + "/b")
        try FileManager.default.createSymbolicLink(atPath: folder.path + "/a/link", withDestinationPath: "/etc/passwd")
        let error = #expect(throws: ProvenanceError.self) { try FolderFiles(folder.path) }
        #expect(error?.description.contains("a/link: it is a link") == true)
    }
}
