using System.Text.Json;
using System.Text.Json.Nodes;

namespace Sparseland.Bench.Page;

/// <summary>One row of a figure's file.</summary>
/// <param name="Document">The whole file: machine, load, commit, date, command.</param>
/// <param name="Row">The row.</param>
/// <param name="Threads">Threads that were used.</param>
internal sealed record ResultRow(JsonObject Document, JsonObject Row, int Threads)
{
    /// <summary>A text of the row; empty when it has none.</summary>
    public string Text(string name) => (string?)Row[name] ?? "";

    /// <summary>A number of the row, or of an object in it ("speedUp.median"); NaN when it has none.</summary>
    public double Number(string path)
    {
        JsonNode? node = Row;
        foreach (string part in path.Split('.')) node = node is JsonObject o ? o[part] : null;
        return Median(node);
    }

    /// <summary>An end of the interval of a ratio of the row; NaN when it has none.</summary>
    /// <param name="path">The ratio, as for <see cref="Number"/>.</param>
    /// <param name="end">low or high.</param>
    public double End(string path, string end = "low") => Number(path + "." + end);

    /// <summary>The fewest repetitions of what was timed in a part of a row; int.MaxValue where none are stored.</summary>
    public static int Repetitions(JsonNode? part) => part switch
    {
        JsonObject o => o.Select(p => p.Key == "repetitions" ? (int)(double)p.Value! : Repetitions(p.Value)).DefaultIfEmpty(int.MaxValue).Min(),
        JsonArray a => a.Select(Repetitions).DefaultIfEmpty(int.MaxValue).Min(),
        _ => int.MaxValue,
    };

    /// <summary>A number, or the median of a ratio with its interval; NaN when there is none.</summary>
    public static double Median(JsonNode? node) => (double?)(node is JsonObject ratio ? ratio["median"] : node) ?? double.NaN;

    /// <summary>The variant of that name, or the first whose name begins so; null when there is none.</summary>
    public JsonObject? Variant(string name) => Variants.FirstOrDefault(v => (string?)v["name"] == name) ?? Variants.FirstOrDefault(v => ((string?)v["name"])?.StartsWith(name, StringComparison.Ordinal) == true);

    /// <summary>The variants that were timed in turn.</summary>
    public IEnumerable<JsonObject> Variants => (Row["variants"] as JsonArray ?? []).OfType<JsonObject>();

    /// <summary>The median of a variant in milliseconds; NaN when it was not measured.</summary>
    public double Median(string variant) => (double?)Variant(variant)?["medianMs"] ?? double.NaN;
}

/// <summary>The figures that are committed.</summary>
internal sealed class Results
{
    private readonly List<(string File, JsonObject Document)> _documents = [];

    /// <summary>Reads every figure in a folder.</summary>
    /// <exception cref="InvalidDataException">A file is no figure; the message names it.</exception>
    public Results(string folder)
    {
        foreach (string file in Directory.GetFiles(folder, "*.json").Order(StringComparer.Ordinal))
        {
            try
            {
                if (JsonNode.Parse(File.ReadAllText(file)) is JsonObject document && document["figure"] is not null && document["rows"] is JsonArray) _documents.Add((Path.GetFileName(file), document));
                else throw new InvalidDataException($"{file} is no figure: it has no 'figure' or no 'rows'");
            }
            catch (JsonException e)
            {
                throw new InvalidDataException($"{file} is no figure: {e.Message}", e);
            }
        }
    }

    /// <summary>All files, by name.</summary>
    public IReadOnlyList<(string File, JsonObject Document)> Documents => _documents;

    /// <summary>The rows of a figure over all its files.</summary>
    public IEnumerable<ResultRow> Rows(string figure) => _documents.Where(d => (string?)d.Document["figure"] == figure)
        .SelectMany(d => d.Document["rows"]!.AsArray().OfType<JsonObject>().Select(row => new ResultRow(d.Document, row, (int?)d.Document["machine"]?["threads"] ?? 0)));

    /// <summary>A rate that the roofline measured, for so many threads; NaN when it did not.</summary>
    public double Roof(string what, int threads) =>
        Rows("roofline").Where(r => r.Text("what").StartsWith(what, StringComparison.Ordinal) && r.Number("threads") == threads).Select(r => r.Number("median")).LastOrDefault(double.NaN);

    /// <summary>The multiply-add peak of so many threads in GFLOP/s: the widest vectors.</summary>
    public double Peak(int threads) => Rows("roofline").Where(r => r.Text("what").StartsWith("multiply-add", StringComparison.Ordinal) && r.Number("threads") == threads).Select(r => r.Number("median")).DefaultIfEmpty(double.NaN).Max();
}
