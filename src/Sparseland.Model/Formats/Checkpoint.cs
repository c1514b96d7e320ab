using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats;

/// <summary>Named tensors out of a file that says nothing about the graph they belong to.</summary>
/// <param name="source">The file's path.</param>
/// <param name="format">The format's name for people.</param>
public sealed class Checkpoint(string source, string format)
{
    /// <summary>The file's path.</summary>
    public string Source { get; } = source;

    /// <summary>The format's name for people, such as "safetensors".</summary>
    public string Format { get; } = format;

    /// <summary>The tensors by name, in the file's order; read when asked for.</summary>
    public OrderedDictionary<string, WeightStorage> Tensors { get; } = new(StringComparer.Ordinal);

    /// <summary>Text beside the tensors.</summary>
    public SortedDictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    /// <summary>Number of elements of all tensors.</summary>
    public long TotalElements => Tensors.Values.Sum(t => (long)TensorData.CountElements(t.Shape));

    /// <inheritdoc/>
    public override string ToString() => $"{Format} '{Source}': {Tensors.Count} tensors, {TotalElements} elements";
}

/// <summary>A tensor that lies contiguous, row-major and little-endian in a mapped file.</summary>
internal sealed class MappedTensor : WeightStorage
{
    private readonly MappedFile _file;
    private readonly long _offset;
    private readonly int[] _shape;

    internal MappedTensor(MappedFile file, long offset, ElementType type, int[] shape)
    {
        _file = file;
        _offset = offset;
        _shape = shape;
        ElementType = type;
    }

    public override ElementType ElementType { get; }

    public override ReadOnlySpan<int> Shape => _shape;

    /// <summary>The tensor's bytes in place, and up to <paramref name="slack"/> bytes of the file behind them.</summary>
    internal ReadOnlyMemory<byte> Memory(int slack)
    {
        long length = (long)TensorData.CountElements(_shape) * ElementType.Size();
        return new MappedMemory(_file, _offset, checked((int)Math.Min(length + slack, _file.Length - _offset))).Memory;
    }

    public override TensorData Read()
    {
        TensorData data = TensorData.Zeros(ElementType, _shape);
        Span<byte> bytes = data.Bytes();
        // A bool array must not hold bytes other than 0 and 1.
        _file.CopyTo(_offset, bytes);
        if (ElementType == ElementType.Bool) TensorBytes.NormaliseBools(bytes);
        return data;
    }
}

/// <summary>Raw bytes to tensors.</summary>
internal static class TensorBytes
{
    internal static void NormaliseBools(Span<byte> bytes)
    {
        foreach (ref byte b in bytes) b = b == 0 ? (byte)0 : (byte)1;
    }

    internal static void SwapEndianness(Span<byte> bytes, int elementSize)
    {
        if (elementSize < 2) return;
        for (int i = 0; i + elementSize <= bytes.Length; i += elementSize) bytes.Slice(i, elementSize).Reverse();
    }
}
