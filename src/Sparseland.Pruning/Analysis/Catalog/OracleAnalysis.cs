using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Structured;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>Whether the loss right after pruning says anything about the result after retraining.</summary>
public static class OracleAnalysis
{
    /// <summary>The catalogue's entry.</summary>
    public static AnalysisInfo Info { get; } = new()
    {
        Id = "oracle",
        Title = "Oracle check",
        Paper = "Is Oracle Pruning the True Oracle?, 2024",
        Section = "section 3; statistics: Kendall, The treatment of ties in ranking problems, Biometrika 1945",
        Description = "removes units in many ways, retrains each: does the loss right after pruning predict the result after retraining?",
        Needs = AnalysisNeeds.LabelledData | AnalysisNeeds.TrainingData | AnalysisNeeds.Training,
        Parameters =
        [
            new("groups", ParameterType.Text, "*", "groups of channels from which units are removed, globs with commas"),
            new("rate", ParameterType.Share, "0.5", "share of each group that is removed") { Min = 0.01, Max = 0.99 },
            new("masks", ParameterType.Integer, "60", "largest number of masks; all combinations when there are fewer") { Min = 2, Max = 100_000 },
            new("repeats", ParameterType.Integer, "3", "retrainings per mask") { Min = 1, Max = 100 },
            SharedAnalysisParameters.Epochs("3", "epochs of each retraining; 0 retrains nothing"),
            SharedAnalysisParameters.LearningRate("0.01"), SharedAnalysisParameters.Batch, SharedAnalysisParameters.Schedule("cosine"),
            SharedAnalysisParameters.Limit(0, "training samples over which the loss after pruning is measured"),
        ],
        Plan = r =>
        {
            OracleCheck check = Check(r);
            int masks = check.MaskCount(DependencyGraph.Build(r.Model, r.Cancellation));
            return $"would remove {check.Rate:P0} of {string.Join(", ", check.Groups)} in {masks} ways and retrain each {check.Repeats} times, {(masks + 1) * check.Repeats * check.Retraining.TotalSteps(r.Data!.ForTraining):N0} steps in all";
        },
        Analyse = Analyse,
    };

    private static OracleCheck Check(AnalysisRequest r)
    {
        DependencyGraph dependencies = DependencyGraph.Build(r.Model, r.Cancellation);
        string[] names = [.. dependencies.Groups.Where(g => g.UnitCount > 1).Select(g => g.Name)];
        NameFilter[] filters = [.. r.Arguments.Text("groups").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(t => new NameFilter(t))];
        string[] chosen = [.. names.Where(n => filters.Any(f => f.Matches(n)))];
        if (chosen.Length == 0)
        {
            throw new PruningException("SL4001", $"'groups: {r.Arguments.Text("groups")}' matches no group of channels that can be cut")
            {
                Because = names.Length == 0 ? string.Join("; ", dependencies.Refused.Take(4)) : null,
                Try = names.Length == 0 ? null : "for example " + string.Join(", ", names.Take(4)),
            };
        }
        int limit = r.Arguments.Int("limit");
        return new OracleCheck
        {
            Network = r.Model,
            Data = r.Data!,
            Normalization = r.Normalization,
            Groups = chosen,
            Rate = r.Arguments.Number("rate"),
            MaxMasks = r.Arguments.Int("masks"),
            Repeats = r.Arguments.Int("repeats"),
            Retraining = SharedAnalysisParameters.Plan(r),
            Samples = limit > 0 ? limit : null,
            BatchSize = r.BatchSize,
            Seed = r.Seed,
            Store = r.Store,
            Progress = r.Progress,
        };
    }

    private static AnalysisResult Analyse(AnalysisRequest r)
    {
        OracleCheck check = Check(r);
        OracleResult result = check.Run(r.Cancellation);
        OracleOutcome oracle = result.Outcomes[result.Oracle];
        var notes = new List<string> { $"L1 norm instead of the oracle: test loss {result.ByL1.TestLoss:0.0000} against {oracle.TestLoss:0.0000}, accuracy {result.ByL1.Accuracy:P2} against {oracle.Accuracy:P2}" };
        if (result.SeedDeviation > result.MaskDeviation) notes.Add($"retrainings of one mask scatter more (deviation {result.SeedDeviation:0.0000}) than masks do ({result.MaskDeviation:0.0000}): a small correlation may be noise alone; more repeats would tell");
        return new AnalysisResult($"Kendall's tau {result.TauLoss.Value:+0.00;-0.00} between loss after pruning and test loss after retraining (the oracle promises +1), {result.TauAccuracy.Value:+0.00;-0.00} with accuracy; {result.AnomalyLoss:P0} of the masks end better than the oracle's")
        {
            Figures = new Dictionary<string, double>
            {
                ["tau loss"] = result.TauLoss.Value,
                ["tau loss p"] = result.TauLoss.PValue,
                ["tau accuracy"] = result.TauAccuracy.Value,
                ["tau accuracy p"] = result.TauAccuracy.PValue,
                ["tau train loss"] = result.TauTrainLoss.Value,
                ["spearman loss"] = result.SpearmanLoss.Value,
                ["pearson loss"] = result.PearsonLoss.Value,
                ["anomaly loss"] = result.AnomalyLoss,
                ["anomaly accuracy"] = result.AnomalyAccuracy,
                ["seed deviation"] = result.SeedDeviation,
                ["mask deviation"] = result.MaskDeviation,
                ["masks"] = result.Outcomes.Count,
            },
            Tables =
            [
                new AnalysisTable("Masks", [new("removed"), new("loss after pruning", ColumnFormat.Number), new("test loss", ColumnFormat.Number), new("accuracy", ColumnFormat.Share), new("training loss", ColumnFormat.Number), new("note")],
                    [.. result.Outcomes.OrderBy(o => o.PrunedLoss).Select(o => Row(o, ReferenceEquals(o, oracle) ? "oracle" : "")), Row(result.ByL1, "L1 norm")]),
            ],
            Charts =
            [
                new AnalysisChart("Loss after pruning and test loss after retraining", ChartKind.Scatter, "training loss after pruning", "test loss after retraining",
                    [new AnalysisSeries("masks", [.. result.Outcomes.Select(o => (o.PrunedLoss, o.TestLoss))]), new AnalysisSeries("oracle", [(oracle.PrunedLoss, oracle.TestLoss)]), new AnalysisSeries("L1 norm", [(result.ByL1.PrunedLoss, result.ByL1.TestLoss)])]),
            ],
            Notes = notes,
        };

        static IReadOnlyList<object?> Row(OracleOutcome o, string note) => [OracleMasks.Key(o.Removed), o.PrunedLoss, o.TestLoss, o.Accuracy, o.TrainLoss, note];
    }
}
