using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sparseland.Model;

namespace Sparseland.Reproductions.Results;

/// <summary>Where and with what a result was measured.</summary>
/// <param name="Commit">Commit of the program; ends in "+" when the working tree was changed.</param>
/// <param name="Machine">The machine, for people.</param>
/// <param name="Date">Day of the run, yyyy-MM-dd.</param>
/// <param name="Command">The command that repeats it.</param>
public sealed record Provenance(string Commit, string Machine, string Date, string Command);

/// <summary>What came out of a reproduction: one file per id, committed.</summary>
/// <param name="Id">The reproduction.</param>
/// <param name="Budget">What was spent.</param>
/// <param name="Seeds">The values of every seed.</param>
/// <param name="Rules">What became of the rules that stood in the code when it was run.</param>
/// <param name="Verdict">What follows.</param>
/// <param name="Notes">Remarks: data that was missing, and the like.</param>
/// <param name="Provenance">Where it was measured.</param>
public sealed record ReproductionResult(string Id, Budget Budget, IReadOnlyList<SeedValues> Seeds, IReadOnlyList<RuleOutcome> Rules, Verdict Verdict, IReadOnlyList<string> Notes, Provenance Provenance)
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Judges the values of all seeds by the reproduction's rules.</summary>
    /// <param name="reproduction">The reproduction.</param>
    /// <param name="budget">What was spent; a quick run proves nothing and stays inconclusive.</param>
    /// <param name="seeds">The values.</param>
    /// <param name="notes">Remarks.</param>
    /// <param name="provenance">Where it was measured.</param>
    public static ReproductionResult Judge(IReproduction reproduction, Budget budget, IReadOnlyList<SeedValues> seeds, IReadOnlyList<string> notes, Provenance provenance)
    {
        ArgumentNullException.ThrowIfNull(reproduction);
        // As they are written: whoever judges the file again must come to the same numbers.
        SeedValues[] ordered = [.. seeds.OrderBy(s => s.Seed).Select(s => new SeedValues(s.Seed, s.Values.ToDictionary(v => v.Key, v => Math.Round(v.Value, 6)), Math.Round(s.Seconds, 1)))];
        RuleOutcome[] rules = [.. reproduction.Rules.Select(r => r.Judge(ordered))];
        return new ReproductionResult(reproduction.Id, budget, ordered, rules, budget == Budget.Quick ? Verdict.Inconclusive : Rule.Overall(rules), notes, provenance);
    }

    /// <summary>The result as JSON; the same result gives the same text.</summary>
    public JsonObject ToJson() => new()
    {
        ["id"] = Id,
        ["budget"] = Budget.ToString().ToLowerInvariant(),
        ["verdict"] = Label(Verdict),
        ["command"] = Provenance.Command,
        ["commit"] = Provenance.Commit,
        ["machine"] = Provenance.Machine,
        ["date"] = Provenance.Date,
        ["rules"] = new JsonArray([.. Rules.Select(r => (JsonNode)new JsonObject
        {
            ["name"] = r.Name, ["statement"] = r.Statement, ["mean"] = Number(r.Mean), ["low"] = Number(r.Low), ["high"] = Number(r.High), ["verdict"] = Label(r.Verdict),
        })]),
        ["seeds"] = new JsonArray([.. Seeds.Select(s => (JsonNode)ToJson(s))]),
        ["notes"] = new JsonArray([.. Notes.Select(n => (JsonNode)n)]),
    };

    /// <summary>The text of the file.</summary>
    public string ToText() => ToJson().ToJsonString(s_indented) + "\n";

    /// <summary>Reads a file that <see cref="ToText"/> made.</summary>
    /// <exception cref="SparselandException">SL6003: it is damaged.</exception>
    public static ReproductionResult Parse(string text, string where)
    {
        try
        {
            JsonNode json = JsonNode.Parse(text)!;
            return new ReproductionResult((string)json["id"]!, Enum.Parse<Budget>((string)json["budget"]!, ignoreCase: true),
                [.. json["seeds"]!.AsArray().Select(s => ParseSeed(s!))],
                [.. json["rules"]!.AsArray().Select(r => new RuleOutcome((string)r!["name"]!, (string)r["statement"]!, Number(r["mean"]), Number(r["low"]), Number(r["high"]), Parse((string)r["verdict"]!)))],
                Parse((string)json["verdict"]!), [.. json["notes"]!.AsArray().Select(n => (string)n!)],
                new Provenance((string)json["commit"]!, (string)json["machine"]!, (string)json["date"]!, (string)json["command"]!));
        }
        catch (Exception e) when (e is JsonException or NullReferenceException or InvalidOperationException or ArgumentException or FormatException)
        {
            throw new SparselandException("SL6003", "the file is no result of a reproduction: " + e.Message, e) { Where = where, Try = "delete it and run the reproduction again" };
        }
    }

    /// <summary>The values of one seed as JSON.</summary>
    public static JsonObject ToJson(SeedValues seed)
    {
        ArgumentNullException.ThrowIfNull(seed);
        var values = new JsonObject();
        foreach ((string name, double value) in seed.Values) values[name] = Math.Round(value, 6);
        return new JsonObject { ["seed"] = seed.Seed, ["seconds"] = Math.Round(seed.Seconds, 1), ["values"] = values };
    }

    /// <summary>Reads what <see cref="ToJson(SeedValues)"/> made.</summary>
    public static SeedValues ParseSeed(JsonNode json)
    {
        ArgumentNullException.ThrowIfNull(json);
        return new SeedValues((int)json["seed"]!, json["values"]!.AsObject().ToDictionary(v => v.Key, v => (double)v.Value!), (double)json["seconds"]!);
    }

    /// <summary>The words for a verdict.</summary>
    public static string Label(Verdict verdict) => verdict switch { Verdict.Reproduced => "reproduced", Verdict.NotReproduced => "not reproduced", _ => "inconclusive" };

    private static Verdict Parse(string label) => label switch
    {
        "reproduced" => Verdict.Reproduced,
        "not reproduced" => Verdict.NotReproduced,
        "inconclusive" => Verdict.Inconclusive,
        _ => throw new FormatException($"'{label}' is no verdict"),
    };

    private static JsonNode? Number(double value) => double.IsFinite(value) ? Math.Round(value, 6) : null;

    private static double Number(JsonNode? node) => node is null ? double.NaN : (double)node;

    /// <summary>A value as people read it.</summary>
    internal static string Text(double value) => double.IsFinite(value) ? value.ToString(Math.Abs(value) >= 100 ? "0.0" : "0.00", CultureInfo.InvariantCulture) : "-";
}
