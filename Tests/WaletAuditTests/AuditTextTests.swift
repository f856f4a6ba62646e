import Crypto
import Foundation
import Testing
import WaletAudit
import WaletJSON

/// What the log keeps of prompts and answers.
@Suite struct AuditTextTests {
    @Test func theHashIsThatOfSaltAndTextAndSaltsDiffer() throws {
        let salts = SaltKey()
        let text = Array("größer".utf8)
        func record() -> AuditText {
            var recorder = AuditTextRecorder(salts: salts, maximumKept: nil)
            recorder.add("größer")
            return recorder.finish()
        }
        let (one, other) = (record(), record())
        #expect(one.nonce != other.nonce && one.hash != other.hash)
        #expect(one.byteCount == 8 && one.text == nil && !one.isCut)
        // The definition, by another road.
        let salt = Array(
            HMAC<SHA256>.authenticationCode(
                for: one.nonce, using: SymmetricKey(data: try #require(Hexadecimal.bytes(salts.text)))))
        #expect(one.hash.bytes == Array(SHA256.hash(data: salt + text)))
        #expect(SaltKey.hash(salt: salts.salt(for: one.nonce), text: text) == one.hash)
        #expect(try SaltKey(salts.text + "\n", source: "a file").salt(for: one.nonce) == salt)
        for bad in ["", salts.text + "0", String(salts.text.dropLast()), String(repeating: "g", count: 64)] {
            #expect(throws: AuditError.self) { try SaltKey(bad, source: "a file") }
        }
    }

    @Test func piecesAreHashedAsOne() {
        let salts = SaltKey()
        let whole = "Guten Morgen, 世界! 👩🏽‍🚀"
        for size in 1...7 {
            var recorder = AuditTextRecorder(salts: salts, maximumKept: 1000)
            var bytes = Array(whole.utf8)[...]
            while !bytes.isEmpty {
                recorder.add(utf8: Array(bytes.prefix(size)))
                bytes = bytes.dropFirst(size)
            }
            let text = recorder.finish()
            #expect(text.text == whole && text.byteCount == whole.utf8.count && !text.isCut)
            #expect(SaltKey.hash(salt: salts.salt(for: text.nonce), text: Array(whole.utf8)) == text.hash)
        }
    }

    /// A recorder can be asked in the middle of an answer that is cut short.
    @Test func finishingIsAReading() {
        var recorder = AuditTextRecorder(salts: SaltKey(), maximumKept: 10)
        let empty = recorder.finish()
        recorder.add("abc")
        let (first, again) = (recorder.finish(), recorder.finish())
        recorder.add("def")
        #expect(empty.byteCount == 0 && empty.text == "")
        #expect(first == again && first.text == "abc")
        #expect(recorder.finish().text == "abcdef")
    }

    @Test func keptTextIsCutBetweenCharacters() {
        let whole = "aß世👩x"
        let bytes = Array(whole.utf8)
        for maximum in 0...bytes.count + 1 {
            var recorder = AuditTextRecorder(salts: SaltKey(), maximumKept: maximum)
            recorder.add(whole)
            let text = recorder.finish()
            #expect(text.isCut == (maximum < bytes.count) && text.byteCount == bytes.count)
            let kept = text.text ?? "none"
            #expect(whole.hasPrefix(kept) || kept.isEmpty)
            #expect(kept.utf8.count <= maximum && kept.utf8.count + 4 > min(maximum, bytes.count))
        }
    }

    @Test func textsStandInTheLogOnlyWhereTheOperatorSaysSo() async throws {
        let secret = "the password is swordfish"
        for includes in [false, true] {
            let folder = TemporaryFolder()
            let log = try AuditLog.open(
                folder: folder.path,
                options: .test { options in
                    options.includesText = includes
                    options.maximumTextBytes = 15
                })
            var (prompt, answer) = (log.recorder(), log.recorder())
            prompt.add(secret)
            answer.add("swordfish")
            try await log.append(
                .request(
                    AuditRequest(
                        id: "r", endpoint: "/v1/completions", status: 200, outcome: "stop", prompt: prompt.finish(),
                        answer: answer.finish())))
            try await log.close()
            let line = try #require(try lines(of: folder).last)
            let value = try JSONValue(parsing: line)
            #expect(value["prompt"]?["text"] == (includes ? "the password is" : nil))
            #expect(value["prompt"]?["cut"] == (includes ? true : nil))
            #expect(value["answer"]?["text"] == (includes ? "swordfish" : nil))
            #expect(value["answer"]?["cut"] == nil)
            if !includes {
                for name in try folder.names() {
                    #expect(!String(decoding: try folder.read(name), as: UTF8.self).contains("sword"))
                }
            }
        }
    }

    @Test func aLostSaltKeyIsMadeAnewAndSaidSo() async throws {
        let folder = TemporaryFolder()
        try await AuditLog.sample(in: folder)
        try folder.remove("salt")
        let log = try AuditLog.open(folder: folder.path, options: .test())
        #expect(log.recovery.saltWasMissing && !log.recovery.isClean)
        try await log.close()
        let last = try JSONValue(parsing: try #require(try lines(of: folder).last))
        #expect(last["event"] == "salt")
        #expect(throws: AuditError.self) { try EntryProof.opened(in: folder, entry: 3, prompt: "prompt 2") }
    }

    @Test func aDisclosedTextIsComparedAndNoOtherIsOpened() async throws {
        let folder = TemporaryFolder()
        try await AuditLog.sample(in: folder)
        try EntryProof.opened(in: folder, entry: 3, prompt: "prompt 2")
        #expect(throws: AuditError.textDiffers(what: "prompt")) {
            try EntryProof.opened(in: folder, entry: 3, prompt: "prompt 3")
        }
        let reader = try AuditReader(folder: folder.path)
        let closed = try reader.prove(3)
        #expect(closed.salts.isEmpty)
        #expect(throws: AuditError.self) { try closed.check("prompt", is: Array("prompt 2".utf8)) }
        let half = try reader.prove(3, disclosesAnswer: true)
        #expect(half.salts.keys.sorted() == ["answer"])
        try half.check("answer", is: Array("answer 2 größer".utf8))
        #expect(throws: AuditError.self) { try half.check("prompt", is: Array("prompt 2".utf8)) }
        // Entry 0 is the log's own.
        #expect(throws: AuditError.self) { try reader.prove(0, disclosesPrompt: true) }
    }
}

extension EntryProof {
    /// Proves, writes, reads and checks an entry and its prompt.
    fileprivate static func opened(in folder: TemporaryFolder, entry: Int, prompt: String) throws {
        let reader = try AuditReader(folder: folder.path)
        let text = "\(try reader.prove(entry, disclosesPrompt: true))"
        let proof = try EntryProof(parsing: Array(text.utf8))
        #expect(try proof.check(by: reader.verifierKey()).index == entry)
        try proof.check("prompt", is: Array(prompt.utf8))
    }
}
