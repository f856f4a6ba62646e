// What depends on the clock or on chance: speed, and what happened to a run. It is only ever added to.

import WaletJSON

/// A line of `journal.jsonl`.
public enum JournalRecord: Sendable, Equatable {
    /// How fast it was around a step.
    case speed(SpeedMetrics)
    /// Something that a person should know, such as a resume or a damaged checkpoint. `seconds` is Unix time.
    case event(step: Int, seconds: Double, text: String)
}

/// How fast a run was around a step.
public struct SpeedMetrics: Sendable, Equatable {
    public var step: Int
    /// Unix time.
    public var seconds: Double
    public var tokensPerSecond: Double
    /// Model FLOPs a second by those that the machine's matrix products reach, from 0 to 1; nil where that is not known.
    public var utilization: Double?
    /// Seconds that the writing process spent on communication in the step, waiting for others included; nil where it is
    /// alone.
    public var communicationSeconds: Double?

    public init(
        step: Int, seconds: Double, tokensPerSecond: Double, utilization: Double? = nil,
        communicationSeconds: Double? = nil
    ) {
        self.step = step
        self.seconds = seconds
        self.tokensPerSecond = tokensPerSecond
        self.utilization = utilization
        self.communicationSeconds = communicationSeconds
    }
}

extension JournalRecord {
    init(line: UnsafeRawBufferPointer) throws(RecordFields.Broken) {
        let fields = try RecordFields(line)
        let step = try fields.count("step")
        let seconds = try fields.number("seconds")
        switch try fields.text("kind") {
        case "speed":
            self = .speed(
                SpeedMetrics(
                    step: step, seconds: seconds, tokensPerSecond: try fields.number("tokens_per_second"),
                    utilization: try fields.optionalNumber("utilization"),
                    communicationSeconds: try fields.optionalNumber("communication_seconds")))
        case "event": self = .event(step: step, seconds: seconds, text: try fields.text("text"))
        case let kind: throw RecordFields.Broken(reason: "a record of the kind \"\(kind.prefix(40))\" is not known")
        }
    }

    var json: JSONValue {
        switch self {
        case .speed(let speed):
            var object = JSONObject([
                ("kind", "speed"), ("step", .int(speed.step)), ("seconds", RecordFields.json(speed.seconds)),
                ("tokens_per_second", RecordFields.json(speed.tokensPerSecond)),
            ])
            object["utilization"] = speed.utilization.map(RecordFields.json)
            object["communication_seconds"] = speed.communicationSeconds.map(RecordFields.json)
            return .object(object)
        case .event(let step, let seconds, let text):
            return [
                "kind": "event", "step": .int(step), "seconds": RecordFields.json(seconds), "text": .string(text),
            ]
        }
    }
}
