using Sparseland.Cli.Hosting;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Cli.Services;

/// <summary>A method of the catalogue in a training from scratch: it acts once before the first step, or takes part in every step.</summary>
/// <param name="context">The running verb.</param>
/// <param name="request">The method and its settings.</param>
/// <param name="data">Data that fits the model.</param>
/// <param name="training">How long the training is: schedules of methods follow from it.</param>
internal sealed class SparseTraining(VerbContext context, PruneRequest request, OpenedData data, TrainingPlan training)
{
    private PruningResult? _before;
    private TrainingSparsifier? _during;
    private readonly ExploredWeights _explored = new();
    private Sparsifier? _method;
    private IReadOnlyList<string> _foreseen = [];

    /// <summary>What the trainer calls; empty for methods that act before training.</summary>
    public IReadOnlyList<ITrainerCallback> Callbacks => _during is null ? [] : [_during, _explored];

    /// <summary>Which weights were ever active, where masks may move while the network is trained; else null.</summary>
    public ExploredWeights? Explored => _during is null ? null : _explored;

    /// <summary>The method when it owns several trainings; null otherwise. Known after <see cref="PrepareAsync"/>.</summary>
    public TrainingProgram? Program { get; private set; }

    /// <summary>What was removed from which layer; null until it is known.</summary>
    public PruningResult? Outcome { get; private set; }

    /// <summary>
    /// Builds the method and plans its layers, so that a parameter that is out of range or conflicts with another, and a filter that matches nothing, are errors before anything is read or written.
    /// A schedule that would come to nothing is a warning then, too.
    /// </summary>
    /// <exception cref="PruningException">They are.</exception>
    public void Validate(ModelGraph graph)
    {
        Sparsifier method = Build();
        method.Plan(PruningTarget.Of(graph));
        if (method is not TrainingSparsifier during) return;
        _foreseen = during.Foresee(training.TotalSteps(data.Source.ForTraining));
        foreach (string warning in _foreseen) context.Warn(warning);
    }

    /// <summary>What the method said during the run and <see cref="Validate"/> did not say before it.</summary>
    public IEnumerable<string> Warnings => Outcome?.Warnings.Except(_foreseen) ?? [];

    /// <summary>The graph that is trained: a smaller one when the method makes it smaller before training.</summary>
    /// <exception cref="PruningException">A parameter is out of range, or a filter matches nothing.</exception>
    public async Task<ModelGraph> ShrinkAsync(ModelGraph graph)
    {
        if (Build() is not GraphSparsifier shrinking) return graph;
        IDataset samples = data.Source.ForTraining;
        GraphResult result = await context.TrackAsync(request.Title, 1, work => shrinking.Rewrite(graph, new PruningContext
        {
            Data = new BatchLoader(samples, new BatchOptions { BatchSize = Math.Min(training.BatchSize, samples.Count), Seed = context.Settings.Seed, Normalization = data.Normalization }),
            InputTypes = Verbs.InspectVerb.BatchTypes(graph, 1),
            Progress = new Forward(p => work.Report(p.Done / (double)Math.Max(1, p.Total), p.What)),
            Cancellation = context.Cancellation,
        })).ConfigureAwait(false);
        foreach (GraphChange c in result.Changes.Where(c => c.After < c.Before)) context.Say($"{c.Name}: {c.After} of {c.Before} {c.Kind}{(c.Note is null ? "" : ", " + c.Note)}");
        foreach (string warning in result.Warnings) context.Warn(warning);
        return result.Graph;
    }

    /// <summary>Builds the method, and lets it act if its time is before training.</summary>
    /// <exception cref="PruningException">A parameter is out of range, or a filter matches nothing.</exception>
    public async Task PrepareAsync(TrainableModel model)
    {
        IDataset samples = data.Source.ForTraining;
        Sparsifier method = Build();
        _during = method as TrainingSparsifier;
        Program = method as TrainingProgram;
        if (method is not OneShotSparsifier oneShot) return;
        var loader = new BatchLoader(samples, new BatchOptions { BatchSize = Math.Min(training.BatchSize, samples.Count), Seed = context.Settings.Seed, Normalization = data.Normalization });
        _before = await context.TrackAsync(request.Title, 1, work => oneShot.Apply(PruningTarget.Of(model), new PruningContext
        {
            Data = loader,
            Progress = new Forward(p => work.Report(p.Done / (double)Math.Max(1, p.Total), p.What)),
            Cancellation = context.Cancellation,
        })).ConfigureAwait(false);
    }

    /// <summary>After training: what the masks became, and that no layer holds more than its method left (R16).</summary>
    /// <exception cref="VerbException">A layer is denser than the method decided.</exception>
    public void Check(ModelGraph graph, PruningResult? ofProgram = null)
    {
        Outcome = ofProgram ?? _before ?? _during?.Result();
        if (Outcome is null) return;
        foreach (LayerOutcome layer in Outcome.Layers)
        {
            Mask? mask = graph.Weights[layer.Layer.Name].Mask;
            int kept = mask?.KeptCount ?? graph.Weights[layer.Layer.Name].Length;
            if (kept > layer.After)
                throw new VerbException(ExitCodes.Unexpected, "SL9001", $"'{layer.Layer.Name}' has {kept} weights left; the method kept {layer.After}");
        }
    }

    private Sparsifier Build() => _method ??= request.Method.Build(request.Settings, request.Arguments, request.Method.Stage == PruningStage.During ? training.TotalSteps(data.Source.ForTraining) : 0);

    private sealed class Forward(Action<PruningProgress> action) : IProgress<PruningProgress>
    {
        public void Report(PruningProgress value) => action(value);
    }
}
