using BenchmarkDotNet.Attributes;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;

namespace Sparseland.Microbench;

/// <summary>W [4096, 4096] times a vector with zeros: columns beside zeros are not read. Copies are taken in turn, so that values come from memory.</summary>
[MemoryDiagnoser]
public class ColumnBenchmarks
{
    private const int Size = 4096, Copies = 3;

    private readonly CompactMatrix[] _rows = new CompactMatrix[Copies];
    private readonly PackedMatrix[] _panels = new PackedMatrix[Copies];
    private readonly PreparedColumns[] _columns = new PreparedColumns[Copies];
    private float[] _x = [], _y = [];
    private int _next;

    /// <summary>Fraction of the inputs that is not zero.</summary>
    [Params(1, 0.5, 0.1)]
    public double Density { get; set; }

    /// <summary>Threads that share the work.</summary>
    [Params(1, 2)]
    public int Threads { get; set; }

    /// <summary>Makes the operands.</summary>
    [GlobalSetup]
    public void Setup()
    {
        WorkPool.Threads = Threads;
        var random = new Random(0);
        float[] w = Operands.Values(Size * Size, random);
        _x = Operands.Pruned(Operands.Values(Size, random), 1, Size, Density, 1, random);
        _y = new float[Size];
        for (int i = 0; i < Copies; i++)
        {
            _rows[i] = CompactMatrix.FromDense(w, Size, Size, ValueKind.Float32);
            _panels[i] = PackedMatrix.Right(true, Size, Size, w, Size);
            _columns[i] = PreparedColumns.FromRows(w, Size, Size);
        }
    }

    /// <summary>The dense twin by rows.</summary>
    [Benchmark(Baseline = true)]
    public void Rows() => Gemv.Multiply(_rows[Next()], _x, _y);

    /// <summary>The dense twin in panels, as plans have it.</summary>
    [Benchmark]
    public void Panels() => Gemm.Multiply(false, 1, _x, Size, _panels[Next()], 0, _y, Size, default, default, Clamp.None);

    /// <summary>By columns.</summary>
    [Benchmark]
    public void Columns() => _columns[Next()].Multiply(_x, 0, _y);

    private int Next() => _next = (_next + 1) % Copies;
}
