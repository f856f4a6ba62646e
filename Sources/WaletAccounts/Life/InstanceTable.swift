// Servers that use the same accounts, in the database.

/// A server as others see it.
struct StoredInstance: Sendable, Hashable {
    let id: String
    let process: ProcessIdentity
    /// Grows while it lives; -1 where it never said so.
    let beat: Int64
}

enum InstanceTable {
    static func register(_ id: String, at now: Int64, _ connection: any SQLConnection) throws {
        let process = ProcessIdentity.current
        try connection.execute(
            """
            INSERT INTO walet_instance (id, host, process, process_start, beat, opened_at) VALUES (?1, ?2, ?3, ?4, 0, ?5)
            ON CONFLICT (id) DO NOTHING
            """,
            [.text(id), .text(process.host), SQLValue(process.number), .text(process.start), .integer(now)])
    }

    /// - Returns: false where others took this instance for dead and removed it.
    static func beat(_ id: String, _ connection: any SQLConnection) throws -> Bool {
        try !connection.query("UPDATE walet_instance SET beat = beat + 1 WHERE id = ?1 RETURNING beat", [.text(id)])
            .isEmpty
    }

    static func remove(_ id: String, _ connection: any SQLConnection) throws {
        try connection.execute("DELETE FROM walet_instance WHERE id = ?1", [.text(id)])
    }

    /// All but `own`, and those that are known by their reservations only.
    static func others(than own: String, _ connection: any SQLConnection) throws -> [StoredInstance] {
        let known = try connection.query(
            "SELECT id, host, process, process_start, beat FROM walet_instance WHERE id <> ?1", [.text(own)]
        ).map { row in
            StoredInstance(
                id: try row.text(0),
                process: ProcessIdentity(
                    host: try row.text(1), number: Int(try row.integer(2)), start: try row.text(3)),
                beat: try row.integer(4))
        }
        let unknown = try connection.query(
            "SELECT DISTINCT instance_id FROM walet_reservation WHERE instance_id <> ?1", [.text(own)]
        ).map { try $0.text(0) }
        let ids = Set(known.map(\.id))
        return known
            + unknown.filter { !ids.contains($0) }.map {
                StoredInstance(id: $0, process: ProcessIdentity(host: "", number: 0, start: ""), beat: -1)
            }
    }

    /// Whether it is still as it was seen, which a moment ago it was. It stays so until the transaction ends.
    static func isUnchanged(_ instance: StoredInstance, _ connection: any SQLConnection) throws -> Bool {
        let row = try connection.query(
            "SELECT beat FROM walet_instance WHERE id = ?1\(connection.dialect.lockingRows)", [.text(instance.id)]
        ).first
        return try (row?.integer(0) ?? -1) == instance.beat
    }
}
