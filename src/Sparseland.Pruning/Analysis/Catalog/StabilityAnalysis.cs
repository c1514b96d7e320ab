namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>How far trained networks lie apart on the weights that are kept.</summary>
public static class StabilityAnalysis
{
    /// <summary>The catalogue's entry.</summary>
    public static AnalysisInfo Info { get; } = new()
    {
        Id = "stability",
        Title = "Stability distances",
        Paper = "Frankle, Dziugaite, Roy and Carbin: Stabilizing the Lottery Ticket Hypothesis, 2019",
        Section = "section 3",
        Description = "how far apart, as distance and as angle, are two trained networks on the weights that masks keep: a ticket and its dense network (stability to pruning), or two copies on other orders of the data",
        Needs = AnalysisNeeds.OtherModel,
        Parameters = [],
        Plan = r =>
        {
            foreach ((_, var other) in r.Others) ModelPairs.RequireSameLayers(r.Model, other);
            return $"would measure the distance of {r.Name} from {string.Join(", ", r.Others.Select(o => o.Name))}";
        },
        Analyse = Analyse,
    };

    private static AnalysisResult Analyse(AnalysisRequest r)
    {
        var rows = new List<IReadOnlyList<object?>>();
        var figures = new Dictionary<string, double>();
        var series = new List<AnalysisSeries>();
        string[] layers = [];
        WeightDistance? first = null;
        foreach ((string name, Model.Graph.ModelGraph graph) in r.Others)
        {
            IReadOnlyList<WeightDistance> distances = WeightDistances.Between(r.Model, graph);
            foreach (WeightDistance d in distances) rows.Add([name, d.Name, d.Weights, d.Euclidean, d.Degrees]);
            first ??= distances[^1];
            figures[r.Others.Count == 1 ? "distance" : "distance " + name] = distances[^1].Euclidean;
            figures[r.Others.Count == 1 ? "degrees" : "degrees " + name] = distances[^1].Degrees;
            layers = [.. distances.SkipLast(1).Select(d => d.Name)];
            series.Add(new AnalysisSeries(name, [.. distances.SkipLast(1).Select((d, i) => ((double)i, d.Degrees))]));
        }
        return new AnalysisResult($"{r.Name} and {r.Others[0].Name} are {first!.Euclidean:0.0000} apart, at an angle of {first.Degrees:0.000} degrees, over {first.Weights:N0} weights")
        {
            Figures = figures,
            Tables = [new AnalysisTable("Distance by layer", [new("from"), new("layer"), new("weights", ColumnFormat.Count), new("distance", ColumnFormat.Number), new("degrees", ColumnFormat.Number)], rows)],
            Charts = [new AnalysisChart("Angle by layer", ChartKind.Bars, "degrees", "", series) { Categories = layers }],
            Notes = ["only weights that the masks of both models keep count; biases and normalisations do not"],
        };
    }
}
