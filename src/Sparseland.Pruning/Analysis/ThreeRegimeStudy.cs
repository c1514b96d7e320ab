using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Analysis;

/// <summary>One cell of the (temperature, density) plane.</summary>
/// <param name="Epochs">Epochs after which the dense training was stopped: fewer is hotter.</param>
/// <param name="Density">Kept share of the pruned layers.</param>
/// <param name="Lmc">Linear mode connectivity, mean over the pairs of retrained copies.</param>
/// <param name="Cka">Linear CKA of softmax outputs, mean over the pairs.</param>
/// <param name="TestError">Share of test samples that retrained copies classify wrongly, mean over the copies.</param>
/// <param name="TrainError">The same on the training samples at the ends of the paths.</param>
public sealed record RegimeCell(double Epochs, double Density, double Lmc, double Cka, double TestError, double TrainError);

/// <summary>Train, stop early, prune, retrain in copies: how connectivity and similarity of the copies depend on the temperature of the dense training and on the density.</summary>
/// <remarks>
/// Zhou, Yang, Chang and Mahoney, "A Three-regime Model of Network Pruning", ICML 2023, section 3 with the temperature knob "training epochs": checkpoints of one dense run, not shorter
/// schedules; every convolution pruned to the same density by magnitude (linear layers where there is no convolution); retraining of the whole schedule with fresh data orders.
/// </remarks>
public sealed class ThreeRegimeStudy
{
    /// <summary>The network before training; it is not changed.</summary>
    public required ModelGraph Network { get; init; }

    /// <summary>Training and test data.</summary>
    public required DataSource Data { get; init; }

    /// <summary>The network's input normalisation.</summary>
    public required InputNormalization Normalization { get; init; }

    /// <summary>Epochs of the dense run after which a checkpoint is taken.</summary>
    public IReadOnlyList<double> Temperatures { get; init; } = [3, 10, 30];

    /// <summary>Kept shares.</summary>
    public IReadOnlyList<double> Densities { get; init; } = [0.05, 0.1, 0.3, 0.8];

    /// <summary>How the dense network is trained; its epochs are those of the schedule, of which checkpoints are taken.</summary>
    public TrainingPlan Dense { get; init; } = new() { Epochs = 30, Schedule = "step", WeightDecay = 1e-4, LearningRate = 0.1 };

    /// <summary>How copies are retrained.</summary>
    public TrainingPlan Retraining { get; init; } = new() { Epochs = 30, Schedule = "step", WeightDecay = 1e-4, LearningRate = 0.1 };

    /// <summary>Retrained copies per cell, 2 or more.</summary>
    public int Copies { get; init; } = 2;

    /// <summary>Training samples that paths and similarities look at; null = all.</summary>
    public int? Samples { get; init; } = 6464;

    /// <summary>How paths are measured.</summary>
    public ConnectivityOptions Path { get; init; } = new();

    /// <summary>Seed of data orders.</summary>
    public long Seed { get; init; }

    /// <summary>Finished work that is not done again; null keeps none.</summary>
    public IAnalysisStore? Store { get; init; }

    /// <summary>Reports.</summary>
    public IProgress<AnalysisProgress>? Progress { get; init; }

    /// <summary>Optimizer steps of the whole study.</summary>
    public long TotalSteps => Dense.TotalSteps(Data.ForTraining) + (long)Temperatures.Count * Densities.Count * Copies * Retraining.TotalSteps(Data.ForTraining);

    /// <summary>Runs the study; cells in the order of temperatures, then densities.</summary>
    /// <exception cref="PruningException">SL4002: fewer than two copies, or a temperature beyond the dense run.</exception>
    public IReadOnlyList<RegimeCell> Run(CancellationToken cancellation = default)
    {
        if (Copies < 2) throw new PruningException("SL4002", "connectivity needs at least two retrained copies");
        foreach (double t in Temperatures)
        {
            if (!(t >= 0 && t <= Dense.Epochs)) throw new PruningException("SL4002", $"a checkpoint after {t:0.##} epochs is not possible: the dense run has {Dense.Epochs:0.##}");
        }
        var work = new StudyTraining(Data, Normalization, Store, Progress, TotalSteps, cancellation);
        IReadOnlyList<ModelGraph> dense = DenseCheckpoints(work);
        var cells = new List<RegimeCell>();
        for (int t = 0; t < Temperatures.Count; t++)
        {
            foreach (double density in Densities) cells.Add(Cell(work, dense[t], Temperatures[t], density));
        }
        return cells;
    }

    /// <summary>Prunes every convolution to that density by magnitude; every linear layer where there is no convolution.</summary>
    public static void Prune(ModelGraph graph, double density)
    {
        ArgumentNullException.ThrowIfNull(graph);
        PrunableLayer[] convolutions = [.. LayerDiscovery.Find(graph).Where(l => l.Kind is LayerKind.Convolution)];
        var policy = convolutions.Length == 0 ? new LayerPolicy() : new LayerPolicy { Targets = [.. convolutions.Select(l => l.Name)] };
        new ScoredPruning("magnitude", PruningStage.After, new PruningSettings { Sparsity = 1 - density, Policy = policy, Bounds = LayerBounds.None }, new MagnitudeCriterion(), new UniformAllocation())
            .Apply(PruningTarget.Of(graph));
    }

    private IReadOnlyList<ModelGraph> DenseCheckpoints(StudyTraining work)
    {
        string[] keys = [.. Temperatures.Select(t => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"dense-{t}"))];
        if (Store is not null && Array.TrueForAll(keys, k => Store.FindModel(k) is not null))
        {
            work.Skip(Dense.TotalSteps(Data.ForTraining));
            return [.. keys.Select(k => Store.FindModel(k)!)];
        }
        long perEpoch = Dense.CreateLoader(Data.ForTraining, Normalization).BatchesPerEpoch;
        var snapshots = new Snapshots([.. Temperatures.Select(t => (long)Math.Round(t * perEpoch))]);
        ModelGraph graph = Network.Clone();
        work.Train(graph, Dense with { Seed = Seed }, "dense network", [snapshots]);
        for (int i = 0; i < keys.Length; i++) Store?.PutModel(keys[i], snapshots.Taken[i]!);
        return [.. snapshots.Taken.Select(g => g!)];
    }

    private RegimeCell Cell(StudyTraining work, ModelGraph dense, double epochs, double density)
    {
        string key = string.Create(System.Globalization.CultureInfo.InvariantCulture, $"cell-{epochs}-{density}");
        if (Store?.Find(key) is [var lmcFound, var ckaFound, var testFound, var trainFound])
        {
            work.Skip(Copies * Retraining.TotalSteps(Data.ForTraining));
            return new RegimeCell(epochs, density, lmcFound, ckaFound, testFound, trainFound);
        }
        IDataset samples = NetworkOutputs.First(Data.ForTraining, Samples);
        var copies = new List<ModelGraph>();
        var outputs = new List<NetworkOutputs>();
        double testError = 0;
        for (int c = 0; c < Copies; c++)
        {
            ModelGraph copy = dense.Clone();
            Prune(copy, density);
            work.Train(copy, Retraining with { Seed = Seed + 1000 * (c + 1) }, string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{epochs:0.##} epochs, density {density:P0}, copy {c + 1}"));
            var model = new TrainableModel(copy);
            NetworkOutputs output = NetworkOutputs.Collect(model, samples, Normalization, Path.BatchSize, cancellation: work.Cancellation);
            Similarity.Softmax(output.Values, output.Width);
            outputs.Add(output);
            copies.Add(copy);
            testError += (1 - NetworkOutputs.Evaluate(copy, Data.ForEvaluation, Normalization, Path.BatchSize, work.Cancellation).Top1) / Copies;
        }
        double lmc = 0, cka = 0, trainError = 0;
        int pairs = 0;
        for (int a = 0; a < Copies; a++)
        {
            for (int b = a + 1; b < Copies; b++)
            {
                ConnectivityPath path = ModeConnectivity.Measure(copies[a], copies[b], samples, Normalization, Path, work.Cancellation);
                lmc += path.Lmc;
                trainError += (path.Errors[0] + path.Errors[^1]) / 2;
                double similarity = Similarity.LinearCka(outputs[a].Values, outputs[b].Values, outputs[a].Rows);
                // Constant outputs (a network that fell silent) have no similarity to speak of.
                cka += double.IsNaN(similarity) ? 0 : similarity;
                pairs++;
            }
        }
        var cell = new RegimeCell(epochs, density, lmc / pairs, cka / pairs, testError, trainError / pairs);
        Store?.Put(key, [cell.Lmc, cell.Cka, cell.TestError, cell.TrainError]);
        return cell;
    }

    // Copies of the graph after given numbers of steps.
    private sealed class Snapshots(long[] steps) : ITrainerCallback
    {
        public string Name => "snapshots";

        public ModelGraph?[] Taken { get; } = new ModelGraph?[steps.Length];

        public void OnStart(TrainingContext context) => Take(context, context.Step);

        public void OnStepEnd(TrainingContext context) => Take(context, context.Step + 1);

        public void OnEnd(TrainingContext context)
        {
            for (int i = 0; i < steps.Length; i++) Taken[i] ??= Copy(context);
        }

        private void Take(TrainingContext context, long done)
        {
            for (int i = 0; i < steps.Length; i++)
            {
                if (steps[i] == done) Taken[i] = Copy(context);
            }
        }

        private static ModelGraph Copy(TrainingContext context)
        {
            context.Model.SyncToGraph();
            return context.Model.Graph.Clone();
        }
    }
}
