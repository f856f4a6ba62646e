// Which of a model's templates renders a request.

import WaletJSON

extension ChatTemplate {
    /// The templates that a model brings, by name.
    public struct Choices: Sendable, Equatable {
        /// In the order of the file; a single template is named "default".
        public private(set) var templates: [(name: String, source: String)] = []

        public static func == (left: Choices, right: Choices) -> Bool {
            left.templates.elementsEqual(right.templates) { $0.name == $1.name && $0.source == $1.source }
        }

        /// Reads `chat_template` of a `tokenizer_config.json`, a text or a list of `{"name": …, "template": …}`, and the
        /// text of a `chat_template.jinja`, which comes first where both exist. Neither gives no choices.
        /// - Throws: ``TemplateError/selection(reason:)`` for anything else.
        public init(tokenizerConfig: JSONValue?, jinjaFile: String? = nil) throws(TemplateError) {
            switch tokenizerConfig?["chat_template"] {
            case nil, .null?: break
            case .string(let source)?: templates = [("default", source)]
            case .array(let entries)?:
                for entry in entries {
                    guard let name = entry["name"]?.stringValue, let source = entry["template"]?.stringValue else {
                        throw .selection(reason: "an entry of chat_template lacks its name or its template")
                    }
                    guard !templates.contains(where: { $0.name == name }) else {
                        throw .selection(reason: "chat_template names '\(name.prefix(80))' twice")
                    }
                    templates.append((name, source))
                }
            case .some(let other):
                throw .selection(reason: "chat_template is \(other.kind) and neither a text nor a list")
            }
            if let jinjaFile {
                templates.removeAll { $0.name == "default" }
                templates.insert(("default", jinjaFile), at: 0)
            }
        }

        public var isEmpty: Bool { templates.isEmpty }

        /// The text for a request: of the template asked for by name, else of "tool_use" where there are tools and such
        /// a template, else of "default"; nil where the model has no template.
        /// - Throws: ``TemplateError/selection(reason:)`` where the wanted name, or any fitting one, is missing.
        public func source(named name: String? = nil, hasTools: Bool = false) throws(TemplateError) -> String? {
            if isEmpty, name == nil { return nil }
            let wanted = name.map { [$0] } ?? (hasTools ? ["tool_use", "default"] : ["default"])
            for name in wanted {
                if let template = templates.first(where: { $0.name == name }) { return template.source }
            }
            let names = templates.map(\.name).joined(separator: ", ")
            throw .selection(reason: "no template '\(wanted[0].prefix(80))'; the model has: \(names)")
        }
    }

    /// A special token of a `tokenizer_config.json`, which is a text or an object with `content`.
    public static func specialToken(_ name: String, in tokenizerConfig: JSONValue) -> String? {
        tokenizerConfig[name]?.stringValue ?? tokenizerConfig[name]?["content"]?.stringValue
    }
}
