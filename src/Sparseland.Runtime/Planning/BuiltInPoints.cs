using System.Runtime.InteropServices;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Runtime.Steps;

namespace Sparseland.Runtime.Planning;

/// <summary>Break-even points where nothing was measured: nine tenths of the lesser of what one and two threads gave (Zen 4, Zen 5 for whole units of 512 bits, Zen 1 and Zen 3 for 256 bits, Zen 1 for fewer; each level set by <see cref="SimdSupport.EnvironmentVariable"/>), less where runs differed.</summary>
internal static class BuiltInPoints
{
    private static readonly Dictionary<(SimdLevel Level, bool Compiled, bool Windows, bool WholeUnits), BreakEvenTable> s_tables = [];

    /// <summary>Those for the calling thread's instruction level and code.</summary>
    public static BreakEvenTable Current => For(SimdSupport.Level, CompiledKernels.AreUsed, LinearKernel.UsesWindows, CompiledKernels.AreWritten && VectorUnits.AreFullWidth);

    /// <summary>Those for an instruction level, with or without compiled kernels and windows in registers, and for units of 512 bits that are two halves or whole (<see cref="VectorUnits"/>), which compiled kernels alone ask for.</summary>
    public static BreakEvenTable For(SimdLevel level, bool compiled, bool windows, bool wholeUnits = false)
    {
        lock (s_tables)
        {
            if (!s_tables.TryGetValue((level, compiled, windows, wholeUnits), out BreakEvenTable? table)) s_tables[(level, compiled, windows, wholeUnits)] = table = Make(level, compiled, windows, wholeUnits);
            return table;
        }
    }

    // With fewer than 256 bits there is one set of numbers; with 256 and 512 bits code is there or not, windows of 256 bits are there with AVX2, and those of 512 bits in registers (AVX-512 VBMI) are there or not.
    private static BreakEvenTable Make(SimdLevel level, bool compiled, bool windows, bool wholeUnits)
    {
        bool wide = level == SimdLevel.Vector512;
        BreakEven[] many = wide ? compiled ? wholeUnits ? CompiledWhole : Compiled : Loops512 : level == SimdLevel.Vector256 ? compiled ? Counted256 : Loops256 : Loops128;
        // Without windows one vector was measured with 256 bits; wider registers do no worse.
        BreakEven[] vectors = windows ? wide ? Windows : NarrowWindows : Vectors;
        BreakEven[] all = [.. many, .. vectors, .. wide ? Blocks512 : Blocks256];
        // Scalar code, and processors of other makes.
        bool measured = level != SimdLevel.Scalar && RuntimeInformation.ProcessArchitecture == Architecture.X64;
        return new BreakEvenTable(measured ? all : all.Select(e => e with { Density = Math.Round(e.Density / 2, 3) }), "built in");
    }

    private static BreakEven[] Compiled =>
    [
        .. Rules(KernelKind.Convolution, (0, 0.47), (16, 0.9)), .. Batches(KernelKind.Convolution, (0, 0.55), (16, 0.85)),
        .. Rules(KernelKind.Pointwise, (0, 0.25), (16, 0.88)), .. Batches(KernelKind.Pointwise, (0, 0.45), (16, 0.88)),
        .. Blocks(KernelKind.ConvolutionBlock, 4, (0, 0.25), (16, 0.88)), .. Blocks(KernelKind.ConvolutionBlock, 8, (0, 0.5), (16, 0.88)),
        .. Products(0, (2, 0.19), (4, 0.28), (5, 0.37), (8, 0.5), (12, 0.67), (16, 0.76), (24, 0.88)),
        // 2048 x 2048 again and again, at densities of 0.25 and 0.5.
        .. Products(BreakEvenMeasurement.PartOfThirdCache, (2, 0.42), (4, 0.42), (5, 0.5)),
        // Of the next of several copies: 3072 x 1024, 2048 x 2048 and 3072 x 3072 at densities of 0.5 to 0.68, compressed rows.
        .. Products(BreakEvenMeasurement.BeyondCaches, (2, 0.28), (4, 0.28), (5, 0.3), (8, 0.31), (12, 0.41), (16, 0.47), (24, 0.72), (64, 0.88)),
        .. Rules(KernelKind.Grouped, (0, 0.37), (16, 0.65)),
        .. Rules(KernelKind.Depthwise, (0, 0.78), (196, 0.7)),
    ];

    // Zen 5: of two calibrations each. Dense products with few rows are twice as fast as with half units, and code arrives at the same rate for each value: 14 bytes where a dense weight has 4.
    private static BreakEven[] CompiledWhole =>
    [
        .. Rules(KernelKind.Convolution, (0, 0.39), (16, 0.74), (49, 0.88), (784, 0.75)), .. Batches(KernelKind.Convolution, (0, 0.32), (16, 0.85)),
        .. Rules(KernelKind.Pointwise, (0, 0.24), (16, 0.81)), .. Batches(KernelKind.Pointwise, (0, 0.39), (16, 0.79), (49, 0.84)),
        .. Blocks(KernelKind.ConvolutionBlock, 4, (0, 0.22), (16, 0.7), (49, 0.88)), .. Blocks(KernelKind.ConvolutionBlock, 8, (0, 0.44), (16, 0.68), (49, 0.88)),
        // Up to 16 rows beside code beyond the second cache (SparseCost.OfLinear).
        .. Rules(KernelKind.Csr, (2, 0.25), (5, 0.38), (12, 0.64), (16, 0.72), (24, 0.6), (32, 0.68), (64, 0.77)),
        .. Rules(KernelKind.Block, (2, 0.25), (5, 0.38), (12, 0.64), (16, 0.68), (24, 0.73)),
        .. Rules(KernelKind.Grouped, (0, 0.34), (16, 0.5)),
        .. Rules(KernelKind.Depthwise, (0, 0.78), (196, 0.7)),
    ];

    private static BreakEven[] Loops512 =>
    [
        .. Rules(KernelKind.Convolution, (0, 0.12), (16, 0.42), (49, 0.6), (3136, 0.52)), .. Batches(KernelKind.Convolution, (0, 0.15), (16, 0.56)),
        .. Rules(KernelKind.Pointwise, (0, 0.06), (16, 0.3), (49, 0.4), (3136, 0.5)), .. Batches(KernelKind.Pointwise, (0, 0.12), (16, 0.3), (49, 0.45)),
        .. Rules(KernelKind.Csr, (2, 0.12), (16, 0.24), (24, 0.28), (32, 0.37)),
        .. Rules(KernelKind.Block, (2, 0.17), (16, 0.39), (24, 0.43), (32, 0.55)),
        .. Rules(KernelKind.Grouped, (0, 0.37), (16, 0.65)),
        .. Rules(KernelKind.Depthwise, (0, 0.78), (196, 0.7)),
    ];

    // Where units take 256 bits in halves (Zen 1, of two calibrations each with one and two threads) and at once (Zen 3, of one each): the lesser.
    private static BreakEven[] Counted256 =>
    [
        .. Rules(KernelKind.Convolution, (0, 0.18), (16, 0.6), (196, 0.58)), .. Batches(KernelKind.Convolution, (0, 0.18), (16, 0.53), (49, 0.69), (196, 0.49), (784, 0.65)),
        .. Rules(KernelKind.Pointwise, (0, 0.18), (16, 0.52), (49, 0.6), (196, 0.56), (784, 0.61)), .. Batches(KernelKind.Pointwise, (0, 0.23), (16, 0.48), (49, 0.71), (196, 0.62), (784, 0.71)),
        .. Blocks(KernelKind.ConvolutionBlock, 4, (0, 0.16), (16, 0.69), (196, 0.56), (3136, 0.71)), .. Blocks(KernelKind.ConvolutionBlock, 8, (0, 0.17), (16, 0.74), (196, 0.68), (3136, 0.74)),
        .. Rules(KernelKind.Csr, (2, 0.13), (4, 0.25), (5, 0.33), (8, 0.4), (12, 0.5), (32, 0.58), (64, 0.65)),
        .. Rules(KernelKind.Block, (2, 0.13), (4, 0.24), (5, 0.31), (8, 0.4), (12, 0.48), (24, 0.53)),
        .. Rules(KernelKind.Grouped, (0, 0.4), (49, 0.64), (784, 0.47)),
        .. Rules(KernelKind.Depthwise, (0, 0.56), (196, 0.63)),
    ];

    // Zen 1: of two calibrations each with one and two threads.
    private static BreakEven[] Loops256 =>
    [
        .. Rules(KernelKind.Convolution, (0, 0.17), (16, 0.35), (49, 0.48)), .. Batches(KernelKind.Convolution, (0, 0.12), (16, 0.3), (49, 0.53)),
        .. Rules(KernelKind.Pointwise, (0, 0.08), (16, 0.37), (49, 0.45)), .. Batches(KernelKind.Pointwise, (0, 0.1), (16, 0.37), (49, 0.42)),
        .. Rules(KernelKind.Csr, (2, 0.06), (4, 0.11), (5, 0.15), (8, 0.28), (12, 0.38), (32, 0.42)),
        .. Rules(KernelKind.Block, (2, 0.07), (4, 0.14), (5, 0.2), (8, 0.27), (12, 0.39), (32, 0.46)),
        .. Rules(KernelKind.Grouped, (0, 0.44), (49, 0.64)),
        .. Rules(KernelKind.Depthwise, (0, 0.64)),
    ];

    private static BreakEven[] Loops128 =>
    [
        .. Rules(KernelKind.Convolution, (0, 0.3), (16, 0.4), (49, 0.48)), .. Batches(KernelKind.Convolution, (0, 0.11), (16, 0.45), (49, 0.53)),
        .. Rules(KernelKind.Pointwise, (0, 0.25), (16, 0.42)), .. Batches(KernelKind.Pointwise, (0, 0.1), (16, 0.38), (49, 0.44)),
        .. Rules(KernelKind.Csr, (2, 0.08), (4, 0.15), (5, 0.2), (8, 0.23), (12, 0.38)),
        .. Rules(KernelKind.Block, (2, 0.1), (4, 0.2), (8, 0.35)),
        .. Rules(KernelKind.Grouped, (0, 0.6)),
    ];

    private static BreakEven[] Windows =>
    [
        .. Rules(KernelKind.CsrVector, (0, 0.6), (4 << 20, 0.67), (32 << 20, 0.72)),
        .. FewBits(ValueKind.BFloat16, 0.89, 0.77, 0.9, 0.84, windows: true), .. FewBits(ValueKind.Int8, 0.59, 0.44, 0.85, 0.85, windows: true), .. FewBits(ValueKind.Int4, 0.9, 0.74, 0.9, 0.9, windows: true),
        .. Rules(KernelKind.BitmaskVector, (0, 0.36), (4 << 20, 0.53), (32 << 20, 0.66)),
        // The lesser itself from memory. Zero: the mask of 4-bit values in the caches, or in short rows, is slower than their dense product at every density.
        .. FewBits(ValueKind.BFloat16, 0.43, 0.45, 0.69, 0.69), .. FewBits(ValueKind.Int8, 0.46, 0.41, 0.74, 0.74), .. FewBits(ValueKind.Int4, 0, 0, 0, 0.5),
    ];

    // Zen 1, and single precision also Zen 3, the lesser. No bit-masks: where they win (bfloat16, by a tenth at most) windows win by more. Of 8-bit values the lesser of calibrations and of the figure gemv, whose rows lost at 30 % stored, at a cost of about 0.6.
    private static BreakEven[] NarrowWindows =>
    [
        .. Rules(KernelKind.CsrVector, (0, 0.17), (4 << 20, 0.29), (32 << 20, 0.46)),
        .. FewBits(ValueKind.BFloat16, 0.42, 0.27, 0.64, 0.62, windows: true), .. FewBits(ValueKind.Int8, 0.5, 0.5, 0.55, 0.55, windows: true), .. FewBits(ValueKind.Int4, 0.9, 0.9, 0.9, 0.9, windows: true),
    ];

    // None for masks over few bits: without windows they are taken after a calibration alone.
    private static BreakEven[] Vectors =>
    [
        .. Rules(KernelKind.CsrVector, (0, 0.06), (4 << 20, 0.13), (32 << 20, 0.16)),
        .. Rules(KernelKind.BitmaskVector, (0, 0.12), (4 << 20, 0.22), (32 << 20, 0.29)),
    ];

    private static BreakEven[] Blocks512 =>
    [
        .. Blocks(KernelKind.BlockVector, 4, (0, 0.22), (4 << 20, 0.28), (32 << 20, 0.36)), .. Blocks(KernelKind.BlockVector, 8, (0, 0.44), (4 << 20, 0.5), (32 << 20, 0.45)),
        .. Blocks(KernelKind.BlockVector, 16, (0, 0.63), (4 << 20, 0.8), (32 << 20, 0.5)), .. Rules(KernelKind.Columns, (4 << 20, 0.65)),
    ];

    // Blocks: the lesser of Zen 1 and Zen 3. Columns of Zen 1: one calibration each of a Zen 3 gave 0.73 and, with two threads, 0.55 from 4 MB on, 0.85 and more from 32 MB on.
    private static BreakEven[] Blocks256 =>
    [
        .. Blocks(KernelKind.BlockVector, 4, (0, 0.16), (4 << 20, 0.24), (32 << 20, 0.39)), .. Blocks(KernelKind.BlockVector, 8, (0, 0.27), (4 << 20, 0.42), (32 << 20, 0.46)),
        .. Blocks(KernelKind.BlockVector, 16, (0, 0.29), (4 << 20, 0.41)), .. Rules(KernelKind.Columns, (4 << 20, 0.57)),
    ];

    private static IEnumerable<BreakEven> Rules(KernelKind kernel, params (long Size, double Density)[] points) => points.Select(p => new BreakEven(kernel, p.Size, p.Density));

    // Compressed rows and blocks, whose code takes the same time.
    private static IEnumerable<BreakEven> Products(long weightBytes, params (long Size, double Density)[] points) =>
        ((KernelKind[])[KernelKind.Csr, KernelKind.Block]).SelectMany(k => Rules(k, points)).Select(r => r with { WeightBytes = weightBytes });

    private static IEnumerable<BreakEven> Batches(KernelKind kernel, params (long Size, double Density)[] points) => Rules(kernel, points).Select(r => r with { Images = BreakEvenMeasurement.SharedImages });

    private static IEnumerable<BreakEven> Blocks(KernelKind kernel, int rows, params (long Size, double Density)[] points) => Rules(kernel, points).Select(r => r with { BlockRows = rows });

    // In the caches and beyond, in rows of fewer than 2048 columns and of more.
    private static BreakEven[] FewBits(ValueKind values, double cachedShort, double cachedLong, double farShort, double farLong, bool windows = false) =>
    [
        new(windows ? KernelKind.CsrVector : KernelKind.BitmaskVector, 0, cachedShort) { Values = values },
        new(windows ? KernelKind.CsrVector : KernelKind.BitmaskVector, 0, cachedLong) { Values = values, Columns = BreakEvenMeasurement.LongRow },
        new(windows ? KernelKind.CsrVector : KernelKind.BitmaskVector, BreakEvenMeasurement.BeyondCaches, farShort) { Values = values },
        new(windows ? KernelKind.CsrVector : KernelKind.BitmaskVector, BreakEvenMeasurement.BeyondCaches, farLong) { Values = values, Columns = BreakEvenMeasurement.LongRow },
    ];
}
