// The journal of what was done to keys, in the database.

import Foundation
import WaletJSON

enum KeyActionTable {
    /// How long an action stays after an audit log has taken it: 90 days.
    static let retention: Int64 = 90 * 86_400 * 1_000_000

    /// Appends an action, and removes those that an audit log has had for long enough.
    ///
    /// After the change of the key, in its transaction: the counter of changes, which every change holds until its
    /// transaction ends, then makes the order of the journal that in which the changes came into force.
    static func append(
        _ kind: KeyAction.Kind, _ key: AccessKey, by: String, _ details: JSONObject, at now: Int64,
        _ connection: any SQLConnection
    ) throws {
        try connection.execute(
            """
            INSERT INTO walet_key_action (done_at, action, key_id, tenant, done_by, details)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            """,
            [
                .integer(now), .text(kind.rawValue), .text(key.id), .text(key.tenant), .text(by),
                .text(JSONValue.object(details).text()),
            ])
        try connection.execute("DELETE FROM walet_key_action WHERE recorded_at < ?1", [.integer(now - retention)])
    }

    /// Whether there are actions that no audit log has, whoever is about to record them.
    static func hasPending(_ connection: any SQLConnection) throws -> Bool {
        try !connection.query("SELECT id FROM walet_key_action WHERE recorded_at IS NULL LIMIT 1").isEmpty
    }

    /// Actions that no audit log has and that only this server is to record from now on, in their order.
    /// - Parameter instance: this server, which is in the table of instances.
    static func claim(_ instance: String, limit: Int, _ connection: any SQLConnection) throws -> [KeyAction] {
        // Of two servers that claim, the second waits here, and each of its statements then sees what the first did.
        _ = try connection.query("SELECT value FROM walet_counter WHERE name = 'keys'\(connection.dialect.lockingRows)")
        let held =
            try connection.query(
                "SELECT COUNT(*) FROM walet_key_action WHERE recorded_at IS NULL AND claimed_by = ?1", [.text(instance)]
            ).first?.integer(0) ?? 0
        // What a server that is gone had claimed is anybody's again.
        try connection.execute(
            """
            UPDATE walet_key_action SET claimed_by = ?1 WHERE id IN (
                SELECT a.id FROM walet_key_action a
                WHERE a.recorded_at IS NULL AND (a.claimed_by IS NULL
                    OR NOT EXISTS (SELECT 1 FROM walet_instance i WHERE i.id = a.claimed_by))
                ORDER BY a.id LIMIT ?2)
            """, [.text(instance), .integer(max(0, Int64(limit) - held))])
        return try connection.query(
            """
            SELECT id, done_at, action, key_id, tenant, done_by, details FROM walet_key_action
            WHERE recorded_at IS NULL AND claimed_by = ?1 ORDER BY id LIMIT ?2
            """, [.text(instance), SQLValue(limit)]
        ).map(action)
    }

    static func markRecorded(_ ids: [Int], at now: Int64, _ connection: any SQLConnection) throws {
        try connection.execute(
            "UPDATE walet_key_action SET recorded_at = ?1 WHERE id = ?2 AND recorded_at IS NULL",
            ids.map { [.integer(now), SQLValue($0)] })
    }

    private static func action(_ row: SQLRow) throws -> KeyAction {
        guard let kind = KeyAction.Kind(rawValue: try row.text(2)),
            let details = try? JSONValue(parsing: try row.text(6), maximumDepth: 4).objectValue
        else { throw StoreError(.corrupt, "action \(try row.integer(0)) of the journal of keys cannot be read") }
        return KeyAction(
            id: Int(try row.integer(0)), date: Date(microseconds: try row.integer(1)), kind: kind,
            keyID: try row.text(3), tenant: try row.text(4), by: try row.text(5), details: details)
    }
}
