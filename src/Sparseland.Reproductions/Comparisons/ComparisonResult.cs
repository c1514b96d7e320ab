using System.Text.Json;
using System.Text.Json.Nodes;
using Sparseland.Model;
using Sparseland.Reproductions.Results;

namespace Sparseland.Reproductions.Comparisons;

/// <summary>What was measured of a row.</summary>
/// <param name="Row">Its id.</param>
/// <param name="Seeds">The values of every seed.</param>
/// <param name="Notes">What was refused, with reasons.</param>
/// <param name="Provenance">Where it was measured: rows that are added or run anew later are of another commit than the others.</param>
/// <param name="SetUp">The <see cref="ComparisonRow.SetUp"/> that was run; null where it was not written down.</param>
public sealed record RowResult(string Row, IReadOnlyList<SeedValues> Seeds, IReadOnlyList<string> Notes, Provenance Provenance, string? SetUp = null);

/// <summary>Time of one image of a compact file beside the dense network, measured in turn.</summary>
/// <param name="Row">The row.</param>
/// <param name="Sparsity">The sparsity.</param>
/// <param name="Milliseconds">Median.</param>
/// <param name="DenseMilliseconds">Median of the dense network in the same minute.</param>
/// <param name="SpeedUp">Median of the ratios of neighbouring repetitions, above 1 where the sparse network is faster.</param>
/// <param name="Low">Lower end of the ratio's 95 % interval.</param>
/// <param name="High">Upper end.</param>
/// <param name="Sha256">Hash of the file that was timed, in hexadecimal; a time whose file has changed is dropped. Null where it was not written down.</param>
public sealed record TwinTime(string Row, double Sparsity, double Milliseconds, double DenseMilliseconds, double SpeedUp, double Low, double High, string? Sha256 = null);

/// <summary>Times of a comparison's files: taken apart from the trainings, on a machine that does nothing else.</summary>
/// <param name="Times">The times.</param>
/// <param name="Provenance">Where they were measured.</param>
public sealed record TwinTimes(IReadOnlyList<TwinTime> Times, Provenance Provenance)
{
    /// <summary>Time of the dense network relative to its fastest, above which the machine was busy with something else.</summary>
    public const double SlowMachine = 1.1;

    /// <summary>Whether the dense network, which is the same beside every file, was so slow that the machine must have been busy.</summary>
    /// <param name="time">One of <see cref="Times"/>.</param>
    public bool IsDisturbed(TwinTime time)
    {
        ArgumentNullException.ThrowIfNull(time);
        return time.DenseMilliseconds > SlowMachine * Times.Min(t => t.DenseMilliseconds);
    }

    /// <summary>The times as JSON.</summary>
    public JsonObject ToJson() => new()
    {
        ["command"] = Provenance.Command,
        ["commit"] = Provenance.Commit,
        ["machine"] = Provenance.Machine,
        ["date"] = Provenance.Date,
        ["rows"] = new JsonArray([.. Times.Select(t => (JsonNode)new JsonObject
        {
            ["row"] = t.Row, ["sparsity"] = t.Sparsity, ["ms"] = Math.Round(t.Milliseconds, 5), ["denseMs"] = Math.Round(t.DenseMilliseconds, 5),
            ["speedUp"] = Math.Round(t.SpeedUp, 4), ["low"] = Math.Round(t.Low, 4), ["high"] = Math.Round(t.High, 4), ["sha256"] = t.Sha256,
        })]),
    };

    /// <summary>Reads what <see cref="ToJson"/> made.</summary>
    public static TwinTimes Parse(JsonNode json)
    {
        ArgumentNullException.ThrowIfNull(json);
        return new TwinTimes([.. json["rows"]!.AsArray().Select(t => new TwinTime((string)t!["row"]!, (double)t["sparsity"]!, (double)t["ms"]!, (double)t["denseMs"]!, (double)t["speedUp"]!, (double)t["low"]!, (double)t["high"]!, (string?)t["sha256"]))],
            ComparisonResult.ReadProvenance(json));
    }
}

/// <summary>What came out of a comparison: one file per id, committed.</summary>
/// <param name="Id">The comparison.</param>
/// <param name="Budget">What was spent.</param>
/// <param name="Rows">The rows in the comparison's order.</param>
/// <param name="Times">Times of the files, or null while they are not measured.</param>
/// <param name="Provenance">Where it was put together; every row says where it was measured.</param>
/// <param name="PlannedSeeds">Seeds that every row was to have; null in files that do not say.</param>
public sealed record ComparisonResult(string Id, Budget Budget, IReadOnlyList<RowResult> Rows, TwinTimes? Times, Provenance Provenance, int? PlannedSeeds = null)
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The result as JSON; the same result gives the same text.</summary>
    public JsonObject ToJson() => new()
    {
        ["id"] = Id,
        ["budget"] = Budget.ToString().ToLowerInvariant(),
        ["plannedSeeds"] = PlannedSeeds,
        ["command"] = Provenance.Command,
        ["commit"] = Provenance.Commit,
        ["machine"] = Provenance.Machine,
        ["date"] = Provenance.Date,
        ["rows"] = new JsonArray([.. Rows.Select(r => (JsonNode)new JsonObject
        {
            ["row"] = r.Row,
            ["commit"] = r.Provenance.Commit,
            ["machine"] = r.Provenance.Machine,
            ["date"] = r.Provenance.Date,
            ["setUp"] = r.SetUp,
            ["seeds"] = new JsonArray([.. r.Seeds.OrderBy(s => s.Seed).Select(s => (JsonNode)ReproductionResult.ToJson(s))]),
            ["notes"] = new JsonArray([.. r.Notes.Select(n => (JsonNode)n)]),
        })]),
        ["times"] = Times?.ToJson(),
    };

    /// <summary>The text of the file.</summary>
    public string ToText() => ToJson().ToJsonString(s_indented) + "\n";

    /// <summary>Reads a file that <see cref="ToText"/> made.</summary>
    /// <exception cref="SparselandException">SL6003: it is damaged.</exception>
    public static ComparisonResult Parse(string text, string where)
    {
        try
        {
            JsonNode json = JsonNode.Parse(text)!;
            Provenance all = ReadProvenance(json);
            // Where a row says nothing, it is of the file's own commit.
            Provenance Of(JsonNode row) => new((string?)row["commit"] ?? all.Commit, (string?)row["machine"] ?? all.Machine, (string?)row["date"] ?? all.Date, all.Command);
            return new ComparisonResult((string)json["id"]!, Enum.Parse<Budget>((string)json["budget"]!, ignoreCase: true),
                [.. json["rows"]!.AsArray().Select(r => new RowResult((string)r!["row"]!, [.. r["seeds"]!.AsArray().Select(s => ReproductionResult.ParseSeed(s!))], [.. r["notes"]!.AsArray().Select(n => (string)n!)], Of(r), (string?)r["setUp"]))],
                json["times"] is { } times ? TwinTimes.Parse(times) : null, all, (int?)json["plannedSeeds"]);
        }
        catch (Exception e) when (e is JsonException or NullReferenceException or InvalidOperationException or ArgumentException or FormatException)
        {
            throw new SparselandException("SL6003", "the file is no result of a comparison: " + e.Message, e) { Where = where, Try = "delete it and run the comparison again" };
        }
    }

    internal static Provenance ReadProvenance(JsonNode json) => new((string)json["commit"]!, (string)json["machine"]!, (string)json["date"]!, (string)json["command"]!);
}
