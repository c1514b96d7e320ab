using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Structured;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>Which groups of channels and which layers the model cannot do without.</summary>
public static class SensitivityAnalysis
{
    /// <summary>The catalogue's entry.</summary>
    public static AnalysisInfo Info { get; } = new()
    {
        Id = "sensitivity",
        Title = "Sensitivity per coupled group and per layer",
        Paper = "Li, Kadav, Durdanovic, Samet and Graf: Pruning Filters for Efficient ConvNets, ICLR 2017; Fang, Ma, Song, Mi and Wang: DepGraph: Towards Any Structural Pruning, CVPR 2023",
        Section = "section 3.2; section 3.2",
        Description = "cuts a share of one group of coupled channels, or of one layer's weights, and nothing else: how much does the loss rise? A group that cannot be cut is called frozen, not robust",
        Needs = AnalysisNeeds.LabelledData,
        Parameters =
        [
            new("share", ParameterType.Share, "0.5", "share of the units that is cut") { Min = 0.001, Max = 0.999 },
            new("what", ParameterType.Choice, "both", "groups of channels, single weights, or both") { Choices = ["both", "channels", "weights"] },
            new("norm", ParameterType.Choice, "l2", "norm by which the weakest units of a group are found") { Choices = ["l1", "l2"] },
            SharedAnalysisParameters.Limit(1000),
        ],
        Plan = r => $"would cut {r.Arguments.Number("share"):P0} of each of {Count(r)} groups and layers in turn, and evaluate each time on {r.EvaluationSamples().Count:N0} samples",
        Analyse = Analyse,
    };

    private static int Count(AnalysisRequest r)
    {
        SensitivityOptions o = Options(r);
        return (o.Channels ? DependencyGraph.Build(r.Model, r.Cancellation).Groups.Count : 0) + (o.Weights ? Layers.LayerDiscovery.Find(r.Model).Count : 0);
    }

    private static SensitivityOptions Options(AnalysisRequest r) => new()
    {
        Share = r.Arguments.Number("share"),
        Channels = r.Arguments.Choice("what") != "weights",
        Weights = r.Arguments.Choice("what") != "channels",
        Importance = new GroupImportance { Norm = r.Arguments.Choice("norm") == "l1" ? UnitNorm.L1 : UnitNorm.L2 },
        BatchSize = r.BatchSize,
        Progress = r.Progress,
    };

    private static AnalysisResult Analyse(AnalysisRequest r)
    {
        IDataset data = r.EvaluationSamples();
        SensitivityResult result = GroupSensitivity.Measure(r.Model, data, r.Normalization, Options(r), r.Cancellation);
        SensitivityRow[] cut = [.. result.Rows.Where(x => !x.IsFrozen)], frozen = [.. result.Rows.Where(x => x.IsFrozen)];
        SensitivityRow? worst = cut.MaxBy(result.LossRise), best = cut.MinBy(result.LossRise);
        bool text = data.Kind == SampleKind.Tokens;
        return new AnalysisResult(worst is null
            ? $"nothing could be cut: {frozen.Length} groups are frozen"
            : $"most sensitive: {worst.Name} ({worst.Kind}), loss {result.LossRise(worst):+0.000;-0.000} without {worst.Removed} of {worst.Units}; least: {best!.Name} ({best.Kind}), {result.LossRise(best):+0.000;-0.000}")
        {
            Figures = new Dictionary<string, double> { ["loss"] = result.Whole.Loss, [text ? "perplexity" : "top1"] = text ? result.Whole.Perplexity : result.Whole.Top1, ["measured"] = cut.Length, ["frozen"] = frozen.Length },
            Tables =
            [
                new AnalysisTable("Sensitivity", [new("group"), new("kind"), new("units", ColumnFormat.Count), new("removed", ColumnFormat.Count), new("loss rise", ColumnFormat.Number), text ? new("perplexity", ColumnFormat.Number) : new("top-1", ColumnFormat.Share), new("note")],
                    [.. result.Rows.Select(x => (IReadOnlyList<object?>)[x.Name, x.Kind, x.Units, x.IsFrozen ? null : x.Removed, result.LossRise(x), x.After is null ? null : text ? x.After.Perplexity : x.After.Top1, x.Refusal is { } why ? "frozen: " + why : ""])]),
            ],
            Charts =
            [
                new AnalysisChart("Rise of the loss by group and layer", ChartKind.Bars, "loss rise", "", [new AnalysisSeries("loss rise", [.. cut.Select((x, i) => ((double)i, result.LossRise(x)))])]) { Categories = [.. cut.Select(x => $"{x.Name} ({x.Kind})")] },
            ],
            Notes = frozen.Length > 0 ? [$"{frozen.Length} frozen groups were not measured: frozen says that they cannot be cut, not that the model can do without them"] : [],
        };
    }
}
