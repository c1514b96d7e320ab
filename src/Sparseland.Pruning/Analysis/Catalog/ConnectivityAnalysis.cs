using Sparseland.Model.Graph;
using Sparseland.Pruning.Catalog;
using Sparseland.Training;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>Whether two given networks lie in one valley.</summary>
public static class ConnectivityAnalysis
{
    private static readonly MethodParameter s_points = new("points", ParameterType.Integer, "11", "points on the line, both ends included") { Min = 2, Max = 1001 };
    private static readonly MethodParameter s_norms = new("norms", ParameterType.Switch, "true", "whether statistics of batch normalisations are measured again at every point; without it barriers appear that are not there");

    /// <summary>The catalogue's entry.</summary>
    public static AnalysisInfo Info { get; } = new()
    {
        Id = "connectivity",
        Title = "Linear mode connectivity",
        Paper = "Zhou, Yang, Chang and Mahoney: A Three-regime Model of Network Pruning, ICML 2023; Kornblith, Norouzi, Lee and Hinton: Similarity of Neural Network Representations Revisited, ICML 2019",
        Section = "section 2; section 3, equation 4",
        Description = "training error on the straight line between two networks of one mask: is there a barrier? And how alike are their outputs (CKA)?",
        Needs = AnalysisNeeds.LabelledData | AnalysisNeeds.TrainingData | AnalysisNeeds.OtherModel,
        Parameters = PathParameters,
        Plan = r =>
        {
            foreach ((_, ModelGraph other) in r.Others) ModeConnectivity.Interpolate(r.Model, other, 0);
            return $"would measure {r.Arguments.Int("points")} points between {r.Name} and each of {r.Others.Count} other models on {r.TrainingSamples().Count:N0} training samples";
        },
        Analyse = r => Report(r, [(r.Name, r.Model), .. r.Others], firstWithOthers: true),
    };

    internal static IReadOnlyList<MethodParameter> PathParameters => [s_points, s_norms, SharedAnalysisParameters.Limit(2000, "training samples that are looked at")];

    internal static ConnectivityOptions Options(AnalysisRequest r) => new() { Points = r.Arguments.Int("points"), ReestimatesNorms = r.Arguments.Switch("norms"), BatchSize = r.BatchSize };

    /// <summary>Paths between models as a result: the first with each other one, or all pairs.</summary>
    internal static AnalysisResult Report(AnalysisRequest r, IReadOnlyList<(string Name, ModelGraph Graph)> models, bool firstWithOthers)
    {
        IDataset data = r.TrainingSamples();
        (int A, int B)[] pairs = [.. Enumerable.Range(0, models.Count).SelectMany(a => Enumerable.Range(a + 1, models.Count - a - 1).Select(b => (a, b))).Where(p => !firstWithOthers || p.a == 0)];
        NetworkOutputs[] outputs = [.. models.Select(m =>
        {
            NetworkOutputs o = NetworkOutputs.Collect(new TrainableModel(m.Graph), data, r.Normalization, r.BatchSize, cancellation: r.Cancellation);
            Similarity.Softmax(o.Values, o.Width);
            return o;
        })];
        ConnectivityOptions options = Options(r);
        var rows = new List<IReadOnlyList<object?>>();
        var paths = new List<(string Name, ConnectivityPath Path, double Cka, double Agreement)>();
        foreach ((int a, int b) in pairs)
        {
            string name = $"{models[a].Name} - {models[b].Name}";
            int before = paths.Count;
            var progress = new Step(p => r.Progress?.Report(new AnalysisProgress(before * options.Points + p.Done, pairs.Length * options.Points, name)));
            ConnectivityPath path = ModeConnectivity.Measure(models[a].Graph, models[b].Graph, data, r.Normalization, options with { Progress = progress }, r.Cancellation);
            double cka = Similarity.LinearCka(outputs[a].Values, outputs[b].Values, outputs[a].Rows);
            paths.Add((name, path, cka, Similarity.Agreement(outputs[a].Values, outputs[b].Values, outputs[a].Width)));
            rows.Add([name, path.Lmc, path.Positions[path.Extreme], (path.Errors[0] + path.Errors[^1]) / 2, path.Errors[path.Extreme], cka, paths[^1].Agreement, "regime " + Regimes.Name(Regimes.Classify(path.Lmc, cka))]);
        }
        double lmc = paths.Average(p => p.Path.Lmc), similarity = paths.Average(p => p.Cka);
        return new AnalysisResult($"LMC {lmc:0.0000} ({(lmc <= Regimes.ConnectedAbove ? "a barrier" : lmc > -Regimes.ConnectedAbove ? "a valley between them" : "connected")}), CKA {similarity:0.000}: regime {Regimes.Name(Regimes.Classify(lmc, similarity))}")
        {
            Figures = new Dictionary<string, double> { ["lmc"] = lmc, ["cka"] = similarity, ["agreement"] = paths.Average(p => p.Agreement) },
            Tables = [new AnalysisTable("Paths", [new("between"), new("lmc", ColumnFormat.Number), new("extreme at", ColumnFormat.Number), new("error at the ends", ColumnFormat.Share), new("error at the extreme", ColumnFormat.Share), new("cka", ColumnFormat.Number), new("same class", ColumnFormat.Share), new("regime")], rows)],
            Charts =
            [
                new AnalysisChart("Training error on the line", ChartKind.Lines, "t", "error", [.. paths.Select(p => new AnalysisSeries(p.Name, [.. p.Path.Positions.Zip(p.Path.Errors, (x, y) => (x, y))]))]),
                new AnalysisChart("Training loss on the line", ChartKind.Lines, "t", "loss", [.. paths.Select(p => new AnalysisSeries(p.Name, [.. p.Path.Positions.Zip(p.Path.Losses, (x, y) => (x, y))]))]),
            ],
            Notes = options.ReestimatesNorms ? [] : ["statistics of batch normalisations were not measured again: barriers may be theirs"],
        };
    }

    private sealed class Step(Action<(int Done, int Total)> action) : IProgress<(int Done, int Total)>
    {
        public void Report((int Done, int Total) value) => action(value);
    }
}
