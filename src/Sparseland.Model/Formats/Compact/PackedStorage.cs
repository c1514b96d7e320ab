using System.Numerics;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Compact;

/// <summary>A weight stored as a bit-mask and its kept values, as compact files hold it. Expanded when it is read.</summary>
/// <remarks>Sparse kernels can take <see cref="Kept"/> and <see cref="ReadValues"/> and never see the dense form.</remarks>
public sealed class PackedStorage : WeightStorage
{
    private const int LeastColumns = 8;

    private readonly WeightStorage _values;
    private readonly WeightStorage? _bits;
    private CompactMatrix? _matrix;

    /// <summary>Kept values (one dimension, in row-major order of the kept entries) and where they belong.</summary>
    /// <param name="type">The weight's element type; values in a narrower type are widened when they are read.</param>
    /// <param name="kept">Which entries have a value; has the weight's shape.</param>
    /// <param name="values">The values: [kept.KeptCount].</param>
    /// <exception cref="ArgumentException">The number of values is not the number of kept entries.</exception>
    public PackedStorage(ElementType type, Mask kept, WeightStorage values) : this(type, kept, values, null)
    {
    }

    /// <summary>With the mask's bits where they are in the file.</summary>
    internal PackedStorage(ElementType type, Mask kept, WeightStorage values, WeightStorage? bits)
    {
        ArgumentNullException.ThrowIfNull(kept);
        ArgumentNullException.ThrowIfNull(values);
        if (values.Shape.Length != 1 || values.Shape[0] != kept.KeptCount)
            throw new ArgumentException($"{kept.KeptCount} entries are kept, the values are [{string.Join(", ", values.Shape.ToArray())}].", nameof(values));
        ElementType = type;
        Kept = kept;
        _values = values;
        _bits = bits;
    }

    /// <inheritdoc/>
    public override ElementType ElementType { get; }

    /// <inheritdoc/>
    public override ReadOnlySpan<int> Shape => Kept.Shape;

    /// <summary>Which entries have a value.</summary>
    public Mask Kept { get; }

    internal override Mask AppliedMask => Kept;

    /// <inheritdoc/>
    public override CompactMatrix? Matrix
    {
        get
        {
            if (_matrix is not null || ElementType != ElementType.Float32 || Shape.Length < 2 || Kept.Length == 0) return _matrix;
            ValueKind kind;
            if (_values.ElementType == ElementType.Float32) kind = ValueKind.Float32;
            else if (_values.ElementType == ElementType.BFloat16) kind = ValueKind.BFloat16;
            else return null;
            int rows = Shape[0], columns = Kept.Length / rows;
            // A row takes a whole word: a matrix of a few columns would take many times its file.
            if (columns < LeastColumns) return null;
            return _matrix = CompactMatrix.FromParts(rows, columns, kind, BitsInPlace(Kept, _bits, rows, columns), BytesInPlace(_values));
        }
    }

    /// <summary>The bits with each row from a new word on: those of the file when it holds them so.</summary>
    internal static ReadOnlyMemory<byte> BitsInPlace(Mask kept, WeightStorage? bits, int rows, int columns) =>
        columns % 64 == 0 && bits is MappedTensor mapped ? mapped.Memory(0) : CompactMatrix.BitsOf(kept, rows, columns);

    /// <summary>The bytes of a tensor: in the file when it is mapped.</summary>
    internal static ReadOnlyMemory<byte> BytesInPlace(WeightStorage values) =>
        values is MappedTensor mapped ? mapped.Memory(CompactMatrix.Slack) : values.Read().Bytes().ToArray();

    /// <summary>The kept values, [<see cref="Mask.KeptCount"/>], in the weight's element type.</summary>
    public TensorData ReadValues()
    {
        TensorData values = _values.Read();
        return values.ElementType == ElementType ? values : values.ToFloat32();
    }

    /// <inheritdoc/>
    public override TensorData Read()
    {
        TensorData dense = TensorData.Zeros(ElementType, Shape), packed = ReadValues();
        int size = ElementType.Size(), next = 0;
        ReadOnlySpan<byte> from = packed.Bytes();
        Span<byte> to = dense.Bytes();
        ReadOnlySpan<ulong> words = Kept.Words;
        for (int w = 0; w < words.Length; w++)
        {
            for (ulong bits = words[w]; bits != 0; bits &= bits - 1)
            {
                int position = (w << 6) + BitOperations.TrailingZeroCount(bits);
                from.Slice(size * next++, size).CopyTo(to[(size * position)..]);
            }
        }
        return dense;
    }

    /// <summary>The kept entries of a dense tensor, in order.</summary>
    internal static TensorData Pack(TensorData dense, Mask kept)
    {
        TensorData values = TensorData.Zeros(dense.ElementType, kept.KeptCount);
        int size = dense.ElementType.Size(), next = 0;
        ReadOnlySpan<byte> from = dense.Bytes();
        Span<byte> to = values.Bytes();
        ReadOnlySpan<ulong> words = kept.Words;
        for (int w = 0; w < words.Length; w++)
        {
            for (ulong bits = words[w]; bits != 0; bits &= bits - 1)
                from.Slice(((w << 6) + BitOperations.TrailingZeroCount(bits)) * size, size).CopyTo(to[(size * next++)..]);
        }
        return values;
    }

    /// <summary>The entries that are not zero, when a bit for each costs less than the zeros do; null otherwise.</summary>
    internal static Mask? ZerosWorthPacking(TensorData data, int valueBits)
    {
        if (data.Rank < 2) return null;
        Mask nonZeros = NonZeroBits(data);
        return 1 + (nonZeros.Density * valueBits) < 0.9 * valueBits ? nonZeros : null;
    }

    /// <summary>Entries whose bits are not all zero; unlike a numeric comparison this keeps -0.</summary>
    internal static Mask NonZeroBits(TensorData dense)
    {
        int size = dense.ElementType.Size();
        ReadOnlySpan<byte> bytes = dense.Bytes();
        var words = new ulong[(dense.Length + 63) / 64];
        for (int i = 0; i < dense.Length; i++)
        {
            if (bytes.Slice(i * size, size).ContainsAnyExcept((byte)0)) words[i >> 6] |= 1UL << (i & 63);
        }
        return Mask.FromWords(dense.Shape, words);
    }
}
