using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Runs;

namespace Sparseland.Cli.Services;

/// <summary>One training of a graph under a plan: progress, checkpoints, resume.</summary>
internal sealed class TrainingSession : IDisposable
{
    private readonly VerbContext _context;
    private readonly RunFolder? _run;
    private readonly string _title;

    /// <summary>Prepares a training.</summary>
    /// <param name="context">The running verb.</param>
    /// <param name="model">The model, trained in place.</param>
    /// <param name="data">Data that fits the model.</param>
    /// <param name="plan">How to train.</param>
    /// <param name="callbacks">Pruning methods and the like; called in this order.</param>
    /// <param name="run">Where checkpoints and metrics go; null keeps none.</param>
    /// <param name="title">What the progress display says.</param>
    /// <param name="teacher">The network to distil from, or null.</param>
    public TrainingSession(
        VerbContext context, TrainableModel model, OpenedData data, TrainingPlan plan, IReadOnlyList<ITrainerCallback> callbacks,
        RunFolder? run, string title, ModelGraph? teacher = null)
    {
        _context = context;
        _run = run;
        _title = title;
        RequireMemory(context, model, Math.Min(plan.BatchSize, data.Source.ForTraining.Count), teacher);
        Trainer = plan.CreateTrainer(model, new RecoveryContext(data.Source, data.Normalization)
        {
            Teacher = teacher is null ? null : new TrainableModel(teacher),
            Callbacks = callbacks,
            CheckpointPath = run?.LatestCheckpoint,
            EvaluationLimit = 2000,
        });
    }

    /// <summary>The network that a plan imitates; null for none.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="dense">What <c>self</c> means here; null where there is no such network.</param>
    /// <exception cref="VerbException">There is no network before pruning.</exception>
    public static ModelGraph? TeacherOf(TrainingPlan plan, ModelGraph? dense = null) => plan.Teacher switch
    {
        null => null,
        "self" => dense ?? throw VerbException.Usage("--teacher self is the network before pruning, which this verb does not have", "give its file: --teacher MODEL"),
        string path => ModelAccess.Load(path),
    };

    /// <summary>The trainer behind the session.</summary>
    public Trainer Trainer { get; }

    /// <summary>Trains to the end, from the last checkpoint with --resume; writes the weights back into the graph.</summary>
    /// <exception cref="OperationCanceledException">Stopped by the user or the time limit; the state is in the run folder.</exception>
    public async Task<TrainingResult> RunAsync()
    {
        if (_run is not null && _context.Settings.Resume && File.Exists(_run.LatestCheckpoint))
        {
            Trainer.Restore(_run.LatestCheckpoint);
            _context.Say($"resumed at step {Trainer.Step} of {Trainer.Options.Steps}");
        }
        TrainingResult result = await _context.TrackAsync(_title, Trainer.Options.Steps, work =>
        {
            var progress = new Forward(p =>
            {
                work.Report(p.Step, p.Evaluation is { } e ? $"loss {p.Loss:0.000}, {Describe(e)}" : $"loss {p.Loss:0.000}");
                if (p.Step % 10 == 0 || p.Evaluation is not null) Record(p);
            });
            return Trainer.Run(progress, _context.Cancellation);
        }).ConfigureAwait(false);
        Trainer.Model.SyncToGraph();
        if (result.Cause is StopCause.Cancelled or StopCause.TimeLimit) throw new OperationCanceledException(_context.Cancellation);
        return result;
    }

    public void Dispose() => Trainer.Dispose();

    /// <summary>An evaluation in a few words.</summary>
    public static string Describe(Evaluation e) => e.BitsPerByte is { } bits
        ? $"perplexity {e.Perplexity:0.000}, {bits:0.000} bits per byte"
        : $"top-1 {e.Top1:P2}";

    /// <summary>Weights, gradients and two moments; every activation of a batch and its gradient.</summary>
    private static void RequireMemory(VerbContext context, TrainableModel model, int batch, ModelGraph? teacher)
    {
        if (context.Settings.MemoryLimit is null) return;
        ModelCost cost = ModelCost.Of(model.Graph, Verbs.InspectVerb.BatchTypes(model.Graph, batch), countZeros: false);
        long other = teacher is null ? 0 : ModelCost.Of(teacher, Verbs.InspectVerb.BatchTypes(teacher, batch), countZeros: false) is var t ? t.WeightBytes + t.PeakActivationBytes : 0;
        context.RequireMemory(4 * cost.WeightBytes + 2 * cost.ActivationBytes + other, $"training at batch {batch}");
    }

    private void Record(TrainingProgress p)
    {
        if (_run is null) return;
        var line = new JsonObject { ["phase"] = _title, ["step"] = p.Step, ["loss"] = p.Loss, ["learningRate"] = p.LearningRate, ["samplesPerSecond"] = p.SamplesPerSecond };
        if (p.Evaluation is { } e)
        {
            line["evaluationLoss"] = e.Loss;
            line["top1"] = e.Top1;
        }
        _run.Metric(line);
    }

    private sealed class Forward(Action<TrainingProgress> action) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => action(value);
    }
}
