// Whether a signature is that of a key, or of a certificate that a trusted one vouches for.

import Crypto
import Foundation
import SwiftASN1
@_spi(FixedExpiryValidationTime) import X509

/// Who is trusted: an elliptic-curve public key, or roots of certificates. Needs no network.
public struct SignatureVerifier: Sendable {
    enum Trust: Sendable {
        case key(Key)
        /// Roots, and certificates that may lie between.
        case certificates(roots: [Certificate], between: [Certificate])
    }

    /// ECDSA over P-256 with SHA-256, P-384 with SHA-384, P-521 with SHA-512.
    enum Key: Sendable {
        case p256(P256.Signing.PublicKey)
        case p384(P384.Signing.PublicKey)
        case p521(P521.Signing.PublicKey)

        init?(pem: String) {
            if let key = try? P256.Signing.PublicKey(pemRepresentation: pem) {
                self = .p256(key)
            } else if let key = try? P384.Signing.PublicKey(pemRepresentation: pem) {
                self = .p384(key)
            } else if let key = try? P521.Signing.PublicKey(pemRepresentation: pem) {
                self = .p521(key)
            } else {
                return nil
            }
        }

        init?(_ key: Certificate.PublicKey) {
            if let key = P256.Signing.PublicKey(key) {
                self = .p256(key)
            } else if let key = P384.Signing.PublicKey(key) {
                self = .p384(key)
            } else if let key = P521.Signing.PublicKey(key) {
                self = .p521(key)
            } else {
                return nil
            }
        }

        /// As OpenSSL writes it, with a line's end.
        var pem: String {
            switch self {
            case .p256(let key): key.pemRepresentation + "\n"
            case .p384(let key): key.pemRepresentation + "\n"
            case .p521(let key): key.pemRepresentation + "\n"
            }
        }

        func isValid(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
            switch self {
            case .p256(let key):
                (try? P256.Signing.ECDSASignature(derRepresentation: signature))
                    .map { key.isValidSignature($0, for: SHA256.hash(data: bytes)) } ?? false
            case .p384(let key):
                (try? P384.Signing.ECDSASignature(derRepresentation: signature))
                    .map { key.isValidSignature($0, for: SHA384.hash(data: bytes)) } ?? false
            case .p521(let key):
                (try? P521.Signing.ECDSASignature(derRepresentation: signature))
                    .map { key.isValidSignature($0, for: SHA512.hash(data: bytes)) } ?? false
            }
        }
    }

    let trust: Trust
    static let maximumFile = 16 << 20

    /// Trusts a public key.
    /// - Parameter path: a PEM file with a key of P-256, P-384 or P-521.
    /// - Throws: ``ProvenanceError``.
    public init(publicKey path: String) throws(ProvenanceError) {
        let text = String(decoding: try FileHash.read(path, limit: Self.maximumFile), as: UTF8.self)
        guard let key = Key(pem: text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw .invalid(
                file: path, field: "public key", expected: "a PEM file with a key of P-256, P-384 or P-521",
                found: "something else")
        }
        trust = .key(key)
    }

    /// Trusts the self-signed certificates among those of some PEM files; the others may lie between.
    /// - Throws: ``ProvenanceError``.
    public init(certificates paths: [String]) throws(ProvenanceError) {
        var roots: [Certificate] = []
        var between: [Certificate] = []
        for path in paths {
            let text = String(decoding: try FileHash.read(path, limit: Self.maximumFile), as: UTF8.self)
            let certificates: [Certificate]
            do {
                certificates = try PEMDocument.parseMultiple(pemString: text).map { try Certificate(pemDocument: $0) }
            } catch {
                throw .invalid(
                    file: path, field: "certificates", expected: "a PEM file with certificates", found: "something else"
                )
            }
            for certificate in certificates {
                if certificate.issuer == certificate.subject {
                    roots.append(certificate)
                } else {
                    between.append(certificate)
                }
            }
        }
        guard !roots.isEmpty else {
            throw .invalid(
                file: paths.joined(separator: ", "), field: "certificates", expected: "a self-signed root",
                found: "none")
        }
        trust = .certificates(roots: roots, between: between)
    }

    /// Checks the signature of a bundle, and gives what it vouches for.
    /// - Throws: ``ProvenanceError`` where the key is another one, the certificates do not lead to a trusted one or may not
    ///   sign, or the signature is not theirs.
    public func verify(_ bundle: SignatureBundle) async throws -> SignedManifest {
        let key: Key
        switch (trust, bundle.material) {
        case (.key(let trusted), .publicKey(let hint)):
            let name = FileHash.hexadecimal(SHA256.hash(data: Array(trusted.pem.utf8)))
            if let hint, hint != name {
                throw ProvenanceError.refused(
                    file: bundle.file,
                    reason: "it is signed by the key \(hint.prefix(64)), and the one given is \(name)")
            }
            key = trusted
        case (.certificates(let roots, let between), .certificates(let chain)):
            key = try await Self.signer(of: bundle.file, chain, roots, between)
        case (.key, .certificates):
            throw ProvenanceError.refused(
                file: bundle.file, reason: "it is signed with a certificate: give the trusted root in place of a key")
        case (.certificates, .publicKey):
            throw ProvenanceError.refused(
                file: bundle.file, reason: "it is signed with a key: give that public key in place of certificates")
        }
        guard key.isValid(bundle.signature, of: bundle.signedBytes) else {
            throw ProvenanceError.refused(file: bundle.file, reason: "the signature does not hold")
        }
        return try SignedManifest(file: bundle.file, payload: bundle.payload)
    }

    /// The key of the first certificate, if the chain holds at the time at which that certificate begins to.
    private static func signer(
        of file: String, _ chain: [[UInt8]], _ roots: [Certificate], _ between: [Certificate]
    ) async throws -> Key {
        let certificates: [Certificate]
        do {
            certificates = try chain.map { try Certificate(derEncoded: $0) }
        } catch {
            throw ProvenanceError.invalid(
                file: file, field: "certificates", expected: "certificates in DER", found: "something else")
        }
        let leaf = certificates[0]
        var verifier = Verifier(rootCertificates: CertificateStore(roots)) {
            RFC5280Policy(fixedExpiryValidationTime: leaf.notValidBefore)
            UsagePolicy()
        }
        let result = await verifier.validate(
            leaf: leaf, intermediates: CertificateStore(between + certificates.dropFirst()))
        switch result {
        case .validCertificate: break
        case .couldNotValidate(let failures):
            let reason = failures.first.map { "\($0.policyFailureReason)" } ?? "no trusted certificate signed it"
            throw ProvenanceError.refused(
                file: file, reason: "the certificate of \(leaf.subject) does not lead to a trusted one: \(reason)")
        }
        guard let key = Key(leaf.publicKey) else {
            throw ProvenanceError.refused(
                file: file, reason: "the certificate's key is not one of P-256, P-384 or P-521")
        }
        return key
    }
}

/// The signer's certificate must be meant for signatures: by its key usage, or for code by its extended key usage.
private struct UsagePolicy: VerifierPolicy {
    var verifyingCriticalExtensions: [ASN1ObjectIdentifier] { [.X509ExtensionID.extendedKeyUsage] }

    func chainMeetsPolicyRequirements(chain: UnverifiedCertificateChain) -> PolicyEvaluationResult {
        let extensions = chain.leaf.extensions
        if let usage = try? extensions.keyUsage, usage.digitalSignature { return .meetsPolicy }
        if let usage = try? extensions.extendedKeyUsage, usage.contains(.codeSigning) { return .meetsPolicy }
        return .failsToMeetPolicy(reason: "it is not meant for signatures")
    }
}
