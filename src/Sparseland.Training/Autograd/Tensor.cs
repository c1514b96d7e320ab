using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;

namespace Sparseland.Training.Autograd;

/// <summary>A dense f32 tensor, row-major and contiguous, that can record how it was computed and be differentiated.</summary>
/// <remarks>
/// Nothing has to be disposed. Memory that only a model or the tape uses is recycled from step to step; memory of a tensor
/// that you hold is never overwritten by the library, with one documented exception: <see cref="Grad"/> of a leaf is
/// refilled by the first backward pass after <see cref="ZeroGrad"/>. Not safe for concurrent writes.
/// </remarks>
public sealed partial class Tensor
{
    private Tensor? _gradient;
    private (float[] Values, Mask Mask)? _stored;
    private bool _gradientStale;
    private bool _requiresGrad;

    internal Tensor(Storage storage, int[] shape)
    {
        Storage = storage;
        ShapeArray = shape;
        Length = TensorData.CountElements(shape);
    }

    /// <summary>The dimensions, outermost first; empty for a scalar.</summary>
    public ReadOnlySpan<int> Shape => ShapeArray;

    /// <summary>Number of dimensions.</summary>
    public int Rank => ShapeArray.Length;

    /// <summary>Number of elements.</summary>
    public int Length { get; }

    /// <summary>The elements. Writing into a tensor that took part in a recorded operation makes its gradients wrong.</summary>
    public Span<float> Values => Array.AsSpan(0, Length);

    /// <summary>Whether gradients flow to this tensor: a leaf that wants one, or a result that depends on such a leaf.</summary>
    /// <exception cref="InvalidOperationException">Set on a result of a recorded operation; <see cref="Detach"/> it first.</exception>
    public bool RequiresGrad
    {
        get => _requiresGrad || Producer is not null;
        set
        {
            if (Producer is not null) throw new InvalidOperationException("Only a leaf can be told whether it wants a gradient; Detach() the tensor first.");
            _requiresGrad = value;
        }
    }

    /// <summary>
    /// The gradient that backward passes have added up since the last <see cref="ZeroGrad"/>, of this tensor's shape; null before the first.
    /// Its memory is used again after <see cref="ZeroGrad"/>: <see cref="Clone"/> it to keep it.
    /// </summary>
    public Tensor? Grad
    {
        get
        {
            if (_gradientStale) return null;
            if (_stored is { } stored)
            {
                // Somebody wants the whole gradient, and may write into it: from here on it is the truth.
                Tensor dense = Uninitialized(ShapeArray);
                stored.Mask.Scatter(stored.Values.AsSpan(0, stored.Mask.KeptCount), dense.Values);
                (_gradient, _stored) = (dense, null);
            }
            return _gradient;
        }
    }

    /// <summary>Whether a gradient arrived since the last <see cref="ZeroGrad"/>.</summary>
    internal bool HasGrad => !_gradientStale && (_gradient is not null || _stored is not null);

    /// <summary>The gradient where only kept entries have one: their numbers in the mask's order; null when there is none or it is dense.</summary>
    internal (float[] Values, Mask Mask)? StoredGrad => _gradientStale ? null : _stored;

    internal Storage Storage { get; }

    internal float[] Array => Storage.Array;

    internal int[] ShapeArray { get; }

    internal GradientNode? Producer { get; set; }

    /// <summary>Entries of a leaf that gradients may reach; null for all.</summary>
    internal Mask? GradientMask { get; set; }

    internal int ProducerOutput { get; set; }

    internal GradientEdge Edge => Producer is not null ? new(Producer, ProducerOutput, null)
        : _requiresGrad ? new(null, 0, this)
        : default;

    /// <summary>Wraps an array without copying it.</summary>
    /// <exception cref="ArgumentException">The number of elements is not the product of the dimensions.</exception>
    public static Tensor Wrap(float[] values, params ReadOnlySpan<int> shape)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (TensorData.CountElements(shape) != values.Length)
            throw new ArgumentException($"{values.Length} elements do not fill a shape of [{string.Join(", ", shape.ToArray())}].", nameof(values));
        return new Tensor(new Storage(values), shape.ToArray());
    }

    /// <summary>A tensor with a copy of these values.</summary>
    /// <exception cref="ArgumentException">The number of elements is not the product of the dimensions.</exception>
    public static Tensor From(ReadOnlySpan<float> values, params ReadOnlySpan<int> shape) => Wrap(values.ToArray(), shape);

    /// <summary>A tensor over the values of <paramref name="data"/>: shared when it holds singles, converted otherwise.</summary>
    public static Tensor From(TensorData data)
    {
        ArgumentNullException.ThrowIfNull(data);
        return Wrap(data.ToSingles(), data.Shape);
    }

    /// <summary>A tensor of zeros.</summary>
    public static Tensor Zeros(params ReadOnlySpan<int> shape) => Full(0, shape);

    /// <summary>A tensor of ones.</summary>
    public static Tensor Ones(params ReadOnlySpan<int> shape) => Full(1, shape);

    /// <summary>A tensor whose elements all are <paramref name="value"/>.</summary>
    public static Tensor Full(float value, params ReadOnlySpan<int> shape)
    {
        Tensor tensor = Uninitialized(shape);
        tensor.Values.Fill(value);
        return tensor;
    }

    /// <summary>A tensor without dimensions.</summary>
    public static Tensor Scalar(float value) => Wrap([value]);

    /// <summary>A tensor of independent normal variates, mean 0, standard deviation 1 (Box-Muller over <paramref name="random"/>).</summary>
    public static Tensor Normal(Random random, params ReadOnlySpan<int> shape)
    {
        ArgumentNullException.ThrowIfNull(random);
        Tensor tensor = Uninitialized(shape);
        foreach (ref float value in tensor.Values)
            value = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return tensor;
    }

    /// <summary>A tensor of independent variates, uniform in [low, high).</summary>
    public static Tensor Uniform(Random random, float low, float high, params ReadOnlySpan<int> shape)
    {
        ArgumentNullException.ThrowIfNull(random);
        Tensor tensor = Uninitialized(shape);
        foreach (ref float value in tensor.Values) value = low + (high - low) * random.NextSingle();
        return tensor;
    }

    /// <summary>The only element.</summary>
    /// <exception cref="InvalidOperationException">There is not exactly one.</exception>
    public float Item() => Length == 1 ? Values[0] : throw new InvalidOperationException($"Item() needs one element; this tensor is {this}.");

    /// <summary>A copy of the elements.</summary>
    public float[] ToArray() => Values.ToArray();

    /// <summary>A copy with memory of its own, without history.</summary>
    public Tensor Clone()
    {
        Tensor copy = Uninitialized(ShapeArray);
        Values.CopyTo(copy.Values);
        return copy;
    }

    /// <summary>The same memory without history: no gradient flows through it.</summary>
    public Tensor Detach()
    {
        Storage.Retain();
        return new Tensor(Storage, ShapeArray);
    }

    /// <summary>The values as plain data (a copy).</summary>
    public TensorData ToTensorData() => TensorData.Wrap(ToArray(), ShapeArray);

    /// <summary>Differentiates this scalar with respect to every leaf that wants a gradient, adding to their <see cref="Grad"/>.</summary>
    /// <param name="retainGraph">Keeps what was saved on the way, so that Backward can run again.</param>
    /// <exception cref="InvalidOperationException">The tensor has several elements, depends on no leaf that wants a gradient, or was differentiated before.</exception>
    public void Backward(bool retainGraph = false)
    {
        if (Length != 1) throw new InvalidOperationException($"Backward() needs a scalar; this tensor is {this}: pass the gradient to start from.");
        Backward(Ones(ShapeArray), retainGraph);
    }

    /// <summary>As <see cref="Backward(bool)"/>, starting from the gradient of this tensor.</summary>
    /// <param name="gradient">A tensor of this tensor's shape.</param>
    /// <param name="retainGraph">Keeps what was saved on the way.</param>
    /// <exception cref="ArgumentException">The gradient has another shape.</exception>
    /// <exception cref="InvalidOperationException">The tensor depends on no leaf that wants a gradient, or was differentiated before.</exception>
    public void Backward(Tensor gradient, bool retainGraph = false)
    {
        ArgumentNullException.ThrowIfNull(gradient);
        if (!gradient.Shape.SequenceEqual(Shape)) throw new ArgumentException($"A gradient of {gradient} for a tensor of {this}.", nameof(gradient));
        // The caller keeps their tensor: the tape gets a holder of its own and copies before it writes.
        gradient.Storage.Retain();
        using (GradientMode.Off()) Tape.Backward(this, new Tensor(gradient.Storage, ShapeArray), retainGraph);
    }

    /// <summary>Forgets the gradient; its memory is used again by the next backward pass.</summary>
    public void ZeroGrad() => _gradientStale = true;

    /// <inheritdoc/>
    public override string ToString() => $"[{string.Join(", ", ShapeArray)}]";

    /// <summary>A tensor whose elements are not set yet.</summary>
    internal static Tensor Uninitialized(ReadOnlySpan<int> shape)
    {
        int length = TensorData.CountElements(shape);
        return new Tensor(new Storage(BufferPool.Shared.Rent(length)), shape.ToArray());
    }

    /// <summary>The same value with the same history and a holder of its own.</summary>
    internal Tensor Alias()
    {
        Storage.Retain();
        return new Tensor(Storage, ShapeArray) { Producer = Producer, ProducerOutput = ProducerOutput };
    }

    /// <summary>An array for <paramref name="mask"/>'s kept entries: the one of a gradient that was forgotten, when it fits.</summary>
    internal float[] RentStored(Mask mask)
    {
        if (!_gradientStale || _stored is not { } old || old.Values.Length != mask.KeptCount) return GC.AllocateUninitializedArray<float>(mask.KeptCount);
        _stored = null;
        return old.Values;
    }

    /// <summary>Adds a gradient of kept entries that is handed over; the others' is zero.</summary>
    internal void ReceiveStoredGradient(float[] values, Mask mask)
    {
        if (!HasGrad)
        {
            // The memory of a dense gradient is let go: it may not come again.
            (_gradient, _stored, _gradientStale) = (null, (values, mask), false);
        }
        else if (_stored is { } stored && ReferenceEquals(stored.Mask, mask))
        {
            Chunks.Add(stored.Values, values, stored.Values, mask.KeptCount);
        }
        else
        {
            Tensor dense = Uninitialized(ShapeArray);
            mask.Scatter(values, dense.Values);
            ReceiveGradient(dense);
        }
    }

    /// <summary>Adds a gradient that is handed over.</summary>
    internal void ReceiveGradient(Tensor gradient)
    {
        // What was stored is spread out first, or forgotten.
        _ = Grad;
        _stored = null;
        if (_gradient is null)
        {
            _gradient = gradient.Storage.IsUnique ? gradient : gradient.Clone();
            if (!ReferenceEquals(_gradient, gradient)) gradient.Storage.Release();
        }
        else
        {
            if (_gradientStale) gradient.Values.CopyTo(_gradient.Values);
            else Chunks.Add(_gradient.Array, gradient.Array, _gradient.Array, Length);
            gradient.Storage.Release();
        }
        _gradientStale = false;
        GradientMask?.Apply(_gradient.Values);
    }
}
