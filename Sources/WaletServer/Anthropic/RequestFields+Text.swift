extension RequestFields {
    /// Text as long as the body allows: what people and models write, not names and ids.
    mutating func text(_ key: String) throws(APIError) -> String? { try string(key, maximumBytes: .max) }
}
