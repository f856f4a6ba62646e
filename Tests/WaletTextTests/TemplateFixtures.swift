// The fixtures that Tools/make_template_fixtures.py writes with Jinja2.

import Foundation
import WaletJSON
import WaletText

enum TemplateFixtures {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/templates")

    static func json(_ url: URL) throws -> JSONValue { try JSONValue(parsing: Data(contentsOf: url)) }

    static func source(_ name: String) throws -> String {
        try String(contentsOf: folder.appending(path: name + ".jinja"), encoding: .utf8)
    }

    static func template(_ name: String) throws -> ChatTemplate {
        let tokens =
            name.contains("deepseek") ? ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>") : ("<s>", "</s>")
        return try ChatTemplate(source: try source(name), bosToken: tokens.0, eosToken: tokens.1)
    }

    static func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "jinja" }.map { $0.deletingPathExtension().lastPathComponent }.sorted()
    }
}

extension JSONValue {
    var members: [String: JSONValue] {
        Dictionary(uniqueKeysWithValues: (objectValue?.members).map(Array.init) ?? [])
    }
}
