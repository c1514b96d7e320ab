using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Training;

namespace Sparseland.Pruning.MaskLearning;

/// <summary>Remembers the values of weights that a mask switches off, so that a later mask can switch them on again: forward = m * theta with theta kept.</summary>
/// <remarks>A mask set through the model removes values for good; mask learning must be able to try and to take back.</remarks>
public sealed class LatentWeights
{
    private readonly Dictionary<string, float[]> _values = new(StringComparer.Ordinal);

    /// <summary>Copies the present values of layers: what is removed already has the value 0.</summary>
    public LatentWeights(TrainableModel model, IReadOnlyList<PrunableLayer> layers)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(layers);
        foreach (PrunableLayer layer in layers) _values[layer.Name] = model.Parameter(layer.Name).Value.ToArray();
    }

    /// <summary>All values of a layer, those of active weights as they are now; must not be written.</summary>
    public float[] Values(TrainableModel model, PrunableLayer layer)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(layer);
        Parameter parameter = model.Parameter(layer.Name);
        float[] kept = _values[layer.Name];
        Span<float> now = parameter.Value.Values;
        if (parameter.Mask is not { } mask)
        {
            now.CopyTo(kept);
            return kept;
        }
        mask.Blend(now, kept, kept);
        return kept;
    }

    /// <summary>Sets a layer's mask: weights that come back have the value that they had when they left.</summary>
    public void SetMask(TrainableModel model, PrunableLayer layer, Mask mask)
    {
        _ = Values(model, layer);
        Replace(model, layer, mask);
    }

    /// <summary>As <see cref="SetMask"/> where <see cref="Values"/> was read since a weight changed.</summary>
    internal void Replace(TrainableModel model, PrunableLayer layer, Mask mask)
    {
        Parameter parameter = model.Parameter(layer.Name);
        if (mask.Equals(parameter.Mask)) return;
        // The new mask removes what it does not keep.
        _values[layer.Name].CopyTo(parameter.Value.Values);
        model.SetMask(parameter, mask);
    }

    /// <summary>For checkpoints.</summary>
    public IReadOnlyDictionary<string, TensorData> Export() => _values.ToDictionary(v => v.Key, v => TensorData.Vector((float[])v.Value.Clone()));

    /// <summary>Takes back what <see cref="Export"/> gave.</summary>
    public void Import(IReadOnlyDictionary<string, TensorData> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        foreach ((string name, TensorData data) in state) data.Array<float>().CopyTo(_values[name], 0);
    }
}
