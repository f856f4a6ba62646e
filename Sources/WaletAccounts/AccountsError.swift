// What can go wrong with the accounts, each with the facts and the next step.

/// An error of the accounts. What a client is refused is no error but a ``Refusal``.
public enum AccountsError: Error, Sendable, Hashable {
    /// Why a database did not do what it was asked.
    public enum Problem: String, Sendable, Hashable {
        /// Somebody else held it for too long.
        case locked
        case readOnly
        /// It is damaged, or no database at all.
        case corrupt
        /// The disk is full.
        case full
        case cannotOpen
        /// The server does not answer.
        case unreachable
        /// The server does not let this user in, or not do this.
        case denied
        /// It belongs to another program.
        case foreign
        /// A number left 64 bits.
        case overflow
        case failed
    }

    /// `database` names it without its password.
    case database(Problem, database: String, detail: String)
    /// Another, newer version of Walet made it.
    case newerSchema(database: String, found: Int, supported: Int)
    case noDatabase(path: String)
    case closed

    case invalid(field: String, expected: String, found: String)
    case file(path: String, reason: String)
    case invalidFile(path: String, field: String, expected: String, found: String)

    case unknownKey(String)
    case ambiguousKey(String, ids: [String])
    case revokedKey(String)

    /// A request with this id has been reserved before.
    case duplicateRequest(String)
    case alreadySettled(String)
    /// It was taken for dead, and is in the ledger as unsettled.
    case abandoned(String)
    case unknownReservation(String)
    case tokensDoNotAddUp(String)
    /// What would be greater than 64 bits hold.
    case overflow(String)
}

extension AccountsError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .database(let problem, let database, let detail):
            "\(database): \(Self.words(problem)) (\(detail))"
        case .newerSchema(let database, let found, let supported):
            "\(database): its tables have version \(found), this Walet knows version \(supported); use the newer Walet that made it"
        case .noDatabase(let path):
            "\(path): there is no such database; 'walet keys create' makes one, or --database names another"
        case .closed: "the accounts are closed"
        case .invalid(let field, let expected, let found): "\(field): expected \(expected), found \(found)"
        case .file(let path, let reason): "\(path): \(reason)"
        case .invalidFile(let path, let field, let expected, let found):
            "\(path): \(field): expected \(expected), found \(found)"
        case .unknownKey(let reference):
            "there is no key '\(Self.excerpt(reference))'; 'walet keys list' shows them"
        case .ambiguousKey(let reference, let ids):
            "\(ids.count) keys are named '\(Self.excerpt(reference))'; say which by its id: \(ids.joined(separator: ", "))"
        case .revokedKey(let id): "\(id) is revoked, and stays so; make a new key"
        case .duplicateRequest(let id): "a request '\(Self.excerpt(id))' is in the ledger already"
        case .alreadySettled(let id): "request '\(Self.excerpt(id))' is settled already; nothing was charged again"
        case .abandoned(let id):
            "request '\(Self.excerpt(id))' stands in the ledger as unsettled, since its server was taken for dead; nothing was charged"
        case .unknownReservation(let id): "there is no reservation for request '\(Self.excerpt(id))'"
        case .tokensDoNotAddUp(let what): "tokens do not add up: \(what)"
        case .overflow(let what): "\(what) is beyond 64 bits"
        }
    }

    private static func words(_ problem: Problem) -> String {
        switch problem {
        case .locked: "another process holds the database; end that, or try again"
        case .readOnly: "the database cannot be written; check its owner and permissions and those of its folder"
        case .corrupt: "this is no database or a damaged one; restore it from a backup"
        case .full: "no space is left; free some, nothing is lost that was confirmed"
        case .cannotOpen: "the database cannot be opened"
        case .unreachable: "the database server cannot be reached; check that it runs and its address"
        case .denied: "the database server denies access; check user, password and privileges"
        case .foreign: "this database belongs to another program; name another file"
        case .overflow: "a sum left 64 bits"
        case .failed: "the database refused"
        }
    }

    /// Text from outside, for a message of one line.
    static func excerpt(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars.prefix(80) {
            let isControl = scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value)
            result.unicodeScalars.append(isControl ? "\u{FFFD}" : scalar)
        }
        return text.unicodeScalars.dropFirst(80).isEmpty ? result : result + "…"
    }
}
