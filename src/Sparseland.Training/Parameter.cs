using Sparseland.Kernels.Sparse;
using Sparseland.Training.Autograd;
using Sparseland.Training.Execution;

namespace Sparseland.Training;

/// <summary>A weight that is trained: values, gradient, mask.</summary>
public sealed class Parameter
{
    internal Parameter(string name, ParameterKind kind, Tensor value, Mask? mask)
    {
        Name = name;
        Kind = kind;
        Value = value;
        Value.RequiresGrad = true;
        Mask = mask;
        Value.GradientMask = mask;
        mask?.Apply(value.Values);
    }

    /// <summary>A parameter that is no weight of a graph, such as a factor of an adapter: whoever makes it computes its gradient (<see cref="AddGradient"/>) and steps it with an optimizer.</summary>
    /// <param name="name">Unique among the parameters of its optimizer.</param>
    /// <param name="value">The values; not copied.</param>
    /// <param name="kind">What it is for.</param>
    public static Parameter Free(string name, Tensor value, ParameterKind kind = ParameterKind.Other)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(value);
        return new Parameter(name, kind, value, null);
    }

    /// <summary>The weight's name in the graph.</summary>
    public string Name { get; }

    /// <summary>What it is for.</summary>
    public ParameterKind Kind { get; }

    /// <summary>The values; removed entries are zero. Call <see cref="TouchValues"/> after writing into them.</summary>
    /// <remarks>
    /// While sparse kernels compute with it, an optimizer keeps only the entries that the mask keeps; the whole is made again
    /// when it is asked for. So a span taken before a step shows the values from before it: take a new one.
    /// </remarks>
    public Tensor Value { get; }

    /// <summary>The gradient, or null. Zero at removed entries unless <see cref="WantsDenseGradient"/> was set.</summary>
    public Tensor? Grad => Value.Grad;

    /// <summary>Which entries are kept; null when nothing is removed. Set through <see cref="TrainableModel.SetMask"/>.</summary>
    public Mask? Mask { get; private set; }

    /// <summary>Whether the optimizer changes it and backward computes its gradient; true at first.</summary>
    public bool IsTrained
    {
        get => Value.RequiresGrad;
        set => Value.RequiresGrad = value;
    }

    /// <summary>Whether backward passes compute the gradient at removed entries as well (RigL and SNIP need it); stays until it is reset.</summary>
    public bool WantsDenseGradient
    {
        get;
        set
        {
            field = value;
            Value.GradientMask = value ? null : Mask;
        }
    }

    /// <summary>Grows whenever values or mask change; caches of prepared values compare it.</summary>
    public long Version { get; private set; }

    /// <summary>Grows whenever the mask changes.</summary>
    public long MaskVersion { get; private set; }

    /// <summary>Says that the values were written: removed entries are set to zero again and prepared copies are refreshed.</summary>
    public void TouchValues()
    {
        Mask?.Apply(Value.Values);
        Version++;
    }

    /// <summary>Adds to the gradient, as a backward pass does.</summary>
    /// <param name="gradient">Of the parameter's shape.</param>
    public void AddGradient(Tensor gradient)
    {
        ArgumentNullException.ThrowIfNull(gradient);
        if (!gradient.Shape.SequenceEqual(Value.Shape)) throw new ArgumentException($"A gradient {gradient} for parameter '{Name}', which is {Value}.", nameof(gradient));
        Value.ReceiveGradient(gradient);
    }

    /// <summary>What sparse kernels prepared for this parameter.</summary>
    internal SparseParameter Sparse { get; } = new();

    /// <inheritdoc/>
    public override string ToString() => $"{Name} {Value} {Kind}{(Mask is null ? "" : $" density {Mask.Density:P1}")}";

    /// <summary>Says that an optimizer changed the kept entries in <see cref="SparseParameter.Packed"/>: they are the values now.</summary>
    internal void TouchPacked()
    {
        Version++;
        Defer(Sparse.KeepPacked(this));
    }

    /// <summary>A copy of the kept entries, in the mask's order; every entry when nothing is removed.</summary>
    public float[] KeptValues()
    {
        if (Mask is null) return Value.ToArray();
        if (Sparse.PackedNow(this) is { } packed) return (float[])packed.Clone();
        var kept = new float[Mask.KeptCount];
        Mask.Gather(Value.Values, kept);
        return kept;
    }

    private void Defer(float[] packed)
    {
        Mask mask = Mask!;
        int length = Value.Length;
        Value.Storage.Defer(() =>
        {
            float[] dense = GC.AllocateUninitializedArray<float>(length);
            mask.Scatter(packed, dense);
            return dense;
        });
    }

    internal void ReplaceMask(Mask? mask)
    {
        if (mask is not null && !mask.Shape.SequenceEqual(Value.Shape))
            throw new ArgumentException($"Parameter '{Name}' is {Value}; the mask is [{string.Join(", ", mask.Shape.ToArray())}].", nameof(mask));
        // A gradient of kept entries speaks of the old mask: it is spread out.
        _ = Value.Grad;
        // Values of which the kept entries alone are there are moved to the new order, without the zeros between.
        float[]? moved = mask is not null && !Value.Storage.IsMade && Sparse.PackedNow(this) is not null ? new float[mask.KeptCount] : null;
        if (moved is not null) Mask!.Move(Sparse.PackedNow(this), mask!, moved);
        Mask = mask;
        Value.GradientMask = WantsDenseGradient ? null : mask;
        MaskVersion++;
        if (moved is null)
        {
            TouchValues();
            return;
        }
        Version++;
        Sparse.SetPacked(moved, Version);
        Defer(moved);
    }
}
