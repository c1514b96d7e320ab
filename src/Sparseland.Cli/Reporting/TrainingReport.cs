using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Training.Runs;

namespace Sparseland.Cli.Reporting;

/// <summary>The part of a report that shows how a training went, read from the run's <c>metrics.jsonl</c>.</summary>
internal static class TrainingReport
{
    /// <summary>Adds the final figures and the curves of every phase.</summary>
    public static void Add(ReportDocument report, RunFolder run, Evaluation final, bool text)
    {
        report.Section("Result").Add(new TilesBlock(text
            ? [new ReportTile("perplexity", final.Perplexity.ToString("0.000"), $"{final.Scored} tokens"), new ReportTile("bits per byte", final.BitsPerByte?.ToString("0.000") ?? "-", "held-out text")]
            : [new ReportTile("top-1", final.Top1.ToString("P2"), $"{final.Samples} samples"), new ReportTile("top-5", final.Top5.ToString("P2"), ""), new ReportTile("loss", final.Loss.ToString("0.000"), "cross-entropy")]));
        AddCurves(report, run);
    }

    /// <summary>Adds loss and accuracy over the steps of every phase; nothing when no metrics were written.</summary>
    public static void AddCurves(ReportDocument report, RunFolder run)
    {
        var loss = new OrderedDictionary<string, List<(double, double)>>(StringComparer.Ordinal);
        var accuracy = new OrderedDictionary<string, List<(double, double)>>(StringComparer.Ordinal);
        foreach (string line in ReadShared(run.File("metrics.jsonl")))
        {
            JsonNode? entry = JsonNode.Parse(line);
            if (entry?["step"] is not { } step || entry["phase"]?.GetValue<string>() is not { } phase) continue;
            if (entry["loss"] is { } l) Of(loss, phase).Add(((double)step, (double)l));
            if (entry["top1"] is { } t) Of(accuracy, phase).Add(((double)step, (double)t));
        }
        if (loss.Count == 0) return;
        ReportSection section = report.Section("Training", "Smoothed training loss, and accuracy on data that was not trained on.");
        section.Add(Charts.Lines("Loss by step", "step", "loss", [.. loss.Select(s => (s.Key, (IReadOnlyList<(double X, double Y)>)s.Value))]));
        if (accuracy.Count > 0) section.Add(Charts.Lines("Top-1 by step", "step", "top-1", [.. accuracy.Select(s => (s.Key, (IReadOnlyList<(double X, double Y)>)s.Value))]));
    }

    private static List<(double, double)> Of(OrderedDictionary<string, List<(double, double)>> series, string name)
    {
        if (!series.TryGetValue(name, out List<(double, double)>? list)) series[name] = list = [];
        return list;
    }

    private static IEnumerable<string> ReadShared(string path)
    {
        // The run still holds the file open for appending.
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var reader = new StreamReader(stream);
        while (reader.ReadLine() is { } line) yield return line;
    }
}
