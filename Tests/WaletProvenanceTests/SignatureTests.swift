import Foundation
import Testing
import WaletJSON
import WaletProvenance

/// Signatures made and judged by the package model_signing (Tools/make_signing_fixtures.py).
@Suite struct SignatureTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let signature: String
        let key: String?
        let certificates: [String]
        let change: [JSONValue]
        let accepted: Bool
        var testDescription: String { name }
    }

    static let cases: [Case] = {
        guard let data = try? Data(contentsOf: Fixtures.signing.appending(path: "cases.json")),
            let json = try? JSONValue(parsing: Array(data)), let list = json.arrayValue
        else { return [] }
        return list.map { value in
            Case(
                name: value["name"]?.stringValue ?? "", signature: value["signature"]?.stringValue ?? "",
                key: value["key"]?.stringValue,
                certificates: value["certificates"]?.arrayValue?.compactMap(\.stringValue) ?? [],
                change: value["change"]?.arrayValue ?? [], accepted: value["accepted"]?.boolValue ?? false)
        }
    }()

    /// Does to a copy of the model what the script did.
    private func apply(_ change: [JSONValue], to model: String) throws {
        guard change.count >= 2, let kind = change[0].stringValue, let name = change[1].stringValue else { return }
        let url = URL(filePath: model + "/" + name)
        switch kind {
        case "write":
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data((change[2].stringValue ?? "").utf8).write(to: url)
        case "remove": try FileManager.default.removeItem(at: url)
        case "link":
            try FileManager.default.createSymbolicLink(
                atPath: url.path, withDestinationPath: change[2].stringValue ?? "")
        case "flip":
            var data = try Data(contentsOf: url)
            data[change[2].intValue ?? 0] ^= 1
            try data.write(to: url)
        case "cut": try Data(contentsOf: url).prefix(change[2].intValue ?? 0).write(to: url)
        default: Issue.record("an unknown change \(kind)")
        }
    }

    private func verifier(_ each: Case) throws -> SignatureVerifier {
        if let key = each.key {
            return try SignatureVerifier(publicKey: Fixtures.signing.appending(path: key + ".pub").path)
        }
        return try SignatureVerifier(
            certificates: each.certificates.map { Fixtures.signing.appending(path: $0 + ".pem").path })
    }

    @Test func thereAreCases() {
        #expect(Self.cases.count > 40)
        #expect(Self.cases.contains { $0.accepted } && Self.cases.contains { !$0.accepted })
    }

    @Test(arguments: SignatureTests.cases)
    func theVerdictIsThatOfModelSigning(_ each: Case) async throws {
        let folder = try TemporaryFolder()
        let model = folder.path + "/model"
        try FileManager.default.copyItem(atPath: Fixtures.signing.appending(path: "model").path, toPath: model)
        try apply(each.change, to: model)
        var accepted = false
        var reason = ""
        do {
            let bundle = try SignatureBundle(file: Fixtures.signing.appending(path: each.signature + ".sig").path)
            let result = try await SignedModel.check(model, signature: bundle, by: verifier(each))
            accepted = result.isIntact
            reason = result.items.filter { $0.outcome != .ok }.map { "\($0)" }.joined(separator: ", ")
        } catch let error as ProvenanceError {
            reason = error.description
        }
        #expect(accepted == each.accepted, "\(reason)")
        #expect(accepted == reason.isEmpty)
    }

    @Test func aSignatureInTheModelIsNoPartOfIt() async throws {
        let folder = try TemporaryFolder()
        let model = folder.path + "/model"
        try FileManager.default.copyItem(atPath: Fixtures.signing.appending(path: "model").path, toPath: model)
        let signature = model + "/model.sig"
        try FileManager.default.copyItem(
            atPath: Fixtures.signing.appending(path: "p256.sig").path, toPath: signature)
        // Nor is the record of a pull.
        try Data("{}".utf8).write(to: URL(filePath: model + "/.walet-manifest.json"))
        let key = try SignatureVerifier(publicKey: Fixtures.signing.appending(path: "p256.pub").path)
        let result = try await SignedModel.check(model, signature: SignatureBundle(file: signature), by: key)
        #expect(result.isIntact && result.items.count == 5)
        // Another file of that kind is.
        try FileManager.default.copyItem(atPath: signature, toPath: model + "/other.sig")
        let more = try await SignedModel.check(model, signature: SignatureBundle(file: signature), by: key)
        #expect(more.items.filter { $0.outcome == .unsigned }.map(\.name) == ["other.sig"])
    }

    @Test func keylessSignaturesAndWrongKindsOfTrustAreNamed() async throws {
        let text = """
            {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": {"certificate":
            {"rawBytes": "AAAA"}, "tlogEntries": []}, "dsseEnvelope": {}}
            """
        let error = #expect(throws: ProvenanceError.self) {
            try SignatureBundle(file: "x.sig", bytes: Array(text.utf8))
        }
        #expect(error?.description.contains("keyless") == true)
        let key = try SignatureVerifier(publicKey: Fixtures.signing.appending(path: "p256.pub").path)
        let root = try SignatureVerifier(certificates: [Fixtures.signing.appending(path: "root.pem").path])
        for (signature, verifier, words) in [("cert-signer", key, "trusted root"), ("p256", root, "public key")] {
            let bundle = try SignatureBundle(file: Fixtures.signing.appending(path: signature + ".sig").path)
            let error = await #expect(throws: ProvenanceError.self) { try await verifier.verify(bundle) }
            #expect(error?.description.contains(words) == true)
        }
        for path in ["model/config.json", "cases.json", "none"] {
            let file = Fixtures.signing.appending(path: path).path
            #expect(throws: ProvenanceError.self) { try SignatureVerifier(publicKey: file) }
            #expect(throws: ProvenanceError.self) { try SignatureVerifier(certificates: [file]) }
        }
    }

    @Test func twentyThousandDamagedBundlesAreRefused() async throws {
        let data = try Data(contentsOf: Fixtures.signing.appending(path: "p256.sig"))
        let good = Array(data)
        let key = try SignatureVerifier(publicKey: Fixtures.signing.appending(path: "p256.pub").path)
        let manifest = try await key.verify(SignatureBundle(file: "x", bytes: good))
        var generator = SplitMix(state: 5)
        var parsed = 0
        for _ in 0..<20_000 {
            let bytes = mutate(good, &generator)
            guard let bundle = try? SignatureBundle(file: "x", bytes: bytes) else { continue }
            parsed += 1
            // What still holds after damage vouches for the same files.
            if let found = try? await key.verify(bundle) { #expect(found == manifest) }
        }
        #expect(parsed > 100)
    }

    @Test func twentyThousandDamagedStatementsAreAnErrorOrSound() throws {
        let bundle = try SignatureBundle(file: Fixtures.signing.appending(path: "shards.sig").path)
        #expect(throws: Never.self) { try SignedManifest(file: "x", payload: bundle.payload) }
        var generator = SplitMix(state: 6)
        var accepted = 0
        for _ in 0..<20_000 {
            guard let manifest = try? SignedManifest(file: "x", payload: mutate(bundle.payload, &generator)) else {
                continue
            }
            accepted += 1
            #expect(Set(manifest.resources.map(\.name)).count == manifest.resources.count)
            #expect(manifest.resources.allSatisfy { $0.sha256.utf8.count == 64 })
        }
        #expect(accepted > 50)
    }

    @Test func twoThousandDamagedKeysAndCertificatesAreAnErrorOrSound() throws {
        let folder = try TemporaryFolder()
        var generator = SplitMix(state: 7)
        for name in ["p256.pub", "p521.pub", "root.pem"] {
            let good = Array(try Data(contentsOf: Fixtures.signing.appending(path: name)))
            let path = folder.path + "/" + name
            for _ in 0..<700 {
                try Data(mutate(good, &generator)).write(to: URL(filePath: path))
                _ = try? SignatureVerifier(publicKey: path)
                _ = try? SignatureVerifier(certificates: [path])
            }
        }
    }
}
