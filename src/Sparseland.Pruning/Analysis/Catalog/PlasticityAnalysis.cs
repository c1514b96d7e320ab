using System.Globalization;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Probing;
using Sparseland.Pruning.Regrowth;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>How well a model recovers from being pruned: pruning plasticity, without and with regeneration.</summary>
/// <remarks>
/// Liu et al., "Sparse Training via Boosting Pruning Plasticity with Neuroregeneration" (GraNet), NeurIPS 2021, section 3 (definition from memory): plasticity = accuracy after continued training minus
/// accuracy before pruning. With regeneration as many weights as were removed come back at zero where the gradient of the pruned model is largest, in every layer, before training goes on.
/// </remarks>
public static class PlasticityAnalysis
{
    /// <summary>The catalogue's entry.</summary>
    public static AnalysisInfo Info { get; } = new()
    {
        Id = "plasticity",
        Title = "Pruning plasticity",
        Paper = "Liu et al.: Sparse Training via Boosting Pruning Plasticity with Neuroregeneration, NeurIPS 2021",
        Section = "section 3",
        Description = "prunes the model to several sparsities and trains on: how far does it come back, and does regrowing help?",
        Needs = AnalysisNeeds.LabelledData | AnalysisNeeds.TrainingData | AnalysisNeeds.Training,
        Parameters =
        [
            new("levels", Pruning.Catalog.ParameterType.Text, "0.2,0.5,0.8,0.9,0.95,0.98", "shares of the present weights that are removed, with commas"),
            new("allocation", Pruning.Catalog.ParameterType.Choice, "global", "one threshold, or the same share of every layer") { Choices = ["global", "uniform"] },
            SharedAnalysisParameters.Epochs("2", "epochs of continued training"),
            SharedAnalysisParameters.LearningRate("0.02"), SharedAnalysisParameters.Batch, SharedAnalysisParameters.Schedule("cosine"), SharedAnalysisParameters.Limit(2000),
        ],
        Plan = r => $"would prune to {Levels(r).Length} sparsities, without and with regeneration, and train each for {SharedAnalysisParameters.Plan(r).TotalSteps(r.Data!.ForTraining):N0} steps",
        Analyse = Analyse,
    };

    private static double[] Levels(AnalysisRequest r)
    {
        var levels = new List<double>();
        foreach (string text in r.Arguments.Text("levels").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double level) || level is not (>= 0 and < 1)) throw new PruningException("SL4002", $"'levels: {text}': expected shares from 0 to below 1") { Try = "0.5,0.9" };
            levels.Add(level);
        }
        return levels.Count > 0 ? [.. levels.Distinct().Order()] : throw new PruningException("SL4002", "'levels' names no share") { Try = "0.5,0.9" };
    }

    private static AnalysisResult Analyse(AnalysisRequest r)
    {
        double[] levels = Levels(r);
        IDataset data = r.EvaluationSamples();
        Recovery.TrainingPlan plan = SharedAnalysisParameters.Plan(r);
        long steps = plan.TotalSteps(r.Data!.ForTraining);
        var work = new StudyTraining(r.Data, r.Normalization, r.Store, r.Progress, Math.Max(1, 2 * levels.Length * steps), r.Cancellation);
        double before = Quality(r, r.Model, data);
        var rows = new List<IReadOnlyList<object?>>();
        var curves = new Dictionary<bool, List<(double, double)>> { [false] = [], [true] = [] };
        foreach (double level in levels)
        {
            foreach (bool regrows in (bool[])[false, true])
            {
                string key = string.Create(CultureInfo.InvariantCulture, $"{level:R} {(regrows ? "regrown" : "pruned")}");
                double[]? found = r.Store?.Find(key);
                if (found is null)
                {
                    ModelGraph graph = Prune(r, level, regrows, plan);
                    double cut = Quality(r, graph, data);
                    work.Train(graph, plan, $"{level:P0}{(regrows ? ", regrown" : "")}");
                    found = [cut, Quality(r, graph, data)];
                    r.Store?.Put(key, found);
                }
                else
                {
                    work.Skip(steps);
                }
                rows.Add([$"{level:P0}", regrows ? "yes" : "no", found[0], found[1], found[1] - before]);
                curves[regrows].Add((level, found[1] - before));
            }
        }
        double gain = curves[true].Zip(curves[false], (a, b) => a.Item2 - b.Item2).Average();
        (double level, double value) worst = curves[false].MinBy(c => c.Item2);
        return new AnalysisResult($"plasticity is lowest at {worst.level:P0}: {100 * worst.value:0.00} points; regrowing adds {100 * gain:0.00} points on average")
        {
            Figures = new Dictionary<string, double> { ["before"] = before, ["lowest"] = worst.value, ["gainOfRegrowth"] = gain },
            Tables = [new AnalysisTable("Plasticity", [new("removed"), new("regrown"), new("after the cut", ColumnFormat.Share), new("after training", ColumnFormat.Share), new("plasticity", ColumnFormat.Share)], rows)],
            Charts = [new AnalysisChart("Plasticity", ChartKind.Lines, "removed", $"{SharedAnalysisParameters.QualityName(data)} after training - before", [new("pruned", curves[false]), new("pruned and regrown", curves[true])])],
            Notes = [$"one seed; continued training of {steps:N0} steps at most {plan.LearningRate:G3}"],
        };
    }

    /// <summary>A pruned copy; with regeneration as many weights come back in every layer, at zero.</summary>
    internal static ModelGraph Prune(AnalysisRequest r, double level, bool regrows, Recovery.TrainingPlan plan)
    {
        ModelGraph graph = r.Model.Clone();
        var model = new TrainableModel(graph);
        PruningTarget target = PruningTarget.Of(model);
        long total = target.Layers.Sum(l => (long)l.Length), present = target.Layers.Sum(l => (long)target.KeptCount(l));
        Dictionary<string, int> counts = target.Layers.ToDictionary(l => l.Name, target.KeptCount);
        var settings = new PruningSettings { Sparsity = Math.Max(0, 1 - present * (1 - level) / total), Seed = r.Seed, Bounds = Allocations.LayerBounds.None };
        PruningResult result = new ScoredPruning("plasticity", PruningStage.After, settings, new Criteria.MagnitudeCriterion(), Allocations.AllocationCatalog.Create(r.Arguments.Choice("allocation"))).Apply(target);
        if (regrows)
        {
            PrunableLayer[] layers = [.. result.Layers.Select(l => l.Layer)];
            float[][] gradients;
            using (var probe = new NetworkProbe(model, new PruningContext { Data = plan.CreateLoader(r.Data!.ForTraining, r.Normalization), Cancellation = r.Cancellation })) gradients = probe.Gradients(layers, probe.Batches(1));
            var growth = new GradientRegrowth();
            for (int l = 0; l < layers.Length; l++)
            {
                if (target.Mask(layers[l]) is not { } mask) continue;
                bool[] kept = mask.ToFlags(), free = Array.ConvertAll(kept, k => !k);
                bool[] grown = Selection.ExactSelection.KeepBest(growth.Score(layers[l], gradients[l], r.Seed, 0), counts[layers[l].Name] - mask.KeptCount, free);
                for (int i = 0; i < kept.Length; i++) kept[i] |= grown[i];
                target.SetMask(layers[l], Mask.FromFlags(layers[l].Shape.ToArray(), kept));
            }
        }
        // The copy's own masks are those before the cut: nothing has become denser than those.
        model.SyncToGraph();
        return graph;
    }

    private static double Quality(AnalysisRequest r, ModelGraph graph, IDataset data) => SharedAnalysisParameters.Quality(
        Evaluator.Evaluate(new TrainableModel(graph), data, new EvaluationOptions { BatchSize = r.BatchSize, Normalization = r.Normalization }, null, r.Cancellation), data);
}
