using Sparseland.Training;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Recovery;

/// <summary>Trains on with the masks kept, perhaps imitating the dense network.</summary>
/// <remarks>Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015, section 3; distillation: Hinton et al. 2015, section 2.</remarks>
/// <param name="plan">How.</param>
public sealed class FineTuning(TrainingPlan plan) : IRecovery
{
    /// <inheritdoc/>
    public string Id => "fine-tuning";

    /// <summary>How.</summary>
    public TrainingPlan Plan => plan;

    /// <inheritdoc/>
    public TrainingResult? Recover(TrainableModel model, RecoveryContext context, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(context);
        using Trainer trainer = plan.CreateTrainer(model, context);
        return trainer.Run(context.Progress, cancellation);
    }
}
