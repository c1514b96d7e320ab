using Sparseland.Pruning.Programs;
using Sparseland.Training.Runs;

namespace Sparseland.Reproductions.Papers;

/// <summary>Keeps the states of a model after numbers of steps; 0 is before the first.</summary>
internal sealed class KeepStates(long[] steps) : ITrainerCallback
{
    public string Name => "keep";

    public Dictionary<long, ModelSnapshot> States { get; } = [];

    public void OnStart(TrainingContext context)
    {
        if (steps.Contains(0)) States[0] = ModelSnapshot.Of(context.Model);
    }

    public void OnStepEnd(TrainingContext context)
    {
        if (steps.Contains(context.Step + 1)) States[context.Step + 1] = ModelSnapshot.Of(context.Model);
    }
}
