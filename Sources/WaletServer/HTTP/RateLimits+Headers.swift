import HTTPTypes

extension RateLimits {
    /// As OpenAI's API spells them.
    var headers: HTTPFields {
        var fields = HTTPFields()
        for (name, limit) in [("requests", requests), ("tokens", tokens)] {
            guard let limit else { continue }
            fields[HTTPField.Name("x-ratelimit-limit-\(name)")!] = String(limit.limit)
            fields[HTTPField.Name("x-ratelimit-remaining-\(name)")!] = String(max(0, limit.remaining))
            fields[HTTPField.Name("x-ratelimit-reset-\(name)")!] = Self.duration(limit.reset)
        }
        return fields
    }

    /// As in `6m0s`, `1s` and `250ms`.
    private static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds > 0 else { return "0s" }
        let milliseconds = Int(min(seconds, 1e6) * 1000)
        if milliseconds < 1000 { return "\(milliseconds)ms" }
        let whole = milliseconds / 1000
        return whole < 60 ? "\(whole)s" : "\(whole / 60)m\(whole % 60)s"
    }
}
