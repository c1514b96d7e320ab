using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Planning;

/// <summary>What a session prepared from its weights, shared by the plans for different input shapes.</summary>
internal sealed class PreparedWeights
{
    private readonly Dictionary<string, object> _prepared = new(StringComparer.Ordinal);

    /// <summary>The prepared form of a weight under a key, made on first use.</summary>
    public T Get<T>(string key, Func<T> prepare) where T : class
    {
        lock (_prepared)
        {
            if (_prepared.TryGetValue(key, out object? found)) return (T)found;
            T made = prepare();
            _prepared[key] = made;
            return made;
        }
    }

    /// <summary>Forgets a prepared form that lost against another.</summary>
    public void Drop(string key)
    {
        lock (_prepared) _prepared.Remove(key);
    }

    /// <summary>A weight as a matrix [outputs, inputs] with what it keeps.</summary>
    /// <param name="weight">A single-precision weight.</param>
    /// <param name="transposed">Whether it is stored [inputs, outputs].</param>
    public WeightMatrix Matrix(Weight weight, bool transposed) =>
        Get($"{weight.Name}|matrix|{transposed}", () => WeightMatrix.Of(weight, transposed));
}

/// <summary>A weight as a matrix: its structure, and the patterns that kernels make use of.</summary>
internal sealed class WeightMatrix
{
    private static readonly int[] s_tileRows = [16, 8, 4];

    private readonly Lazy<long> _windowBytes;

    private WeightMatrix(CsrMatrix csr, int blockRows, bool isTwoOfFour)
    {
        Csr = csr;
        BlockRows = blockRows;
        IsTwoOfFour = isTwoOfFour;
        _windowBytes = new Lazy<long>(() => PreparedSpMV.CountBytes(csr));
    }

    /// <summary>The kept entries.</summary>
    public CsrMatrix Csr { get; }

    /// <summary>16, 8 or 4 when whole tiles of that many outputs by one input are kept or removed; otherwise 1.</summary>
    public int BlockRows { get; }

    /// <summary>Whether every four consecutive inputs keep at most two.</summary>
    public bool IsTwoOfFour { get; }

    /// <summary>Kept fraction.</summary>
    public double Density => Csr.Density;

    /// <summary>Bytes of a product with one vector in windows; counted once.</summary>
    public long WindowBytes => _windowBytes.Value;

    /// <summary>The kept entries in blocks of <see cref="BlockRows"/> outputs by one input.</summary>
    public BlockCsrMatrix ToBlocks()
    {
        var dense = new float[Csr.Rows * Csr.Columns];
        Csr.ToDense(dense);
        return BlockCsrMatrix.FromMask(Csr.ToMask(), dense, Csr.Rows, Csr.Columns, BlockRows, 1);
    }

    public static WeightMatrix Of(Weight weight, bool transposed)
    {
        ReadOnlySpan<float> values = weight.Read().Span<float>();
        int rows = weight.Shape[0], columns = rows == 0 ? 0 : weight.Length / rows;
        // The mask says what is removed; without one the zeros do.
        CsrMatrix csr = weight.Mask is { } mask ? CsrMatrix.FromMask(mask, values, rows, columns) : CsrMatrix.FromDense(values, rows, columns);
        if (transposed) csr = csr.Transpose();
        if (csr.Density > 0.75) return new WeightMatrix(csr, 1, false);
        Mask kept = csr.ToMask();
        int block = s_tileRows.FirstOrDefault(r => csr.Rows % r == 0 && PatternCheck.Conforms(SparsityPattern.Block(r, 1), kept, csr.Rows, csr.Columns), 1);
        return new WeightMatrix(csr, csr.StoredCount == 0 ? 1 : block, PatternCheck.Conforms(SparsityPattern.NofM(2, 4), kept, csr.Rows, csr.Columns));
    }
}
