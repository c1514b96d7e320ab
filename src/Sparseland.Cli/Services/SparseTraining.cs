using Sparseland.Cli.Hosting;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
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

    /// <summary>What the trainer calls; empty for methods that act before training.</summary>
    public IReadOnlyList<ITrainerCallback> Callbacks => _during is null ? [] : [_during];

    /// <summary>What was removed from which layer; null until it is known.</summary>
    public PruningResult? Outcome { get; private set; }

    /// <summary>Builds the method, and lets it act if its time is before training.</summary>
    /// <exception cref="PruningException">A parameter is out of range, or a filter matches nothing.</exception>
    public async Task PrepareAsync(TrainableModel model)
    {
        IDataset samples = data.Source.ForTraining;
        long steps = training.TotalSteps(samples);
        Sparsifier method = request.Method.Build(request.Settings, request.Arguments, request.Method.Stage == PruningStage.During ? steps : 0);
        if (method is not OneShotSparsifier oneShot)
        {
            _during = (TrainingSparsifier)method;
            return;
        }
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
    public void Check(ModelGraph graph)
    {
        Outcome = _before ?? _during!.Result();
        foreach (LayerOutcome layer in Outcome.Layers)
        {
            Mask? mask = graph.Weights[layer.Layer.Name].Mask;
            int kept = mask?.KeptCount ?? graph.Weights[layer.Layer.Name].Length;
            if (kept > layer.After)
                throw new VerbException(ExitCodes.Unexpected, "SL9001", $"'{layer.Layer.Name}' has {kept} weights left; the method kept {layer.After}");
        }
    }

    private sealed class Forward(Action<PruningProgress> action) : IProgress<PruningProgress>
    {
        public void Report(PruningProgress value) => action(value);
    }
}
