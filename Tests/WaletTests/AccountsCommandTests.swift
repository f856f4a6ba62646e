import Foundation
import Testing
import Walet

/// `walet keys` and `walet usage`: what goes where, in which form, with which exit code.
@Suite struct AccountsCommandTests {
    private struct Outcome {
        let code: Int32
        let output: String
        let errors: String
        var json: JSONValue? { try? JSONValue(parsing: output) }
    }

    /// A folder of a test's own, with the database in it that all of its commands use.
    private final class Place {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-keys-\(UUID().uuidString)")
        var database: String { folder.appending(path: "data/walet/accounts.sqlite").path }

        deinit { try? FileManager.default.removeItem(at: folder) }

        func walet(_ arguments: String..., environment: [String: String] = [:]) throws -> Outcome {
            try run(arguments, environment: environment)
        }

        func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Outcome {
            let process = Process()
            process.executableURL = ToolRun.tool
            process.arguments = arguments
            process.environment = ProcessInfo.processInfo.environment
                .merging(["XDG_DATA_HOME": folder.appending(path: "data").path, "WALET_DATABASE": ""]) { $1 }
                .merging(environment) { $1 }
            let (output, errors) = (Pipe(), Pipe())
            process.standardOutput = output
            process.standardError = errors
            process.standardInput = FileHandle.nullDevice
            try process.run()
            // What these commands say fits into a pipe, so that one can be read after the other.
            let outputBytes = output.fileHandleForReading.readDataToEndOfFile()
            let errorBytes = errors.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            return Outcome(
                code: process.terminationStatus, output: String(decoding: outputBytes, as: UTF8.self),
                errors: String(decoding: errorBytes, as: UTF8.self))
        }
    }

    @Test func aKeyIsMadeListedShownChangedAndRevoked() throws {
        let place = Place()
        let created = try place.walet(
            "keys", "create", "payroll", "--tenant", "hr", "--models", "kimi-k2,smollm2", "--rpm", "60", "--tpm",
            "100000",
            "--concurrency", "4", "--budget-day", "5", "--budget-month", "100.50", "--expires", "2099-12-31",
            "--priority",
            "-5", "--role", "operator")
        #expect(created.code == 0)
        // The secret, and nothing else, so that a script can take it.
        #expect(created.output.wholeMatch(of: /walet-[A-Za-z0-9_-]{43}\n/) != nil)
        #expect(created.errors.contains("its secret is shown this once"))

        let list = try place.walet("keys", "list", "--json")
        let key = try #require(list.json?["keys"]?.arrayValue?.first)
        #expect(
            key["name"] == "payroll" && key["tenant"] == "hr" && key["role"] == "operator" && key["state"] == "valid")
        #expect(key["models"] == ["kimi-k2", "smollm2"] && key["requests_per_minute"] == 60)
        #expect(key["tokens_per_minute"] == 100_000 && key["concurrency"] == 4 && key["priority"] == -5)
        #expect(key["budget_day_usd"] == "5.00" && key["budget_month_usd"] == "100.50")
        #expect(key["expires_at"] == "2099-12-31T00:00:00Z" && key["spent_today_usd"] == "0.00")
        let secret = created.output.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(!list.output.contains(secret) && !list.output.contains("secret"))

        let table = try place.walet("keys", "list")
        #expect(
            table.output.hasPrefix("ID ") && table.output.contains("payroll")
                && table.output.contains("kimi-k2,smollm2"))
        let changed = try place.walet(
            "keys", "set", "payroll", "--rpm", "none", "--models", "all", "--budget-day", "0.000000001", "--name",
            "wages",
            "--expires", "none", "--json")
        #expect(changed.code == 0)
        #expect(changed.json?["requests_per_minute"] == .null && changed.json?["models"] == .null)
        #expect(changed.json?["budget_day_usd"] == "0.000000001" && changed.json?["budget_month_usd"] == "100.50")
        #expect(changed.json?["expires_at"] == .null && changed.json?["name"] == "wages")
        let shown = try place.walet("keys", "show", "wages")
        #expect(shown.output.contains("spent today") && shown.output.contains("0.00 of 0.000000001 USD"))

        let revoked = try place.walet("keys", "revoke", try #require(key["id"]?.stringValue))
        #expect(revoked.code == 0 && revoked.output.isEmpty && revoked.errors.hasPrefix("revoked wk_"))
        #expect(try place.walet("keys", "list", "--json").json?["keys"] == [])
        #expect(
            try place.walet("keys", "list", "--all", "--json").json?["keys"]?.arrayValue?.first?["state"] == "revoked")
        #expect(try place.walet("keys", "set", "wages", "--rpm", "1").code == 1)
    }

    @Test func aSecretIsPrintedOnceAlsoAsJSON() throws {
        let place = Place()
        let created = try place.walet("keys", "create", "a", "--json")
        let secret = try #require(created.json?["secret"]?.stringValue)
        #expect(created.output.components(separatedBy: secret).count == 2 && created.errors.isEmpty)
        let mode = try FileManager.default.attributesOfItem(atPath: place.database)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test func wrongUsageHasExitCodeTwoAndOneLineThatNamesTheOption() throws {
        let place = Place()
        for (arguments, expected) in [
            (
                ["keys", "create", "a", "--rpm", "0"],
                "--requests-per-minute: expected a whole number above 0, or 'none', found '0'"
            ),
            (["keys", "create", "a", "--budget-day", "1e3"], "--budget-day: expected US dollars such as 12.50"),
            (["keys", "create", "a", "--expires", "tomorrow"], "--expires: expected 2027-01-31"),
            (["keys", "create", "a", "--role", "god"], "'--role"),
            (["keys", "set", "a"], "nothing to change"),
            (
                ["usage", "--by", "colour"],
                "--by: expected key, tenant, model, endpoint, outcome, day, month or none, found 'colour'"
            ),
            (["usage", "--by", "day,day"], "--by: expected each grouping once"),
            (["usage", "--from", "yesterday"], "--from: expected 2026-11-30"),
            (["usage", "--from", "2026-02-01", "--to", "2026-01-01"], "--to: expected a time after --from"),
            (["usage", "--csv", "--json"], "--csv and --json exclude each other"),
        ] {
            let outcome = try place.run(arguments)
            #expect(outcome.code == 2 && outcome.output.isEmpty, "\(arguments)")
            #expect(outcome.errors.contains(expected), "\(outcome.errors)")
        }
        // None of them made a database.
        #expect(!FileManager.default.fileExists(atPath: place.database))
    }

    @Test func whatCannotBeDoneHasExitCodeOneAndOneLine() throws {
        let place = Place()
        let missing = try place.walet("keys", "list")
        #expect(missing.code == 1 && missing.output.isEmpty)
        #expect(
            missing.errors
                == "walet: \(place.database): there is no such database; 'walet keys create' makes one, or --database names another\n"
        )
        _ = try place.walet("keys", "create", "a")
        #expect(
            try place.walet("keys", "show", "b").errors == "walet: there is no key 'b'; 'walet keys list' shows them\n")
        #expect(try place.walet("keys", "create", "").code == 1)
        let text = place.folder.appending(path: "text").path
        try Data("no database, but some text that is longer than a header".utf8).write(to: URL(filePath: text))
        for arguments in [["--database", text], ["--database", "mysql://u:secret@h/d"]] {
            let outcome = try place.run(["usage"] + arguments)
            #expect(
                outcome.code == 1 && outcome.errors.split(separator: "\n").count == 1
                    && !outcome.errors.contains("secret"))
        }
        #expect(
            try place.walet("usage", environment: ["WALET_DATABASE": text]).errors.contains("restore it from a backup"))
    }

    @Test func usageIsPrintedAsTableCSVAndJSON() throws {
        let place = Place()
        _ = try place.walet("keys", "create", "a")
        let table = try place.walet("usage", "--by", "tenant,day", "--compare")
        #expect(table.code == 0 && table.output.contains("TENANT") && table.output.contains("GPT-5"))
        let csv = try place.walet("usage", "--csv")
        #expect(
            csv.output
                == "key,name,requests,unsettled,prompt_tokens,fresh_tokens,cached_tokens,output_tokens,reasoning_tokens,cost_usd\r\n"
        )
        let json = try place.walet("usage", "--by", "model", "--from", "2026-11-01", "--to", "2026-11-30", "--json")
        #expect(json.json?["period"] == ["from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"])
        #expect(json.json?["total"]?["cost_usd"] == "0.000000000")
        let prices = place.folder.appending(path: "prices.json").path
        try Data(#"[{"name": "Ours", "date": "2026-01-01", "input": "1", "cached_input": "0.1", "output": "2"}]"#.utf8)
            .write(to: URL(filePath: prices))
        let own = try place.walet("usage", "--compare-prices", prices, "--json")
        #expect(own.json?["comparison"]?.arrayValue?.map { $0["name"] } == ["Ours"])
        #expect(try place.walet("usage", "--compare-prices", "/nowhere").code == 1)

        #expect(try place.walet("usage", "--requests", "--csv").output.hasPrefix("sequence,started_at,"))
        #expect(try place.walet("usage", "--unsettled").errors == "no request is unsettled\n")
        let verified = try place.walet("usage", "--verify", "--json")
        #expect(verified.code == 0 && verified.json?["correct"] == true && verified.json?["rows"] == 0)
    }
}
