using BenchmarkDotNet.Attributes;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;

namespace Sparseland.Microbench;

/// <summary>W [rows, columns] x X [columns, n] of real layers: dense, unstructured and in blocks.</summary>
[MemoryDiagnoser]
public class ProductBenchmarks
{
    private float[] _x = [], _y = [], _w = [];
    private PackedMatrix _packed = null!;
    private PreparedSpMM _unstructured = null!, _blocks = null!;
    private int _n;

    /// <summary>Rows x columns x n.</summary>
    [Params("256x2304x196", "768x768x197", "512x2048x49")]
    public string Shape { get; set; } = "";

    /// <summary>Stored fraction of the weights.</summary>
    [Params(0.2, 0.1, 0.05)]
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
        _n = n;
        var random = new Random(0);
        _x = Operands.Values(columns * n, random);
        _y = new float[rows * n];
        _w = Operands.Values(rows * columns, random);
        _packed = PackedMatrix.Left(false, rows, columns, _w, columns);
        _unstructured = new PreparedSpMM(CsrMatrix.FromDense(Operands.Pruned(_w, rows, columns, Density, 1, random), rows, columns));
        _blocks = new PreparedSpMM(BlockCsrMatrix.FromDense(Operands.Pruned(_w, rows, columns, Density, 4, random), rows, columns, 4, 1));
    }

    /// <summary>The dense twin, with the weight packed beforehand.</summary>
    [Benchmark(Baseline = true)]
    public void Dense() => Gemm.Multiply(_packed, false, _n, _x, _n, 0, _y, _n, default, default, Clamp.None);

    /// <summary>Single weights.</summary>
    [Benchmark]
    public void Unstructured() => _unstructured.Multiply(_x, _n, _y);

    /// <summary>Blocks of 4 x 1, as plans run them.</summary>
    [Benchmark]
    public void Blocks() => _blocks.Multiply(_x, _n, _y);
}
