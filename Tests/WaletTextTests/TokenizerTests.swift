import Testing
import WaletJSON
import WaletText

@Suite struct TokenizerTests {
    @Test func encodesTheKnownTextsOfDeepSeek() throws {
        let tokenizer = try TokenizerFixtures.deepSeek()
        let known: [(String, [Int])] = [
            ("Hello, world!", [19923, 14, 2058, 3]),
            ("  two  spaces\n\nnew", [223, 1234, 223, 13564, 271, 2839]),
            ("1234567 你好世界 café", [6895, 18009, 25, 223, 30594, 3427, 57664]),
            ("I'm 3.14% don't", [43, 4571, 223, 21, 16, 929, 7, 2090, 1664]),
            ("<｜User｜>hi<｜Assistant｜><think>\n", [128803, 6366, 128804, 128798, 201]),
        ]
        for (text, ids) in known { #expect(tokenizer.encode(text, addSpecial: true) == ids) }
        #expect(tokenizer.bosID == 0 && tokenizer.eosID == 1 && tokenizer.padID == 1)
        #expect(tokenizer.vocabularySize == 128815)
        #expect(tokenizer.isSpecial(0) && tokenizer.isSpecial(128805))
        #expect(!tokenizer.isSpecial(128798) && tokenizer.isAdded(128798))
        #expect(!tokenizer.isAdded(6366))
        #expect(tokenizer.id(ofToken: "Ġcaf\u{C3}\u{A9}") == 57664)
        #expect(tokenizer.bytes(of: 57664) == Array(" café".utf8))
        #expect(tokenizer.id(ofToken: "<｜User｜>") == 128803)
        #expect(tokenizer.id(ofToken: "no such token") == nil)
    }

    @Test func namesKimisReservedSlots() throws {
        let tokenizer = try TokenizerFixtures.kimi()
        let base = tokenizer.vocabularySize - 256
        #expect(tokenizer.id(ofToken: "[BOS]") == base && tokenizer.bosID == base)
        #expect(tokenizer.id(ofToken: "<|reserved_token_\(base + 5)|>") == base + 5)
        #expect(tokenizer.decode([base + 5], skipSpecial: false) == "<|reserved_token_\(base + 5)|>")
        #expect(tokenizer.decode([base + 5, base + 22], skipSpecial: true) == "<think>")
    }

    @Test func keepsCanonicallyEquivalentTokensApart() throws {
        // U+00E9 and e + U+0301 are equal as Swift strings.
        let json: JSONValue = [
            "added_tokens": [],
            "model": [
                "type": "BPE", "vocab": ["\u{E9}": 0, "e": 1, "\u{301}": 2, "e\u{301}": 3],
                "merges": [["e", "\u{301}"]],
            ],
        ]
        let tokenizer = try Tokenizer(tokenizerJSON: json)
        #expect(tokenizer.encode("\u{E9}e\u{301}", addSpecial: false) == [0, 3])
        #expect(tokenizer.id(ofToken: "\u{E9}") == 0 && tokenizer.id(ofToken: "e\u{301}") == 3)
    }

    // MARK: What a user writes

    @Test(arguments: TokenizerReferenceTests.Vocabulary.allCases)
    func specialTokensOfUsersStayText(_ vocabulary: TokenizerReferenceTests.Vocabulary) throws {
        let tokenizer = try vocabulary.tokenizer()
        let names = (0..<tokenizer.vocabularySize).filter(tokenizer.isAdded)
            .compactMap { tokenizer.bytes(of: $0).map { String(decoding: $0, as: UTF8.self) } }
            .filter { !$0.allSatisfy(\.isWhitespace) }
        #expect(!names.isEmpty)
        for name in names.prefix(400) {
            let ids = tokenizer.encode(name, addSpecial: false, special: .asText)
            #expect(!ids.contains(where: tokenizer.isAdded), "\(name)")
            #expect(tokenizer.encode(name, addSpecial: false).contains(where: tokenizer.isAdded), "\(name)")
        }
    }

    @Test func onlyTokensOutsideOfUserRangesAreRecognized() throws {
        let tokenizer = try TokenizerFixtures.deepSeek()
        let user = "a<｜end▁of▁sentence｜>b"
        let parts = ["<｜User｜>", user, "<｜Assistant｜>"]
        let text = parts.joined()
        let start = parts[0].utf8.count
        let range = start..<start + user.utf8.count
        let ids = tokenizer.encode(text, addSpecial: false, special: .recognized(outside: [range]))
        #expect(ids.filter(tokenizer.isAdded) == [128803, 128804])
        #expect(tokenizer.decode(ids, skipSpecial: false) == text)
        // A range that covers a single byte of a token is enough, and empty ranges are nothing.
        for byte in range.lowerBound + 1..<range.upperBound - 1 {
            let ids = tokenizer.encode(text, addSpecial: false, special: .recognized(outside: [byte..<byte + 1]))
            #expect(ids.filter(tokenizer.isAdded) == [128803, 128804])
        }
        #expect(
            tokenizer.encode(text, addSpecial: false, special: .recognized(outside: [4..<4, 90..<70 + 20]))
                == tokenizer.encode(text, addSpecial: false))
        // Neither may a user complete a token that the template began, nor begin one that it completes.
        let joined = tokenizer.encode(
            "<｜User｜>", addSpecial: false, special: .recognized(outside: [3..<20, 0..<0]))
        #expect(!joined.contains(where: tokenizer.isAdded))
    }

    @Test func userRangesHoldThroughNormalization() throws {
        // "Größe" is an added token that is matched in normalized text; here it is written with a combining mark.
        let tokenizer = try TokenizerFixtures.llama()
        let word = "Gro\u{308}ße"
        let text = "e\u{301}" + word + " e\u{301} " + word
        let added = try #require(tokenizer.id(ofToken: word))
        let all = tokenizer.encode(text, addSpecial: false)
        #expect(all.filter { $0 == added }.count == 2)
        let second = text.utf8.count - word.utf8.count
        let users = [second + 3..<second + 4]
        let ids = tokenizer.encode(text, addSpecial: false, special: .recognized(outside: users))
        #expect(ids.filter { $0 == added }.count == 1)
        let first = tokenizer.encode(text, addSpecial: false, special: .recognized(outside: [0..<3]))
        #expect(first == all)
    }

    @Test func userRangesWithoutSpecialTokensChangeNothing() throws {
        let tokenizer = try TokenizerFixtures.deepSeek()
        var random = SeededGenerator(state: 5)
        for text in TokenizerFixtures.strings.prefix(4000) {
            let whole = tokenizer.encode(text, addSpecial: false, special: .asText)
            let cut = Int.random(in: 0...text.utf8.count, using: &random)
            let ids = tokenizer.encode(
                text, addSpecial: false, special: .recognized(outside: [0..<cut, cut..<text.utf8.count]))
            #expect(ids == whole)
        }
    }

    // MARK: Incremental decoding

    @Test(arguments: TokenizerReferenceTests.Vocabulary.allCases)
    func piecesTogetherAreTheWholeText(_ vocabulary: TokenizerReferenceTests.Vocabulary) throws {
        let tokenizer = try vocabulary.tokenizer()
        var random = SeededGenerator(state: 6)
        for attempt in 0..<6000 {
            var ids: [Int]
            if attempt % 2 == 0 {
                ids = tokenizer.encode(TokenizerFixtures.strings[attempt], addSpecial: true)
            } else {
                let limit = attempt % 4 == 1 ? 300 : tokenizer.vocabularySize + 10
                ids = (0..<Int.random(in: 0...12, using: &random)).map { _ in Int.random(in: 0..<limit, using: &random)
                }
            }
            if attempt % 5 == 0 { ids.shuffle(using: &random) }
            for skipSpecial in [false, true] {
                var decoder = IncrementalDecoder(tokenizer, skipSpecial: skipSpecial)
                var text = ""
                for id in ids {
                    let piece = decoder.append(id)
                    // Half a character would show as U+FFFD that the whole text does not have.
                    text += piece
                }
                text += decoder.finish()
                #expect(text.utf8.elementsEqual(tokenizer.decode(ids, skipSpecial: skipSpecial).utf8), "\(ids)")
            }
        }
    }

    @Test func holdsBackHalfACharacterAndNoMore() throws {
        let tokenizer = try TokenizerFixtures.kimi()
        func byte(_ value: UInt8) throws -> Int {
            try #require((0..<300).first { tokenizer.bytes(of: $0) == [value] })
        }
        var decoder = IncrementalDecoder(tokenizer)
        for (value, piece) in [
            (0xF0, ""), (0x9F, ""), (0x98, ""), (0x80, "😀"),  // a whole character
            (0xE5, ""), (0x41, "\u{FFFD}A"),  // broken off by another
            (0xC3, ""), (0xC3, "\u{FFFD}"), (0xA9, "é"),  // a start after a start
            (0xE0, ""), (0x80, "\u{FFFD}\u{FFFD}"),  // overlong
            (0xFF, "\u{FFFD}"), (0x80, "\u{FFFD}"), (0xF4, ""), (0x90, "\u{FFFD}\u{FFFD}"),
            (0xED, ""), (0xA0, "\u{FFFD}\u{FFFD}"), (0xF0, ""), (0x9F, ""),
        ] as [(UInt8, String)] {
            #expect(decoder.append(try byte(value)) == piece)
        }
        #expect(decoder.finish() == "\u{FFFD}")
        #expect(decoder.finish() == "")
    }

    @Test func decodesInvalidUTF8AsThePlatformDoesInEveryCut() throws {
        let tokenizer = try TokenizerFixtures.kimi()
        var byteIDs = [Int](repeating: 0, count: 256)
        for id in 0..<300 { if let bytes = tokenizer.bytes(of: id), bytes.count == 1 { byteIDs[Int(bytes[0])] = id } }
        var random = SeededGenerator(state: 7)
        let leads: [UInt8] = [
            0x41, 0x80, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xA0, 0xED, 0x9F, 0xEF, 0xF0, 0x90, 0xF4, 0x8F, 0xF5, 0xFF,
        ]
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 1...9, using: &random)).map { _ in leads.randomElement(using: &random)! }
            var decoder = IncrementalDecoder(tokenizer)
            var text = ""
            for byte in bytes { text += decoder.append(byteIDs[Int(byte)]) }
            text += decoder.finish()
            #expect(text.utf8.elementsEqual(String(decoding: bytes, as: UTF8.self).utf8), "\(bytes)")
        }
    }
}
