using System.Numerics;
using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Graph;

namespace Sparseland.Training.Optimizers;

/// <summary>An exponential moving average of the weights (Polyak averaging), for evaluation.</summary>
/// <remarks>average = decay * average + (1 - decay) * weight after every step. Removed entries are zero in the average too.</remarks>
public sealed class WeightAverage
{
    // Words of a mask that one part takes.
    private const int WordsPerChunk = 1 << 10;

    private readonly TrainableModel _model;
    private readonly Dictionary<string, float[]> _averages = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Mask> _masks = new(StringComparer.Ordinal);
    private Dictionary<string, float[]>? _aside;

    /// <summary>Starts from the present weights.</summary>
    /// <param name="model">The model whose parameters and buffers are averaged.</param>
    /// <param name="decay">0 to below 1; closer to 1 averages longer.</param>
    public WeightAverage(TrainableModel model, double decay = 0.999)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentOutOfRangeException.ThrowIfNegative(decay);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(decay, 1);
        _model = model;
        Decay = decay;
        foreach ((string name, Autograd.Tensor value) in Entries()) _averages[name] = value.ToArray();
    }

    /// <summary>How much of the old average a step keeps.</summary>
    public double Decay { get; }

    /// <summary>Takes the present weights in; call it after every optimizer step.</summary>
    /// <exception cref="InvalidOperationException">The averages are swapped in.</exception>
    public void Update()
    {
        if (_aside is not null) throw new InvalidOperationException("Restore the weights before the next step.");
        float decay = (float)Decay;
        foreach (Parameter p in _model.Parameters)
        {
            float[] average = _averages[p.Name];
            // Removed entries are zero on both sides; only a new mask has to be applied.
            if (p.Mask is not { } mask)
            {
                _masks.Remove(p.Name);
            }
            else if (!ReferenceEquals(_masks.GetValueOrDefault(p.Name), mask))
            {
                mask.Apply(average);
                _masks[p.Name] = mask;
            }
            if (p.Mask is null || p.Sparse.PackedNow(p) is not { } kept) Mix(average, p.Value);
            else MixKept(average, p.Mask, kept, decay);
        }
        foreach (ModelBuffer buffer in _model.Buffers) Mix(_averages[buffer.Name], buffer.Value);

        void Mix(float[] average, Autograd.Tensor value)
        {
            float[] now = value.Array;
            Autograd.Chunks.Ranges(value.Length, (start, count) =>
            {
                for (int i = start; i < start + count; i++) average[i] = decay * average[i] + (1 - decay) * now[i];
            });
        }
    }

    /// <summary>Puts the averages into the model until <see cref="Restore"/>.</summary>
    /// <exception cref="InvalidOperationException">They are there already.</exception>
    public void Apply()
    {
        if (_aside is not null) throw new InvalidOperationException("The averages are in the model already.");
        _aside = Entries().ToDictionary(e => e.Name, e => e.Value.ToArray(), StringComparer.Ordinal);
        Write(_averages);
    }

    /// <summary>Puts the trained weights back.</summary>
    /// <exception cref="InvalidOperationException">The averages are not in the model.</exception>
    public void Restore()
    {
        Write(_aside ?? throw new InvalidOperationException("The averages are not in the model."));
        _aside = null;
    }

    /// <summary>A copy of the averages by weight name, for checkpoints.</summary>
    public IReadOnlyDictionary<string, TensorData> Export() =>
        Entries().ToDictionary(e => e.Name, e => TensorData.Wrap((float[])_averages[e.Name].Clone(), e.Value.Shape), StringComparer.Ordinal);

    /// <summary>Restores what <see cref="Export"/> gave.</summary>
    /// <exception cref="SparselandException">SL3010: the state is of another model.</exception>
    public void Import(IReadOnlyDictionary<string, TensorData> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        foreach ((string name, Autograd.Tensor value) in Entries())
        {
            if (!state.TryGetValue(name, out TensorData? data) || !data.Shape.SequenceEqual(value.Shape))
                throw new SparselandException("SL3010", $"the weight average does not fit: '{name}' is missing or of another shape");
            data.ToSingles().CopyTo(_averages[name], 0);
        }
        _masks.Clear();
    }

    private static void MixKept(float[] average, Mask mask, float[] kept, float decay)
    {
        // Where the kept entries of each chunk of words begin.
        ReadOnlySpan<ulong> all = mask.Words;
        int[] starts = new int[all.Length / WordsPerChunk + 1];
        for (int w = 0, count = 0; w < all.Length; w++)
        {
            if (w % WordsPerChunk == 0) starts[w / WordsPerChunk] = count;
            count += BitOperations.PopCount(all[w]);
        }
        Autograd.Chunks.Ranges(all.Length, (start, count) =>
        {
            ReadOnlySpan<ulong> words = mask.Words;
            int next = starts[start / WordsPerChunk];
            for (int w = start; w < start + count; w++)
            {
                for (ulong bits = words[w]; bits != 0; bits &= bits - 1)
                {
                    int i = (w << 6) + BitOperations.TrailingZeroCount(bits);
                    average[i] = decay * average[i] + (1 - decay) * kept[next++];
                }
            }
        }, WordsPerChunk);
    }

    private IEnumerable<(string Name, Autograd.Tensor Value)> Entries() =>
        _model.Parameters.Select(p => (p.Name, p.Value)).Concat(_model.Buffers.Select(b => (b.Name, b.Value)));

    private void Write(Dictionary<string, float[]> values)
    {
        foreach ((string name, Autograd.Tensor value) in Entries()) values[name].CopyTo(value.Values);
        foreach (Parameter p in _model.Parameters) p.TouchValues();
    }
}
