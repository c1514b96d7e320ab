using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.Optimizers;

namespace Sparseland.Training.Runs;

/// <summary>What a callback sees of a run.</summary>
public sealed class TrainingContext
{
    private readonly Func<Batch, Tensor> _objective;

    internal TrainingContext(TrainableModel model, IOptimizer optimizer, BatchLoader loader, long totalSteps, Func<Batch, Tensor> objective)
    {
        _objective = objective;
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

    /// <summary>What the run minimises, on a batch at the present values and in the model's present mode: the loss on labels, with a teacher's share where the run has one.</summary>
    /// <param name="batch">The batch; callbacks may bring one of their own.</param>
    /// <returns>A scalar that <c>Backward</c> can be called on.</returns>
    public Tensor Objective(Batch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        return _objective(batch);
    }

    /// <summary>Set in <see cref="ITrainerCallback.OnGradients"/> to leave the optimizer out in this step; reset before every step.</summary>
    public bool SkipUpdate { get; set; }

    /// <summary>Set to end the run after this step, as if it had been its last.</summary>
    public bool StopRequested { get; set; }

    /// <summary>Why a callback asked to stop.</summary>
    public string? StopReason { get; set; }
}
