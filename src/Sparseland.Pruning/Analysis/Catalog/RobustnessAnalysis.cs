using Sparseland.Pruning.Catalog;
using Sparseland.Training.Data;
using Sparseland.Training.Data.Corruptions;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>Why some pruned classifiers are more robust than others.</summary>
public static class RobustnessAnalysis
{
    /// <summary>The catalogue's entry.</summary>
    public static AnalysisInfo Info { get; } = new()
    {
        Id = "robustness",
        Title = "Robustness and geometry of features",
        Paper = "Understanding Robustness Lottery: A Geometric Visual Comparative Analysis of Neural Network Pruning Approaches, 2022; Hendrycks and Dietterich: Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR 2019",
        Section = "sections 4 and 5; section 3",
        Description = "accuracy on clean and corrupted pictures, and what corruption and pruning do to angle, length and margin of the last features",
        Needs = AnalysisNeeds.LabelledData | AnalysisNeeds.Pictures,
        Parameters =
        [
            new("corruptions", ParameterType.Text, "gaussian-noise,impulse-noise,gaussian-blur,fog,contrast,pixelate,translation", "corruptions or families (noise, blur, weather, digital) with commas, or all"),
            new("severities", ParameterType.Text, "1,3,5", "severities from 1 (light) to 5 (heavy)"),
            SharedAnalysisParameters.Limit(500),
        ],
        Plan = r =>
        {
            foreach ((string name, Model.Graph.ModelGraph graph) in Models(r)) ClassifierHead.Find(graph);
            return $"would look at {Models(r).Count} models on {r.EvaluationSamples().Count:N0} pictures, clean and under {Corruptions(r).Count} corruptions at {Severities(r).Count} severities";
        },
        Analyse = Analyse,
    };

    private static IReadOnlyList<(string Name, Model.Graph.ModelGraph Graph)> Models(AnalysisRequest r) => [(r.Name, r.Model), .. r.Others];

    private static IReadOnlyList<Corruption> Corruptions(AnalysisRequest r) => CorruptionCatalog.Parse(r.Arguments.Text("corruptions")) is { Count: > 0 } found
        ? found
        : throw new PruningException("SL4002", "'corruptions' is empty") { Try = "all, or one of: " + string.Join(", ", CorruptionCatalog.All.Select(c => c.Id)) };

    private static IReadOnlyList<int> Severities(AnalysisRequest r)
    {
        IReadOnlyList<double> numbers = r.Arguments.Numbers("severities", 1, Corruption.MaxSeverity);
        return numbers.All(n => n == Math.Floor(n)) ? [.. numbers.Select(n => (int)n).Distinct()] : throw new PruningException("SL4002", $"'severities: {r.Arguments.Text("severities")}': expected whole numbers from 1 to 5");
    }

    private static AnalysisResult Analyse(AnalysisRequest r)
    {
        IDataset data = r.EvaluationSamples();
        RobustnessStudy study = RobustnessStudy.Measure(Models(r), data, r.Normalization, Corruptions(r), Severities(r), r.Seed, r.BatchSize, r.Progress, r.Cancellation);
        RobustnessCondition clean = study.Conditions[0];
        var figures = new Dictionary<string, double>();
        var summary = new List<IReadOnlyList<object?>>();
        foreach (string model in study.Models)
        {
            RobustnessCell[] corrupted = [.. study.Conditions.Skip(1).Select(c => study.Cell(model, c))];
            RobustnessCell own = study.Cell(model, clean);
            figures["clean " + model] = own.Accuracy;
            figures["corrupted " + model] = corrupted.Average(c => c.Accuracy);
            FragilityCounts counts = study.Fragility(model);
            summary.Add([model, own.Accuracy, corrupted.Average(c => c.Accuracy), own.Degrees, corrupted.Average(c => c.Degrees), own.Length, corrupted.Average(c => c.Length), own.Margin, corrupted.Average(c => c.Margin), counts.Robust, counts.FragileToPruning, counts.FragileToCorruption, counts.FragileToBoth]);
        }
        string first = study.Models[0];
        double[] angles = [.. study.Conditions.Skip(1).SelectMany(c => study.Models.Select(m => study.Cell(m, c).Degrees - study.Cell(m, clean).Degrees))];
        double[] losses = [.. study.Conditions.Skip(1).SelectMany(c => study.Models.Select(m => study.Cell(m, clean).Accuracy - study.Cell(m, c).Accuracy))];
        if (angles.Length > 2) figures["spearman angle rise and accuracy loss"] = RankCorrelation.Spearman(angles, losses).Value;
        (IReadOnlyList<string> ids, double[] redundancy) = study.Redundancy(first);
        string[] classes = [.. Enumerable.Range(0, data.ClassCount).Select(c => data.ClassNames?[c] ?? c.ToString())];
        (string Model, double[] Angles)[] directions = [.. Models(r).Select(m => (m.Name, ClassifierHead.Find(m.Graph).ClassAngles()))];
        AnalysisChart Angles(string title, double[] values) => new(title, ChartKind.Heat, "class", "degrees", [.. classes.Select((name, a) => new AnalysisSeries(name, [.. classes.Select((_, b) => ((double)b, values[a * classes.Length + b]))]))]) { Categories = classes };
        return new AnalysisResult(string.Join("; ", study.Models.Select(m => $"{m}: {figures["clean " + m]:P1} clean, {figures["corrupted " + m]:P1} corrupted")))
        {
            Figures = figures,
            Tables =
            [
                new AnalysisTable("Models", [new("model"), new("clean", ColumnFormat.Share), new("corrupted", ColumnFormat.Share), new("degrees clean", ColumnFormat.Number), new("degrees corrupted", ColumnFormat.Number), new("length clean", ColumnFormat.Number), new("length corrupted", ColumnFormat.Number), new("margin clean", ColumnFormat.Number), new("margin corrupted", ColumnFormat.Number), new("robust", ColumnFormat.Count), new("fragile to pruning", ColumnFormat.Count), new("fragile to corruption", ColumnFormat.Count), new("to both", ColumnFormat.Count)], summary),
                new AnalysisTable("Conditions", [new("condition"), new("model"), new("accuracy", ColumnFormat.Share), new("degrees", ColumnFormat.Number), new("degrees where correct", ColumnFormat.Number), new("degrees where wrong", ColumnFormat.Number), new("length", ColumnFormat.Number), new("margin", ColumnFormat.Number)],
                    [.. study.Cells.Select(c => (IReadOnlyList<object?>)[c.Condition.ToString(), c.Model, c.Accuracy, c.Degrees, c.DegreesWhere(true), c.DegreesWhere(false), c.Length, c.Margin])]),
                new AnalysisTable($"Classes, {first}, clean", [new("class"), new("accuracy", ColumnFormat.Share), new("degrees", ColumnFormat.Number), new("length", ColumnFormat.Number), new("margin", ColumnFormat.Number)],
                    [.. Enumerable.Range(0, data.ClassCount).Select(c => (c, study.Cell(first, clean).OfClass(c))).Select(x => (IReadOnlyList<object?>)[data.ClassNames?[x.c] ?? x.c.ToString(), x.Item2.Accuracy, x.Item2.Degrees, x.Item2.Length, x.Item2.Margin])]),
                new AnalysisTable($"Most fragile samples, {first}", [new("sample", ColumnFormat.Count), new("class"), new("margin clean", ColumnFormat.Number), new("mean margin corrupted", ColumnFormat.Number)], Fragile(study, first, data)),
            ],
            Charts =
            [
                new AnalysisChart("Accuracy by corruption", ChartKind.Heat, "condition", "accuracy", [.. study.Models.Select(m => new AnalysisSeries(m, [.. study.Conditions.Select((c, i) => ((double)i, study.Cell(m, c).Accuracy))]))]) { Categories = [.. study.Conditions.Select(c => c.ToString())] },
                new AnalysisChart("Mean margin by corruption", ChartKind.Heat, "condition", "margin", [.. study.Models.Select(m => new AnalysisSeries(m, [.. study.Conditions.Select((c, i) => ((double)i, study.Cell(m, c).Margin))]))]) { Categories = [.. study.Conditions.Select(c => c.ToString())] },
                new AnalysisChart("Angle and length of clean features", ChartKind.Scatter, "degrees to the true class", "length", [.. study.Models.Select(m => new AnalysisSeries(m, [.. study.Cell(m, clean).Samples.Take(300).Select(s => (s.Degrees, s.Length))]))]),
                .. directions.Where(d => d.Angles.Length == classes.Length * classes.Length).Select(d => d.Model == first || directions[0].Angles.Length != d.Angles.Length
                    ? Angles($"Angles between class directions, {d.Model}", d.Angles)
                    : Angles($"Change of the angles between class directions, {d.Model} against {first}", [.. d.Angles.Zip(directions[0].Angles, (x, y) => x - y)])),
                .. ids.Count > 1 ? new[] { new AnalysisChart($"Correlation of margin changes between corruptions, {first}", ChartKind.Heat, "corruption", "correlation", [.. ids.Select((id, a) => new AnalysisSeries(id, [.. ids.Select((_, b) => ((double)b, redundancy[a * ids.Count + b]))]))]) { Categories = ids } } : [],
            ],
            Notes =
            [
                "corruptions act on pixels 0 to 1 before normalisation; implementations are this toolkit's own, so figures are comparable among themselves and not with published tables",
                .. Models(r).Select(m => ClassifierHead.Find(m.Graph).Features).Distinct().Count() > 1 ? new[] { "the models have different numbers of features: their lengths and angles are not comparable" } : [],
            ],
        };
    }

    private static List<IReadOnlyList<object?>> Fragile(RobustnessStudy study, string model, IDataset data)
    {
        RobustnessCell clean = study.Cell(model, study.Conditions[0]);
        RobustnessCell[] corrupted = [.. study.Conditions.Skip(1).Select(c => study.Cell(model, c))];
        return [.. Enumerable.Range(0, clean.Samples.Count).Where(i => clean.Samples[i].IsCorrect)
            .Select(i => (i, Mean: corrupted.Average(c => c.Samples[i].Margin))).OrderBy(x => x.Mean).ThenBy(x => x.i).Take(10)
            .Select(x => (IReadOnlyList<object?>)[x.i, data.ClassNames?[clean.Samples[x.i].Target] ?? clean.Samples[x.i].Target.ToString(), clean.Samples[x.i].Margin, x.Mean])];
    }
}
