import Foundation
import Testing
import WaletFormats
import WaletJSON
import WaletProvenance

@Suite struct BillOfMaterialsTests {
    private func bill(_ path: String, origin: BillOfMaterials.Origin? = nil) throws -> JSONValue {
        let bill = try BillOfMaterials(ModelFolder(path), origin: origin, tool: "1.2.3")
        return try JSONValue(parsing: bill.json.text(.pretty))
    }

    @Test func everyFileIsListedWithItsHash() throws {
        let path = Fixtures.folder.appending(path: "models/kimi-k2-thinking").path
        let json = try bill(path)
        #expect(json["bomFormat"] == "CycloneDX" && json["specVersion"] == "1.6")
        let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
        let parts = try #require(json["components"]?.arrayValue)
        #expect(parts.compactMap { $0["name"]?.stringValue }.sorted() == names)
        for part in parts {
            let name = try #require(part["name"]?.stringValue)
            #expect(part["type"] == "file")
            let hash = try FileHash.sha256(path + "/" + name)
            #expect(part["hashes"]?.arrayValue?[0] == ["alg": "SHA-256", "content": .string(hash)])
        }
        #expect(json["metadata"]?["component"]?["modelCard"]?["modelParameters"]?["modelArchitecture"] == "kimi_k2")
        let properties = try #require(json["metadata"]?["component"]?["properties"]?.arrayValue)
        #expect(properties.contains { $0["name"] == "walet:quantization:INT4" })
        let references = try #require(json["dependencies"]?.arrayValue?[0]["dependsOn"]?.arrayValue)
        #expect(references == parts.compactMap { $0["bom-ref"] })
    }

    @Test func aPulledModelNamesItsOrigin() throws {
        let path = Fixtures.folder.appending(path: "models/llama").path
        let json = try bill(path, origin: .init(repository: "owner/a b", revision: "ABC123"))
        let component = try #require(json["metadata"]?["component"])
        #expect(component["version"] == "ABC123")
        #expect(component["purl"] == "pkg:huggingface/owner/a%20b@abc123")
        #expect(component["externalReferences"]?.arrayValue?[0]["url"] == "https://huggingface.co/owner/a%20b")
    }

    static let modified = """
        Modified MIT License

        Copyright (c) 2025 Moonshot AI

        Permission is hereby granted, free of charge, to any person obtaining a copy…

        Our only modification part is that, if the Software (or any derivative works
        thereof) is used for any of your commercial products or services that have
        more than 100 million monthly active users, or more than 20 million US dollars
        (or equivalent in other currencies) in monthly revenue, you shall prominently
        display "Kimi K2" on the user interface of such product or service.
        """

    @Test func conditionsOfKimisLicenceAreShownInItsOwnWords() throws {
        let folder = try TemporaryFolder()
        let config = try String(
            contentsOf: Fixtures.folder.appending(path: "formats/configs/kimi-k2-thinking.json"), encoding: .utf8)
        try folder.write("config.json", config)
        try folder.write("README.md", "---\nlicense: other\nlicense_name: modified-mit\n---\n# K2\n")
        // A card alone says which licence, and its condition is known.
        let named = try ModelFolder(folder.path).licenceConditions()
        #expect(named.count == 1 && named[0].contains("100 million monthly active users"))
        try folder.write("LICENSE", Self.modified)
        let model = try ModelFolder(folder.path)
        let conditions = try model.licenceConditions()
        #expect(conditions.count == 1)
        #expect(conditions[0].hasPrefix("Our only modification part is that, if the Software (or any derivative works"))
        #expect(conditions[0].hasSuffix("display \"Kimi K2\" on the user interface of such product or service."))
        let json = try bill(folder.path)
        let licence = try #require(json["metadata"]?["component"]?["licenses"]?.arrayValue?[0]["license"])
        #expect(licence["name"] == "modified-mit" && licence["id"] == nil)
        #expect(licence["text"]?["content"] == .string(Self.modified))
        let properties = json["metadata"]?["component"]?["properties"]?.arrayValue ?? []
        #expect(
            properties.contains { $0["name"] == "walet:licence_condition" && $0["value"] == .string(conditions[0]) })
    }

    @Test func plainLicencesHaveNoConditionsAndTheirIdentifier() throws {
        let folder = try TemporaryFolder()
        let config = try String(
            contentsOf: Fixtures.folder.appending(path: "formats/configs/moonlight.json"), encoding: .utf8)
        try folder.write("config.json", config)
        try folder.write("README.md", "---\nlicense: mit\n---\n")
        try folder.write("LICENSE.txt", "MIT License\n\nPermission is hereby granted, you shall…\n")
        #expect(try ModelFolder(folder.path).licenceConditions().isEmpty)
        let licence = try bill(folder.path)["metadata"]?["component"]?["licenses"]?.arrayValue?[0]["license"]
        #expect(licence?["id"] == "MIT" && licence?["name"] == nil)
    }

    @Test func damagedLicencesAreNeverATrap() throws {
        let folder = try TemporaryFolder()
        let config = try String(
            contentsOf: Fixtures.folder.appending(path: "formats/configs/moonlight.json"), encoding: .utf8)
        try folder.write("config.json", config)
        var generator = SplitMix(state: 11)
        for _ in 0..<2000 {
            let bytes = mutate(Array(Self.modified.utf8), &generator)
            try Data(bytes).write(to: URL(filePath: folder.path + "/LICENSE"))
            for condition in try ModelFolder(folder.path).licenceConditions() { #expect(condition.count <= 2000) }
        }
    }
}
