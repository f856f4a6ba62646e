// What can go wrong between a hub and the model folder, each with the facts and the next step.

/// An error of the hub client or of the model store. Cancellation is not among them: it throws `CancellationError`.
public enum HubError: Error, Sendable, Equatable {
    // What the user asked for.
    case badName(String, reason: String)
    case badRevision(String)
    case badEndpoint(String, reason: String)
    case badToken(source: String)
    case offline(setting: String)

    // What the hub answered.
    /// 401 or 403. `tokenSent` says whether a token went with the request, `gated` whether the hub named the
    /// repository as one whose terms must be accepted first.
    case accessDenied(repository: String, status: Int, tokenSent: Bool, gated: Bool, note: String?)
    case repositoryNotFound(repository: String, endpoint: String)
    case revisionNotFound(repository: String, revision: String)
    case fileNotFound(repository: String, file: String)
    case refused(what: String, status: Int, message: String?)
    /// The hub kept answering 429 or 5xx, or asks for a longer pause than the client is ready to make.
    case busy(what: String, status: Int, attempts: Int, retryAfter: Int?)
    case unreachable(what: String, attempts: Int, reason: String)
    case badAnswer(what: String, reason: String)
    case answerTooLarge(what: String, limit: Int)
    case tooManyRedirects(what: String, limit: Int)
    case unsafeRedirect(what: String, from: String, to: String, reason: String)

    // What the repository holds.
    case unsafeFileName(String, reason: String)
    case noWeights(repository: String, found: [String])
    /// Several GGUF files and no `include` that says which.
    case choiceNeeded(repository: String, choices: [Choice])
    case nothingSelected(repository: String, include: [String], exclude: [String], available: [String])

    // What arrived.
    case sizeMismatch(file: String, expected: Int, found: Int)
    case hashMismatch(file: String, kind: String, expected: String, found: String)

    // What the disk said.
    case diskFull(path: String, needed: Int, available: Int?)
    case file(path: String, operation: String, reason: String)
    case symlink(path: String)
    case locked(model: String)

    // The store.
    case notFound(model: String, root: String)
    case notAModel(name: String, reason: String)
    case severalModels(name: String, choices: [String])
    case badManifest(path: String, reason: String)

    /// A GGUF file, or a set of parts, that can be pulled on its own.
    public struct Choice: Sendable, Equatable {
        /// A path in the repository; the first part's for a file in parts.
        public let name: String
        public let bytes: Int
        public let parts: Int
    }
}

extension HubError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .badName(let name, let reason):
            return "\(quoted(name)) is not a model's name: \(reason). A name looks like owner/name."
        case .badRevision(let revision):
            return "\(quoted(revision)) is not a revision: give a branch, a tag or a commit"
        case .badEndpoint(let endpoint, let reason):
            return "HF_ENDPOINT \(quoted(endpoint)) cannot be used: \(reason)"
        case .badToken(let source):
            return "the token from \(source) holds characters that no token has (spaces, line ends or non-ASCII)"
        case .offline(let setting):
            return "\(setting) is set, so nothing is fetched; unset it to pull a model"
        case .accessDenied(let repository, let status, let tokenSent, let gated, let note):
            var text = "the hub denies access to \(repository) (\(status))"
            if gated {
                text += ": its owner asks that you accept the terms on its page first"
                text += tokenSent ? ", with the account of this HF_TOKEN" : "; then set HF_TOKEN to your token"
            } else if tokenSent {
                text += ": the token in HF_TOKEN is not valid or has no right to read it"
            } else {
                text += ": it does not exist, or is private or gated; set HF_TOKEN to a token that may read it"
            }
            if let note { text += ". \(note)" }
            return text
        case .repositoryNotFound(let repository, let endpoint):
            return "\(endpoint) has no model \(repository); check the spelling (a private one needs HF_TOKEN)"
        case .revisionNotFound(let repository, let revision):
            return "\(repository) has no revision \(quoted(revision))"
        case .fileNotFound(let repository, let file):
            return "\(repository): the hub lists \(quoted(file)) and then does not find it (404); pull again"
        case .refused(let what, let status, let message):
            return "\(what): the hub answered \(status)" + (message.map { ": \(clean($0))" } ?? "")
        case .busy(let what, let status, let attempts, let retryAfter):
            var text = "\(what): the hub answered \(status) \(times(attempts))"
            if let retryAfter { text += " and asks to come back in \(retryAfter) s" }
            return text + "; what has arrived is kept, pull again later"
        case .unreachable(let what, let attempts, let reason):
            return "\(what): \(clean(reason)) (tried \(times(attempts))); what has arrived is kept, pull again"
        case .badAnswer(let what, let reason):
            return "\(what): the hub's answer cannot be used: \(clean(reason))"
        case .answerTooLarge(let what, let limit):
            return "\(what): the hub's answer is larger than \(limit) bytes, which no list of files is"
        case .tooManyRedirects(let what, let limit):
            return "\(what): more than \(limit) redirects"
        case .unsafeRedirect(let what, let from, let to, let reason):
            return "\(what): refused to follow a redirect from \(from) to \(to): \(reason)"
        case .unsafeFileName(let name, let reason):
            return "the hub lists a file named \(quoted(name)), which is refused: \(reason)"
        case .noWeights(let repository, let found):
            let list = found.isEmpty ? "" : " (it has \(found.prefix(5).map(quoted).joined(separator: ", ")))"
            return "\(repository) holds no safetensors or GGUF weights\(list)"
        case .choiceNeeded(let repository, let choices):
            let list = choices.map { choice in
                "  \(clean(choice.name))  \(ByteCount.text(choice.bytes))"
                    + (choice.parts > 1 ? " in \(choice.parts) parts" : "")
            }
            return "\(repository) holds \(choices.count) GGUF models; choose with --include, "
                + "for example --include '*Q4_K_M*':\n" + list.joined(separator: "\n")
        case .nothingSelected(let repository, let include, let exclude, let available):
            var text = "no file of \(repository) matches"
            if !include.isEmpty { text += " --include \(include.map(quoted).joined(separator: " "))" }
            if !exclude.isEmpty { text += " --exclude \(exclude.map(quoted).joined(separator: " "))" }
            return text + "; it has \(available.prefix(12).map(quoted).joined(separator: ", "))"
                + (available.count > 12 ? " and \(available.count - 12) more" : "")
        case .sizeMismatch(let file, let expected, let found):
            return "\(clean(file)): expected \(expected) bytes, the server has \(found)"
        case .hashMismatch(let file, let kind, let expected, let found):
            return "\(clean(file)): the bytes that arrived are wrong, twice: expected \(kind) \(expected), "
                + "found \(found); they were deleted"
        case .diskFull(let path, let needed, let available):
            return "no room on the disk for \(path): \(ByteCount.text(needed)) more needed"
                + (available.map { ", \(ByteCount.text($0)) free" } ?? "") + "; free some and pull again"
        case .file(let path, let operation, let reason):
            return "\(path): cannot \(operation): \(reason)"
        case .symlink(let path):
            return "\(path) is a symbolic link, and the store writes and deletes through none"
        case .locked(let model):
            return "\(model) is being pulled by another process"
        case .notFound(let model, let root):
            return "there is no model \(quoted(model)) in \(root); `walet list` shows those that there are"
        case .notAModel(let name, let reason):
            return "\(quoted(name)) is not a model: \(reason)"
        case .severalModels(let name, let choices):
            return "\(name) holds several models; name one: "
                + choices.prefix(20).map { "\(name)/\(clean($0))" }.joined(separator: ", ")
        case .badManifest(let path, let reason):
            return "\(path) is not a manifest that walet wrote: \(reason)"
        }
    }

    private func times(_ count: Int) -> String { count == 1 ? "once" : "\(count) times" }
}

/// Text from outside as it may be shown on a terminal: on one line, bounded, without control characters.
func clean(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars.prefix(300) {
        result.unicodeScalars.append(FileName.isControl(scalar) ? "\u{FFFD}" : scalar)
    }
    return result
}

func quoted(_ text: String) -> String { "'\(clean(text))'" }

/// Sizes for people.
public enum ByteCount {
    /// "532 B", "4.2 GB": powers of a thousand, as disks and networks count.
    public static func text(_ bytes: Int) -> String {
        let units = ["B", "kB", "MB", "GB", "TB", "PB"]
        var value = Double(bytes)
        var unit = 0
        while value >= 999.5, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        if unit == 0 { return "\(bytes) B" }
        let tenths = Int((value * 10).rounded())
        return value < 99.95 ? "\(tenths / 10).\(tenths % 10) \(units[unit])" : "\((tenths + 5) / 10) \(units[unit])"
    }
}
