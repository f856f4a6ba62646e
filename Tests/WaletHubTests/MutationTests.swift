import Testing
import WaletHub
import WaletJSON

/// Both parsers of this target over damaged documents: an error or a sound value, never a trap.
@Suite(.timeLimit(.minutes(20))) struct MutationTests {
    /// Changes one to four things in a document: a byte, a run of bytes, a piece that is copied elsewhere, or the end.
    private func mutate(_ bytes: [UInt8], _ generator: inout some RandomNumberGenerator) -> [UInt8] {
        let spices: [[UInt8]] = [
            "..", "/", "\\u0000", "-", "e308", "99999999999999999999", "null", "{", "[", "\"", "%2e",
        ]
        .map { Array($0.utf8) }
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
            let index = Int.random(in: 0..<bytes.count, using: &generator)
            let end = min(index + Int.random(in: 1...12, using: &generator), bytes.count)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
            case 1: bytes.removeSubrange(index..<end)
            case 2:
                bytes.insert(
                    contentsOf: bytes[index..<end], at: Int.random(in: 0...bytes.count, using: &generator))
            case 3: bytes.insert(contentsOf: spices.randomElement(using: &generator) ?? [], at: index)
            default: bytes.removeSubrange(index...)
            }
        }
        return bytes
    }

    private struct SplitMix: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    @Test func twentyThousandDamagedLists() throws {
        let json = FakeHub.listing(
            [
                .init(path: "config.json", content: [1]),
                .init(path: "a/model.safetensors", content: [2], isLFS: true),
                .init(path: "größe.txt", content: []),
            ], commit: FakeHub.commit, tellsHashes: true)
        let good = Array(json.text().utf8)
        var generator = SplitMix(state: 1)
        var accepted = 0
        for _ in 0..<20_000 {
            let bytes = mutate(good, &generator)
            do throws(HubError) {
                let listing = try HubListing(
                    parsing: bytes, repository: "a/b", revision: "main", limits: .init())
                try HubListing.check(listing.files)
                accepted += 1
                for file in listing.files {
                    #expect(!file.path.isEmpty && !file.path.hasPrefix("/") && !file.path.utf8.contains(0))
                    #expect(!file.path.split(separator: "/").contains { $0 == ".." || $0 == "." })
                    #expect((file.size ?? 0) >= 0)
                }
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
        // Some damage is none: a letter of a name, a digit of a size.
        #expect(accepted > 100)
    }

    @Test func twentyThousandDamagedManifests() async throws {
        let text = """
            {"version":1,"repository":"a/b","revision":"main","commit":"\(FakeHub.commit)","endpoint":"huggingface.co",\
            "pulled":"2026-01-01T00:00:00Z","files":[{"path":"config.json","size":20,\
            "sha256":"\(FakeHub.sha256([1]))","checked":"git","git":"\(FakeHub.gitBlob([1]))"},\
            {"path":"d/model.safetensors","size":300000,"sha256":"\(FakeHub.sha256([2]))","checked":"sha256"}]}
            """
        let good = Array(text.utf8)
        let manifest = try PullManifest(parsing: good, path: "x")
        #expect(try PullManifest(parsing: Array(manifest.json.text(.pretty).utf8), path: "x") == manifest)
        var generator = SplitMix(state: 2)
        var accepted = 0
        for _ in 0..<20_000 {
            let bytes = mutate(good, &generator)
            do throws(HubError) {
                let manifest = try PullManifest(parsing: bytes, path: "x")
                accepted += 1
                for file in manifest.files {
                    #expect(file.size >= 0 && file.sha256.utf8.count == 64)
                    #expect(!file.path.isEmpty && !file.path.hasPrefix("/") && !file.path.utf8.contains(0))
                    #expect(!file.path.split(separator: "/").contains { $0 == ".." || $0 == "." })
                }
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
        #expect(accepted > 100)
    }
}
