import Foundation
import Testing
import Walet
import WaletEngine
import WaletJSON

/// Answers that must have a form, by the real model, which is far too small to keep to one by itself.
@Suite(.serialized) struct ConstrainedAnswerTests {
    private struct Collected {
        var text = ""
        var thinking = ""
        var calls: [(name: String, arguments: String, isComplete: Bool)] = []
        var reason: FinishReason?
        var usage: Usage?

        init(_ events: AsyncThrowingStream<ModelEvent, any Error>) async throws {
            for try await event in events {
                switch event {
                case .text(let piece): text += piece
                case .thinking(let piece): thinking += piece
                case .toolCallStarted(_, _, let name): calls.append((name, "", false))
                case .toolCallArguments(let index, let piece): calls[index].arguments += piece
                case .toolCallFinished(let index, let isComplete): calls[index].isComplete = isComplete
                case .finish(let reason, let usage): (self.reason, self.usage) = (reason, usage)
                case .started, .promptLogprobs, .logprobs: break
                }
            }
        }
    }

    private func request(
        _ text: String, tools: [JSONValue] = [], tokens: Int = 300, temperature: Double = 0, seed: UInt64? = nil
    ) -> ModelRequest {
        var options = GenerationOptions()
        options.maximumTokens = tokens
        options.sampling = SamplingParameters(temperature: temperature, seed: seed)
        return ModelRequest(
            .chat([ChatMessage(role: "user", content: text)], tools: tools, variables: [:]), options: options)
    }

    private static let person: JSONValue = [
        "type": "object",
        "properties": [
            "name": ["type": "string", "maxLength": 20], "age": ["type": "integer", "minimum": 0, "maximum": 150],
            "likes": ["type": "array", "items": ["enum": ["tea", "coffee", "water"]], "maxItems": 3],
        ], "required": ["name", "age", "likes"], "additionalProperties": false,
    ]

    private func check(_ text: String) throws {
        let value = try JSONValue(parsing: Array(text.utf8))
        #expect(value.objectValue?.keys == ["name", "age", "likes"], "\(text)")
        #expect(try #require(value["name"]?.stringValue).unicodeScalars.count <= 20)
        #expect((0...150).contains(try #require(value["age"]?.intValue)))
        let likes = try #require(value["likes"]?.arrayValue)
        #expect(likes.count <= 3 && likes.allSatisfy { ["tea", "coffee", "water"].contains($0.stringValue) })
    }

    @Test func aSchemaIsKeptToAtEveryTemperature() async throws {
        let model = try await LanguageModel.load(TestFiles.smollm2)
        for (index, temperature) in [0, 0.7, 1.5, 3].enumerated() {
            var request = request(
                "Make up a person, as JSON.", temperature: temperature, seed: UInt64(index))
            request.output = .jsonSchema(Self.person)
            let answer = try await Collected(try model.respond(to: request))
            #expect(answer.reason == .stop)
            try check(answer.text)
        }
    }

    @Test func speculationKeepsToASchemaToo() async throws {
        let model = try await LanguageModel.load(TestFiles.smollm2)
        var texts: [String] = []
        for speculation in [Speculation.off, .lookup()] {
            var request = request("Repeat this: {\"name\": \"Ann\", \"age\": 30, \"likes\": [\"tea\", \"water\"]}")
            request.options.speculation = speculation
            request.output = .jsonSchema(Self.person)
            let answer = try await Collected(try model.respond(to: request))
            try check(answer.text)
            texts.append(answer.text)
        }
        #expect(texts[0] == texts[1])
    }

    @Test func anObjectIsAnObject() async throws {
        let model = try await LanguageModel.load(TestFiles.smollm2)
        var request = request("Describe a bird.", tokens: 400, temperature: 0)
        request.output = .jsonObject
        let answer = try await Collected(try model.respond(to: request))
        #expect(answer.text.hasPrefix("{"))
        if answer.reason == .stop { #expect(try JSONValue(parsing: Array(answer.text.utf8)).objectValue != nil) }
    }

    // MARK: Tools

    /// The real model, with the chat template of another, which has tools.
    private func model(template: String, _ body: (LanguageModel) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let name = "SmolLM2-135M-Instruct.Q4_1.gguf"
        try FileManager.default.copyItem(
            at: URL(filePath: TestFiles.smollm2).appending(path: name), to: folder.appending(path: name))
        try FileManager.default.copyItem(
            at: TestFiles.fixtures.appending(path: "templates/\(template).jinja"),
            to: folder.appending(path: "chat_template.jinja"))
        try await body(try await LanguageModel.load(folder.path))
    }

    private static let tools: [JSONValue] = [
        [
            "type": "function",
            "function": [
                "name": "get_weather", "description": "The weather of a place.",
                "parameters": [
                    "type": "object",
                    "properties": ["city": ["type": "string", "maxLength": 30], "unit": ["enum": ["C", "F"]]],
                    "required": ["city", "unit"], "additionalProperties": false,
                ],
            ],
        ],
        ["type": "function", "function": ["name": "get_time", "description": "The time.", "strict": false]],
    ]

    @Test(arguments: ["qwen2.5", "kimi-k2", "deepseek-v3", "deepseek-v3.1", "qwen3", "deepseek-r1"])
    func aCallThatIsDemandedIsMade(template: String) async throws {
        try await model(template: template) { model in
            var demanded = request("What is the weather in Lisbon?", tools: Self.tools, tokens: 300)
            demanded.toolChoice = .function("get_weather")
            demanded.parallelToolCalls = false
            // Thinking would take its time.
            demanded.options.thinking = false
            if template == "qwen3" || template == "deepseek-r1" {
                demanded.output = .free
                demanded.options.sampling = SamplingParameters(temperature: 1, seed: 7)
            }
            let answer = try await Collected(try model.respond(to: demanded))
            if answer.calls.isEmpty {
                // It thinks for as long as it may: the marks of thinking are no tokens of this vocabulary.
                #expect(answer.reason == .length && !answer.thinking.isEmpty, "\(answer)")
                return
            }
            #expect(answer.calls.count == 1)
            let call = try #require(answer.calls.first)
            #expect(call.name == "get_weather" && call.isComplete)
            let arguments = try JSONValue(parsing: Array(call.arguments.utf8))
            #expect(arguments.objectValue?.keys == ["city", "unit"])
            #expect(["C", "F"].contains(arguments["unit"]?.stringValue))
            #expect(answer.text.isEmpty && answer.reason == .stop)
        }
    }

    @Test func oneOfSeveralToolsIsCalledWhereOneIsRequired() async throws {
        try await model(template: "kimi-k2") { model in
            var required = request("What time is it?", tools: Self.tools, temperature: 1.5, seed: 3)
            required.toolChoice = .required
            let answer = try await Collected(try model.respond(to: required))
            #expect(!answer.calls.isEmpty)
            #expect(answer.calls.allSatisfy { ["get_weather", "get_time"].contains($0.name) })
        }
    }
}
