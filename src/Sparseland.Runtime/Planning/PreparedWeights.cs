using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Planning;

/// <summary>What a session prepared from its weights, shared by the plans for different input shapes.</summary>
internal sealed class PreparedWeights
{
    private readonly Dictionary<string, object> _prepared = new(StringComparer.Ordinal);

    /// <summary>What was found fastest where no rule decides, by layer: all plans of a session keep it. Locked while kernels are timed, so that plans which are made at the same time agree.</summary>
    public Dictionary<string, (KernelKind Kind, string Times)> Timed { get; } = new(StringComparer.Ordinal);

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

    /// <summary>Whether the form under a key was made.</summary>
    public bool Has(string key)
    {
        lock (_prepared) return _prepared.ContainsKey(key);
    }

    /// <summary>Forgets a prepared form that lost against another and that no plan uses.</summary>
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

/// <summary>A weight as a matrix: how much of it is kept, and the patterns that kernels make use of. The kept entries themselves are listed for those who prepare a kernel, and not held.</summary>
internal sealed class WeightMatrix
{
    private static readonly int[] s_tileRows = [16, 8, 4];

    // The tightest first: what keeps 1 of 4 keeps 2 of 4 as well.
    private static readonly (int N, int M)[] s_groups = [(1, 8), (1, 4), (2, 4), (4, 8)];

    // A weight that keeps far less than a pattern allows has it by chance.
    private const double FilledGroups = 0.75;

    // Above, no kernel makes use of a pattern.
    private const double DensestPattern = 0.75;

    private readonly Weight _weight;
    private readonly bool _transposed;
    private readonly Lazy<long> _windowBytes;
    private readonly WeakReference<CsrMatrix> _csr = new(null!);

    private WeightMatrix(Weight weight, bool transposed)
    {
        (_weight, _transposed) = (weight, transposed);
        int rows = weight.Shape[0], columns = rows == 0 ? 0 : weight.Length / rows;
        (Rows, Columns) = transposed ? (columns, rows) : (rows, columns);
        // The mask says what is removed; without one the zeros do.
        long kept = weight.Mask is { } mask ? mask.KeptCount : CountKept(weight.Read().Span<float>());
        Density = weight.Length == 0 ? 1 : (double)kept / weight.Length;
        _windowBytes = new Lazy<long>(() => PreparedSpMV.CountBytes(Csr));
        if (Density > DensestPattern) return;
        Mask pattern = Csr.ToMask();
        if (kept > 0) BlockRows = s_tileRows.FirstOrDefault(r => Rows % r == 0 && PatternCheck.Conforms(SparsityPattern.Block(r, 1), pattern, Rows, Columns), 1);
        foreach ((int n, int m) in s_groups)
        {
            if (Density < FilledGroups * n / m || !PatternCheck.Conforms(SparsityPattern.NofM(n, m), pattern, Rows, Columns)) continue;
            Note = $"{n}:{m} pattern, ";
            break;
        }
    }

    /// <summary>Outputs.</summary>
    public int Rows { get; }

    /// <summary>Inputs.</summary>
    public int Columns { get; }

    /// <summary>The kept entries: listed anew when nobody holds them any more. A full weight takes twice its bytes as a list.</summary>
    public CsrMatrix Csr
    {
        get
        {
            if (_csr.TryGetTarget(out CsrMatrix? csr)) return csr;
            ReadOnlySpan<float> values = _weight.Read().Span<float>();
            (int rows, int columns) = _transposed ? (Columns, Rows) : (Rows, Columns);
            csr = _weight.Mask is { } mask ? CsrMatrix.FromMask(mask, values, rows, columns) : CsrMatrix.FromDense(values, rows, columns);
            if (_transposed) csr = csr.Transpose();
            _csr.SetTarget(csr);
            return csr;
        }
    }

    /// <summary>16, 8 or 4 when whole tiles of that many outputs by one input are kept or removed; otherwise 1.</summary>
    public int BlockRows { get; } = 1;

    /// <summary>The N:M pattern of consecutive inputs that the weight has, for a plan's reason: it is computed as any other weight of its density. Empty when there is none.</summary>
    public string Note { get; } = "";

    /// <summary>Kept fraction.</summary>
    public double Density { get; }

    /// <summary>Bytes of a product with one vector in windows; counted once.</summary>
    public long WindowBytes => _windowBytes.Value;

    /// <summary>The kept entries in blocks of <see cref="BlockRows"/> outputs by one input.</summary>
    public BlockCsrMatrix ToBlocks()
    {
        CsrMatrix csr = Csr;
        var dense = new float[checked(csr.Rows * csr.Columns)];
        csr.ToDense(dense);
        return BlockCsrMatrix.FromMask(csr.ToMask(), dense, csr.Rows, csr.Columns, BlockRows, 1);
    }

    public static WeightMatrix Of(Weight weight, bool transposed) => new(weight, transposed);

    private static int CountKept(ReadOnlySpan<float> values)
    {
        int kept = 0;
        foreach (float v in values) kept += v != 0 ? 1 : 0;
        return kept;
    }
}
