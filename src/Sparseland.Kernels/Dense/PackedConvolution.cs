using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>The weights of a convolution in the order in which its kernel reads them; made once, used for every call.</summary>
/// <remarks>
/// Made by <see cref="Convolution2D.Pack"/>; belongs to the geometry (apart from the batch) and to the instruction level of
/// this process. Immutable and safe to use from several threads.
/// </remarks>
public sealed unsafe class PackedConvolution
{
    private readonly float[] _values;
    private readonly int _start;

    internal PackedConvolution(Convolution2D geometry, PlanarSpec spec, ConvolutionMode mode, SimdLevel level, long length)
    {
        Geometry = geometry;
        Spec = spec;
        Bands = geometry.Bands(mode);
        spec.KeepOffsets();
        foreach (PlanarSpec band in Bands ?? []) band.KeepOffsets();
        Mode = mode;
        Level = level;
        TakesSpacing = mode == ConvolutionMode.Rows && DepthwiseKernel.Fits(geometry);
        TakesHalves = TakesSpacing && DepthwiseKernel.HasBands(geometry);
        _values = GC.AllocateUninitializedArray<float>(checked((int)(length + 16 + 32)), pinned: true);
        nint address = (nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_values));
        _start = (int)(((64 - (address & 63)) & 63) / sizeof(float));
    }

    /// <summary>The geometry that the weights were packed for; calls may change its batch only.</summary>
    public Convolution2D Geometry { get; }

    /// <summary>Bytes of the packed values.</summary>
    public long Bytes => (long)_values.Length * sizeof(float);

    /// <summary>Whether planes may lie apart (<see cref="PlaneSpacing"/>): where the depthwise kernel runs.</summary>
    public bool TakesSpacing { get; }

    /// <summary>Whether input and output of a single image may lie in halves (<see cref="PlaneHalves"/>), and had better where the layers beside it have them so.</summary>
    public bool TakesHalves { get; }

    /// <summary>Where the taps read; the batch does not enter.</summary>
    internal PlanarSpec Spec { get; }

    /// <summary>See <see cref="Convolution2D.Bands"/>.</summary>
    internal PlanarSpec[]? Bands { get; }

    internal ConvolutionMode Mode { get; }

    internal SimdLevel Level { get; }

    internal float* Pointer => (float*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_values)) + _start;
}

/// <summary>Packs [groups] matrices [rows, depth] for <see cref="ConvolutionEngine"/>.</summary>
internal static unsafe class ConvolutionWeights
{
    /// <summary>Floats that one group takes.</summary>
    public static long Size(ConvolutionMode mode, int rows, int depth, SimdLevel level)
    {
        if (mode == ConvolutionMode.Rows) return (long)rows * depth;
        return (long)Panels(rows, level).Rows * depth;
    }

    private static RowPanels Panels(int rows, SimdLevel level) => new(rows, level == SimdLevel.Vector512 ? MicroKernel.Rows<V512>() : MicroKernel.Rows<V1>());

    /// <summary>Packs the matrix of one group.</summary>
    public static void Pack(ConvolutionMode mode, int rows, int depth, SimdLevel level, float* source, float* target)
    {
        if (mode == ConvolutionMode.Rows)
        {
            new ReadOnlySpan<float>(source, rows * depth).CopyTo(new Span<float>(target, rows * depth));
            return;
        }
        RowPanels panels = Panels(rows, level);
        int block = Packing.BlockLength(depth);
        for (int k0 = 0; k0 < depth; k0 += block)
        {
            int k = Math.Min(block, depth - k0);
            for (int i = 0, panel; i < rows; i += panel)
            {
                panel = panels.HeightAt(i);
                Packing.Left(false, source + ((nint)i * depth) + k0, depth, Math.Min(panel, rows - i), k, panel, 1f, target);
                target += (nint)panel * k;
            }
        }
    }
}
