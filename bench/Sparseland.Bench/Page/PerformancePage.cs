using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Sparseland.Bench.Figures;

namespace Sparseland.Bench.Page;

/// <summary>docs/performance.md, made from the committed figures: what was to be reached, what was measured, what limits it, what was tried.</summary>
internal static class PerformancePage
{
    /// <summary>Writes the page.</summary>
    /// <param name="folder">The folder of figures; its subfolder notes has a text for each section.</param>
    public static string Make(string folder)
    {
        var results = new Results(folder);
        var page = new StringBuilder();
        page.Append("""
            # Performance

            <!-- made from bench/results: measure, then run: dotnet run -c Release --project bench/Sparseland.Bench -- page -->

            Every number here was measured beside its dense twin or a peer in the same run, in turn, after outputs were compared (llama.cpp's excepted, which draws
            its own weights); medians throughout, and verdicts are by medians: behind each stands how many intervals end beyond the bound, and what was not measured. A case that loses stays in its table. How it is measured, and the commands: [bench/README.md](../bench/README.md). The files with
            every interval: [bench/results](../bench/results).

            **e** (effectiveness) = speed-up x density over the fastest dense product of the same shape: 1 when a sparse kernel costs exactly what its non-zeros cost there. It breaks even at 1 - e zeros.


            """);
        Machines(results, page);
        Roofline(results, page);
        foreach (Section section in Sections.All(results))
        {
            page.Append(CultureInfo.InvariantCulture, $"## {section.Title}\n\n");
            if (section.Aims.Count > 0)
            {
                page.Append("| aim | measured | verdict |\n| --- | --- | --- |\n");
                foreach (Aim aim in section.Aims) page.Append(aim.Line()).Append('\n');
                page.Append('\n');
            }
            foreach (MarkdownTable table in section.Tables.Where(t => t.Count > 0)) page.Append(table).Append('\n');
            string notes = Path.Combine(folder, "notes", section.Id + ".md");
            if (File.Exists(notes)) page.Append(File.ReadAllText(notes).Trim()).Append("\n\n");
        }
        Files(results, page);
        return page.ToString().ReplaceLineEndings("\n").TrimEnd() + "\n";
    }

    private static void Machines(Results results, StringBuilder page)
    {
        foreach (string machine in results.Documents.Select(d => Describe(d.Document)).Distinct()) page.Append(CultureInfo.InvariantCulture, $"- {machine}\n");
        page.Append('\n');
    }

    private static string Describe(JsonObject document)
    {
        JsonNode m = document["machine"]!;
        return $"{m["processor"]}, {m["cores"]} cores, {m["simd"]} ({string.Join(", ", m["instructions"]!.AsArray().Select(i => (string)i!))}), {(double)m["memoryBytes"]! / 1e9:0.0} GB, {m["runtime"]}, {m["system"]}";
    }

    private static void Roofline(Results results, StringBuilder page)
    {
        int[] threads = [.. results.Rows("roofline").Select(r => (int)r.Number("threads")).Distinct().Order()];
        if (threads.Length == 0) return;
        var table = new MarkdownTable(["what", .. threads.Select(t => t == 1 ? "1 thread" : $"{t} threads"), ""], 1);
        bool disturbed = false;
        foreach (var group in results.Rows("roofline").GroupBy(r => r.Text("what")))
        {
            table.Add([group.Key, .. threads.Select(t => group.Where(r => r.Number("threads") == t).Select(Cell).LastOrDefault("")), group.First().Text("unit")]);
            string Cell(ResultRow r)
            {
                // A file from before shares of processors were counted has none.
                bool unknown = double.IsNaN(r.Number("processorShare")), busy = unknown || r.Number("processorShare") < RooflineFigure.EnoughShare;
                disturbed |= busy;
                return $"{r.Number("median"):0.0}{(busy ? " ‡" : "")}";
            }
        }
        page.Append("## What the machine can do\n\nMultiply-adds from registers alone, and bytes that a loop of vector loads reads in four streams a thread, from pages of 2 MiB (the same loop as in section 4). Shares of peak below are of these.");
        if (disturbed) page.Append(" ‡ Beside other work, or not known to be alone: the machine can do more.");
        page.Append("\n\n").Append(table).Append('\n');
    }

    private static void Files(Results results, StringBuilder page)
    {
        var table = new MarkdownTable(["file", "figure", "threads", "rows", "uneven cores", "commit", "date", "load"], 2);
        foreach ((string file, JsonObject d) in results.Documents)
            table.Add([$"[{file}](../bench/results/{file})", (string)d["figure"]!, $"{d["machine"]?["threads"]}", $"{d["rows"]!.AsArray().Count}", Uneven(d), (string?)d["commit"] ?? "", ((string?)d["date"] ?? "")[..Math.Min(10, ((string?)d["date"] ?? "").Length)], $"{d["load"]}"]);
        page.Append("## Files\n\nThe load is the system's when the figure ended; its own run counts in it. Uneven cores: rows with several threads for which near and equally fast cores were waited for in vain, of those that record it.\n\n").Append(table).Append('\n');
    }

    private static string Uneven(JsonObject document)
    {
        bool[] known = [.. document["rows"]!.AsArray().OfType<JsonObject>().Select(EvenCores.WereUneven).OfType<bool>()];
        return known.Length == 0 ? "" : $"{known.Count(u => u)} of {known.Length}";
    }
}

/// <summary>A section of the page: aims, tables, and the id of its notes.</summary>
internal sealed record Section(string Id, string Title, IReadOnlyList<Aim> Aims, IReadOnlyList<MarkdownTable> Tables);

/// <summary>A table in Markdown.</summary>
/// <param name="columns">Headings.</param>
/// <param name="left">So many columns are left-aligned, the others right-aligned.</param>
internal sealed class MarkdownTable(string[] columns, int left)
{
    private const int Enough = 30;

    private readonly List<string[]> _rows = [];
    private readonly List<int> _repetitions = [];

    /// <summary>Number of rows.</summary>
    public int Count => _rows.Count;

    /// <summary>A line above the table.</summary>
    public string Caption { get; init; } = "";

    /// <summary>Adds a row.</summary>
    /// <param name="cells">Its cells.</param>
    /// <param name="measured">What of a figure's row it shows: a row of fewer than 30 repetitions gets a mark.</param>
    public void Add(string[] cells, JsonNode? measured = null)
    {
        int repetitions = ResultRow.Repetitions(measured);
        if (repetitions < int.MaxValue) _repetitions.Add(repetitions);
        _rows.Add(repetitions < Enough ? [cells[0] + " †", .. cells[1..]] : cells);
    }

    public override string ToString()
    {
        var text = new StringBuilder();
        int few = _repetitions.Count(r => r < Enough);
        string counted = _repetitions.Count == 0 ? "" : $" At least {_repetitions.Min()} repetitions{(few > 0 ? $"; † fewer than {Enough}: {few} of {_repetitions.Count} rows" : "")}.";
        if (Caption.Length > 0) text.Append(Caption).Append(counted).Append("\n\n");
        text.Append("| ").AppendJoin(" | ", columns).Append(" |\n| ").AppendJoin(" | ", columns.Select((_, i) => i < left ? "---" : "---:")).Append(" |\n");
        foreach (string[] row in _rows) text.Append("| ").AppendJoin(" | ", row).Append(" |\n");
        return text.ToString();
    }
}
