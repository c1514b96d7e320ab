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
    public T[] Array<T>() => _elements is T[] typed && ElementTypes.Of<T>() == ElementType ? typed
        : throw new InvalidOperationException($"The tensor holds {ElementType}, not {typeof(T).Name}.");

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
    // Switching on the array's own type would take an sbyte[] for a byte[]: the runtime lets one be cast to the other.
    public float[] ToSingles() => ElementType switch
    {
        ElementType.Float32 => (float[])_elements,
        ElementType.Float64 => System.Array.ConvertAll((double[])_elements, v => (float)v),
        ElementType.Float16 => System.Array.ConvertAll((Half[])_elements, v => (float)v),
        ElementType.BFloat16 => System.Array.ConvertAll((BFloat16[])_elements, v => (float)v),
        ElementType.Int64 => System.Array.ConvertAll((long[])_elements, v => (float)v),
        ElementType.Int32 => System.Array.ConvertAll((int[])_elements, v => (float)v),
        ElementType.Bool => System.Array.ConvertAll((bool[])_elements, v => v ? 1f : 0f),
        ElementType.UInt8 => System.Array.ConvertAll((byte[])_elements, v => (float)v),
        ElementType.Int8 => System.Array.ConvertAll((sbyte[])_elements, v => (float)v),
        ElementType.Int16 => System.Array.ConvertAll((short[])_elements, v => (float)v),
        ElementType.UInt16 => System.Array.ConvertAll((ushort[])_elements, v => (float)v),
        ElementType.UInt32 => System.Array.ConvertAll((uint[])_elements, v => (float)v),
        ElementType.UInt64 => System.Array.ConvertAll((ulong[])_elements, v => (float)v),
        _ => throw new InvalidOperationException($"{ElementType} elements are no numbers."),
    };

    /// <summary>The elements of an integer tensor (any width) as 64-bit integers.</summary>
    /// <exception cref="InvalidOperationException">The tensor holds no integers.</exception>
    public long[] ToInt64s() => ElementType switch
    {
        ElementType.Int64 => (long[])_elements,
        ElementType.Int32 => System.Array.ConvertAll((int[])_elements, v => (long)v),
        ElementType.Bool => System.Array.ConvertAll((bool[])_elements, v => v ? 1L : 0L),
        ElementType.UInt8 => System.Array.ConvertAll((byte[])_elements, v => (long)v),
        ElementType.Int8 => System.Array.ConvertAll((sbyte[])_elements, v => (long)v),
        ElementType.Int16 => System.Array.ConvertAll((short[])_elements, v => (long)v),
        ElementType.UInt16 => System.Array.ConvertAll((ushort[])_elements, v => (long)v),
        ElementType.UInt32 => System.Array.ConvertAll((uint[])_elements, v => (long)v),
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
