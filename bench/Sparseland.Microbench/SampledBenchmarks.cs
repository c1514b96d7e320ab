using BenchmarkDotNet.Attributes;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;

namespace Sparseland.Microbench;

/// <summary>A product sampled at the entries of a sparse weight (SDDMM), the weight gradient of a linear layer: A [rows, n] x B [columns, n] transposed.</summary>
[MemoryDiagnoser]
public class SampledBenchmarks
{
    private float[] _a = [], _b = [], _all = [], _stored = [];
    private CsrMatrix _structure = null!;
    private PreparedSpMM _prepared = null!;
    private int _rows, _columns, _n;

    /// <summary>Rows x columns x n.</summary>
    [Params("2048x2048x128", "768x3072x197")]
    public string Shape { get; set; } = "";

    /// <summary>Stored fraction of the weights.</summary>
    [Params(0.1, 0.05)]
    public double Density { get; set; }

    /// <summary>Threads that share the work.</summary>
    [Params(1, 2)]
    public int Threads { get; set; }

    /// <summary>Makes the operands.</summary>
    [GlobalSetup]
    public void Setup()
    {
        WorkPool.Threads = Threads;
        if (Operands.Sizes(Shape) is not [int rows, int columns, int n]) throw new InvalidOperationException(Shape);
        (_rows, _columns, _n) = (rows, columns, n);
        var random = new Random(0);
        _a = Operands.Values(rows * n, random);
        _b = Operands.Values(columns * n, random);
        _all = new float[rows * columns];
        _structure = CsrMatrix.FromDense(Operands.Pruned(Operands.Values(rows * columns, random), rows, columns, Density, 1, random), rows, columns);
        _prepared = new PreparedSpMM(_structure);
        _stored = new float[_structure.StoredCount];
    }

    /// <summary>The dense twin: every entry.</summary>
    [Benchmark(Baseline = true)]
    public void Dense() => Gemm.Multiply(false, true, _rows, _columns, _n, 1, _a, _n, _b, _n, 0, _all, _columns);

    /// <summary>The entries of a structure, straight from it.</summary>
    [Benchmark]
    public void Sampled() => SpMM.Sampled(_structure, _a, _b, _n, _stored);

    /// <summary>The same from what a weight has prepared, as training runs it.</summary>
    [Benchmark]
    public void Prepared() => _prepared.WeightGradient(_b, _a, _n, _stored);
}
