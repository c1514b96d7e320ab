using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.TorchCheckpoint;

/// <summary>The flat memory that tensors of a checkpoint are views of.</summary>
/// <remarks>Legacy files give the place of the bytes only after the tensors that use them; <see cref="Bind"/> closes the gap.</remarks>
internal sealed class TorchStorage(string key, ElementType type, long count, TorchStorage? owner = null)
{
    private bool _bigEndian;

    private RawRangeReader? _read;
    private long _bound;

    internal string Key { get; } = key;

    /// <summary>The type of the storage; undefined for untyped ones, whose tensors say what they are.</summary>
    internal ElementType Type { get; } = type;

    /// <summary>Elements (bytes when untyped), as the pickle declares.</summary>
    internal long Count { get; } = count;

    internal long ByteLength => Count * Math.Max(1, Type.Size());

    internal bool IsBound => _read is not null;

    internal bool BigEndian => owner?.BigEndian ?? _bigEndian;

    internal void Bind(RawRangeReader read, long byteLength, bool bigEndian, string where)
    {
        if (byteLength != ByteLength) throw TorchErrors.Damaged(where, $"storage '{Key}' should have {ByteLength} bytes, the file has {byteLength}");
        (_read, _bound, _bigEndian) = (read, byteLength, bigEndian);
    }

    internal void Read(long offset, Span<byte> destination)
    {
        if (_read is null || offset < 0 || offset > _bound - destination.Length) throw new InvalidOperationException($"Storage '{Key}' is not bound or too short.");
        _read(offset, destination);
    }
}

/// <summary>Reads a range of bytes of one storage.</summary>
internal delegate void RawRangeReader(long offset, Span<byte> destination);

/// <summary>A view of a storage: offset, sizes and strides in elements. Read when asked for.</summary>
internal sealed class TorchTensor : WeightStorage
{
    private readonly TorchStorage _storage;
    private readonly long _offset;
    private readonly long[] _strides;
    private readonly int[] _shape;
    private readonly int _count;

    internal TorchTensor(TorchStorage storage, ElementType type, long offset, long[] shape, long[] strides, string where)
    {
        if (shape.Length != strides.Length) throw TorchErrors.Damaged(where, $"a tensor has {shape.Length} sizes and {strides.Length} strides");
        _count = FormatErrors.CountElements(shape, type, "SL1301", where);
        long available = storage.Type == ElementType.Undefined ? storage.Count / type.Size() : storage.Count, last = offset;
        for (int i = 0; i < shape.Length; i++)
        {
            if (strides[i] < 0) throw TorchErrors.Damaged(where, $"a tensor has the negative stride {strides[i]}");
            if (shape[i] > 1) last = checked(last + Multiply(shape[i] - 1, strides[i], where));
        }
        if (offset < 0 || (_count > 0 && last >= available))
            throw TorchErrors.Damaged(where, $"a tensor reaches element {last} of storage '{storage.Key}', which has {available}");
        // A view may repeat elements (expand); it may not turn a few bytes into gigabytes.
        if (_count > available && _count > 1 << 24)
            throw TorchErrors.OverLimit(where, $"a view repeats the {available} elements of storage '{storage.Key}' to {_count}");
        _storage = storage;
        _offset = offset;
        _strides = strides;
        _shape = FormatErrors.ToInts(shape);
        ElementType = type;
        Where = where;
    }

    public override ElementType ElementType { get; }

    public override ReadOnlySpan<int> Shape => _shape;

    private string Where { get; }

    public override TensorData Read()
    {
        TensorData data = TensorData.Zeros(ElementType, _shape);
        if (_count == 0) return data;
        Span<byte> bytes = data.Bytes();
        int size = ElementType.Size();
        if (IsContiguous()) _storage.Read(_offset * size, bytes);
        else ReadStrided(bytes, size);
        if (_storage.BigEndian) TensorBytes.SwapEndianness(bytes, size);
        if (ElementType == ElementType.Bool) TensorBytes.NormaliseBools(bytes);
        return data;
    }

    public override string ToString() => $"{ElementType}[{string.Join(", ", _shape)}]";

    private bool IsContiguous()
    {
        long expected = 1;
        for (int i = _shape.Length - 1; i >= 0; i--)
        {
            if (_shape[i] != 1 && _strides[i] != expected) return false;
            expected *= _shape[i];
        }
        return true;
    }

    private void ReadStrided(Span<byte> bytes, int size)
    {
        long span = 1;
        for (int i = 0; i < _shape.Length; i++) span += (_shape[i] - 1) * _strides[i];
        if (span * size > Array.MaxLength) throw new ModelFormatException("SL1004", "a strided tensor spans more bytes than can be read at once") { Where = Where };
        var source = new byte[span * size];
        _storage.Read(_offset * size, source);
        var index = new int[_shape.Length];
        long from = 0;
        for (int to = 0; to < _count; to++)
        {
            source.AsSpan((int)(from * size), size).CopyTo(bytes[(to * size)..]);
            for (int axis = _shape.Length - 1; axis >= 0; axis--)
            {
                from += _strides[axis];
                if (++index[axis] < _shape[axis]) break;
                from -= _strides[axis] * _shape[axis];
                index[axis] = 0;
            }
        }
    }

    private static long Multiply(long a, long b, string where)
    {
        Int128 product = (Int128)a * b;
        if (product > long.MaxValue / 4) throw TorchErrors.Damaged(where, "a tensor's strides overflow");
        return (long)product;
    }
}
