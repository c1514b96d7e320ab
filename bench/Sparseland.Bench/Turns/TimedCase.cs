using System.Globalization;
using System.Text.Json.Nodes;

namespace Sparseland.Bench.Turns;

/// <summary>One time of a figure's file.</summary>
/// <param name="Row">What tells its row from the others.</param>
/// <param name="Variant">What was timed.</param>
/// <param name="Milliseconds">The median.</param>
internal sealed record TimedCase(string Row, string Variant, double Milliseconds)
{
    /// <summary>Every time in a figure's document, in its order: whatever object of a row has a name and a median in milliseconds.</summary>
    /// <param name="document">The figure.</param>
    /// <param name="naming">Properties that name a row, as <see cref="Naming"/> found them in a document of the same command.</param>
    public static IReadOnlyList<TimedCase> Of(JsonObject document, IReadOnlyList<string> naming)
    {
        var cases = new List<TimedCase>();
        var named = new Dictionary<string, int>();
        foreach (JsonObject row in Rows(document))
        {
            string name = Name(row, naming);
            // Rows that nothing tells apart are counted.
            int same = named[name] = named.GetValueOrDefault(name) + 1;
            if (same > 1) name = string.Create(CultureInfo.InvariantCulture, $"{name} ({same})");
            // A time may stand in a row twice: as itself, and as the best of several.
            cases.AddRange(Timed(row).Select(t => new TimedCase(name, (string)t["name"]!, (double)t["medianMs"]!)).DistinctBy(c => c.Variant));
        }
        return cases;
    }

    /// <summary>The properties that tell a document's rows apart: of those before a row's times, in their order, each that divides them further. Bytes are not among them: they are what a change of a format changes.</summary>
    public static IReadOnlyList<string> Naming(JsonObject document)
    {
        JsonObject[] rows = [.. Rows(document)];
        if (rows.Length == 0) return [];
        var naming = new List<string>();
        int apart = 0;
        foreach (string property in rows[0].TakeWhile(p => p.Value is null or JsonValue).Select(p => p.Key).Where(p => p != "bytes"))
        {
            int with = rows.Select(r => Name(r, [.. naming, property])).Distinct().Count();
            // The first is kept in any case: a figure of one row has a name too.
            if (with <= apart) continue;
            apart = with;
            naming.Add(property);
            if (apart == rows.Length) break;
        }
        return naming;
    }

    private static IEnumerable<JsonObject> Rows(JsonObject document) => (document["rows"] as JsonArray ?? []).OfType<JsonObject>();

    private static string Name(JsonObject row, IReadOnlyList<string> naming) => string.Join(", ", naming.Select(n => row[n] is JsonValue value && value.TryGetValue(out string? text) ? text : string.Create(CultureInfo.InvariantCulture, $"{n} {row[n]}")));

    private static IEnumerable<JsonObject> Timed(JsonNode? node) => node switch
    {
        JsonObject o when o["name"] is JsonValue && o["medianMs"] is JsonValue => [o],
        JsonObject o => o.SelectMany(p => Timed(p.Value)),
        JsonArray a => a.SelectMany(Timed),
        _ => [],
    };
}
