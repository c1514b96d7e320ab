using Sparseland.Kernels.Sparse;

namespace Sparseland.Runtime;

/// <summary>What break-even points depend on: how large the work of a layer is, and in what form its weight is held.</summary>
/// <param name="Size">See <see cref="BreakEven.Size"/>.</param>
public readonly record struct KernelWork(long Size)
{
    /// <summary>What the values are held in.</summary>
    public ValueKind Values { get; init; } = ValueKind.Float32;

    /// <summary>Columns of a row of the weight, at least 0.</summary>
    public int Columns { get; init; } = int.MaxValue;

    /// <summary>Rows of a block, where whole blocks are kept or removed; otherwise 1.</summary>
    public int BlockRows { get; init; } = 1;

    /// <summary>Bytes that the whole weight would take in single precision without zeros, at least 0; where it comes from memory because the model does not fit the caches, at least those that no cache holds.</summary>
    public long WeightBytes { get; init; }

    /// <summary>Images of a batch, at least 1.</summary>
    public int Images { get; init; } = 1;
}
