// Real templates and small snippets give what Jinja2 gives.

import Foundation
import Testing
import WaletJSON
import WaletText

@Suite struct TemplateRenderingTests {
    /// Compares every rendering of a fixture file; returns how many were equal texts and equal refusals.
    static func compare(_ url: URL) throws -> (texts: Int, errors: Int, differences: [String]) {
        let fixture = try TemplateFixtures.json(url)
        let conversations = try #require(fixture["conversations"]?.arrayValue)
        var texts = 0
        var errors = 0
        var differences: [String] = []
        for entry in try #require(fixture["templates"]?.arrayValue) {
            let name = try #require(entry["name"]?.stringValue)
            let source = try entry["source"]?.stringValue ?? TemplateFixtures.source(name)
            let template: ChatTemplate
            do throws(TemplateError) {
                template = try ChatTemplate(
                    source: source, bosToken: entry["bos"]?.stringValue, eosToken: entry["eos"]?.stringValue)
            } catch {
                if entry["error"] == nil { differences.append("\(name): \(error)") } else { errors += 1 }
                continue
            }
            for item in entry["cases"]?.arrayValue ?? [] {
                let conversation = conversations[item["conversation"]?.intValue ?? 0]
                let label =
                    "\(name) / \(conversation["name"]?.stringValue ?? "") / \(item["extra"]?.text() ?? "") / \(item["generate"]?.text() ?? "")"
                let result = Result { () throws(TemplateError) in
                    try template.render(
                        messages: conversation["messages"]?.arrayValue ?? [], tools: conversation["tools"]?.arrayValue,
                        addGenerationPrompt: item["generate"]?.boolValue ?? true, extra: item["extra"]?.members ?? [:],
                        now: fixture["now"]?.intValue)
                }
                switch (result, item["text"]?.stringValue) {
                case (.success(let prompt), let expected?):
                    if Array(prompt.text.utf8) == Array(expected.utf8) {
                        texts += 1
                    } else {
                        differences.append(
                            "\(label):\nexpected \(expected.debugDescription)\nfound    \(prompt.text.debugDescription)"
                        )
                    }
                case (.failure, nil): errors += 1
                case (.success(let prompt), nil):
                    differences.append(
                        "\(label): expected \(item["error"]?.stringValue ?? "") and found \(prompt.text.debugDescription)"
                    )
                case (.failure(let error), _): differences.append("\(label): \(error)")
                }
            }
        }
        return (texts, errors, differences)
    }

    @Test func realTemplatesRenderAsInJinja2() throws {
        let result = try Self.compare(TemplateFixtures.folder.appending(path: "rendered.json"))
        #expect(
            result.differences.isEmpty,
            "\(result.differences.count): \(result.differences.prefix(10).joined(separator: "\n"))")
        #expect(result.texts > 2000 && result.errors > 300, "\(result.texts) texts, \(result.errors) errors")
    }

    /// Templates whose licences keep them out of the repository; see Tools/make_template_fixtures.py.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["WALET_TEMPLATE_FIXTURES"] != nil))
    func otherTemplatesRenderAsInJinja2() throws {
        let path = try #require(ProcessInfo.processInfo.environment["WALET_TEMPLATE_FIXTURES"])
        let result = try Self.compare(URL(filePath: path))
        print("\(result.texts) texts and \(result.errors) errors as in Jinja2, \(result.differences.count) differences")
        #expect(
            result.differences.isEmpty,
            "\(result.differences.prefix(60).map { String($0.prefix(1500)) }.joined(separator: "\n"))")
    }

    @Test func snippetsRenderAsInJinja2() throws {
        let fixture = try TemplateFixtures.json(TemplateFixtures.folder.appending(path: "snippets.json"))
        let context = try #require(fixture["context"]?.members)
        var differences: [String] = []
        var texts = 0
        var errors = 0
        for item in try #require(fixture["cases"]?.arrayValue) {
            let source = try #require(item["source"]?.stringValue)
            let result = Result { () throws(TemplateError) in
                try ChatTemplate(source: source, bosToken: nil, eosToken: nil)
                    .render(messages: [JSONValue](), extra: context)
            }
            switch (result, item["text"]?.stringValue) {
            case (.success(let prompt), let expected?):
                if Array(prompt.text.utf8) == Array(expected.utf8) {
                    texts += 1
                } else {
                    differences.append(
                        "\(source.debugDescription): expected \(expected.debugDescription), found \(prompt.text.debugDescription)"
                    )
                }
            case (.failure, nil): errors += 1
            case (.success(let prompt), nil):
                differences.append(
                    "\(source.debugDescription): expected \(item["error"]?.stringValue ?? ""), found \(prompt.text.debugDescription)"
                )
            case (.failure(let error), let expected?):
                differences.append(
                    "\(source.debugDescription): expected \(expected.debugDescription), found error \(error)")
            }
        }
        #expect(differences.isEmpty, "\(differences.count):\n\(differences.joined(separator: "\n"))")
        #expect(texts > 1900 && errors > 1000, "\(texts) texts, \(errors) errors")
    }
}
