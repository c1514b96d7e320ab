using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Services;
using Sparseland.Model.Graph;
using Sparseland.Runtime;
using Sparseland.Training.Runs;

namespace Sparseland.Cli.Reporting;

/// <summary>The report of a pruning run: summary, before and after, density by layer, scores, plan, curves, refusals, provenance.</summary>
internal static class PruneReport
{
    public static ReportDocument Make(PruneOutcome o, RunFolder run, VerbContext context)
    {
        var report = new ReportDocument($"{o.Title}: {o.Dense.Name}", $"{o.Target}. Seed {context.Settings.Seed}. {MachineInfo.Current.Describe()}");
        report.Section("Summary").Add(new TilesBlock(Tiles(o)));
        if (o.Evaluations.Count > 0)
        {
            report.Section("Accuracy", "Measured on the same held-out samples with the same engine.").Add(Charts.Bars(
                o.IsText ? "Perplexity (lower is better)" : "Top-1 accuracy", o.IsText ? "perplexity" : "top-1",
                [.. o.Evaluations.Select(e => e.Name)], [("value", [.. o.Evaluations.Select(e => o.IsText ? e.Evaluation.Perplexity : e.Evaluation.Top1)])]));
        }
        report.Section("Before and after").Add(new TableBlock(["", "before", "after"], Totals(o), [false, true, true]));
        if (o.Rows.Count > 0)
        {
            report.Section("Layers", "Kept share of every layer or group of channels.")
                .Add(Charts.Bars("Kept share by layer", "kept", [.. o.Rows.Select(r => r.Name)], [("kept", [.. o.Rows.Select(r => 1 - r.Sparsity)])]))
                .Add(new TableBlock(["layer", "kind", "before", "after", "removed", "scores", "note"],
                    [.. o.Rows.Select(r => (IReadOnlyList<string?>)[r.Name, r.Kind, r.Before, r.After, ShareText.Of(r.Sparsity), r.Scores, r.Note])],
                    [false, false, true, true, true, true, false]));
        }
        TrainingReport.AddCurves(report, run);
        if (o.Benchmark is { } bench)
        {
            report.Section("Speed", $"Same engine, same inputs, measured in turn: {bench.Verdict}.")
                .Add(Charts.Bars("Median time, batch 1", "ms", [.. bench.Rows.Select(r => r.Name)], [("ms", [.. bench.Rows.Select(r => r.Timing.Median)])]))
                .Add(new TableBlock(["variant", "median ms", "low", "high", "p99", "deviation"],
                    [.. bench.Rows.Select(r => (IReadOnlyList<string?>)[r.Name, r.Timing.Median.ToString("0.0000"), r.Timing.Interval.Low.ToString("0.0000"), r.Timing.Interval.High.ToString("0.0000"), r.Timing.Quantile(0.99).ToString("0.0000"), r.LargestDeviation?.ToString("G3")])],
                    [false, true, true, true, true, true]));
        }
        Dictionary<string, TensorData> inputs = ModelInputs.Random(o.Pruned, 1, 64, context.Settings.Seed);
        report.Section("Plan", "Which kernel each layer got, and why.").Add(new CodeBlock(new InferenceSession(o.Pruned, MachineTable.Options()).DescribePlan(inputs)));
        if (o.Refused.Count > 0) report.Section("Left alone", "What was not pruned, with the reason.").Add(new CodeBlock(string.Join('\n', o.Refused)));
        report.Section("Provenance").Add(new CodeBlock(File.ReadAllText(run.File("run.json"))));
        return report;
    }

    private static List<ReportTile> Tiles(PruneOutcome o)
    {
        var tiles = new List<ReportTile>
        {
            new("zeros or removed", ShareText.Of(1 - (double)o.After.NonZeros / Math.Max(1, o.Before.NonZeros)), $"{o.After.NonZeros:N0} of {o.Before.NonZeros:N0} parameters left"),
        };
        if (o.Saved is { } saved && o.DenseSaved is { } dense)
            tiles.Add(new("compact file", $"{(double)dense.CompactBytes / saved.CompactBytes:0.00}x smaller", $"{dense.CompactBytes / 1e6:0.000} MB to {saved.CompactBytes / 1e6:0.000} MB", saved.CompactBytes < dense.CompactBytes ? "good" : "bad"));
        if (o.Benchmark is { } bench)
            tiles.Add(new("speed, batch 1", $"{bench.SpeedUp:0.00}x", $"beside the dense twin ({bench.SpeedUpLow:0.00} to {bench.SpeedUpHigh:0.00})", bench.SpeedUpLow > 1 ? "good" : "bad"));
        if (o.Evaluations.Count > 1)
        {
            Evaluation first = o.Evaluations[0].Evaluation, last = o.Evaluations[^1].Evaluation;
            tiles.Add(o.IsText
                ? new("perplexity", last.Perplexity.ToString("0.000"), $"was {first.Perplexity:0.000}")
                : new("top-1", last.Top1.ToString("P2"), $"was {first.Top1:P2}", last.Top1 >= first.Top1 - 0.015 ? "good" : "bad"));
        }
        return tiles;
    }

    private static List<IReadOnlyList<string?>> Totals(PruneOutcome o)
    {
        var rows = new List<IReadOnlyList<string?>>
        {
            (IReadOnlyList<string?>)["parameters", o.Before.Parameters.ToString("N0"), o.After.Parameters.ToString("N0")],
            (IReadOnlyList<string?>)["non-zero parameters", o.Before.NonZeros.ToString("N0"), o.After.NonZeros.ToString("N0")],
            (IReadOnlyList<string?>)["multiply-adds that count", o.Before.EffectiveMacs.ToString("N0"), o.After.EffectiveMacs.ToString("N0")],
            (IReadOnlyList<string?>)["peak activations, bytes", o.Before.PeakActivationBytes.ToString("N0"), o.After.PeakActivationBytes.ToString("N0")],
        };
        if (o.Saved is { } saved && o.DenseSaved is { } dense)
        {
            rows.Add(["compact file, bytes", dense.CompactBytes.ToString("N0"), saved.CompactBytes.ToString("N0")]);
            rows.Add(["interchange ONNX, bytes", dense.OnnxBytes.ToString("N0"), saved.OnnxBytes.ToString("N0")]);
        }
        return rows;
    }
}
