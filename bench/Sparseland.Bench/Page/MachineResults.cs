using System.Text.Json.Nodes;
using Sparseland.Bench.Figures;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;

namespace Sparseland.Bench.Page;

/// <summary>The figures of one machine: a folder of <c>bench/results</c>. What two machines measured is never in one table of times, and in no median.</summary>
/// <param name="Id">The folder's name: the generation of cores without spaces, "zen5", or the processor's name where that is not known.</param>
/// <param name="Results">Its files.</param>
internal sealed record MachineResults(string Id, Results Results)
{
    private const double Throughout = 0.75;

    // Beside the machines' folders: texts, and what the walkthroughs show.
    private static readonly string[] s_others = ["notes", "stories"];

    /// <summary>The name of this machine's folder.</summary>
    public static string ThisMachine => Name(MachineInfo.Current.ToJson());

    /// <summary>The name of the folder for what a machine measured, from what figures say of it.</summary>
    public static string Name(JsonNode machine)
    {
        string called = (string?)machine["microarchitecture"] ?? (string?)machine["processor"] ?? "";
        string name = string.Concat(called.ToLowerInvariant().Where(char.IsAsciiLetterOrDigit));
        return name.Length > 0 ? name : "unknown";
    }

    /// <summary>Every machine with figures in a folder, by name.</summary>
    /// <exception cref="InvalidDataException">A file is no figure, or of another machine than its folder.</exception>
    public static IReadOnlyList<MachineResults> All(string folder) =>
    [
        .. Directory.GetDirectories(folder).Where(d => !s_others.Contains(Path.GetFileName(d))).Order(StringComparer.Ordinal)
            .Select(d => new MachineResults(Path.GetFileName(d), Checked(d))).Where(m => m.Results.Documents.Count > 0),
    ];

    /// <summary>The page with its tables, beside the one with aims.</summary>
    public string Page => $"performance-{Id}.md";

    /// <summary>Where cores were far in nearly every row that records it: nanoseconds there and back, the median, in how many rows, and of how many; null elsewhere.</summary>
    /// <remarks>Then that is how the machine is, and disturbs no row more than another.</remarks>
    public (double Nanoseconds, int Far, int Rows)? FarThroughout
    {
        get
        {
            JsonObject[] rows = [.. Results.Documents.SelectMany(d => d.Document["rows"]!.AsArray().OfType<JsonObject>()).Where(r => EvenCores.WereFar(r) is not null)];
            int far = rows.Count(r => EvenCores.WereFar(r) == true);
            return rows.Length > 0 && far >= Throughout * rows.Length ? (new Timing("", [.. rows.SelectMany(r => r["coreRoundTripNs"]!.AsArray()).Select(n => (double)n!)]).Median, far, rows.Length) : null;
        }
    }

    private static Results Checked(string folder)
    {
        var results = new Results(folder);
        JsonNode? first = results.Documents.Select(d => d.Document["machine"]).FirstOrDefault();
        foreach ((string file, JsonObject document) in results.Documents)
        {
            JsonNode machine = document["machine"] ?? throw new InvalidDataException($"{Path.Combine(folder, file)} does not say of what machine it is");
            // Files from before generations were recorded have a name alone.
            if (machine["microarchitecture"] is not null && Name(machine) != Path.GetFileName(folder)) throw new InvalidDataException($"{Path.Combine(folder, file)} is of another machine: it belongs into {Name(machine)}");
            if ((string?)machine["processor"] != (string?)first!["processor"] || (int?)machine["cores"] != (int?)first["cores"])
                throw new InvalidDataException($"{Path.Combine(folder, file)} is of another machine than the other files of its folder: {machine["processor"]}, {machine["cores"]} cores, and not {first["processor"]}, {first["cores"]} cores");
        }
        return results;
    }
}
