using Sparseland.Model.Graph;
using Sparseland.Training;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Programs;

/// <summary>Keeps the model's state after given numbers of steps; the states travel with the run's checkpoints.</summary>
/// <param name="steps">Numbers of steps; 0 is the state before the first.</param>
internal sealed class SnapshotCallback(IReadOnlyList<long> steps) : ITrainerCallback
{
    private readonly Dictionary<long, ModelSnapshot> _states = [];

    public string Name => "snapshots";

    /// <summary>The states by number of steps.</summary>
    public IReadOnlyDictionary<long, ModelSnapshot> States => _states;

    public void OnStart(TrainingContext context)
    {
        long last = steps.Count == 0 ? 0 : steps.Max();
        if (last > context.TotalSteps) throw new PruningException("SL4008", $"the state after step {last} is wanted, the run has {context.TotalSteps} steps") { Try = "an earlier step or a longer run" };
        if (steps.Contains(context.Step) && !_states.ContainsKey(context.Step)) _states[context.Step] = ModelSnapshot.Of(context.Model);
    }

    public void OnStepEnd(TrainingContext context)
    {
        if (steps.Contains(context.Step + 1)) _states[context.Step + 1] = ModelSnapshot.Of(context.Model);
    }

    public IReadOnlyDictionary<string, TensorData> Export()
    {
        var all = new Dictionary<string, TensorData>(StringComparer.Ordinal);
        foreach ((long step, ModelSnapshot state) in _states)
        {
            foreach ((string key, TensorData value) in state.ToTensors()) all[$"{step}/{key}"] = value;
        }
        return all;
    }

    public void Import(IReadOnlyDictionary<string, TensorData> state)
    {
        foreach (IGrouping<string, KeyValuePair<string, TensorData>> group in state.GroupBy(s => s.Key[..s.Key.IndexOf('/', StringComparison.Ordinal)]))
            _states[long.Parse(group.Key, System.Globalization.CultureInfo.InvariantCulture)] = ModelSnapshot.FromTensors(group.ToDictionary(g => g.Key[(group.Key.Length + 1)..], g => g.Value));
    }
}
