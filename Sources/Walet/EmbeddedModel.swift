// The model that comes with Walet.

import Foundation

/// walet-nano: a small Kimi-K2-style reasoning model that was trained with Walet on generated problems and is a resource of
/// this package, so that there is a model to run without a download.
public enum EmbeddedModel {
    /// What commands and ``LanguageModel/load(_:name:threads:contextLength:precision:engine:)`` call it, unless the store has
    /// a model of this name.
    public static let name = "walet-nano"

    /// Its folder, in the published format; nil where the resources are not beside the program.
    public static let folder: String? = {
        let resources = "walet_Walet." + (isDarwin ? "bundle" : "resources")
        let program = Bundle.main.executableURL?.resolvingSymlinksInPath().deletingLastPathComponent()
        // Beside the program, as a build leaves it; where a package manager would put it; in the sources, for tests, whose
        // program is the test runner.
        let places = [
            program?.appending(path: resources), program?.appending(path: "../share/walet"),
            URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Resources"),
        ]
        return places.lazy.compactMap { $0?.appending(path: name).standardizedFileURL.path }
            .first { FileManager.default.fileExists(atPath: $0 + "/config.json") }
    }()

    private static var isDarwin: Bool {
        #if canImport(Darwin)
            true
        #else
            false
        #endif
    }
}
