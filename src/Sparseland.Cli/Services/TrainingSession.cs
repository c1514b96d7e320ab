using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Cli.Services;

/// <summary>One training of a graph under settings: optimizer, schedule, data, progress, checkpoints, resume.</summary>
internal sealed class TrainingSession : IDisposable
{
    private readonly VerbContext _context;
    private readonly RunFolder? _run;
    private readonly string _title;

    /// <summary>Prepares a training.</summary>
    /// <param name="context">The running verb.</param>
    /// <param name="model">The model, trained in place.</param>
    /// <param name="data">Data that fits the model.</param>
    /// <param name="settings">How to train.</param>
    /// <param name="callbacks">Pruning methods and the like; called in this order.</param>
    /// <param name="run">Where checkpoints and metrics go; null keeps none.</param>
    /// <param name="title">What the progress display says.</param>
    /// <param name="teacher">The network to distil from, or null.</param>
    public TrainingSession(
        VerbContext context, TrainableModel model, OpenedData data, TrainingSettings settings, IReadOnlyList<ITrainerCallback> callbacks,
        RunFolder? run, string title, ModelGraph? teacher = null)
    {
        _context = context;
        _run = run;
        _title = title;
        IDataset train = data.Source.ForTraining;
        RequireMemory(context, model, Math.Min(settings.Batch, train.Count), teacher);
        var loader = new BatchLoader(train, new BatchOptions
        {
            BatchSize = Math.Min(settings.Batch, train.Count),
            DropLast = true,
            Seed = context.Settings.Seed,
            Normalization = data.Normalization,
            Augmentations = Augmentations(settings.Augment, train),
        });
        long steps = settings.Steps ?? (long)Math.Ceiling(settings.Epochs * loader.BatchesPerEpoch);
        Trainer = new Trainer(model, MakeOptimizer(model, settings), MakeSchedule(settings, steps), loader, TrainingLoss.CrossEntropy(settings.LabelSmoothing), new TrainerOptions
        {
            Steps = steps,
            ClipNorm = settings.ClipNorm,
            AverageDecay = settings.AverageDecay,
            Validation = data.Source.Test,
            EvaluationLimit = 2000,
            CheckpointPath = run?.LatestCheckpoint,
            CheckpointEvery = Math.Max(50, loader.BatchesPerEpoch),
            TimeLimit = null,
            Teacher = teacher is null ? null : new Teacher(new TrainableModel(teacher), settings.TeacherWeight, settings.Temperature),
            Callbacks = callbacks,
        });
    }

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

    private static List<IAugmentation> Augmentations(string augment, IDataset data)
    {
        if (data.Kind == SampleKind.Tokens || augment == "none") return [];
        bool colour = data.SampleShape.Length == 3 && data.SampleShape[0] == 3;
        string wanted = augment == "auto" ? colour ? "crop,flip" : "none" : augment;
        int padding = data.SampleShape.Length == 3 ? Math.Max(1, data.SampleShape[1] / 8) : 0;
        var list = new List<IAugmentation>();
        if (wanted.Contains("crop", StringComparison.Ordinal)) list.Add(new RandomCrop(padding));
        if (wanted.Contains("flip", StringComparison.Ordinal)) list.Add(new HorizontalFlip());
        return list;
    }

    private static IOptimizer MakeOptimizer(TrainableModel model, TrainingSettings s)
    {
        ParameterGroup[] groups = ParameterGroup.WithoutDecayOnNormsAndBiases(model.Parameters);
        return s.Optimizer switch
        {
            "adam" => new Adam(groups, s.LearningRate, weightDecay: s.WeightDecay),
            "adamw" => new AdamW(groups, s.LearningRate, weightDecay: s.WeightDecay),
            _ => new Sgd(groups, s.LearningRate, s.Momentum, s.WeightDecay, nesterov: s.Momentum > 0),
        };
    }

    private static LearningRate MakeSchedule(TrainingSettings s, long steps)
    {
        int warmUp = (int)(s.WarmUpFraction * steps);
        LearningRate curve = s.Schedule switch
        {
            "cosine" => new Cosine(s.LearningRate, Math.Max(1, steps - warmUp)),
            "linear" => new Linear(s.LearningRate, Math.Max(1, steps - warmUp)),
            "one-cycle" => new OneCycle(s.LearningRate, Math.Max(1, steps)),
            "step" => new StepDecay(s.LearningRate, 0.1, steps / 2, steps * 3 / 4),
            _ => new Constant(s.LearningRate),
        };
        return s.Schedule == "one-cycle" ? curve : curve.WithWarmUp(warmUp);
    }

    private sealed class Forward(Action<TrainingProgress> action) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => action(value);
    }
}
