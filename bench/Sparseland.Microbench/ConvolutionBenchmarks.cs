using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;

namespace Sparseland.Microbench;

/// <summary>Convolutions of 3 x 3: forward, the gradient of the input and that of the weight, dense and without structure.</summary>
[MemoryDiagnoser]
[GroupBenchmarksBy(BenchmarkLogicalGroupRule.ByCategory)]
public class ConvolutionBenchmarks
{
    private Convolution2D _shape;
    private PackedConvolution _packed = null!;
    private PreparedSparseConvolution _sparse = null!;
    private float[] _x = [], _w = [], _y = [], _dy = [], _dx = [], _dw = [], _stored = [];

    /// <summary>Channels of input and output x rows and columns of an image.</summary>
    [Params("64x32", "256x14")]
    public string Layer { get; set; } = "";

    /// <summary>Images of a call.</summary>
    [Params(1, 16)]
    public int Batch { get; set; }

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
        if (Operands.Sizes(Layer) is not [int channels, int image]) throw new InvalidOperationException(Layer);
        _shape = new Convolution2D(Batch, channels, image, image, channels, 3, 3).WithPadding(1);
        var random = new Random(0);
        _x = Operands.Values(_shape.InputLength, random);
        _w = Operands.Values(_shape.WeightLength, random);
        _dy = Operands.Values(_shape.OutputLength, random);
        _y = new float[_shape.OutputLength];
        _dx = new float[_shape.InputLength];
        _dw = new float[_shape.WeightLength];
        _packed = _shape.Pack(_w);
        CsrMatrix kept = CsrMatrix.FromDense(Operands.Pruned(_w, channels, channels * 9, Density, 1, random), channels, channels * 9);
        _sparse = new PreparedSparseConvolution(new SparseConvolutionShape(channels, channels, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1 }, kept);
        _stored = new float[_sparse.StoredCount];
    }

    /// <summary>The dense twin, with the weight packed beforehand.</summary>
    [Benchmark(Baseline = true), BenchmarkCategory("forward")]
    public void Dense() => _shape.Forward(_x, _packed, default, _y);

    /// <summary>Single weights.</summary>
    [Benchmark, BenchmarkCategory("forward")]
    public void Sparse() => _sparse.Forward(_x, Batch, _shape.Height, _shape.Width, _y);

    /// <summary>The dense twin.</summary>
    [Benchmark(Baseline = true), BenchmarkCategory("input gradient")]
    public void DenseInputGradient() => _shape.BackwardInput(_dy, _w, _dx);

    /// <summary>Single weights.</summary>
    [Benchmark, BenchmarkCategory("input gradient")]
    public void SparseInputGradient() => _sparse.InputGradient(_dy, Batch, _shape.Height, _shape.Width, _dx);

    /// <summary>The dense twin: the gradient of every weight.</summary>
    [Benchmark(Baseline = true), BenchmarkCategory("weight gradient")]
    public void DenseWeightGradient() => _shape.BackwardWeight(_x, _dy, _dw);

    /// <summary>The gradient of the weights that are stored.</summary>
    [Benchmark, BenchmarkCategory("weight gradient")]
    public void SparseWeightGradient() => _sparse.WeightGradient(_x, _dy, Batch, _shape.Height, _shape.Width, _stored);
}
