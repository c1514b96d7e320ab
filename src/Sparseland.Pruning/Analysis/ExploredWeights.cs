using System.Runtime.InteropServices;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Training;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Analysis;

/// <summary>Counts how many distinct weights were ever active in a training, and when a mask last changed: give it to the trainer after the method.</summary>
/// <remarks>
/// The exploration rate of Liu, Yin, Mocanu and Pechenizkiy, "Do We Actually Need Dense Over-Parameterization? In-Time Over-Parameterization in Sparse Training", ICML 2021, section 3;
/// rule 5 of "Ten Lessons We Have Learned in the New Sparseland" (2023). Static masks explore exactly their density; a layer that was dense at some step has been explored whole. The share never falls.
/// </remarks>
public sealed class ExploredWeights : ITrainerCallback
{
    private readonly Dictionary<string, Mask> _ever = new(StringComparer.Ordinal), _last = new(StringComparer.Ordinal);
    private long _lastChange = -1;

    /// <inheritdoc/>
    public string Name => "explored";

    /// <summary>Step after which a mask last changed; -1 when none did.</summary>
    public long LastChange => _lastChange;

    /// <summary>Share of the masked weights that were active at some step, 0 to 1; 1 when nothing is masked.</summary>
    public double Share
    {
        get
        {
            long all = _ever.Values.Sum(m => (long)m.Length);
            return all == 0 ? 1 : (double)_ever.Values.Sum(m => (long)m.KeptCount) / all;
        }
    }

    /// <inheritdoc/>
    public void OnStart(TrainingContext context) => Look(context, -1);

    /// <inheritdoc/>
    public void OnStepEnd(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        Look(context, context.Step);
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorData> Export()
    {
        var state = new Dictionary<string, TensorData>(StringComparer.Ordinal) { ["last-change"] = TensorData.Scalar(_lastChange) };
        foreach ((string name, Mask mask) in _ever) state["ever/" + name] = TensorData.Vector(MemoryMarshal.AsBytes(mask.Words).ToArray());
        return state;
    }

    /// <inheritdoc/>
    public void Import(IReadOnlyDictionary<string, TensorData> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        _lastChange = state["last-change"].ToInt64s()[0];
        _ever.Clear();
        _last.Clear();
        foreach ((string key, TensorData bits) in state)
        {
            if (!key.StartsWith("ever/", StringComparison.Ordinal)) continue;
            // Only the number of words is known here; the shape comes with the first look.
            _words[key["ever/".Length..]] = MemoryMarshal.Cast<byte, ulong>(bits.Array<byte>()).ToArray();
        }
    }

    private readonly Dictionary<string, ulong[]> _words = new(StringComparer.Ordinal);

    // Seen without a mask: should one come, everything was active before. After that the masks say so themselves, so it is no state to keep.
    private readonly HashSet<string> _dense = new(StringComparer.Ordinal);

    private void Look(TrainingContext context, long step)
    {
        foreach (Parameter parameter in context.Model.Parameters)
        {
            if (parameter.Mask is not { } mask)
            {
                _dense.Add(parameter.Name);
                continue;
            }
            if (_dense.Remove(parameter.Name) && !_last.ContainsKey(parameter.Name))
            {
                _ever[parameter.Name] = Mask.Ones(mask.Shape);
                _lastChange = step;
            }
            if (_words.Remove(parameter.Name, out ulong[]? words)) _ever[parameter.Name] = Mask.FromWords(mask.Shape, words);
            if (_last.TryGetValue(parameter.Name, out Mask? before))
            {
                if (ReferenceEquals(before, mask)) continue;
                if (!before.Equals(mask)) _lastChange = step;
            }
            _last[parameter.Name] = mask;
            _ever[parameter.Name] = _ever.TryGetValue(parameter.Name, out Mask? ever) ? ever.Or(mask) : mask;
        }
    }
}
