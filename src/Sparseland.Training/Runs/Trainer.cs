using System.Diagnostics;
using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Losses;
using Sparseland.Training.Optimizers;

namespace Sparseland.Training.Runs;

/// <summary>Drives a training run: batches, loss, callbacks, optimizer, evaluation, checkpoints.</summary>
/// <remarks>
/// Everything that a step depends on is either a pure function of the step (batches, learning rate) or in the checkpoint (weights, masks,
/// statistics, moments, averages, callbacks' state). So a run that was killed and resumed is bit-equal to one that was not (R17).
/// Not for use by several threads at once.
/// </remarks>
public sealed class Trainer : IDisposable
{
    private readonly LossFunction _loss;
    private readonly WeightAverage? _average;
    private readonly List<(long Step, Evaluation Evaluation)> _history = [];
    private double _smoothed = double.NaN;
    private bool _averaged;

    /// <summary>Prepares a run.</summary>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public Trainer(TrainableModel model, IOptimizer optimizer, LearningRate learningRate, BatchLoader loader, LossFunction loss, TrainerOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(learningRate);
        ArgumentNullException.ThrowIfNull(loader);
        ArgumentNullException.ThrowIfNull(loss);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegative(options.Steps, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(options.FirstStep, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.FirstStep, options.Steps, nameof(options));
        if (options.Teacher is { } teacher && (teacher.Weight is not (>= 0 and <= 1) || !(teacher.Temperature > 0)))
            throw new ArgumentException("A teacher's weight is 0 to 1 and its temperature positive.", nameof(options));
        if (options.Callbacks.Select(c => c.Name).Distinct(StringComparer.Ordinal).Count() != options.Callbacks.Count)
            throw new ArgumentException("Two callbacks have the same name; their states could not be told apart.", nameof(options));
        Model = model;
        Optimizer = optimizer;
        LearningRate = learningRate;
        Loader = loader;
        Options = options;
        _loss = loss;
        Context = new TrainingContext(model, optimizer, loader, options.Steps, Objective);
        SetStep(options.FirstStep);
        model.MaskChanged += optimizer.OnMaskChanged;
        if (options.AverageDecay is { } decay) _average = new WeightAverage(model, decay);
    }

    /// <summary>The model that is trained.</summary>
    public TrainableModel Model { get; }

    /// <summary>The optimizer.</summary>
    public IOptimizer Optimizer { get; }

    /// <summary>The learning rate of each step.</summary>
    public LearningRate LearningRate { get; }

    /// <summary>The training data.</summary>
    public BatchLoader Loader { get; }

    /// <summary>How the run goes.</summary>
    public TrainerOptions Options { get; }

    /// <summary>What callbacks see.</summary>
    public TrainingContext Context { get; }

    /// <summary>Steps that are done.</summary>
    public long Step { get; private set; }

    /// <summary>All evaluations of the run with the steps after which they were made.</summary>
    public IReadOnlyList<(long Step, Evaluation Evaluation)> History => _history;

    /// <summary>Trains until all steps are done, the time is up, a callback stops the run or the caller cancels it.</summary>
    /// <remarks>Cancelling is no error: a checkpoint is written if there is a path for one, and the result says why the run stopped.</remarks>
    /// <exception cref="SparselandException">SL3012: the loss is not a number.</exception>
    public TrainingResult Run(IProgress<TrainingProgress>? progress = null, CancellationToken cancellation = default)
    {
        if (_averaged) throw new InvalidOperationException("The run is over: the model holds the averaged weights.");
        var watch = Stopwatch.StartNew();
        long first = Step, samples = 0;
        StopCause cause = StopCause.Completed;
        Context.StopRequested = false;
        Context.Step = Step;
        foreach (ITrainerCallback callback in Options.Callbacks) callback.OnStart(Context);
        while (Step < Options.Steps)
        {
            if (cancellation.IsCancellationRequested)
            {
                cause = StopCause.Cancelled;
                break;
            }
            if (Options.TimeLimit is { } limit && watch.Elapsed >= limit)
            {
                cause = StopCause.TimeLimit;
                break;
            }
            samples += OneStep();
            bool epochEnds = Step % Loader.BatchesPerEpoch == 0;
            if (epochEnds)
            {
                foreach (ITrainerCallback callback in Options.Callbacks) callback.OnEpochEnd(Context);
            }
            Evaluation? evaluation = null;
            bool due = Step == Options.Steps || (Options.EvaluateEvery == 0 ? epochEnds : Options.EvaluateEvery > 0 && Step % Options.EvaluateEvery == 0);
            if (Options.Validation is not null && due)
            {
                if (!TryEvaluate(Step == Options.Steps ? null : Options.EvaluationLimit, out evaluation, cancellation))
                {
                    // The step is done and saved below; the evaluation is simply missing.
                    cause = StopCause.Cancelled;
                    break;
                }
                _history.Add((Step, evaluation!));
                foreach (ITrainerCallback callback in Options.Callbacks) callback.OnEvaluated(Context, evaluation!);
            }
            if (progress is not null) progress.Report(Report(watch.Elapsed, first, samples, evaluation));
            if (Context.StopRequested)
            {
                cause = StopCause.Callback;
                break;
            }
            if (Options.CheckpointPath is not null && Options.CheckpointEvery > 0 && Step % Options.CheckpointEvery == 0 && Step < Options.Steps) Save(Options.CheckpointPath);
        }
        foreach (ITrainerCallback callback in Options.Callbacks) callback.OnEnd(Context);
        if (Options.CheckpointPath is not null) Save(Options.CheckpointPath);
        if ((cause is StopCause.Completed or StopCause.Callback) && _average is not null && !_averaged)
        {
            _average.Apply();
            _averaged = true;
        }
        return new TrainingResult(cause, Step, _smoothed, _history.Count > 0 ? _history[^1].Evaluation : null, [.. _history], watch.Elapsed);
    }

    /// <summary>Evaluates the model (the averaged weights, when there are any) with the training data's normalisation.</summary>
    public Evaluation Evaluate(IDataset data, int? limit = null, CancellationToken cancellation = default)
    {
        var options = new EvaluationOptions { BatchSize = Options.EvaluationBatchSize, Normalization = Loader.Options.Normalization, Limit = limit };
        WeightAverage? swap = _averaged ? null : _average;
        swap?.Apply();
        try
        {
            return Evaluator.Evaluate(Model, data, options, Options.Feed, cancellation);
        }
        finally
        {
            swap?.Restore();
        }
    }

    /// <summary>Writes a checkpoint: to a temporary file first, then renamed.</summary>
    /// <exception cref="InvalidOperationException">The run is over and the model holds averaged weights.</exception>
    public void Save(string path)
    {
        if (_averaged) throw new InvalidOperationException("The run is over: the model holds the averaged weights.");
        TrainingCheckpoint.Capture(this).Write(path);
    }

    /// <summary>Restores a checkpoint that was written by a run of the same model, data and recipe.</summary>
    /// <exception cref="SparselandException">SL3013: the checkpoint is of another run, or damaged.</exception>
    public void Restore(string path) => TrainingCheckpoint.Read(path).Apply(this, path);

    /// <summary>Lets go of the model: mask changes no longer reach this run's optimizer.</summary>
    public void Dispose() => Model.MaskChanged -= Optimizer.OnMaskChanged;

    internal WeightAverage? Average => _average;

    internal double SmoothedLoss
    {
        get => _smoothed;
        set => _smoothed = value;
    }

    internal void SetStep(long step)
    {
        Step = step;
        Context.Step = step;
        _history.RemoveAll(h => h.Step > step);
    }

    internal void SetHistory(IEnumerable<(long, Evaluation)> history)
    {
        _history.Clear();
        _history.AddRange(history);
    }

    private int OneStep()
    {
        Context.Step = Step;
        Context.SkipUpdate = false;
        Batch batch = Loader.At(Step);
        Context.Batch = batch;
        foreach (ITrainerCallback callback in Options.Callbacks) callback.OnStepStart(Context);
        Optimizer.LearningRate = LearningRate.At(Step);
        Model.IsTraining = true;
        Model.ZeroGrad();
        Tensor loss = Objective(batch);
        double value = loss.Item();
        if (!double.IsFinite(value))
        {
            throw new SparselandException("SL3012", $"the loss is {value} at step {Step}")
            {
                Because = $"learning rate {Optimizer.LearningRate:G4}; {(FirstBad() is { } bad ? $"'{bad}' holds a value that is not finite" : "all weights are finite")}",
                Try = "a smaller learning rate, a warm-up, gradient clipping, or check the data for NaN",
            };
        }
        loss.Backward();
        Context.Loss = value;
        _smoothed = double.IsNaN(_smoothed) ? value : 0.95 * _smoothed + 0.05 * value;
        foreach (ITrainerCallback callback in Options.Callbacks) callback.OnGradients(Context);
        if (!Context.SkipUpdate)
        {
            if (Options.ClipNorm is { } norm) GradientClipping.ByNorm(Optimizer.Parameters, norm);
            Optimizer.Step();
            _average?.Update();
        }
        foreach (ITrainerCallback callback in Options.Callbacks) callback.OnStepEnd(Context);
        Step++;
        return batch.Count;
    }

    private Tensor Objective(Batch batch)
    {
        Tensor output = Evaluator.Forward(Model, batch, Options.Feed);
        Tensor loss = _loss(output, batch);
        return Options.Teacher is { Weight: > 0 } teacher ? WithTeacher(teacher, output, loss, batch) : loss;
    }

    private Tensor WithTeacher(Teacher teacher, Tensor output, Tensor loss, Batch batch)
    {
        Tensor wanted;
        teacher.Model.IsTraining = false;
        using (GradientMode.Off()) wanted = Evaluator.Forward(teacher.Model, batch, Options.Feed);
        Tensor taught = Loss.Distillation(output, wanted, teacher.Temperature);
        float own = (float)(1 - teacher.Weight), other = (float)teacher.Weight;
        return Tape.Record("Distillation mix", Tensor.Scalar(own * loss.Item() + other * taught.Item()), [loss, taught], [], flow =>
        {
            float g = flow.Output().Values[0];
            flow.Give(0, Tensor.Scalar(own * g));
            flow.Give(1, Tensor.Scalar(other * g));
        });
    }

    private string? FirstBad()
    {
        foreach (Parameter p in Model.Parameters)
        {
            foreach (float v in p.Value.Values)
            {
                if (!float.IsFinite(v)) return p.Name;
            }
        }
        return null;
    }

    private bool TryEvaluate(int? limit, out Evaluation? evaluation, CancellationToken cancellation)
    {
        try
        {
            evaluation = Evaluate(Options.Validation!, limit, cancellation);
            return true;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            evaluation = null;
            return false;
        }
    }

    private TrainingProgress Report(TimeSpan elapsed, long first, long samples, Evaluation? evaluation)
    {
        long done = Step - first;
        double seconds = elapsed.TotalSeconds;
        TimeSpan? remaining = done >= 3 ? TimeSpan.FromSeconds(seconds / done * (Options.Steps - Step)) : null;
        return new TrainingProgress(Step, Options.Steps, Context.Epoch, _smoothed, Optimizer.LearningRate, samples / Math.Max(1e-9, seconds), elapsed, remaining, evaluation);
    }
}
