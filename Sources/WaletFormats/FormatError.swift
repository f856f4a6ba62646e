/// What is wrong with a file, in words a user can act on.
public struct FormatError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The file, as the user named it or as it lies in the folder.
    public var file: String
    /// The tensor, field or key, where there is one.
    public var field: String?
    /// What the format or the model asks for.
    public var expected: String
    /// What is there.
    public var found: String

    public init(file: String, field: String? = nil, expected: String, found: String) {
        self.file = file
        self.field = field
        self.expected = expected
        self.found = found
    }

    public var description: String {
        "\(file): \(field.map { "\($0): " } ?? "")expected \(expected), found \(found)"
    }
}
