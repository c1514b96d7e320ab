using Sparseland.Model;
using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Data.BuiltIn;
using Sparseland.Training.Runs;

namespace Sparseland.Reproductions.Running;

/// <summary>The bench of the reproductions: data sets cut to size, networks, trainings that count towards one progress.</summary>
/// <remarks>Accuracies are in per cent. Test data measures arms at their end, in comparisons also right after a cut, and never chooses anything.</remarks>
public sealed class Lab
{
    private readonly ReproductionRun _run;
    private readonly double _trainings;
    private double _done;

    /// <summary>Opens a bench on a data set.</summary>
    /// <param name="run">The run.</param>
    /// <param name="dataset">A set of the catalogue such as <c>mnist</c> or <c>fashion-mnist</c>; without its files the built-in shapes take its place, and a note says so.</param>
    /// <param name="train">Training samples that are used, drawn by the seed of the set (not of the run).</param>
    /// <param name="test">Test samples that are used.</param>
    /// <param name="trainings">Trainings of the whole run, as multiples of <see cref="Plan"/>: what progress is measured in.</param>
    public Lab(ReproductionRun run, string dataset, int train, int test, double trainings)
    {
        ArgumentNullException.ThrowIfNull(run);
        _run = run;
        _trainings = Math.Max(1e-9, trainings);
        string? root = DataCatalog.Root(run.DataRoot);
        CatalogEntry entry = DataCatalog.Find(dataset) ?? throw new ArgumentException($"There is no data set '{dataset}'.", nameof(dataset));
        if (entry.IsPresent(root))
        {
            DataSource source = DataSource.Open(dataset, new DataSourceOptions { DataRoot = root });
            Normalization = source.Normalization ?? InputNormalization.None;
            Data = Cut(source, train, test);
            DataName = dataset;
            return;
        }
        int side = dataset.StartsWith("cifar", StringComparison.Ordinal) ? 32 : 28, channels = side == 32 ? 3 : 1;
        run.Note($"'{dataset}' is not on this machine: the built-in shapes took its place");
        Normalization = new InputNormalization([.. Enumerable.Repeat(0.5f, channels)], [.. Enumerable.Repeat(0.25f, channels)]);
        Data = new DataSource("shapes", "procedural", ProceduralShapes.Create(train, side, channels, 11), ProceduralShapes.Create(test, side, channels, 12), Normalization);
        DataName = "shapes";
    }

    /// <summary>The data, cut to size.</summary>
    public DataSource Data { get; }

    /// <summary>What was really used.</summary>
    public string DataName { get; }

    /// <summary>The input normalisation: the data set's own unless another is set.</summary>
    public InputNormalization Normalization { get; init; }

    /// <summary>How one whole training goes; arms change single entries with <c>with</c>.</summary>
    public TrainingPlan Plan { get; set; } = new() { Steps = 1250, BatchSize = 64, LearningRate = 0.05, Schedule = "linear", WeightDecay = 0 };

    /// <summary>Builds a network of the catalogue with the run's seed; matrices and kernels are drawn by Glorot and Bengio's normal rule, as in the papers of this family.</summary>
    /// <param name="architecture">Its id.</param>
    /// <param name="options">Its options, such as <c>hidden1=30,hidden2=10</c>.</param>
    /// <param name="draw">Another draw of the same seed; 0 is the run's own.</param>
    public ModelGraph Network(string architecture = "lenet-300-100", string options = "", int draw = 0)
    {
        Architecture found = ArchitectureCatalog.Get(architecture);
        int seed = _run.Seed + 7919 * draw;
        ModelGraph graph = found.Build(found.DefaultOptions().Parse(options), seed);
        foreach (Weight weight in graph.Weights.Values)
        {
            if (weight.Shape.Length >= 2 && weight.ElementType == ElementType.Float32) weight.Set(Initializer.XavierNormal().Create(Initializer.RandomFor(seed, weight.Name), weight.Shape));
        }
        return graph;
    }

    /// <summary>A network that can be trained.</summary>
    public TrainableModel Model(string architecture = "lenet-300-100", string options = "") => Model(Network(architecture, options));

    /// <summary>A graph that can be trained.</summary>
    public TrainableModel Model(ModelGraph graph) => new(graph, new TrainableModelOptions { Seed = (ulong)_run.Seed });

    /// <summary>Trains a model in place.</summary>
    /// <param name="model">The model.</param>
    /// <param name="what">What the progress says.</param>
    /// <param name="plan">How; null takes <see cref="Plan"/>. The plan's own seed is added to the run's.</param>
    /// <param name="callbacks">Take part in the training.</param>
    public TrainingResult Train(TrainableModel model, string what, TrainingPlan? plan = null, params IReadOnlyList<ITrainerCallback> callbacks)
    {
        plan ??= Plan;
        plan = plan with { Seed = plan.Seed + 1000L * _run.Seed };
        long steps = plan.TotalSteps(Data.ForTraining), length = steps - plan.FirstStep;
        double weight = (double)length / Math.Max(1, Plan.TotalSteps(Data.ForTraining)), before = _done;
        var context = new RecoveryContext(Data with { Test = null }, Normalization) { Callbacks = callbacks };
        using Trainer trainer = plan.CreateTrainer(model, context);
        TrainingResult result = trainer.Run(new Forward(p =>
        {
            if (p.Step % 20 == 0) _run.Report((before + weight * (p.Step - plan.FirstStep) / Math.Max(1, length)) / _trainings, what);
        }), _run.Cancellation);
        _run.Cancellation.ThrowIfCancellationRequested();
        _done = before + weight;
        _run.Report(_done / _trainings, what);
        return result;
    }

    /// <summary>Prunes a model in one go with a method of the catalogue, before or after training.</summary>
    /// <param name="model">The model.</param>
    /// <param name="method">The method's id.</param>
    /// <param name="settings">Sparsity, bounds, policy; the run's seed is used where it sets none.</param>
    /// <param name="arguments">The method's own parameters.</param>
    public PruningResult Prune(TrainableModel model, string method, PruningSettings settings, params (string Name, string Value)[] arguments)
    {
        var sparsifier = (OneShotSparsifier)Build(method, settings, 0, arguments);
        return sparsifier.Apply(PruningTarget.Of(model), Context());
    }

    /// <summary>A method of the catalogue that takes part in a training.</summary>
    /// <param name="method">The method's id.</param>
    /// <param name="settings">Sparsity, bounds, policy.</param>
    /// <param name="plan">The training; null takes <see cref="Plan"/>.</param>
    /// <param name="arguments">The method's own parameters.</param>
    public TrainingSparsifier During(string method, PruningSettings settings, TrainingPlan? plan = null, params (string Name, string Value)[] arguments) =>
        (TrainingSparsifier)Build(method, settings, (plan ?? Plan).TotalSteps(Data.ForTraining), arguments);

    /// <summary>Runs a method that owns several trainings on a model.</summary>
    /// <param name="program">The method.</param>
    /// <param name="model">The network at its start.</param>
    /// <param name="what">What the progress says.</param>
    /// <param name="plan">How one whole training goes; null takes <see cref="Plan"/>.</param>
    /// <param name="callbacks">Take part in every training.</param>
    public ProgramRun Run(TrainingProgram program, TrainableModel model, string what, TrainingPlan? plan = null, params IReadOnlyList<ITrainerCallback> callbacks)
    {
        ArgumentNullException.ThrowIfNull(program);
        plan = (plan ?? Plan) with { Seed = (plan ?? Plan).Seed + 1000L * _run.Seed };
        double before = _done, weight = (double)plan.TotalSteps(Data.ForTraining) / Math.Max(1, Plan.TotalSteps(Data.ForTraining));
        var run = new ProgramRun(program, model, new ProgramOptions
        {
            Plan = plan,
            Data = Data,
            Normalization = Normalization,
            Evaluates = false,
            Callbacks = callbacks,
            Progress = new Forward<ProgramProgress>(p => _run.Report((before + weight * p.Done) / _trainings, $"{what}, {p.Phase}")),
        }, _run.Cancellation);
        _ = program.Run(run);
        _done = before + weight * program.Trainings;
        _run.Report(_done / _trainings, what);
        return run;
    }

    /// <summary>Data and loss for criteria.</summary>
    public PruningContext Context() => new() { Data = (Plan with { Seed = Plan.Seed + 1000L * _run.Seed }).CreateLoader(Data.ForTraining, Normalization), Cancellation = _run.Cancellation };

    /// <summary>Settings of a sparsity without any guard, with the run's seed: what the papers measure.</summary>
    public PruningSettings Unguarded(double sparsity) => new() { Sparsity = sparsity, Bounds = Pruning.Allocations.LayerBounds.None, Seed = _run.Seed };

    /// <summary>Test accuracy in per cent.</summary>
    public double Accuracy(TrainableModel model) => 100 * Evaluate(model, Data.ForEvaluation).Top1;

    /// <summary>Evaluates a model on a data set.</summary>
    public Evaluation Evaluate(TrainableModel model, IDataset data) => Evaluator.Evaluate(model, data, new EvaluationOptions { Normalization = Normalization }, null, _run.Cancellation);

    private static Sparsifier Build(string method, PruningSettings settings, long steps, (string Name, string Value)[] arguments) =>
        MethodCatalog.Get(method).Build(settings, arguments.ToDictionary(a => a.Name, a => a.Value), steps);

    /// <summary>The first samples of an order that is fixed, so that every seed and every machine uses the same ones; a set without a test part gives a part of its training samples.</summary>
    private static DataSource Cut(DataSource source, int train, int test)
    {
        IDataset all = source.ForTraining;
        int[] order = [.. Enumerable.Range(0, all.Count)];
        SeededRandom.Of(0xC07).Shuffle<int>(order);
        if (source.Test is { } own && own.Count >= test)
        {
            int[] other = [.. Enumerable.Range(0, own.Count)];
            SeededRandom.Of(0xC08).Shuffle<int>(other);
            return source with { Train = all.Select(order.AsSpan(0, Math.Min(train, all.Count))), Test = own.Select(other.AsSpan(0, test)) };
        }
        if (train + test > all.Count) throw new SparselandException("SL6002", $"'{source.Name}' has {all.Count} samples, {train} + {test} are needed");
        return source with { Train = all.Select(order.AsSpan(0, train)), Test = all.Select(order.AsSpan(train, test)) };
    }

    private sealed class Forward(Action<TrainingProgress> action) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => action(value);
    }

    private sealed class Forward<T>(Action<T> action) : IProgress<T>
    {
        public void Report(T value) => action(value);
    }
}
