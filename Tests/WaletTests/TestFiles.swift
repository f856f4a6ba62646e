import Foundation
import Walet

enum TestFiles {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let fixtures = root.appending(path: "Tests/Fixtures")
    /// Where `make test` puts the real model.
    static let smollm2 = root.appending(path: ".models/smollm2").path
}

/// All of an answer.
struct Collected {
    var text = ""
    var thinking = ""
    var calls: [ToolCall] = []
    var reason: FinishReason?
    var usage: Usage?

    init(_ events: AsyncThrowingStream<ResponseEvent, any Error>) async throws {
        for try await event in events {
            switch event {
            case .text(let piece): text += piece
            case .thinking(let piece): thinking += piece
            case .toolCall(let call): calls.append(call)
            case .finish(let reason, let usage):
                self.reason = reason
                self.usage = usage
            }
        }
    }
}
