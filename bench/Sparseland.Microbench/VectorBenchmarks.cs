using BenchmarkDotNet.Attributes;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;

namespace Sparseland.Microbench;

/// <summary>W [4096, 4096] times one vector, in every type of values: dense, under a bit-mask and in windows. Each call takes the next of several copies, so that values come from memory.</summary>
[MemoryDiagnoser]
public class VectorBenchmarks
{
    private const int Size = 4096;

    // More than a third cache holds.
    private const long CopiesBytes = 160 << 20;

    private float[] _x = [], _y = [];
    private CompactMatrix[] _dense = [], _masked = [];
    private PreparedSpMV[] _windows = [];
    private int _next;

    /// <summary>What the values are held in.</summary>
    [Params(ValueKind.Float32, ValueKind.BFloat16, ValueKind.Int8, ValueKind.Int4)]
    public ValueKind Values { get; set; }

    /// <summary>Stored fraction of the weights.</summary>
    [Params(0.5, 0.1)]
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
        float[] w = Operands.Values(Size * Size, random), pruned = Operands.Pruned(w, Size, Size, Density, 1, random);
        _x = Operands.Values(Size, random);
        _y = new float[Size];
        Mask mask = Mask.FromNonZeros([Size, Size], pruned);
        _dense = Copies(() => CompactMatrix.FromDense(w, Size, Size, Values), m => m.ByteCount);
        _masked = Copies(() => CompactMatrix.FromMask(mask, pruned, Size, Size, Values), m => m.ByteCount);
        _windows = Copies(() => new PreparedSpMV(_masked[0]), m => m.Bytes);
    }

    /// <summary>The dense twin of the same type.</summary>
    [Benchmark(Baseline = true)]
    public void Dense() => Gemv.Multiply(Next(_dense), _x, _y);

    /// <summary>A bit for each weight, and the values of those that are kept.</summary>
    [Benchmark]
    public void BitMask() => Gemv.Multiply(Next(_masked), _x, _y);

    /// <summary>Kept values with their columns, a window of inputs at a time.</summary>
    [Benchmark]
    public void Windows() => Next(_windows).Multiply(_x, _y, default, Clamp.None);

    private static T[] Copies<T>(Func<T> make, Func<T, long> bytes)
    {
        T first = make();
        return [first, .. Enumerable.Range(0, (int)(CopiesBytes / bytes(first))).Select(_ => make())];
    }

    private T Next<T>(T[] copies) => copies[_next = (_next + 1) % copies.Length];
}
