using Sparseland.Model;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Recovery;

/// <summary>What a recovery works with.</summary>
/// <param name="Data">Training data.</param>
/// <param name="Normalization">The model's input normalisation.</param>
public sealed record RecoveryContext(DataSource Data, InputNormalization Normalization)
{
    /// <summary>The dense network that is imitated, or null.</summary>
    public TrainableModel? Teacher { get; init; }

    /// <summary>Take part in the run.</summary>
    public IReadOnlyList<ITrainerCallback> Callbacks { get; init; } = [];

    /// <summary>Largest number of samples that an evaluation during the run looks at; null looks at all.</summary>
    public int? EvaluationLimit { get; init; }

    /// <summary>Where checkpoints are written; null writes none.</summary>
    public string? CheckpointPath { get; init; }

    /// <summary>A checkpoint to go on from, or null.</summary>
    public string? ResumeFrom { get; init; }

    /// <summary>The run stops when it has taken this long.</summary>
    public TimeSpan? TimeLimit { get; init; }

    /// <summary>Reports.</summary>
    public IProgress<TrainingProgress>? Progress { get; init; }
}

/// <summary>How is accuracy won back? Masks are kept: density never rises.</summary>
public interface IRecovery
{
    /// <summary>Stable name.</summary>
    string Id { get; }

    /// <summary>Recovers; null when nothing was trained.</summary>
    TrainingResult? Recover(TrainableModel model, RecoveryContext context, CancellationToken cancellation = default);
}
