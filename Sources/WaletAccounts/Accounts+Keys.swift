// Keys: made, listed, changed, revoked.

import Foundation

extension Accounts {
    /// Makes a key.
    /// - Parameter by: who makes it, for the audit log, such as "cli:ada": 1 to 256 bytes without control characters.
    /// - Returns: the key, and its secret, which is stored nowhere.
    /// - Throws: ``AccountsError``.
    public func createKey(
        _ specification: KeySpecification, by: String = KeyAction.program
    ) async throws -> (key: AccessKey, secret: String) {
        try specification.validate()
        try KeyAction.validate(by: by)
        let secret = Secret.make()
        let time = now()
        let key = AccessKey(
            id: Secret.makeID(), specification: specification, createdAt: Date(microseconds: time), revokedAt: nil)
        try await lanes.run(.write) { connection in
            try KeyTable.insert(key, hash: Secret.hash(secret), connection)
            try KeyActionTable.append(
                .create, key, by: by, KeyAction.details(creating: specification), at: time, connection)
        }
        directory.invalidate()
        return (key, secret)
    }

    /// Keys, the oldest first.
    /// - Throws: ``AccountsError``.
    public func keys(includingRevoked: Bool = false) async throws -> [AccessKey] {
        try await lanes.run(.report) { try KeyTable.all($0) }.filter { includingRevoked || !$0.isRevoked }
    }

    /// The key with this id, or the only one with this name.
    /// - Throws: ``AccountsError/unknownKey(_:)``, ``AccountsError/ambiguousKey(_:ids:)``.
    public func key(_ reference: String) async throws -> AccessKey {
        try await lanes.run(.lookup) { try KeyTable.find(reference, locking: false, $0) }
    }

    /// Ends a key, for ever. What it has reserved may still be settled. Revoking it again changes nothing.
    /// - Parameter by: who does it, for the audit log.
    /// - Throws: ``AccountsError``.
    @discardableResult
    public func revoke(_ reference: String, by: String = KeyAction.program) async throws -> AccessKey {
        try KeyAction.validate(by: by)
        defer { directory.invalidate() }
        return try await lanes.run(.write) { [now] connection in
            let old = try KeyTable.find(reference, locking: true, connection)
            if old.isRevoked { return old }
            let time = now()
            let key = AccessKey(
                id: old.id, specification: old.specification, createdAt: old.createdAt,
                revokedAt: Date(microseconds: time))
            try KeyTable.update(key, connection)
            try KeyActionTable.append(
                .revoke, key, by: by, KeyAction.details(revoking: key.specification), at: time, connection)
            return key
        }
    }

    /// Changes a key. Its secret stays.
    /// - Parameter by: who does it, for the audit log.
    /// - Throws: ``AccountsError``; ``AccountsError/revokedKey(_:)`` for one that is revoked.
    @discardableResult
    public func update(
        _ reference: String, by: String = KeyAction.program,
        _ change: @escaping @Sendable (inout KeySpecification) -> Void
    ) async throws -> AccessKey {
        try KeyAction.validate(by: by)
        defer { directory.invalidate() }
        return try await lanes.run(.write) { [now] connection in
            let old = try KeyTable.find(reference, locking: true, connection)
            if old.isRevoked { throw AccountsError.revokedKey(old.id) }
            var specification = old.specification
            change(&specification)
            try specification.validate()
            let key = AccessKey(
                id: old.id, specification: specification, createdAt: old.createdAt, revokedAt: old.revokedAt)
            try KeyTable.update(key, connection)
            try KeyActionTable.append(
                .set, key, by: by, KeyAction.details(changing: old.specification, to: specification), at: now(),
                connection)
            return key
        }
    }

    /// A key and what it has used.
    /// - Throws: ``AccountsError``.
    public func status(of reference: String) async throws -> KeyStatus {
        try await lanes.run(.lookup) { [now] connection in
            let key = try KeyTable.find(reference, locking: false, connection)
            let statuses = try KeyStatus.load([key], at: now(), connection)
            return statuses[0]
        }
    }

    /// All keys and what they have used, the oldest first.
    /// - Throws: ``AccountsError``.
    public func statuses(includingRevoked: Bool = false) async throws -> [KeyStatus] {
        try await lanes.run(.report) { [now] connection in
            try KeyStatus.load(
                KeyTable.all(connection).filter { includingRevoked || !$0.isRevoked }, at: now(), connection)
        }
    }
}
