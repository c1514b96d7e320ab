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

    private static readonly string[] s_identity = ["processor", "family", "model", "cores"];

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

    /// <summary>Where cores were far before and after nearly every row that records it: nanoseconds there and back, the median, in how many rows, and of how many; null elsewhere.</summary>
    /// <remarks>Then that is how the machine is, and disturbs no row more than another.</remarks>
    public (double Nanoseconds, int Far, int Rows)? FarThroughout
    {
        get
        {
            JsonObject[] rows = [.. Results.Documents.SelectMany(d => d.Document["rows"]!.AsArray().OfType<JsonObject>()).Where(r => EvenCores.WereFar(r) is not null)];
            int far = rows.Count(EvenCores.StayedFar);
            return rows.Length > 0 && far >= Throughout * rows.Length ? (new Timing("", [.. rows.SelectMany(r => r["coreRoundTripNs"]!.AsArray()).Select(n => (double)n!)]).Median, far, rows.Length) : null;
        }
    }

    /// <summary>Keeps figures of one machine out of the folder of another one that is named alike.</summary>
    /// <param name="folder">Where they are to be written; it need not be there yet.</param>
    /// <param name="machine">What measures.</param>
    /// <param name="next">How to name another folder.</param>
    /// <exception cref="VerbException">A file of the folder is of another machine.</exception>
    public static void RefuseOthers(string folder, JsonNode machine, string next)
    {
        if (!Directory.Exists(folder)) return;
        foreach ((string file, JsonObject document) in new Results(folder).Documents)
        {
            if (document["machine"] is { } other && Difference(other, machine) is { } difference) throw VerbException.Usage($"{folder} has figures of another machine: {file} is of {difference}", next);
        }
    }

    /// <summary>In what two machines differ, "model 17 and not 2"; null where they do not. Files from before generations were recorded have no family and no model.</summary>
    private static string? Difference(JsonNode machine, JsonNode other)
    {
        string[] differ = [.. s_identity.Where(n => machine[n]?.ToString() != other[n]?.ToString() && (n is not ("family" or "model") || (machine[n] is not null && other[n] is not null)))];
        return differ.Length == 0 ? null : string.Join(", ", differ.Select(n => $"{n} {machine[n]} and not {other[n]}"));
    }

    private static Results Checked(string folder)
    {
        var results = new Results(folder);
        (string File, JsonNode Machine)[] machines =
        [
            .. results.Documents.Select(d => (Path.Combine(folder, d.File), d.Document["machine"] ?? throw new InvalidDataException($"{Path.Combine(folder, d.File)} does not say of what machine it is"))),
        ];
        foreach ((string file, JsonNode machine) in machines)
        {
            // Files from before generations were recorded have no family, and a name alone.
            if (machine["family"] is not null && Name(machine) != Path.GetFileName(folder)) throw new InvalidDataException($"{file} is of another machine: it belongs into {Name(machine)}");
            // With all of them, not with the first alone: that may be an older one, without a family.
            if (machines.Select(m => Difference(machine, m.Machine)).FirstOrDefault(d => d is not null) is { } difference)
                throw new InvalidDataException($"{file} is of another machine than other files of its folder: {difference}");
        }
        return results;
    }
}
