using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Recovery;
using Sparseland.Pruning.Structured;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Analysis;

/// <summary>What came of one mask.</summary>
/// <param name="Removed">Removed units of each group.</param>
/// <param name="PrunedLoss">Training loss before retraining.</param>
/// <param name="TestLosses">Test loss after each retraining.</param>
/// <param name="Accuracies">Test accuracy after each retraining.</param>
/// <param name="TrainLosses">Training loss after each retraining.</param>
public sealed record OracleOutcome(int[][] Removed, double PrunedLoss, IReadOnlyList<double> TestLosses, IReadOnlyList<double> Accuracies, IReadOnlyList<double> TrainLosses)
{
    /// <summary>Mean test loss over the retrainings.</summary>
    public double TestLoss => TestLosses.Average();

    /// <summary>Mean test accuracy over the retrainings.</summary>
    public double Accuracy => Accuracies.Average();

    /// <summary>Mean training loss over the retrainings.</summary>
    public double TrainLoss => TrainLosses.Average();
}

/// <summary>Whether the loss right after pruning predicts the result after retraining.</summary>
/// <param name="Outcomes">One per mask, in order.</param>
/// <param name="ByL1">The mask that the norm of the filters chooses, retrained in the same way.</param>
public sealed record OracleResult(IReadOnlyList<OracleOutcome> Outcomes, OracleOutcome ByL1)
{
    /// <summary>Kendall's tau-b between loss after pruning and test loss after retraining; the oracle's promise is +1.</summary>
    public Correlation TauLoss => RankCorrelation.Kendall(Pruned, Losses);

    /// <summary>Kendall's tau-b between loss after pruning and accuracy after retraining; the oracle's promise is -1.</summary>
    public Correlation TauAccuracy => RankCorrelation.Kendall(Pruned, [.. Outcomes.Select(o => o.Accuracy)]);

    /// <summary>Kendall's tau-b between training loss after pruning and training loss after retraining.</summary>
    public Correlation TauTrainLoss => RankCorrelation.Kendall(Pruned, [.. Outcomes.Select(o => o.TrainLoss)]);

    /// <summary>Spearman's correlation of the losses.</summary>
    public Correlation SpearmanLoss => RankCorrelation.Spearman(Pruned, Losses);

    /// <summary>Pearson's correlation of the losses.</summary>
    public Correlation PearsonLoss => RankCorrelation.Pearson(Pruned, Losses);

    /// <summary>The mask with the least loss after pruning: the oracle's choice; the first of equals.</summary>
    public int Oracle => OracleCheck.Best(Pruned);

    /// <summary>Share of masks that end with a lower test loss than the oracle's.</summary>
    public double AnomalyLoss => OracleCheck.AnomalyRatio(Pruned, Losses, lowerIsBetter: true);

    /// <summary>Share of masks that end with a higher accuracy than the oracle's.</summary>
    public double AnomalyAccuracy => OracleCheck.AnomalyRatio(Pruned, [.. Outcomes.Select(o => o.Accuracy)], lowerIsBetter: false);

    /// <summary>Standard deviation of the test loss between retrainings of one mask, mean over the masks.</summary>
    /// <remarks>Where it exceeds <see cref="MaskDeviation"/>, a small correlation says little: the noise of retraining hides what there is.</remarks>
    public double SeedDeviation => Outcomes.Average(o => OracleCheck.Deviation(o.TestLosses));

    /// <summary>Standard deviation of the mean test loss between masks.</summary>
    public double MaskDeviation => OracleCheck.Deviation(Losses);

    private double[] Pruned => [.. Outcomes.Select(o => o.PrunedLoss)];

    private double[] Losses => [.. Outcomes.Select(o => o.TestLoss)];
}

/// <summary>Removes units in many ways, retrains each, and compares the loss right after pruning with what retraining makes of it.</summary>
/// <remarks>
/// "Is Oracle Pruning the True Oracle?" (2024), section 3: masks are all combinations where feasible, else distinct random ones; units are really removed; the loss after pruning is
/// that over training samples in evaluation mode; each mask is retrained several times with one recipe. Differences to the authors' code: results are those of the last step, not of
/// the best test epoch, which would choose on test data.
/// </remarks>
public sealed class OracleCheck
{
    /// <summary>The trained network; it is not changed.</summary>
    public required ModelGraph Network { get; init; }

    /// <summary>Training and test data.</summary>
    public required DataSource Data { get; init; }

    /// <summary>The network's input normalisation.</summary>
    public required InputNormalization Normalization { get; init; }

    /// <summary>Groups from which units are removed.</summary>
    public required IReadOnlyList<string> Groups { get; init; }

    /// <summary>Share of each group's units that is removed.</summary>
    public double Rate { get; init; } = 0.5;

    /// <summary>Largest number of masks.</summary>
    public int MaxMasks { get; init; } = 100;

    /// <summary>Retrainings per mask.</summary>
    public int Repeats { get; init; } = 3;

    /// <summary>How each mask is retrained; with 0 steps nothing is.</summary>
    public TrainingPlan Retraining { get; init; } = new() { Epochs = 3, LearningRate = 0.01 };

    /// <summary>Training samples over which the loss after pruning is measured; null = all.</summary>
    public int? Samples { get; init; }

    /// <summary>Samples per forward pass of evaluations.</summary>
    public int BatchSize { get; init; } = 256;

    /// <summary>Seed of masks and data orders.</summary>
    public long Seed { get; init; }

    /// <summary>Finished masks that are not done again; null keeps none.</summary>
    public IAnalysisStore? Store { get; init; }

    /// <summary>Reports.</summary>
    public IProgress<AnalysisProgress>? Progress { get; init; }

    /// <summary>Number of masks that would be tried.</summary>
    public int MaskCount(DependencyGraph dependencies)
    {
        System.Numerics.BigInteger all = OracleMasks.Count([.. Groups.Select(g => dependencies.Group(g).UnitCount)], Rate);
        return all <= MaxMasks ? (int)all : MaxMasks;
    }

    /// <summary>Runs the check.</summary>
    /// <exception cref="PruningException">SL4002: the rate removes nothing.</exception>
    public OracleResult Run(CancellationToken cancellation = default)
    {
        DependencyGraph dependencies = DependencyGraph.Build(Network, cancellation);
        ChannelGroup[] groups = [.. Groups.Select(dependencies.Group)];
        int[] units = [.. groups.Select(g => g.UnitCount)];
        if (units.All(u => OracleMasks.RemovedOf(u, Rate) == 0)) throw new PruningException("SL4002", $"a rate of {Rate:0.##} removes nothing from groups of {string.Join(", ", units)} units") { Try = "a higher rate" };
        IReadOnlyList<int[][]> masks = OracleMasks.Make(units, Rate, MaxMasks, Seed);
        long steps = Retraining.TotalSteps(Data.ForTraining);
        // Without retraining the measurements are the work.
        var work = new StudyTraining(Data, Normalization, Store, Progress, Math.Max(1, steps * Repeats * (masks.Count + 1)), cancellation);
        var outcomes = new List<OracleOutcome>();
        for (int m = 0; m < masks.Count; m++) outcomes.Add(Try(work, dependencies, groups, masks[m], $"mask {m + 1} of {masks.Count}", steps));
        return new OracleResult(outcomes, Try(work, dependencies, groups, ByL1(groups), "mask by norm", steps));
    }

    /// <summary>Share of results that are strictly better than that of the mask with the least loss after pruning.</summary>
    /// <param name="prunedLosses">Loss after pruning, per mask.</param>
    /// <param name="results">Result after retraining, per mask.</param>
    /// <param name="lowerIsBetter">Whether a smaller result is the better one.</param>
    public static double AnomalyRatio(IReadOnlyList<double> prunedLosses, IReadOnlyList<double> results, bool lowerIsBetter)
    {
        ArgumentNullException.ThrowIfNull(prunedLosses);
        ArgumentNullException.ThrowIfNull(results);
        if (prunedLosses.Count != results.Count || results.Count == 0) throw new ArgumentException("There must be one result per mask.", nameof(results));
        double own = results[Best(prunedLosses)];
        return (double)results.Count(r => lowerIsBetter ? r < own : r > own) / results.Count;
    }

    internal static int Best(IReadOnlyList<double> losses)
    {
        int best = 0;
        for (int i = 1; i < losses.Count; i++)
        {
            if (losses[i] < losses[best]) best = i;
        }
        return best;
    }

    internal static double Deviation(IReadOnlyList<double> values)
    {
        if (values.Count < 2) return double.NaN;
        double mean = values.Average();
        return Math.Sqrt(values.Sum(v => (v - mean) * (v - mean)) / (values.Count - 1));
    }

    private int[][] ByL1(ChannelGroup[] groups)
    {
        var importance = new GroupImportance { Norm = UnitNorm.L1, Scope = UnitScope.Producer };
        return [.. groups.Select(g =>
        {
            double[] scores = importance.Score(Network, g);
            int[] order = [.. Enumerable.Range(0, g.UnitCount).OrderBy(u => scores[u]).ThenBy(u => u).Take(OracleMasks.RemovedOf(g.UnitCount, Rate))];
            Array.Sort(order);
            return order;
        })];
    }

    private OracleOutcome Try(StudyTraining work, DependencyGraph dependencies, ChannelGroup[] groups, int[][] mask, string what, long steps)
    {
        string key = "mask-" + OracleMasks.Key(mask);
        if (Store?.Find(key) is { } found && found.Length == 1 + 3 * Repeats)
        {
            work.Skip(steps * Repeats);
            return new OracleOutcome(mask, found[0], found[1..(1 + Repeats)], found[(1 + Repeats)..(1 + 2 * Repeats)], found[(1 + 2 * Repeats)..]);
        }
        var removal = new Removal(dependencies);
        for (int g = 0; g < groups.Length; g++) removal.Add(groups[g], mask[g]);
        ModelGraph pruned = Surgeon.Remove(removal).Graph;
        IDataset training = NetworkOutputs.First(Data.ForTraining, Samples);
        double loss = NetworkOutputs.Evaluate(pruned, training, Normalization, BatchSize, work.Cancellation).Loss;
        double[] test = new double[Repeats], accuracy = new double[Repeats], train = new double[Repeats];
        for (int r = 0; r < Repeats; r++)
        {
            ModelGraph copy = pruned.Clone();
            work.Train(copy, Retraining with { Seed = Seed + 1 + r }, what);
            Evaluation after = NetworkOutputs.Evaluate(copy, Data.ForEvaluation, Normalization, BatchSize, work.Cancellation);
            test[r] = after.Loss;
            accuracy[r] = after.Top1;
            train[r] = steps == 0 ? loss : NetworkOutputs.Evaluate(copy, training, Normalization, BatchSize, work.Cancellation).Loss;
        }
        Store?.Put(key, [loss, .. test, .. accuracy, .. train]);
        return new OracleOutcome(mask, loss, test, accuracy, train);
    }
}
