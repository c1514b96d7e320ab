namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>What the masks of several runs have in common.</summary>
public static class OverlapAnalysis
{
    /// <summary>The catalogue's entry.</summary>
    public static AnalysisInfo Info { get; } = new()
    {
        Id = "overlap",
        Title = "Mask overlap between runs",
        Paper = "Jaiswal, Liu, Chen and Wang: The Emergence of Essential Sparsity in Large Pre-trained Models: The Weights that Matter, NeurIPS 2023",
        Section = "section 4",
        Description = "which share of the kept (and of the removed) weights do two prunings have in common, and how much would it be by chance?",
        Needs = AnalysisNeeds.OtherModel,
        Parameters = [],
        Plan = r =>
        {
            foreach ((_, var other) in r.Others) ModelPairs.RequireSameLayers(r.Model, other);
            return $"would compare the masks of {r.Name} with those of {string.Join(", ", r.Others.Select(o => o.Name))}";
        },
        Analyse = Analyse,
    };

    private static AnalysisResult Analyse(AnalysisRequest r)
    {
        var rows = new List<IReadOnlyList<object?>>();
        var figures = new Dictionary<string, double>();
        var series = new List<AnalysisSeries>();
        MaskOverlap? first = null;
        string[] layers = [];
        foreach ((string name, Model.Graph.ModelGraph graph) in r.Others)
        {
            IReadOnlyList<MaskOverlap> overlaps = MaskOverlap.Between(r.Model, graph);
            foreach (MaskOverlap o in overlaps) rows.Add([name, o.Name, o.Weights, o.KeptA, o.KeptB, o.KeptShare, o.KeptShareByChance, o.RemovedShare]);
            MaskOverlap total = overlaps[^1];
            first ??= total;
            figures[r.Others.Count == 1 ? "kept" : "kept " + name] = total.KeptShare;
            figures[r.Others.Count == 1 ? "removed" : "removed " + name] = total.RemovedShare;
            figures[r.Others.Count == 1 ? "by chance" : "by chance " + name] = total.KeptShareByChance;
            layers = [.. overlaps.SkipLast(1).Select(o => o.Name)];
            series.Add(new AnalysisSeries(name, [.. overlaps.SkipLast(1).Select((o, i) => ((double)i, o.KeptShare))]));
        }
        return new AnalysisResult($"{r.Name} and {r.Others[0].Name} keep {first!.KeptShare:P1} in common of what either keeps ({first.KeptShareByChance:P1} by chance); of what either removes {first.RemovedShare:P1}")
        {
            Figures = figures,
            Tables = [new AnalysisTable("Overlap by layer", [new("with"), new("layer"), new("weights", ColumnFormat.Count), new("kept", ColumnFormat.Count), new("kept by the other", ColumnFormat.Count), new("kept in common", ColumnFormat.Share), new("by chance", ColumnFormat.Share), new("removed in common", ColumnFormat.Share)], rows)],
            Charts = [new AnalysisChart("Kept in common by layer", ChartKind.Bars, "share of what either keeps", "", series) { Categories = layers }],
            Notes = first.KeptA == first.Weights || first.KeptB == first.Weights ? ["a model that is dense keeps everything: the overlap with it is the other one's density"] : [],
        };
    }
}
