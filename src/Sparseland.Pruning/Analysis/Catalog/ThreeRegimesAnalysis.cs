using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Recovery;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>How long to train before pruning to a density.</summary>
public static class ThreeRegimesAnalysis
{
    /// <summary>The catalogue's entry.</summary>
    public static AnalysisInfo Info { get; } = new()
    {
        Id = "three-regimes",
        Title = "Three regimes of pruning",
        Paper = "Zhou, Yang, Chang and Mahoney: A Three-regime Model of Network Pruning, ICML 2023",
        Section = "section 3, figure 1",
        Description = "stops the dense training early or late, prunes to several densities and retrains copies: connectivity and similarity of the copies say whether the dense training should be hotter or colder",
        Needs = AnalysisNeeds.LabelledData | AnalysisNeeds.TrainingData | AnalysisNeeds.Training,
        Parameters =
        [
            new("temperatures", ParameterType.Text, "3,10,30", "epochs of the dense training after which a checkpoint is taken; fewer is hotter"),
            new("densities", ParameterType.Text, "5%,10%,30%,80%", "kept shares of the convolutions (of the linear layers where there is none)"),
            new("copies", ParameterType.Integer, "2", "retrained copies per cell") { Min = 2, Max = 20 },
            SharedAnalysisParameters.Epochs("30", "epochs of the dense training's and of the retraining's schedule"),
            SharedAnalysisParameters.LearningRate("0.1"), SharedAnalysisParameters.Batch, SharedAnalysisParameters.Schedule("step"),
            new("connected", ParameterType.Number, "-0.01", "copies are connected when LMC is above this; not given by the paper") { Min = -1, Max = 1 },
            new("similar", ParameterType.Number, "0.9", "outputs are similar from this CKA on; not given by the paper") { Min = 0, Max = 1 },
            .. ConnectivityAnalysis.PathParameters,
        ],
        Plan = r =>
        {
            ThreeRegimeStudy study = Study(r);
            return $"would train one dense network and {study.Temperatures.Count * study.Densities.Count * study.Copies} pruned ones, {study.TotalSteps:N0} steps in all, on {r.Data!.Name}";
        },
        Analyse = Analyse,
    };

    private static ThreeRegimeStudy Study(AnalysisRequest r)
    {
        TrainingPlan plan = SharedAnalysisParameters.Plan(r);
        if (plan.Steps == 0) throw new PruningException("SL4002", "'epochs: 0': the study has to train") { Try = "epochs=30" };
        int limit = r.Arguments.Int("limit");
        return new ThreeRegimeStudy
        {
            Network = r.Model,
            Data = r.Data!,
            Normalization = r.Normalization,
            Temperatures = r.Arguments.Numbers("temperatures", 0, r.Arguments.Number("epochs")),
            Densities = r.Arguments.Numbers("densities", 0.001, 1),
            Dense = plan,
            Retraining = plan,
            Copies = r.Arguments.Int("copies"),
            Samples = limit > 0 ? limit : null,
            Path = ConnectivityAnalysis.Options(r),
            Seed = r.Seed,
            Store = r.Store,
            Progress = r.Progress,
        };
    }

    private static AnalysisResult Analyse(AnalysisRequest r)
    {
        ThreeRegimeStudy study = Study(r);
        IReadOnlyList<RegimeCell> cells = study.Run(r.Cancellation);
        double connected = r.Arguments.Number("connected"), similar = r.Arguments.Number("similar");
        var figures = new Dictionary<string, double>();
        var advice = new List<string>();
        foreach (double density in study.Densities)
        {
            RegimeCell best = cells.Where(c => c.Density == density).MinBy(c => c.TestError)!;
            figures[string.Create(System.Globalization.CultureInfo.InvariantCulture, $"best epochs at {density * 100:0.##}%")] = best.Epochs;
            RegimeCell last = cells.Last(c => c.Density == density);
            advice.Add($"at {density:P0} density, after {last.Epochs:0.##} epochs: regime {Regimes.Name(Regime(last))}, {Regimes.Advice(Regime(last))} (best measured: {best.Epochs:0.##} epochs, test error {best.TestError:P1})");
        }
        string[] columns = [.. study.Densities.Select(d => d.ToString("P0"))];
        return new AnalysisResult(advice[0])
        {
            Figures = figures,
            Tables =
            [
                new AnalysisTable("Cells", [new("epochs", ColumnFormat.Number), new("density", ColumnFormat.Share), new("lmc", ColumnFormat.Number), new("cka", ColumnFormat.Number), new("test error", ColumnFormat.Share), new("training error", ColumnFormat.Share), new("regime")],
                    [.. cells.Select(c => (IReadOnlyList<object?>)[c.Epochs, c.Density, c.Lmc, c.Cka, c.TestError, c.TrainError, Regimes.Name(Regime(c))])]),
            ],
            Charts = [Map("Linear mode connectivity", c => c.Lmc), Map("Similarity of outputs (CKA)", c => c.Cka), Map("Test error", c => c.TestError)],
            Notes = [.. advice.Skip(1), "thresholds are this toolkit's: the paper gives none as constants"],
        };

        Regime Regime(RegimeCell c) => Regimes.Classify(c.Lmc, c.Cka, connected, similar);

        AnalysisChart Map(string title, Func<RegimeCell, double> of) => new(title, ChartKind.Heat, "density", title,
            [.. study.Temperatures.Select(t => new AnalysisSeries($"{t:0.##} epochs", [.. cells.Where(c => c.Epochs == t).Select((c, i) => ((double)i, of(c)))]))])
        { Categories = columns };
    }
}
