// What stands before BPE, on its own: whoever trains a vocabulary must count the pieces that encoding will see.

import WaletJSON

/// Cuts texts into the pieces within which BPE merges, by the `pre_tokenizer` field of a tokenizer.json.
package struct TextSplitter: Sendable {
    private let preTokenizer: PreTokenizer

    /// Pieces are bytes, which stand for themselves in the vocabulary through GPT-2's alphabet.
    package var isByteLevel: Bool { preTokenizer.isByteLevel }

    /// - Throws: ``TokenizerError`` for a field that is damaged or has a part that Walet does not know.
    package init(preTokenizer json: JSONValue) throws(TokenizerError) {
        preTokenizer = try PreTokenizer(json)
    }

    /// Calls a closure with each piece of a text, from left to right, none of them empty. The pieces are those that
    /// `Tokenizer/encode(_:addSpecial:special:)` merges within where the text has no added tokens.
    package func pieces(of text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
        var text = text
        text.withUTF8 { bytes in
            guard let session = RegexSession(byteCount: bytes.count) else { return body(bytes) }
            preTokenizer.pieces(bytes, isStart: true, session, body)
        }
    }
}
