using BenchmarkDotNet.Attributes;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;

namespace Sparseland.Microbench;

/// <summary>W [rows, columns] x X [columns, n] of real layers: dense, unstructured and in blocks, on one thread.</summary>
[MemoryDiagnoser]
public class ProductBenchmarks
{
    private float[] _x = [], _y = [], _w = [];
    private PackedMatrix _packed = null!;
    private PreparedSpMM _unstructured = null!;
    private BlockCsrMatrix _blocks = null!;

    /// <summary>Rows x columns x n.</summary>
    [Params("256x2304x196", "768x768x197", "512x2048x49")]
    public string Shape { get; set; } = "";

    /// <summary>Stored fraction of the weights.</summary>
    [Params(0.2, 0.1, 0.05)]
    public double Density { get; set; }

    private int Rows { get; set; }

    private int Columns { get; set; }

    private int N { get; set; }

    /// <summary>Makes the operands.</summary>
    [GlobalSetup]
    public void Setup()
    {
        WorkPool.Threads = 1;
        int[] sizes = [.. Shape.Split('x').Select(int.Parse)];
        (Rows, Columns, N) = (sizes[0], sizes[1], sizes[2]);
        var random = new Random(0);
        _x = Values(Columns * N, random);
        _y = new float[Rows * N];
        _w = Values(Rows * Columns, random);
        _packed = PackedMatrix.Left(false, Rows, Columns, _w, Columns);
        _unstructured = new PreparedSpMM(CsrMatrix.FromDense(Pruned(1, random), Rows, Columns));
        _blocks = BlockCsrMatrix.FromDense(Pruned(4, random), Rows, Columns, 4, 1);
    }

    /// <summary>The dense twin, with the weight packed beforehand.</summary>
    [Benchmark(Baseline = true)]
    public void Dense() => Gemm.Multiply(_packed, false, N, _x, N, 0, _y, N, default, default, Clamp.None);

    /// <summary>Single weights.</summary>
    [Benchmark]
    public void Unstructured() => _unstructured.Multiply(_x, N, _y);

    /// <summary>Blocks of 4 x 1.</summary>
    [Benchmark]
    public void Blocks() => SpMM.Multiply(_blocks, _x, N, _y);

    private float[] Pruned(int blockRows, Random random)
    {
        var w = new float[_w.Length];
        for (int r = 0; r < Rows; r += blockRows)
        {
            for (int c = 0; c < Columns; c++)
            {
                if (random.NextDouble() >= Density) continue;
                for (int i = r; i < Math.Min(Rows, r + blockRows); i++) w[i * Columns + c] = _w[i * Columns + c];
            }
        }
        return w;
    }

    private static float[] Values(int length, Random random)
    {
        var values = new float[length];
        for (int i = 0; i < length; i++) values[i] = 2 * random.NextSingle() - 1;
        return values;
    }
}
