// A page of metrics as text: Prometheus' format 0.0.4 and OpenMetrics 1.0.

/// Something with metrics to show.
public protocol MetricSource: Sendable {
    func collect() -> [MetricsPage.Family]
}

/// The metrics of a moment, and how they are spelled.
///
/// Formats: <https://prometheus.io/docs/instrumenting/exposition_formats/> and
/// <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
public struct MetricsPage: Sendable {
    public struct Family: Sendable {
        /// Without the suffix `_total` of a counter's samples.
        public let name: String
        public let kind: MetricKind
        public let help: String
        public let samples: [MetricSample]

        public init(_ name: String, _ kind: MetricKind, _ help: String, _ samples: [MetricSample]) {
            self.name = name
            self.kind = kind
            self.help = help
            self.samples = samples
        }

        /// The name that samples have in queries, but for a histogram's suffixes.
        public var sampleName: String { kind == .counter ? name + "_total" : name }
    }

    public enum Format: Sendable, Equatable {
        case prometheus, openMetrics

        public var contentType: String {
            switch self {
            case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
            case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }

        /// The format that an `Accept` header prefers: OpenMetrics where it is named with a weight at least that of
        /// plain text.
        public init(accept: String?) {
            var weights: [String: Double] = [:]
            for range in (accept ?? "").prefix(2000).split(separator: ",") {
                let parts = range.split(separator: ";").map { $0.trimmingSpaces().lowercased() }
                guard let type = parts.first else { continue }
                var weight = 1.0
                for part in parts.dropFirst() where part.hasPrefix("q=") { weight = Double(part.dropFirst(2)) ?? 0 }
                weights[type] = max(weights[type] ?? 0, weight)
            }
            let open = weights["application/openmetrics-text"] ?? 0
            self = open > 0 && open >= weights["text/plain"] ?? 0 ? .openMetrics : .prometheus
        }
    }

    public let families: [Family]

    public init(_ families: [Family]) { self.families = families }

    public func text(_ format: Format) -> String {
        var output = ""
        for family in families {
            let header = format == .openMetrics ? family.name : family.sampleName
            output += "# HELP \(header) \(Self.escape(family.help, quotes: format == .openMetrics))\n"
            output += "# TYPE \(header) \(family.kind.rawValue)\n"
            for sample in family.samples { Self.write(sample, of: family.name, to: &output) }
        }
        if format == .openMetrics { output += "# EOF\n" }
        return output
    }

    private static func write(_ sample: MetricSample, of name: String, to output: inout String) {
        output += name
        output += sample.suffix
        if !sample.labels.isEmpty {
            var separator = "{"
            for label in sample.labels {
                output += separator
                output += label.name
                output += "=\""
                output += escape(label.value, quotes: true)
                output += "\""
                separator = ","
            }
            output += "}"
        }
        output += " "
        output += spell(sample.value)
        output += "\n"
    }

    /// Backslash and newline escaped, and quotation marks where they would end the text.
    static func escape(_ text: String, quotes: Bool) -> String {
        guard
            text.utf8.contains(where: {
                $0 == UInt8(ascii: "\\") || $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\"")
            })
        else { return text }
        var output = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": output += "\\\\"
            case "\n": output += "\\n"
            case "\"" where quotes: output += "\\\""
            default: output.unicodeScalars.append(scalar)
            }
        }
        return output
    }

    /// A number as both formats read it, spelled as Go does, whose exponents begin at a million: OpenMetrics asks for
    /// that in `le`, so that one bound always has one spelling.
    static func spell(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        let text = "\(value)"
        guard value > 0, !text.contains("e"), let point = text.firstIndex(of: ".") else { return text }
        let exponent = text.distance(from: text.startIndex, to: point) - 1
        guard exponent >= 6 else { return text }
        var mantissa = text.replacing(".", with: "")
        while mantissa.count > 1, mantissa.last == "0" { mantissa.removeLast() }
        if mantissa.count > 1 { mantissa.insert(".", at: mantissa.index(after: mantissa.startIndex)) }
        return "\(mantissa)e+\(exponent < 10 ? "0" : "")\(exponent)"
    }
}
