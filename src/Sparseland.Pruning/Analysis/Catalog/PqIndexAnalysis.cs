using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>How compressible the remaining weights still are.</summary>
public static class PqIndexAnalysis
{
    /// <summary>The catalogue's entry.</summary>
    public static AnalysisInfo Info { get; } = new()
    {
        Id = "pq-index",
        Title = "PQ index",
        Paper = "Diao, Wang, Zhang, Yang, Ding and Tarokh: Pruning Deep Neural Networks from a Sparsity Perspective, ICLR 2023",
        Section = "definition 1, theorem 2, algorithm 1",
        Description = "a ratio of norms says how unequal the remaining weights are, how many must stay by its bound, and how many a round of adaptive pruning would remove",
        Needs = AnalysisNeeds.None,
        Parameters =
        [
            new("p", ParameterType.Number, "0.5", "the smaller exponent") { Min = 0.01, Max = 100 },
            new("q", ParameterType.Number, "1", "the larger exponent") { Min = 0.02, Max = 200 },
            new("eta", ParameterType.Number, "0", "share of the p-norm that removed weights may have") { Min = 0, Max = 1000 },
            new("gamma", ParameterType.Number, "1", "speed of the adaptive rule") { Min = 0, Max = 1000 },
            new("beta", ParameterType.Share, "0.9", "largest share that a round removes") { Min = 0, Max = 0.999 },
        ],
        Plan = r =>
        {
            Check(r.Arguments);
            return $"would compute the index of {LayerDiscovery.Find(r.Model).Count} layers";
        },
        Analyse = Analyse,
    };

    private static void Check(MethodArguments a)
    {
        if (a.Number("p") >= a.Number("q")) throw new PruningException("SL4002", $"p is {a.Number("p"):G}, q is {a.Number("q"):G}: p must be the smaller one") { Try = "p=0.5 and q=1, or p=1 and q=2" };
    }

    private static AnalysisResult Analyse(AnalysisRequest r)
    {
        MethodArguments a = r.Arguments;
        Check(a);
        double p = a.Number("p"), q = a.Number("q");
        IReadOnlyList<PrunableLayer> layers = new LayerPolicy().Apply(LayerDiscovery.Find(r.Model)).Layers;
        if (layers.Count == 0) throw new PruningException("SL4006", "the model has no layer whose weights could be pruned");
        var rows = new List<IReadOnlyList<object?>>();
        var all = new List<float>();
        var alive = new List<bool>();
        var bars = new List<(double, double)>();
        foreach (PrunableLayer layer in layers)
        {
            r.Cancellation.ThrowIfCancellationRequested();
            float[] values = r.Model.Weights[layer.Name].Read().ToSingles();
            bool[] kept = (r.Model.Weights[layer.Name].Mask ?? Mask.FromNonZeros(layer.Shape.ToArray(), values)).ToFlags();
            all.AddRange(values);
            alive.AddRange(kept);
            bars.Add((bars.Count, Row(layer.Name, values, kept)));
        }
        double index = Row("all layers", [.. all], [.. alive]);
        PqStep total = PqIndex.Step([.. all], p, q, [.. alive], a.Number("eta"), a.Number("gamma"), a.Number("beta"));
        return new AnalysisResult($"index {index:0.000000} over {total.Alive:N0} remaining weights; the bound keeps {total.Retain:N0}, a round would remove {total.Remove:N0} ({Share(total.Remove, total.Alive):P1})")
        {
            Figures = new Dictionary<string, double> { ["index"] = index, ["alive"] = total.Alive, ["retain"] = total.Retain, ["remove"] = total.Remove },
            Tables = [new AnalysisTable("PQ index by layer", [new("layer"), new("remaining", ColumnFormat.Count), new("index", ColumnFormat.Number), new("largest possible", ColumnFormat.Number), new("bound keeps", ColumnFormat.Count), new("round removes", ColumnFormat.Count), new("share", ColumnFormat.Share)], rows)],
            Charts = [new AnalysisChart($"PQ index by layer, p = {p:G}, q = {q:G}", ChartKind.Bars, "index", "", [new AnalysisSeries("index", bars)]) { Categories = [.. layers.Select(l => l.Name)] }],
            Notes = ["weights that are removed do not count; weight decay changes the index a lot, so compare models of one recipe"],
        };

        double Row(string name, float[] values, bool[] kept)
        {
            PqStep step = PqIndex.Step(values, p, q, kept, a.Number("eta"), a.Number("gamma"), a.Number("beta"));
            rows.Add([name, step.Alive, step.Index, PqIndex.Maximum(step.Alive, p, q), step.Retain, step.Remove, Share(step.Remove, step.Alive)]);
            return step.Index;
        }
    }

    private static double Share(long part, long whole) => whole == 0 ? 0 : (double)part / whole;
}
