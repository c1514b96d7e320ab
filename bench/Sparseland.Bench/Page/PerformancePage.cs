using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Sparseland.Bench.Figures;

namespace Sparseland.Bench.Page;

/// <summary>docs/performance.md, made from the committed figures: what was to be reached and what each machine reached, what limits it, what was tried; and a page of tables for each machine.</summary>
internal static class PerformancePage
{
    private const string Made = "<!-- made from bench/results: measure, then run: dotnet run -c Release --project bench/Sparseland.Bench -- page -->";

    /// <summary>Writes the pages.</summary>
    /// <param name="folder">The folder of figures: a subfolder for each machine; its subfolder notes has a text for each section.</param>
    /// <returns>Their file names and texts, the one with the aims first.</returns>
    public static IReadOnlyList<(string File, string Text)> Make(string folder)
    {
        (MachineResults Machine, IReadOnlyList<Section> Sections)[] machines = [.. MachineResults.All(folder).Select(m => (m, Sections.All(m.Results)))];
        return [("performance.md", Overview(machines, folder)), .. machines.Select(m => (m.Machine.Page, Tables(m.Machine, m.Sections)))];
    }

    private static string Overview((MachineResults Machine, IReadOnlyList<Section> Sections)[] machines, string folder)
    {
        var page = new StringBuilder();
        page.Append(CultureInfo.InvariantCulture, $"""
            # Performance

            {Made}

            Every number here was measured beside its dense twin or a peer in the same run, in turn, after outputs were compared with the twin's or the peer's (llama.cpp's excepted, which draws
            its own weights; what the machine can do, bytes and times to load, and what a method takes once, have no twin{NotCompared(machines)}); medians throughout, and verdicts are by medians: behind each stands how many intervals end beyond the bound, and what was not measured. A case that loses stays in its table. How it is measured, and the commands: [bench/README.md](../bench/README.md). The files with
            every interval: [bench/results](../bench/results), a folder for each machine. A row of one machine is never in a median of another.

            **e** (effectiveness) = speed-up x density over the fastest dense product of the same shape: 1 when a sparse kernel costs exactly what its non-zeros cost there. It breaks even at 1 - e zeros.


            """);
        foreach ((MachineResults machine, _) in machines) page.Append(CultureInfo.InvariantCulture, $"- [{machine.Id}]({machine.Page}), all its tables: {string.Join("; ", Descriptions(machine.Results))}\n");
        page.Append("\n## Aims\n\n| aim |").Append(string.Concat(machines.Select(m => $" [{m.Machine.Id}]({m.Machine.Page}) |"))).Append("\n| --- |").Append(string.Concat(machines.Select(_ => " --- |"))).Append('\n');
        IReadOnlyList<Section> sections = machines.Length > 0 ? machines[0].Sections : [];
        for (int s = 0; s < sections.Count; s++)
        {
            if (sections[s].Aims.Count == 0) continue;
            page.Append(CultureInfo.InvariantCulture, $"| **{sections[s].Title}** |").Append(string.Concat(machines.Select(_ => " |"))).Append('\n');
            for (int a = 0; a < sections[s].Aims.Count; a++)
                page.Append(CultureInfo.InvariantCulture, $"| {sections[s].Aims[a].Text} |").Append(string.Concat(machines.Select(m => $" {m.Sections[s].Aims[a].Cell()} |"))).Append('\n');
        }
        page.Append('\n');
        foreach (Section section in sections)
        {
            string notes = Path.Combine(folder, "notes", section.Id + ".md");
            if (File.Exists(notes)) page.Append(CultureInfo.InvariantCulture, $"## {section.Title}\n\n").Append(File.ReadAllText(notes).Trim()).Append("\n\n");
        }
        return Finished(page);
    }

    private static readonly string[] s_comparedSince = ["scaling", "pruning-overhead"];

    /// <summary>Two figures have not always compared outputs: what of them has no mark is from before.</summary>
    private static string NotCompared((MachineResults Machine, IReadOnlyList<Section> Sections)[] machines)
    {
        string[] figures = [.. s_comparedSince.Where(f => machines.Any(m => m.Machine.Results.Rows(f).Any(r => !r.Row.ContainsKey("outputsCompared") && !r.Row.ContainsKey("once"))))];
        return figures.Length == 0 ? "" : $"; rows of {string.Join(" and ", figures.Select(f => $"`{f}`"))} that do not say `outputsCompared` in their file are from before it did so";
    }

    private static string Tables(MachineResults machine, IReadOnlyList<Section> sections)
    {
        var page = new StringBuilder();
        page.Append(CultureInfo.InvariantCulture, $"""
            # Performance: {machine.Id}

            {Made}

            What one machine measured, all of it. What was to be reached, what limits it and what was tried: [performance](performance.md).


            """);
        foreach (string description in Descriptions(machine.Results)) page.Append(CultureInfo.InvariantCulture, $"- {description}\n");
        page.Append('\n');
        Roofline(machine.Results, page);
        foreach (Section section in sections.Where(s => s.Tables.Any(t => t.Count > 0)))
        {
            page.Append(CultureInfo.InvariantCulture, $"## {section.Title}\n\n");
            foreach (MarkdownTable table in section.Tables.Where(t => t.Count > 0)) page.Append(table).Append('\n');
        }
        Files(machine, page);
        return Finished(page);
    }

    private static string Finished(StringBuilder page) => page.ToString().ReplaceLineEndings("\n").TrimEnd() + "\n";

    private static IEnumerable<string> Descriptions(Results results) => results.Documents.Select(d => Describe(d.Document)).Distinct();

    private static string Describe(JsonObject document)
    {
        JsonNode m = document["machine"]!;
        // Not every processor tells its numbers and caches, and older files have none.
        string numbers = m["microarchitecture"] is { } generation ? $", {generation}" : "";
        if ((int?)m["family"] is > 0 and int family) numbers += $", family {family}";
        if ((int?)m["model"] is > 0 and int model) numbers += $", model {model}";
        if (Kilobytes("l1") > 0 && Kilobytes("l2") > 0) numbers += $", caches {Kilobytes("l1")} and {Kilobytes("l2")} KB";
        return $"{m["processor"]}{numbers}, {m["cores"]} cores, {m["simd"]} ({string.Join(", ", m["instructions"]!.AsArray().Select(i => (string)i!))}), {(double)m["memoryBytes"]! / 1e9:0.0} GB, {m["runtime"]}, {m["system"]}";
        double Kilobytes(string level) => (double?)m["cacheBytes"]?[level] / 1024 ?? 0;
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

    private static void Files(MachineResults machine, StringBuilder page)
    {
        (double Nanoseconds, int Far, int Rows)? far = machine.FarThroughout;
        var table = new MarkdownTable(["file", "figure", "threads", "rows", "uneven cores", "commit", "date", "load"], 2);
        foreach ((string file, JsonObject d) in machine.Results.Documents)
        {
            table.Add([$"[{file}](../bench/results/{machine.Id}/{file})", (string)d["figure"]!, $"{d["machine"]?["threads"]}", $"{d["rows"]!.AsArray().Count}", Uneven(d, far is not null), Commit(d),
                ((string?)d["date"] ?? "")[..Math.Min(10, ((string?)d["date"] ?? "").Length)], $"{d["load"]}"]);
        }
        page.Append("## Files\n\nThe load is the system's when the figure ended; its own run counts in it. ");
        page.Append(far is { } always
            ? $"The cores of this machine were far from each other in {always.Far} of {always.Rows} rows that record it (a cache line takes {always.Nanoseconds:0} ns there and back, the median): that is how it is, and what two threads exchange is slow in every engine. Uneven cores: rows with several threads for which equally fast cores were waited for in vain, or whose cores were near at one end and far at the other, of those that record it."
            : "Uneven cores: rows with several threads for which near and equally fast cores were waited for in vain, of those that record it.");
        page.Append("\n\n").Append(table).Append('\n');
        string[] remarks = [.. machine.Results.Documents.Select(d => (string?)d.Document["commit"] ?? "").Distinct().Order(StringComparer.Ordinal).Select(c => Provenance.Remark(c) is { } why ? $"{c}: {why}." : "").Where(r => r.Length > 0)];
        if (remarks.Length > 0) page.Append(CultureInfo.InvariantCulture, $"¶ The code of these files cannot be had again exactly. {string.Join(' ', remarks)}\n");
    }

    private static string Commit(JsonObject document)
    {
        string named = (string?)document["commit"] ?? "";
        return Provenance.Remark(named) is null ? named : named + " ¶";
    }

    private static string Uneven(JsonObject document, bool farThroughout)
    {
        JsonObject[] known = [.. document["rows"]!.AsArray().OfType<JsonObject>().Where(r => EvenCores.WereFar(r) is not null)];
        return known.Length == 0 ? "" : $"{known.Count(r => EvenCores.WereUnlike(r) || (EvenCores.WereFar(r) == true && !(farThroughout && EvenCores.StayedFar(r))))} of {known.Length}";
    }
}
