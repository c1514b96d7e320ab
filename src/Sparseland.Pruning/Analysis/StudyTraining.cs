using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Analysis;

/// <summary>The trainings of a study: one progress over all of them, cancelled at any step.</summary>
internal sealed class StudyTraining(DataSource data, InputNormalization normalization, IAnalysisStore? store, IProgress<AnalysisProgress>? progress, long totalSteps, CancellationToken cancellation)
{
    private long _done;

    public CancellationToken Cancellation => cancellation;

    /// <summary>What finished work is kept in.</summary>
    public IAnalysisStore? Store => store;

    /// <summary>Trains a graph in place.</summary>
    /// <exception cref="OperationCanceledException">The caller cancelled.</exception>
    public void Train(ModelGraph graph, TrainingPlan plan, string what, IReadOnlyList<ITrainerCallback>? callbacks = null)
    {
        cancellation.ThrowIfCancellationRequested();
        long steps = plan.TotalSteps(data.ForTraining);
        if (steps == 0) return;
        var model = new TrainableModel(graph, new TrainableModelOptions { Seed = (ulong)plan.Seed });
        var forward = new Forward(p => progress?.Report(new AnalysisProgress(_done + p.Step, totalSteps, $"{what}, loss {p.Loss:0.000}")));
        using Trainer trainer = plan.CreateTrainer(model, new RecoveryContext(data with { Test = null }, normalization) { Callbacks = callbacks ?? [], Progress = forward });
        TrainingResult result = trainer.Run(forward, cancellation);
        if (result.Cause == StopCause.Cancelled) throw new OperationCanceledException(cancellation);
        model.SyncToGraph();
        _done += steps;
    }

    /// <summary>Counts steps as done that need not be made.</summary>
    public void Skip(long steps)
    {
        _done += steps;
        progress?.Report(new AnalysisProgress(_done, totalSteps, "found"));
    }

    private sealed class Forward(Action<TrainingProgress> action) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => action(value);
    }
}
