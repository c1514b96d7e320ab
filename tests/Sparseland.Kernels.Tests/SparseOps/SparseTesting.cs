using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Tests.SparseOps;

/// <summary>Seeded matrices and the sweep over levels and threads.</summary>
internal static class SparseTesting
{
    public static readonly double[] Densities = [0, 0.01, 0.1, 0.5, 1];

    public static readonly SimdLevel[] Levels = [SimdLevel.Scalar, SimdLevel.Vector128, SimdLevel.Vector256, SimdLevel.Vector512];

    /// <summary>What is no common number, zeros last.</summary>
    public static readonly float[] Special = [float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.Epsilon, -float.Epsilon * 7, 1e-38f, -0f, 0f];

    public static float[] Uniform(Random random, int length)
    {
        var values = new float[length];
        for (int i = 0; i < length; i++) values[i] = (float)(random.NextDouble() * 2 - 1);
        return values;
    }

    /// <summary>Non-zeros at the density; about every seventh row is empty.</summary>
    public static float[] SparseDense(Random random, int rows, int columns, double density)
    {
        var values = new float[rows * columns];
        for (int r = 0; r < rows; r++)
        {
            if (density < 1 && random.Next(7) == 0) continue;
            for (int c = 0; c < columns; c++)
            {
                if (random.NextDouble() < density) values[r * columns + c] = (float)(random.NextDouble() + 0.1) * (random.Next(2) * 2 - 1);
            }
        }
        return values;
    }

    public static CsrMatrix Csr(Random random, int rows, int columns, double density) =>
        CsrMatrix.FromDense(SparseDense(random, rows, columns, density), rows, columns);

    /// <summary>Runs the kernel at every level and with 1, 2 and 3 threads: all results must be the same bits. Returns one of them.</summary>
    public static float[] SameEverywhere(int length, Action<float[]> kernel, float initial = float.NaN, string? what = null)
    {
        float[]? expected = null;
        int threads = WorkPool.Threads;
        try
        {
            foreach (SimdLevel level in Levels)
            {
                for (int t = 1; t <= 3; t++)
                {
                    WorkPool.Threads = t;
                    var result = new float[length];
                    Array.Fill(result, initial);
                    using (SimdDispatch.Force(level)) kernel(result);
                    if (expected is null) expected = result;
                    else Near.BitEqual(expected, result, $"{what} {level} threads {t}");
                }
            }
        }
        finally
        {
            WorkPool.Threads = threads;
        }
        return expected!;
    }

    /// <summary>Runs the kernel at every level, with one thread, with two and with more than most have rows; NaN has many bit patterns, all else has one.</summary>
    public static void Everywhere(int length, float[] expected, Action<float[]> kernel, string what, bool near = false)
    {
        int before = WorkPool.Threads;
        try
        {
            foreach (SimdLevel level in Levels)
            {
                foreach (int threads in (int[])[1, 2, 19])
                {
                    WorkPool.Threads = threads;
                    var actual = new float[length];
                    Array.Fill(actual, 123f);
                    using (SimdDispatch.Force(level)) kernel(actual);
                    for (int i = 0; i < length; i++)
                    {
                        bool same = float.IsNaN(expected[i]) ? float.IsNaN(actual[i])
                            : BitConverter.SingleToInt32Bits(expected[i]) == BitConverter.SingleToInt32Bits(actual[i])
                                || near && float.IsFinite(expected[i]) && Math.Abs(expected[i] - actual[i]) <= 1e-4 * (1 + Math.Abs(expected[i]));
                        if (!same) Assert.Fail($"{what}, {level}, {threads} threads: [{i}] expected {expected[i]:R} got {actual[i]:R}");
                    }
                }
            }
        }
        finally
        {
            WorkPool.Threads = before;
        }
    }

    /// <summary>[rows, columns] times [columns, n] in double precision.</summary>
    public static float[] Product(ReadOnlySpan<float> w, int rows, int columns, ReadOnlySpan<float> b, int n)
    {
        var c = new float[rows * n];
        var sums = new double[n];
        for (int r = 0; r < rows; r++)
        {
            Array.Clear(sums);
            for (int k = 0; k < columns; k++)
            {
                double v = w[r * columns + k];
                if (v == 0) continue;
                for (int i = 0; i < n; i++) sums[i] += v * b[k * n + i];
            }
            for (int i = 0; i < n; i++) c[r * n + i] = (float)sums[i];
        }
        return c;
    }

    public static float[] Transpose(ReadOnlySpan<float> a, int rows, int columns)
    {
        var t = new float[a.Length];
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++) t[c * rows + r] = a[r * columns + c];
        }
        return t;
    }

    /// <summary>Matrices of a kind, with a mask and without, beside inputs: values and scales are denormal, then the input, and the other is of small whole numbers. Sums are exact in any order.</summary>
    public static IEnumerable<(CompactMatrix Weight, float[] Input)> Denormal(ValueKind kind, int rows, int columns)
    {
        var random = new Random(rows + columns);
        int words = (columns + 63) / 64, groups = (columns + 255) / 256;
        foreach (bool inWeights in (bool[])[true, false])
        {
            // The smallest of its kind; of 4-bit values scales are halves.
            float unit = !inWeights || kind == ValueKind.Int4 ? 1 : kind == ValueKind.BFloat16 ? MathF.ScaleB(1, -133) : float.Epsilon;
            float[] x = [.. Enumerable.Range(0, columns).Select(c => (c % 256 == 0 ? 127 : random.Next(-127, 128)) * (inWeights ? 1 : float.Epsilon))], dense = new float[rows * columns];
            var bits = new ulong[rows * words];
            for (int i = 0; i < dense.Length; i++)
            {
                if (i % columns != 0 && random.Next(3) != 0) continue;
                bits[(i / columns * words) + (i % columns / 64)] |= 1ul << (i % columns);
                // The first of a row makes its scale the unit.
                dense[i] = (i % columns == 0 ? 127 : random.Next(-100, 101)) * unit;
            }
            if (kind != ValueKind.Int4)
            {
                Mask mask = Mask.FromFlags([rows, columns], [.. Enumerable.Range(0, dense.Length).Select(i => (bits[(i / columns * words) + (i % columns / 64)] >> (i % columns) & 1) != 0)]);
                yield return (CompactMatrix.FromMask(mask, dense, rows, columns, kind), x);
                yield return (CompactMatrix.FromDense(dense, rows, columns, kind), x);
                continue;
            }
            byte[] values = new byte[(rows * ((columns + 1) / 2)) + CompactMatrix.Slack], scales = new byte[rows * groups * 2];
            random.NextBytes(values);
            for (int i = 0; i < scales.Length; i += 2) BitConverter.TryWriteBytes(scales.AsSpan(i), inWeights ? BitConverter.UInt16BitsToHalf((ushort)random.Next(1, 8)) : (Half)1);
            yield return (CompactMatrix.FromParts(rows, columns, kind, System.Runtime.InteropServices.MemoryMarshal.AsBytes(bits.AsSpan()).ToArray(), values, scales, 256), x);
            yield return (CompactMatrix.FromParts(rows, columns, kind, null, values, scales, 256), x);
        }
    }
}
