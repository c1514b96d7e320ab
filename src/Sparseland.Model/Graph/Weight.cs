using Sparseland.Kernels.Sparse;

namespace Sparseland.Model.Graph;

/// <summary>Where a weight's values are: in memory, or in a file that is read when they are asked for.</summary>
public abstract class WeightStorage
{
    /// <summary>The element type.</summary>
    public abstract ElementType ElementType { get; }

    /// <summary>The dimensions.</summary>
    public abstract ReadOnlySpan<int> Shape { get; }

    /// <summary>The values. In-memory storages return the tensor itself, files a fresh copy.</summary>
    /// <exception cref="ModelFormatException">The file behind the storage is damaged.</exception>
    public abstract TensorData Read();

    /// <summary>
    /// The values as a matrix [first dimension, all others] for products with one vector, in the file's memory where the form allows; null when the storage has no such form.
    /// </summary>
    /// <exception cref="ModelFormatException">The file behind the storage is damaged.</exception>
    public virtual CompactMatrix? Matrix => null;

    /// <summary>The mask whose removed entries <see cref="Read"/> returns as zeros already; null when it does not know.</summary>
    internal virtual Mask? AppliedMask => null;

    /// <summary>Whether <see cref="Read"/> costs a file access.</summary>
    public virtual bool IsLazy => true;

    /// <summary>Values that are in memory already.</summary>
    public static WeightStorage InMemory(TensorData data) => new MemoryStorage(data);

    private sealed class MemoryStorage(TensorData data) : WeightStorage
    {
        public override ElementType ElementType => data.ElementType;

        public override ReadOnlySpan<int> Shape => data.Shape;

        public override bool IsLazy => false;

        public override TensorData Read() => data;
    }
}

/// <summary>A named constant tensor of a graph, read lazily, with an optional mask.</summary>
/// <remarks>
/// The mask is part of the weight (R16). While there is one, removed entries read as zero, new values are masked when
/// they are set, and the mask can only be changed through <see cref="SetMask"/>.
/// </remarks>
public sealed class Weight
{
    private WeightStorage _storage;

    /// <summary>A weight whose values are in memory.</summary>
    public Weight(string name, TensorData data) : this(name, WeightStorage.InMemory(data))
    {
    }

    /// <summary>A weight whose values are read from <paramref name="storage"/> when asked for.</summary>
    public Weight(string name, WeightStorage storage, Mask? mask = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(storage);
        Name = name;
        _storage = storage;
        if (mask is not null)
        {
            RequireShape(mask.Shape);
            if (!storage.IsLazy) _storage = WeightStorage.InMemory(Masked(storage.Read(), mask));
        }
        Mask = mask;
    }

    /// <summary>The name by which nodes refer to it.</summary>
    public string Name { get; }

    /// <summary>The element type.</summary>
    public ElementType ElementType => _storage.ElementType;

    /// <summary>The dimensions.</summary>
    public ReadOnlySpan<int> Shape => _storage.Shape;

    /// <summary>Number of elements, zeros included.</summary>
    public int Length => TensorData.CountElements(Shape);

    /// <summary>Which entries are kept; null when nothing was pruned.</summary>
    public Mask? Mask { get; private set; }

    /// <summary>Where the values are.</summary>
    public WeightStorage Storage => _storage;

    /// <summary>The type of the value.</summary>
    public TensorType Type => new(ElementType, TensorShape.Of(Shape));

    /// <summary>The values, dense, removed entries zero. Do not write into them: use <see cref="Set"/>.</summary>
    public TensorData Read()
    {
        TensorData data = _storage.Read();
        if (Mask is null || !_storage.IsLazy || ReferenceEquals(Mask, _storage.AppliedMask)) return data;
        return Masked(data, Mask);
    }

    /// <summary>Replaces the values (and perhaps shape and type); an existing mask is applied to them.</summary>
    /// <exception cref="ArgumentException">There is a mask and the shape changes: set the mask to null first.</exception>
    public void Set(TensorData data)
    {
        ArgumentNullException.ThrowIfNull(data);
        if (Mask is not null)
        {
            if (!data.Shape.SequenceEqual(Mask.Shape))
                throw new ArgumentException($"Weight '{Name}' has a mask of shape [{string.Join(", ", Mask.Shape.ToArray())}]; new values have [{string.Join(", ", data.Shape.ToArray())}].", nameof(data));
            data = Masked(data, Mask);
        }
        _storage = WeightStorage.InMemory(data);
    }

    /// <summary>Sets, replaces or (null) drops the mask; removed entries become zero at once.</summary>
    /// <exception cref="ArgumentException">The mask's shape is not the weight's.</exception>
    public void SetMask(Mask? mask)
    {
        if (mask is null)
        {
            Set(Read());
            Mask = null;
            return;
        }
        RequireShape(mask.Shape);
        if (!_storage.IsLazy || Mask is not null) _storage = WeightStorage.InMemory(Masked(Read(), mask));
        Mask = mask;
    }

    /// <summary>An independent copy; values in files stay there.</summary>
    public Weight Clone(string? name = null) => _storage.IsLazy
        ? new(name ?? Name, _storage, Mask)
        : new(name ?? Name, WeightStorage.InMemory(Mask is null ? _storage.Read().Clone() : _storage.Read()), Mask);

    /// <inheritdoc/>
    public override string ToString() => $"{Name} {Type}{(Mask is null ? "" : $" density {Mask.Density:P1}")}";

    private static TensorData Masked(TensorData data, Mask mask)
    {
        if (data.ElementType == ElementType.Float32)
        {
            TensorData copy = data.Clone();
            mask.Apply(copy.Span<float>());
            return copy;
        }
        TensorData bytes = data.Clone();
        int size = data.ElementType.Size();
        Span<byte> span = bytes.Bytes();
        for (int i = 0; i < mask.Length; i++)
        {
            if (!mask[i]) span.Slice(i * size, size).Clear();
        }
        return bytes;
    }

    private void RequireShape(ReadOnlySpan<int> maskShape)
    {
        if (!maskShape.SequenceEqual(Shape))
            throw new ArgumentException($"Weight '{Name}' is [{string.Join(", ", Shape.ToArray())}]; the mask is [{string.Join(", ", maskShape.ToArray())}].");
    }
}
