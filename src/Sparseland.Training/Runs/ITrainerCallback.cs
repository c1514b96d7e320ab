using Sparseland.Model.Graph;

namespace Sparseland.Training.Runs;

/// <summary>Takes part in a training run: pruning methods, loggers, early stopping.</summary>
/// <remarks>
/// Calls come on the training thread in the order in which the callbacks were given. What a callback remembers from step to step belongs into
/// <see cref="Export"/>: a run that is killed and resumed must be bit-equal to one that was not (R17).
/// </remarks>
public interface ITrainerCallback
{
    /// <summary>Stable name; the key of its state in checkpoints.</summary>
    string Name { get; }

    /// <summary>Before the first step of a run, after a checkpoint was restored.</summary>
    void OnStart(TrainingContext context)
    {
    }

    /// <summary>Before the forward pass: ask for dense gradients here.</summary>
    void OnStepStart(TrainingContext context)
    {
    }

    /// <summary>After the backward pass, before clipping and the optimizer; may set <see cref="TrainingContext.SkipUpdate"/>.</summary>
    void OnGradients(TrainingContext context)
    {
    }

    /// <summary>After the optimizer; <see cref="TrainingContext.Step"/> is still the step that was done.</summary>
    void OnStepEnd(TrainingContext context)
    {
    }

    /// <summary>After the last step of an epoch.</summary>
    void OnEpochEnd(TrainingContext context)
    {
    }

    /// <summary>After an evaluation.</summary>
    void OnEvaluated(TrainingContext context, Evaluation evaluation)
    {
    }

    /// <summary>After the last step, also when the run was stopped early.</summary>
    void OnEnd(TrainingContext context)
    {
    }

    /// <summary>Everything that the next step depends on, by name; empty when there is nothing.</summary>
    IReadOnlyDictionary<string, TensorData> Export() => new Dictionary<string, TensorData>();

    /// <summary>Restores what <see cref="Export"/> gave.</summary>
    void Import(IReadOnlyDictionary<string, TensorData> state)
    {
    }
}
