// Where a hub may send us, and who may see the token. No I/O.

import Foundation

/// The rules for redirects that begin at an endpoint.
///
/// - Only http and https, no user name in the address.
/// - Never from https to http.
/// - From an http endpoint on this machine never to http elsewhere; from an http endpoint elsewhere to wherever it says,
///   since nothing was protected to begin with and every file is checked against its hash.
/// - The token goes to the endpoint's own origin (scheme, host and port), over https or on this machine.
package struct RedirectRules: Sendable {
    let home: Origin

    init(home: Origin) { self.home = home }

    package init(endpoint: Hub.Endpoint) { self.init(home: endpoint.origin) }

    /// Whether the endpoint itself may see the token.
    package var maySendToken: Bool { home.scheme == "https" || home.isLoopback }

    /// The address that a redirect leads to, and whether the token may go there.
    /// - Throws: ``HubError/unsafeRedirect(what:from:to:reason:)``.
    package func destination(
        _ location: String, of url: URL, what: String
    ) throws(HubError) -> (url: URL, isHome: Bool) {
        // Not the whole address in a message: it may carry a signature.
        let from = Origin(url).map { "\($0.scheme)://\($0)" } ?? "an address"
        guard let next = URL(string: location, relativeTo: url)?.absoluteURL, let origin = Origin(next) else {
            throw .unsafeRedirect(
                what: what, from: from, to: "another address", reason: "it is no http or https address")
        }
        let to = "\(origin.scheme)://\(origin)"
        func refused(_ reason: String) -> HubError {
            .unsafeRedirect(what: what, from: from, to: clean(to), reason: reason)
        }
        guard next.user == nil, next.password == nil else { throw refused("the address carries a user name") }
        if origin.scheme == "http" {
            if url.scheme?.lowercased() != "http" { throw refused("it leaves TLS for plain http") }
            if home.isLoopback, !origin.isLoopback { throw refused("it leaves this machine over plain http") }
        }
        return (next, origin == home)
    }
}
