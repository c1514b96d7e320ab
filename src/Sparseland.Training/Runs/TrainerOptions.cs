using Sparseland.Training.Data;

namespace Sparseland.Training.Runs;

/// <summary>How a run goes.</summary>
public sealed record TrainerOptions
{
    /// <summary>Optimizer steps of the whole run.</summary>
    public required long Steps { get; init; }

    /// <summary>The step at which the run starts, at most <see cref="Steps"/>: batches and learning rate are those of this step (rewinding); the optimizer starts fresh.</summary>
    public long FirstStep { get; init; }

    /// <summary>Largest joint norm of all gradients; null does not clip.</summary>
    public double? ClipNorm { get; init; }

    /// <summary>Decay of a moving average of the weights that is evaluated and, at the end, kept in the model; null averages nothing.</summary>
    public double? AverageDecay { get; init; }

    /// <summary>Data for evaluations; null evaluates nothing.</summary>
    public IDataset? Validation { get; init; }

    /// <summary>Steps between evaluations; 0 evaluates after every epoch, -1 only at the end.</summary>
    public long EvaluateEvery { get; init; }

    /// <summary>Samples per batch in evaluations.</summary>
    public int EvaluationBatchSize { get; init; } = 256;

    /// <summary>Largest number of samples that an evaluation during the run looks at; null looks at all.</summary>
    public int? EvaluationLimit { get; init; }

    /// <summary>Where checkpoints are written; null writes none.</summary>
    public string? CheckpointPath { get; init; }

    /// <summary>Steps between checkpoints; 0 writes only when the run stops.</summary>
    public long CheckpointEvery { get; init; }

    /// <summary>The run stops (with a checkpoint) when it has taken this long; null sets no limit.</summary>
    public TimeSpan? TimeLimit { get; init; }

    /// <summary>A network whose logits are learned beside the labels.</summary>
    public Teacher? Teacher { get; init; }

    /// <summary>Feeds graphs with several inputs; null feeds the batch to the only one.</summary>
    public Func<Batch, IReadOnlyDictionary<string, ModelValue>>? Feed { get; init; }

    /// <summary>Take part in the run, in this order.</summary>
    public IReadOnlyList<ITrainerCallback> Callbacks { get; init; } = [];
}

/// <summary>Knowledge distillation: loss = (1 - weight) * loss on labels + weight * T^2 KL(teacher || student).</summary>
/// <remarks>Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.</remarks>
/// <param name="Model">The teacher; run in evaluation mode, never changed. It takes the same inputs as the student.</param>
/// <param name="Weight">Share of the teacher in the loss, 0 to 1.</param>
/// <param name="Temperature">T, above 0.</param>
public sealed record Teacher(TrainableModel Model, double Weight = 0.9, double Temperature = 4);

/// <summary>Turns the network's output and a batch into the loss, a scalar.</summary>
/// <param name="output">The graph's first output.</param>
/// <param name="batch">The batch that it was computed from.</param>
public delegate Autograd.Tensor LossFunction(Autograd.Tensor output, Batch batch);

/// <summary>The usual losses of a run.</summary>
public static class TrainingLoss
{
    /// <summary>Softmax cross-entropy over [samples, classes] or [samples, window, vocabulary].</summary>
    /// <param name="labelSmoothing">0 to below 1.</param>
    public static LossFunction CrossEntropy(double labelSmoothing = 0) => (output, batch) => Losses.Loss.CrossEntropy(output, batch.Targets, labelSmoothing);
}

/// <summary>Why a run stopped.</summary>
public enum StopCause
{
    /// <summary>All steps are done.</summary>
    Completed,

    /// <summary>The caller cancelled; a checkpoint was written if there is a path for one.</summary>
    Cancelled,

    /// <summary>The time was up; a checkpoint was written if there is a path for one.</summary>
    TimeLimit,

    /// <summary>A callback asked for it.</summary>
    Callback,
}

/// <summary>What came out of a run.</summary>
/// <param name="Cause">Why it stopped.</param>
/// <param name="Steps">Steps that are done, those before a resumption included.</param>
/// <param name="Loss">Smoothed loss of the last steps.</param>
/// <param name="Final">The last evaluation, or null.</param>
/// <param name="History">All evaluations with their steps.</param>
/// <param name="Elapsed">Time of this call.</param>
public sealed record TrainingResult(StopCause Cause, long Steps, double Loss, Evaluation? Final, IReadOnlyList<(long Step, Evaluation Evaluation)> History, TimeSpan Elapsed);

/// <summary>A report from a run.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="TotalSteps">Steps of the run.</param>
/// <param name="Epoch">Epoch, from 0.</param>
/// <param name="Loss">Smoothed loss.</param>
/// <param name="LearningRate">The last learning rate.</param>
/// <param name="SamplesPerSecond">Speed since the start.</param>
/// <param name="Elapsed">Time since the start of this call.</param>
/// <param name="Remaining">Estimated time to the end; null in the first steps.</param>
/// <param name="Evaluation">Set when the report follows an evaluation.</param>
public sealed record TrainingProgress(long Step, long TotalSteps, int Epoch, double Loss, double LearningRate, double SamplesPerSecond, TimeSpan Elapsed, TimeSpan? Remaining, Evaluation? Evaluation);
