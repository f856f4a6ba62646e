// A signature as OpenSSF model signing writes it: a Sigstore bundle around a DSSE envelope.

import Foundation
import WaletJSON

/// `model.sig`: what was signed, by which kind of key, and the signature.
///
/// Format: Sigstore bundle v0.3 with a DSSE envelope (secure-systems-lab/dsse v1.0.0) whose payload is an in-toto statement,
/// as the package `model_signing` 1.x writes it for keys and certificates. Bundles of keyless signing name a transparency
/// log and an identity instead; they are refused with a sentence, since they cannot be checked without that log's keys.
public struct SignatureBundle: Sendable, Equatable {
    public enum Material: Sendable, Equatable {
        /// A public key that is not in the bundle. The hint is the SHA-256 of its PEM text, where there is one.
        case publicKey(hint: String?)
        /// The certificate of the signer in DER, and those that lead on from it.
        case certificates([[UInt8]])
    }

    public let file: String
    public let material: Material
    public let payload: [UInt8]
    public let signature: [UInt8]

    static let mediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
    static let payloadType = "application/vnd.in-toto+json"
    public static let maximumSize = 256 << 20

    /// - Throws: ``ProvenanceError``.
    public init(file: String) throws(ProvenanceError) {
        try self.init(file: file, bytes: FileHash.read(file, limit: Self.maximumSize))
    }

    /// - Parameter file: named in errors.
    /// - Throws: ``ProvenanceError``.
    public init(file: String, bytes: [UInt8]) throws(ProvenanceError) {
        let document = Document(file: file)
        let json = try document.parse(bytes)
        let mediaType = try document.string(json["mediaType"], "mediaType")
        guard mediaType == Self.mediaType else {
            throw document.invalid("mediaType", Self.mediaType, "\"\(mediaType.prefix(80))\"")
        }
        guard let material = json["verificationMaterial"], material.objectValue != nil else {
            throw document.invalid("verificationMaterial", "an object", json["verificationMaterial"]?.kind ?? "nothing")
        }
        self.file = file
        self.material = try Self.material(material, document)
        guard let envelope = json["dsseEnvelope"], envelope.objectValue != nil else {
            throw document.invalid("dsseEnvelope", "an object", json["dsseEnvelope"]?.kind ?? "nothing")
        }
        let type = try document.string(envelope["payloadType"], "dsseEnvelope.payloadType")
        guard type == Self.payloadType else {
            throw document.invalid("dsseEnvelope.payloadType", Self.payloadType, "\"\(type.prefix(80))\"")
        }
        payload = try document.base64(envelope["payload"], "dsseEnvelope.payload")
        guard let signatures = envelope["signatures"]?.arrayValue, signatures.count == 1 else {
            throw document.invalid(
                "dsseEnvelope.signatures", "one signature", "\(envelope["signatures"]?.arrayValue?.count ?? 0)")
        }
        signature = try document.base64(signatures[0]["sig"], "dsseEnvelope.signatures[0].sig")
    }

    private static func material(_ json: JSONValue, _ document: Document) throws(ProvenanceError) -> Material {
        if let key = json["publicKey"], !key.isNull {
            guard let hint = key["hint"], !hint.isNull else { return .publicKey(hint: nil) }
            let text = try document.string(hint, "verificationMaterial.publicKey.hint")
            return .publicKey(hint: text.isEmpty ? nil : text)
        }
        if let chain = json["x509CertificateChain"], !chain.isNull {
            let field = "verificationMaterial.x509CertificateChain.certificates"
            guard let list = chain["certificates"]?.arrayValue, (1...16).contains(list.count) else {
                throw document.invalid(field, "1 to 16 certificates", chain["certificates"]?.kind ?? "nothing")
            }
            var certificates: [[UInt8]] = []
            for (index, value) in list.enumerated() {
                certificates.append(try document.base64(value["rawBytes"], "\(field)[\(index)].rawBytes"))
            }
            return .certificates(certificates)
        }
        if let certificate = json["certificate"], !certificate.isNull {
            throw .refused(
                file: document.file,
                reason: "this is a keyless signature of Sigstore, whose identity a transparency log vouches for; "
                    + "signatures by keys and by certificates are checked here, without a network")
        }
        throw document.invalid("verificationMaterial", "publicKey or x509CertificateChain", "neither")
    }

    /// What is signed: DSSE's pre-authentication encoding of type and payload.
    public var signedBytes: [UInt8] {
        Array("DSSEv1 \(Self.payloadType.utf8.count) \(Self.payloadType) \(payload.count) ".utf8) + payload
    }
}

/// Look-ups in a JSON document from outside, with errors that name the field.
struct Document {
    let file: String

    func invalid(_ field: String, _ expected: String, _ found: String) -> ProvenanceError {
        .invalid(file: file, field: field, expected: expected, found: found)
    }

    func parse(_ bytes: [UInt8]) throws(ProvenanceError) -> JSONValue {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue(parsing: bytes, maximumDepth: 32)
        } catch {
            throw invalid("document", "JSON", error.description)
        }
        guard value.objectValue != nil else { throw invalid("document", "an object", value.kind) }
        return value
    }

    func string(_ value: JSONValue?, _ field: String) throws(ProvenanceError) -> String {
        guard let text = value?.stringValue else { throw invalid(field, "a string", value?.kind ?? "nothing") }
        return text
    }

    func base64(_ value: JSONValue?, _ field: String) throws(ProvenanceError) -> [UInt8] {
        let text = try string(value, field)
        guard let data = Data(base64Encoded: text), !data.isEmpty else {
            throw invalid(field, "base64", text.isEmpty ? "nothing" : "something else")
        }
        return Array(data)
    }
}
