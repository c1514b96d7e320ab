using Sparseland.Cli.Hosting;
using Sparseland.Cli.Reporting;
using Sparseland.Cli.Services;
using Sparseland.Training.Runs;
using Spectre.Console;

namespace Sparseland.Cli.Verbs;

/// <summary>The last screen of a pruning run.</summary>
internal static class PruneScreen
{
    public static void Show(VerbContext context, PruneOutcome o, RunFolder run)
    {
        var layers = new Table().Border(TableBorder.Simple).AddColumns("layer", "kind", "before", "after");
        layers.AddColumn(new TableColumn("removed").RightAligned()).AddColumn("scores removed | kept").AddColumn("note");
        foreach (PruneRow row in o.Rows)
            layers.AddRow(Markup.Escape(row.Name), row.Kind, Markup.Escape(row.Before), Markup.Escape(row.After), ShareText.Of(row.Sparsity), Markup.Escape(row.Scores), Markup.Escape(row.Note));
        context.Show(layers);
        foreach (string refused in o.Refused.Take(8)) context.Say("left alone  " + refused);
        if (o.Refused.Count > 8) context.Say($"left alone  and {o.Refused.Count - 8} more, see {run.File("plan.json")}");
        foreach (string warning in o.Warnings.Except(o.Foreseen)) context.Warn(warning);
        context.Show(Totals(o));
        if (o.Benchmark is { } bench) context.Say($"batch 1: {bench.Verdict}");
        context.Say($"report: {run.File("report.html")}");
    }

    /// <summary>Before and after in every unit, with the ratio.</summary>
    public static Table Totals(PruneOutcome o)
    {
        var table = new Table().Border(TableBorder.Rounded).AddColumn("");
        foreach (string column in (string[])["before", "after", "factor"]) table.AddColumn(new TableColumn(column).RightAligned());
        Row("parameters", o.Before.Parameters, o.After.Parameters, v => v.ToString("N0"));
        Row("non-zero parameters", o.Before.NonZeros, o.After.NonZeros, v => v.ToString("N0"));
        Row("multiply-adds that count", o.Before.EffectiveMacs, o.After.EffectiveMacs, v => (v / 1e6).ToString("N2") + " M");
        if (o.Saved is { } saved && o.DenseSaved is { } dense)
        {
            Row("compact file", dense.CompactBytes, saved.CompactBytes, v => (v / 1e6).ToString("N3") + " MB");
            Row("interchange ONNX", dense.OnnxBytes, saved.OnnxBytes, v => (v / 1e6).ToString("N3") + " MB");
        }
        if (o.Benchmark is { } bench) Row("time, batch 1, dense twin", bench.Rows[1].Timing.Median, bench.Rows[0].Timing.Median, v => v.ToString("N3") + " ms");
        foreach ((string name, Evaluation e) in o.Evaluations)
        {
            bool first = name == o.Evaluations[0].Name;
            string value = o.IsText ? e.Perplexity.ToString("0.000") : e.Top1.ToString("P2");
            table.AddRow(Markup.Escape($"{(o.IsText ? "perplexity" : "top-1")}, {name}"), first ? value : "", first ? "" : value, "");
        }
        return table;

        void Row(string name, double before, double after, Func<double, string> format) =>
            table.AddRow(name, format(before), format(after), after > 0 ? $"{before / after:0.00}x" : "");
    }
}
