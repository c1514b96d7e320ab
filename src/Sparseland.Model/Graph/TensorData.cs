using System.Runtime.InteropServices;
using Sparseland.Kernels.Sparse;

namespace Sparseland.Model.Graph;

/// <summary>A dense typed tensor in managed memory, row-major: what flows through graphs and out of files.</summary>
/// <remarks>The shape is fixed; the elements may be written through <see cref="Span{T}"/> by whoever made the tensor.</remarks>
public sealed class TensorData
{
    private readonly Array _elements;
    private readonly int[] _shape;

    private TensorData(ElementType type, int[] shape, Array elements)
    {
        ElementType = type;
        _shape = shape;
        _elements = elements;
    }

    /// <summary>The element type.</summary>
    public ElementType ElementType { get; }

    /// <summary>The dimensions, outermost first; empty for a scalar.</summary>
    public ReadOnlySpan<int> Shape => _shape;

    /// <summary>Number of dimensions.</summary>
    public int Rank => _shape.Length;

    /// <summary>Number of elements.</summary>
    public int Length => _elements.Length;

    /// <summary>The array behind the tensor, whatever its element type.</summary>
    internal Array Elements => _elements;

    /// <summary>Bytes of the elements as a file would hold them (0 for strings).</summary>
    public long ByteLength => (long)Length * ElementType.Size();

    /// <summary>Wraps an array without copying it.</summary>
    /// <exception cref="ArgumentException">The number of elements is not the product of the dimensions.</exception>
    public static TensorData Wrap<T>(T[] elements, params ReadOnlySpan<int> shape)
    {
        ArgumentNullException.ThrowIfNull(elements);
        if (CountElements(shape) != elements.Length)
            throw new ArgumentException($"{elements.Length} elements do not fill a shape of [{string.Join(", ", shape.ToArray())}].", nameof(elements));
        return new(ElementTypes.Of<T>(), shape.ToArray(), elements);
    }

    /// <summary>A tensor of zeros (false, empty strings).</summary>
    public static TensorData Zeros(ElementType type, params ReadOnlySpan<int> shape) =>
        new(type, shape.ToArray(), type.NewArray(CountElements(shape)));

    /// <summary>A tensor without dimensions that holds one element.</summary>
    public static TensorData Scalar<T>(T value) => new(ElementTypes.Of<T>(), [], new[] { value });

    /// <summary>A one-dimensional tensor; copies nothing.</summary>
    public static TensorData Vector<T>(params T[] values) => Wrap(values, values.Length);

    /// <summary>The elements.</summary>
    /// <exception cref="InvalidOperationException">The tensor's elements are of another type.</exception>
    public Span<T> Span<T>() => _elements is T[] typed && ElementTypes.Of<T>() == ElementType
        ? typed
        : throw new InvalidOperationException($"The tensor holds {ElementType}, not {typeof(T).Name}.");

    /// <summary>The array behind the tensor, not a copy.</summary>
    /// <exception cref="InvalidOperationException">The tensor's elements are of another type.</exception>
    public T[] Array<T>() => _elements as T[]
        ?? throw new InvalidOperationException($"The tensor holds {ElementType}, not {typeof(T).Name}.");

    /// <summary>The elements as little-endian bytes, in place.</summary>
    /// <exception cref="InvalidOperationException">The tensor holds strings.</exception>
    public Span<byte> Bytes() => _elements switch
    {
        float[] a => MemoryMarshal.AsBytes(a.AsSpan()),
        long[] a => MemoryMarshal.AsBytes(a.AsSpan()),
        int[] a => MemoryMarshal.AsBytes(a.AsSpan()),
        bool[] a => MemoryMarshal.AsBytes(a.AsSpan()),
        byte[] a => a,
        sbyte[] a => MemoryMarshal.AsBytes(a.AsSpan()),
        double[] a => MemoryMarshal.AsBytes(a.AsSpan()),
        Half[] a => MemoryMarshal.AsBytes(a.AsSpan()),
        BFloat16[] a => MemoryMarshal.AsBytes(a.AsSpan()),
        short[] a => MemoryMarshal.AsBytes(a.AsSpan()),
        ushort[] a => MemoryMarshal.AsBytes(a.AsSpan()),
        uint[] a => MemoryMarshal.AsBytes(a.AsSpan()),
        ulong[] a => MemoryMarshal.AsBytes(a.AsSpan()),
        _ => throw new InvalidOperationException($"{ElementType} elements have no bytes."),
    };

    /// <summary>The same elements under another shape; shares memory.</summary>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public TensorData Reshape(params ReadOnlySpan<int> shape)
    {
        if (CountElements(shape) != Length)
            throw new ArgumentException($"Cannot view {Length} elements as [{string.Join(", ", shape.ToArray())}].", nameof(shape));
        return new(ElementType, shape.ToArray(), _elements);
    }

    /// <summary>A copy with memory of its own.</summary>
    public TensorData Clone() => new(ElementType, _shape, (Array)_elements.Clone());

    /// <summary>A copy converted to single precision (from any numeric type or bool).</summary>
    public TensorData ToFloat32() => Wrap(ToSingles(), _shape);

    /// <summary>The elements as singles; the array itself when the tensor already holds singles.</summary>
    /// <exception cref="InvalidOperationException">The tensor holds strings.</exception>
    public float[] ToSingles() => _elements switch
    {
        float[] a => a,
        double[] a => System.Array.ConvertAll(a, v => (float)v),
        Half[] a => System.Array.ConvertAll(a, v => (float)v),
        BFloat16[] a => System.Array.ConvertAll(a, v => (float)v),
        long[] a => System.Array.ConvertAll(a, v => (float)v),
        int[] a => System.Array.ConvertAll(a, v => (float)v),
        bool[] a => System.Array.ConvertAll(a, v => v ? 1f : 0f),
        byte[] a => System.Array.ConvertAll(a, v => (float)v),
        sbyte[] a => System.Array.ConvertAll(a, v => (float)v),
        short[] a => System.Array.ConvertAll(a, v => (float)v),
        ushort[] a => System.Array.ConvertAll(a, v => (float)v),
        uint[] a => System.Array.ConvertAll(a, v => (float)v),
        ulong[] a => System.Array.ConvertAll(a, v => (float)v),
        _ => throw new InvalidOperationException($"{ElementType} elements are no numbers."),
    };

    /// <summary>The elements of an integer tensor (any width) as 64-bit integers.</summary>
    /// <exception cref="InvalidOperationException">The tensor holds no integers.</exception>
    public long[] ToInt64s() => _elements switch
    {
        long[] a => a,
        int[] a => System.Array.ConvertAll(a, v => (long)v),
        bool[] a => System.Array.ConvertAll(a, v => v ? 1L : 0L),
        byte[] a => System.Array.ConvertAll(a, v => (long)v),
        sbyte[] a => System.Array.ConvertAll(a, v => (long)v),
        short[] a => System.Array.ConvertAll(a, v => (long)v),
        ushort[] a => System.Array.ConvertAll(a, v => (long)v),
        uint[] a => System.Array.ConvertAll(a, v => (long)v),
        _ => throw new InvalidOperationException($"{ElementType} elements are no integers."),
    };

    /// <summary>The mask of this tensor's non-zeros.</summary>
    public Mask NonZeros() => Mask.FromNonZeros(_shape, ToSingles());

    /// <inheritdoc/>
    public override string ToString() => $"{ElementType}[{string.Join(", ", _shape)}]";

    /// <summary>The product of the dimensions.</summary>
    /// <exception cref="OverflowException">It exceeds what an array can hold.</exception>
    public static int CountElements(ReadOnlySpan<int> shape)
    {
        int length = 1;
        foreach (int d in shape)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(d, nameof(shape));
            length = checked(length * d);
        }
        return length;
    }
}
