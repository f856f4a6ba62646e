import Foundation
import Testing
import WaletAudit

/// Keys and signed notes: Go's notes are read, ours are written as Go writes them, and nothing else passes.
@Suite struct NoteTests {
    private let reference: Reference

    init() throws { reference = try Reference() }

    @Test func notesOfTheReferenceAreReadAndAreSigned() throws {
        let key = try reference.verifier
        #expect(key.name == "walet.example/audit")
        #expect("\(key)" == reference.json["verifier"]?.stringValue)
        let sizes = [0, 1, 8, 70, 8]
        for (bytes, size) in zip(try reference.notes, sizes) {
            let note = try SignedCheckpoint(parsing: bytes, source: "a note")
            #expect(note.size == size && note.root == reference.roots[size] && note.origin == key.name)
            try note.check(by: key, source: "a note")
            #expect(Array("\(note)".utf8) == bytes)
        }
    }

    @Test func aWitnesssSignatureIsIgnoredAndItsKeyChecksItsOwn() throws {
        let bytes = try #require(try reference.notes.last)
        let note = try SignedCheckpoint(parsing: bytes, source: "a note")
        #expect(note.signatures.count == 2)
        #expect(note.extensions == ["extension line"])
        try note.check(by: reference.verifier, source: "a note")
        let witness = try NoteVerifierKey(#require(reference.json["witness"]?.stringValue))
        #expect(throws: AuditError.originDiffers(expected: "witness.example/w1", found: "walet.example/audit")) {
            try note.check(by: witness, source: "a note")
        }
    }

    @Test func ourNotesAreThoseOfTheReference() throws {
        let secret = try #require(reference.json["secret"]?.stringValue)
        let signer = try NoteSigner(secret, source: "the fixture")
        #expect(signer.text == secret)
        #expect(signer.verifier == (try reference.verifier))
        for (bytes, size) in zip(try reference.notes, [0, 1, 8, 70]) {
            let note = try SignedCheckpoint(
                origin: signer.verifier.name, size: size, root: reference.roots[size], signer: signer)
            try note.check(by: reference.verifier, source: "ours")
            #if os(Linux)
                // Ed25519 is deterministic here; Apple's library adds randomness.
                #expect(Array("\(note)".utf8) == bytes)
            #else
                #expect("\(note)".utf8.count == bytes.count)
            #endif
        }
    }

    @Test func newKeysAreDifferentAndReadBack() throws {
        let one = try NoteSigner(newNamed: "example.org/log")
        let other = try NoteSigner(newNamed: "example.org/log")
        #expect(one.verifier != other.verifier)
        #expect(try NoteSigner(one.text + "\n", source: "a file").verifier == one.verifier)
        #expect(try NoteVerifierKey(" \(one.verifier)\n") == one.verifier)
        let bytes = Array("text\n".utf8)
        let signature = try one.signature(of: bytes)
        #expect(one.verifier.verifies(signature, of: bytes))
        #expect(!other.verifier.verifies(signature, of: bytes))
        #expect(!one.verifier.verifies(signature, of: Array("text".utf8)))
        #expect(!one.verifier.verifies([], of: bytes))
        #expect(!one.verifier.verifies(Array(signature.dropLast()), of: bytes))
    }

    @Test(arguments: ["", "a b", "a+b", "a\u{00A0}b", "a\nb", "\u{7F}", String(repeating: "a", count: 201)])
    func badNamesAreRefused(name: String) {
        #expect(throws: AuditError.self) { try NoteSigner(newNamed: name) }
        var options = AuditOptions()
        options.origin = name
        #expect(throws: AuditError.self) { try options.check() }
    }

    @Test func badKeysAreRefusedAndSecretsNeverQuoted() throws {
        let good = try #require(reference.json["verifier"]?.stringValue)
        for text in [
            "", "a", "a+b", "a+b+c", good.replacingOccurrences(of: "audit", with: "other"), String(good.dropLast()),
            good.replacingOccurrences(of: "+A", with: "+B"),
        ] {
            #expect(throws: AuditError.self) { try NoteVerifierKey(text) }
        }
        let secret = try #require(reference.json["secret"]?.stringValue)
        for text in [
            String(secret.dropLast()), "PRIVATE+KEY+" + secret, secret.replacingOccurrences(of: "audit", with: "x"),
        ] {
            do {
                _ = try NoteSigner(text, source: "/etc/walet/key")
                Issue.record("\(text) was taken for a key")
            } catch {
                #expect("\(error)".contains("/etc/walet/key"))
                #expect(!"\(error)".contains(secret.suffix(20)))
            }
        }
    }

    @Test func malformedNotesAreRefused() throws {
        let key = try reference.verifier
        let good = String(decoding: try reference.notes[2], as: UTF8.self)
        let lines = good.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        func note(_ change: (inout [String]) -> Void) -> [UInt8] {
            var lines = lines
            change(&lines)
            return Array(lines.joined(separator: "\n").utf8)
        }
        let bad: [[UInt8]] = [
            [], Array("\n\n".utf8), Array(good.dropLast().utf8), Array((good + "\n").utf8), Array(("\n" + good).utf8),
            note { $0[1] = "08" }, note { $0[1] = "-8" }, note { $0[1] = "8 " }, note { $0[1] = "9223372036854775808" },
            note { $0[1] = "\u{0668}" }, note { $0[2] = "AAAA" }, note { $0[2] += "=" }, note { $0.remove(at: 2) },
            note { $0[0] = "" }, note { $0.remove(at: 3) }, note { $0[4] = "- " + $0[4].dropFirst(2) },
            note { $0[4] += " x" }, note { $0[4] = "\u{2014} walet.example/audit AAAA" }, note { $0[0] += "\r" },
            note { $0[0] += "\u{0}" }, note { $0.removeSubrange(4...4) },
            Array(good.utf8.map { $0 == UInt8(ascii: "w") ? 0xFF : $0 }),
            note { lines in lines.insert(contentsOf: Array(repeating: lines[4], count: 100), at: 4) },
            note { $0.insert(String(repeating: "a", count: 200_000), at: 3) },
        ]
        for bytes in bad {
            #expect(throws: AuditError.self) { try SignedCheckpoint(parsing: bytes, source: "a note") }
        }
        // Well formed, and not what was signed.
        let forged: [[UInt8]] = [
            note { $0[1] = "9" }, note { $0[2] = reference.roots[9].base64 }, note { $0.insert("more", at: 3) },
        ]
        for bytes in forged {
            let note = try SignedCheckpoint(parsing: bytes, source: "a note")
            #expect(throws: AuditError.badSignature(source: "a note", key: "\(key.name)+\(key.idText)")) {
                try note.check(by: key, source: "a note")
            }
        }
    }

    /// A signature of a known key that is wrong makes the note wrong, whatever else stands there.
    @Test func oneWrongSignatureOfTheKeySpoilsTheNote() throws {
        let (one, other) = (
            String(decoding: try reference.notes[2], as: UTF8.self),
            String(decoding: try reference.notes[3], as: UTF8.self)
        )
        let wrong = other.split(separator: "\n").last.map(String.init) ?? ""
        let note = try SignedCheckpoint(parsing: Array((one + wrong + "\n").utf8), source: "a note")
        #expect(throws: AuditError.self) { try note.check(by: reference.verifier, source: "a note") }
    }

    @Test func twentyThousandDamagedNotesNeverTrapAndNeverPass() throws {
        let key = try reference.verifier
        let good = try reference.notes
        var generator = SplitMix(state: 11)
        var parsed = 0
        for _ in 0..<20_000 {
            let original = good[Int.random(in: 0..<good.count, using: &generator)]
            let bytes = Mutation.apply(to: original, &generator)
            guard let note = try? SignedCheckpoint(parsing: bytes, source: "a note") else { continue }
            parsed += 1
            guard (try? note.check(by: key, source: "a note")) != nil else { continue }
            // What was signed is unchanged: only another key's signature was hit.
            let isOurs = good.contains { (try? SignedCheckpoint(parsing: $0, source: ""))?.root == note.root }
            #expect(isOurs && reference.roots[note.size] == note.root)
        }
        #expect(parsed > 100)
    }
}

/// Damage to bytes.
enum Mutation {
    static func apply(to bytes: [UInt8], _ generator: inout some RandomNumberGenerator) -> [UInt8] {
        let spices: [[UInt8]] = [
            "\n", "\n\n", "{", "}", "\"", "index", "9007199254740993", "-1", "\u{2014} ", "+", "null", "\\u0000",
        ].map { Array($0.utf8) }
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &generator) where !bytes.isEmpty {
            let index = Int.random(in: 0..<bytes.count, using: &generator)
            let end = min(index + Int.random(in: 1...40, using: &generator), bytes.count)
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
            case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 2: bytes.removeSubrange(index..<end)
            case 3:
                bytes.insert(
                    contentsOf: Array(bytes[index..<end]), at: Int.random(in: 0...bytes.count, using: &generator))
            case 4: bytes.insert(contentsOf: spices.randomElement(using: &generator) ?? [], at: index)
            default: bytes.removeSubrange(index...)
            }
        }
        return bytes
    }
}
