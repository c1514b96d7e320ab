using Sparseland.Training.Data;
using Sparseland.Training.Optimizers;

namespace Sparseland.Training.Runs;

/// <summary>What a callback sees of a run.</summary>
public sealed class TrainingContext
{
    internal TrainingContext(TrainableModel model, IOptimizer optimizer, BatchLoader loader, long totalSteps)
    {
        Model = model;
        Optimizer = optimizer;
        Loader = loader;
        TotalSteps = totalSteps;
    }

    /// <summary>The model that is trained.</summary>
    public TrainableModel Model { get; }

    /// <summary>The optimizer.</summary>
    public IOptimizer Optimizer { get; }

    /// <summary>The training data.</summary>
    public BatchLoader Loader { get; }

    /// <summary>The present step, from 0.</summary>
    public long Step { get; internal set; }

    /// <summary>Steps of the whole run.</summary>
    public long TotalSteps { get; }

    /// <summary>The present epoch, from 0.</summary>
    public int Epoch => (int)(Step / Loader.BatchesPerEpoch);

    /// <summary>Loss of the present step's batch; NaN before the first.</summary>
    public double Loss { get; internal set; } = double.NaN;

    /// <summary>The present step's batch; null before the first.</summary>
    public Batch? Batch { get; internal set; }

    /// <summary>Set in <see cref="ITrainerCallback.OnGradients"/> to leave the optimizer out in this step; reset before every step.</summary>
    public bool SkipUpdate { get; set; }

    /// <summary>Set to end the run after this step, as if it had been its last.</summary>
    public bool StopRequested { get; set; }

    /// <summary>Why a callback asked to stop.</summary>
    public string? StopReason { get; set; }
}
