using Sparseland.Model.Graph;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>Whether training from here leads into one valley whatever the order of the data.</summary>
public static class InstabilityAnalysis
{
    /// <summary>The catalogue's entry.</summary>
    public static AnalysisInfo Info { get; } = new()
    {
        Id = "instability",
        Title = "Instability to the order of data",
        Paper = "Frankle, Dziugaite, Roy and Carbin: Linear Mode Connectivity and the Lottery Ticket Hypothesis, ICML 2020; Frankle, Dziugaite, Roy and Carbin: Stabilizing the Lottery Ticket Hypothesis, 2019",
        Section = "section 2; section 3",
        Description = "trains copies of the model on other orders of the data, masks kept: is there a barrier between them, and how far apart do they end?",
        Needs = AnalysisNeeds.LabelledData | AnalysisNeeds.TrainingData | AnalysisNeeds.Training,
        Parameters =
        [
            new("copies", Pruning.Catalog.ParameterType.Integer, "2", "copies that are trained") { Min = 2, Max = 100 },
            SharedAnalysisParameters.Epochs("3", "epochs for which each copy is trained"),
            SharedAnalysisParameters.LearningRate("0.05"), SharedAnalysisParameters.Batch, SharedAnalysisParameters.Schedule("cosine"),
            .. ConnectivityAnalysis.PathParameters,
        ],
        Plan = r => $"would train {r.Arguments.Int("copies")} copies for {SharedAnalysisParameters.Plan(r).TotalSteps(r.Data!.ForTraining):N0} steps each on {r.Data.Name}, then measure the lines between them",
        Analyse = Analyse,
    };

    private static AnalysisResult Analyse(AnalysisRequest r)
    {
        int copies = r.Arguments.Int("copies");
        Recovery.TrainingPlan plan = SharedAnalysisParameters.Plan(r);
        var work = new StudyTraining(r.Data!, r.Normalization, r.Store, r.Progress, Math.Max(1, copies * plan.TotalSteps(r.Data!.ForTraining)), r.Cancellation);
        var models = new List<(string Name, ModelGraph Graph)>();
        for (int c = 0; c < copies; c++)
        {
            string key = $"copy-{c}";
            ModelGraph? graph = r.Store?.FindModel(key);
            if (graph is null)
            {
                graph = r.Model.Clone();
                work.Train(graph, plan with { Seed = r.Seed + 1000 * (c + 1) }, $"copy {c + 1} of {copies}");
                r.Store?.PutModel(key, graph);
            }
            else
            {
                work.Skip(plan.TotalSteps(r.Data.ForTraining));
            }
            models.Add(($"copy {c + 1}", graph));
        }
        AnalysisResult paths = ConnectivityAnalysis.Report(r, models, firstWithOthers: false);
        var rows = new List<IReadOnlyList<object?>>();
        for (int a = 0; a < copies; a++)
        {
            for (int b = a + 1; b < copies; b++)
            {
                WeightDistance total = WeightDistances.Between(models[a].Graph, models[b].Graph)[^1];
                rows.Add([$"{models[a].Name} - {models[b].Name}", total.Euclidean, total.Degrees]);
            }
        }
        return paths with
        {
            Figures = new Dictionary<string, double>(paths.Figures) { ["distance"] = rows.Average(x => (double)x[1]!), ["degrees"] = rows.Average(x => (double)x[2]!) },
            Tables = [.. paths.Tables, new AnalysisTable("Distances", [new("between"), new("distance", ColumnFormat.Number), new("degrees", ColumnFormat.Number)], rows)],
        };
    }
}
