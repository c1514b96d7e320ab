using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Layers;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>How much one-shot pruning may take before quality falls off.</summary>
public static class EssentialSparsityAnalysis
{
    /// <summary>The catalogue's entry.</summary>
    public static AnalysisInfo Info { get; } = new()
    {
        Id = "essential-sparsity",
        Title = "Essential sparsity",
        Paper = "Jaiswal, Liu, Chen and Wang: The Emergence of Essential Sparsity in Large Pre-trained Models: The Weights that Matter, NeurIPS 2023",
        Section = "sections 3.1 and 3.2",
        Description = "prunes a trained model in one shot to rising sparsities: up to where does quality hold, and where does it fall off?",
        Needs = AnalysisNeeds.LabelledData,
        Parameters =
        [
            new("step", ParameterType.Share, "0.05", "distance of the sparsities, from 0 on") { Min = 0.005, Max = 0.5 },
            new("until", ParameterType.Share, "0.95", "highest sparsity") { Min = 0.01, Max = 0.995 },
            new("tolerance", ParameterType.Share, "0.01", "loss of quality that counts as none") { Min = 0, Max = 1 },
            new("relative", ParameterType.Switch, "true", "whether the tolerance is a share of the dense quality, or points"),
            new("controls", ParameterType.Text, "random", "what magnitude is compared with: random, random-erk, uniform with commas, or none"),
            new("patterns", ParameterType.Text, "none", "N:M patterns that are tried as well, for example 1:2,2:4,4:8, or none"),
            new("head", ParameterType.Choice, "auto", "whether the last layer is pruned: auto leaves it dense for text, as the paper does") { Choices = ["auto", "prune", "keep"] },
            new("small", ParameterType.Number, "0", "also counts the weights with a magnitude below this; 0 = does not") { Min = 0, Max = 1e9 },
            SharedAnalysisParameters.Limit(2000),
        ],
        Plan = r =>
        {
            int runs = Controls(r).Length * Levels(r).Length + Patterns(r).Length;
            return $"would prune to {Levels(r).Length} sparsities in {Controls(r).Length} ways, and evaluate {runs} models on {r.EvaluationSamples().Count:N0} samples";
        },
        Analyse = Analyse,
    };

    private static double[] Levels(AnalysisRequest r)
    {
        double step = r.Arguments.Number("step"), until = r.Arguments.Number("until");
        return [.. Enumerable.Range(0, (int)Math.Floor(until / step + 1e-9) + 1).Select(i => Math.Round(i * step, 10))];
    }

    private static string[] Controls(AnalysisRequest r)
    {
        string[] ways = [.. r.Arguments.Text("controls").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Where(w => w is not ("magnitude" or "none"))];
        if (Array.Find(ways, w => w is not ("random" or "random-erk" or "uniform")) is { } wrong) throw new PruningException("SL4002", $"'controls: {wrong}': expected random, random-erk or uniform");
        return ["magnitude", .. ways];
    }

    private static SparsityPattern[] Patterns(AnalysisRequest r)
    {
        var patterns = new List<SparsityPattern>();
        foreach (string text in r.Arguments.Text("patterns").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (text == "none") continue;
            string[] halves = text.Split(':');
            if (halves.Length != 2 || !int.TryParse(halves[0], out int n) || !int.TryParse(halves[1], out int m) || n < 1 || m <= n) throw new PruningException("SL4002", $"'patterns: {text}': expected N:M such as 2:4");
            patterns.Add(SparsityPattern.NofM(n, m));
        }
        return [.. patterns];
    }

    private static AnalysisResult Analyse(AnalysisRequest r)
    {
        IDataset data = r.EvaluationSamples();
        bool text = data.Kind == SampleKind.Tokens, keepsHead = r.Arguments.Choice("head") switch { "keep" => true, "prune" => false, _ => text };
        var settings = new PruningSettings { Policy = new LayerPolicy { Last = !keepsHead }, Seed = r.Seed };
        double[] levels = Levels(r);
        string[] ways = Controls(r);
        SparsityPattern[] patterns = Patterns(r);
        double total = ways.Length * levels.Length + patterns.Length, done = 0;
        var curves = new List<SparsityCurve>();
        // The dense model itself, at 0 %: where its loss is no number the sweep would be long and mean nothing.
        Evaluation dense = NetworkOutputs.EvaluateWhole(r.Model, data, r.Normalization, r.BatchSize, r.Cancellation);
        foreach (string way in ways)
        {
            double[] qualities = new double[levels.Length];
            for (int i = 0; i < levels.Length; i++)
            {
                r.Progress?.Report(new AnalysisProgress(done++, total, $"{way}, {levels[i]:P1}"));
                Evaluation e = levels[i] == 0 ? dense : Try(EssentialSparsity.Prune(r.Model, settings with { Sparsity = levels[i] }, way));
                qualities[i] = SharedAnalysisParameters.Quality(e, data);
            }
            curves.Add(new SparsityCurve(way, levels, qualities));
        }
        var points = new List<IReadOnlyList<object?>>();
        foreach (SparsityPattern pattern in patterns)
        {
            r.Progress?.Report(new AnalysisProgress(done++, total, pattern.ToString()));
            ModelGraph pruned = EssentialSparsity.Prune(r.Model, settings with { Pattern = pattern, Sparsity = 1 - (double)pattern.A / pattern.B }, "magnitude");
            points.Add([pattern.ToString(), 1 - (double)pattern.A / pattern.B, SharedAnalysisParameters.Quality(Try(pruned), data)]);
        }
        double tolerance = r.Arguments.Number("tolerance"), small = r.Arguments.Number("small");
        bool relative = r.Arguments.Switch("relative");
        var figures = new Dictionary<string, double> { ["dense"] = curves[0].Qualities[0], ["essential"] = curves[0].Essential(tolerance, relative), ["knee"] = curves[0].Knee };
        foreach (SparsityCurve curve in curves.Skip(1)) figures["essential " + curve.Name] = curve.Essential(tolerance, relative);
        if (small > 0) figures["small weights"] = EssentialSparsity.SmallShare(r.Model, small, settings.Policy);
        string quality = SharedAnalysisParameters.QualityName(data);
        var notes = new List<string> { $"sparsities are of the {settings.Policy.Apply(LayerDiscovery.Find(r.Model)).Layers.Count} layers that may be pruned{(keepsHead ? "; the last layer stays dense" : "")}; nothing was trained after pruning" };
        if (Dips(curves[0], tolerance, relative) is { } dip) notes.Add($"quality is below the tolerance at {dip:P1} already and comes back: the essential sparsity is uncertain by that much");
        return new AnalysisResult($"{figures["essential"]:P1} of the weights can go within {tolerance:P1} of {quality} {figures["dense"]:0.0000}; it falls off after {figures["knee"]:P1}{string.Concat(curves.Skip(1).Select(c => $"; {c.Name}: {c.Essential(tolerance, relative):P1}"))}")
        {
            Figures = figures,
            Tables =
            [
                new AnalysisTable("Quality by sparsity", [new("sparsity", ColumnFormat.Share), .. curves.Select(c => new AnalysisColumn(c.Name, ColumnFormat.Number))],
                    [.. levels.Select((s, i) => (IReadOnlyList<object?>)[s, .. curves.Select(c => (object?)c.Qualities[i])])]),
                .. points.Count > 0 ? new[] { new AnalysisTable("Patterns", [new("pattern"), new("sparsity", ColumnFormat.Share), new(quality, ColumnFormat.Number)], points) } : [],
            ],
            Charts = [new AnalysisChart($"{char.ToUpperInvariant(quality[0])}{quality[1..]} of one-shot pruned models", ChartKind.Lines, "sparsity", quality, [.. curves.Select(c => new AnalysisSeries(c.Name, [.. c.Levels.Zip(c.Qualities, (x, y) => (x, y))]))])],
            Notes = notes,
        };

        Evaluation Try(ModelGraph graph) => NetworkOutputs.Evaluate(graph, data, r.Normalization, r.BatchSize, r.Cancellation);
    }

    // A level below the essential one that misses the tolerance: the curve is noisy there.
    private static double? Dips(SparsityCurve curve, double tolerance, bool relative)
    {
        double essential = curve.Essential(tolerance, relative), least = relative ? curve.Qualities[0] - tolerance * Math.Abs(curve.Qualities[0]) : curve.Qualities[0] - tolerance;
        for (int i = 0; i < curve.Levels.Count; i++)
        {
            if (curve.Levels[i] < essential && curve.Qualities[i] < least - 1e-12) return curve.Levels[i];
        }
        return null;
    }
}
