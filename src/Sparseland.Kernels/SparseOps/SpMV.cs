using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>Sparse matrix times one vector: y [rows] = clamp(w x [columns] + bias). The work of decoding one token.</summary>
/// <remarks>
/// Each row keeps 16 partial sums on every instruction set, folded in one order. Which sum an entry joins belongs to the
/// format: for the bit-mask its column, for CSR and N:M its place in the row. So formats agree within rounding, and
/// each format gives the same bits on every instruction set and for every number of threads. Stored entries alone take part.
/// </remarks>
public static unsafe class SpMV
{
    private const int StoredPerPart = 32 * 1024;

    // Rows side by side hide the latency of each row's chain of multiply-adds.
    private const int RowsAtATime = 4;

    /// <summary>y = clamp(w x + bias) from compressed rows.</summary>
    /// <param name="w">The sparse matrix.</param>
    /// <param name="x">[columns].</param>
    /// <param name="y">[rows]; must not overlap x.</param>
    /// <param name="bias">[rows], or empty.</param>
    /// <param name="activation">Applied last.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public static void Multiply(CsrMatrix w, ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp activation)
    {
        ArgumentNullException.ThrowIfNull(w);
        Check(w.Rows, w.Columns, x, y, bias);
        fixed (int* rows = w.RowPointers, columns = w.ColumnIndices)
        fixed (float* values = w.Values, px = x, py = y, pBias = bias)
        {
            Run(w.Rows, rows, new CsrRows { RowPointers = rows, Columns = columns, Values = values, X = px, Wide = IsWide }, py, pBias, activation);
        }
    }

    /// <summary>y = w x from compressed rows.</summary>
    /// <inheritdoc cref="Multiply(CsrMatrix, ReadOnlySpan{float}, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public static void Multiply(CsrMatrix w, ReadOnlySpan<float> x, Span<float> y) => Multiply(w, x, y, default, Clamp.None);

    /// <summary>y = clamp(w x + bias) from a bit-mask: mask word, expand, multiply-add.</summary>
    /// <inheritdoc cref="Multiply(CsrMatrix, ReadOnlySpan{float}, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public static void Multiply(BitmaskMatrix w, ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp activation)
    {
        ArgumentNullException.ThrowIfNull(w);
        Check(w.Rows, w.Columns, x, y, bias);
        // The input in whole words, so that the last one of a row can be read like the others.
        int padded = w.WordsPerRow * 64;
        using Scratch.Buffer input = Scratch.Rent(padded);
        x.CopyTo(new Span<float>(input.Pointer, padded));
        new Span<float>(input.Pointer + w.Columns, padded - w.Columns).Clear();
        SimdLevel level = SimdDispatch.Level;
        fixed (int* rows = w.RowPointers)
        fixed (ulong* bits = w.Bits)
        fixed (float* values = w.ValuesWithSlack, py = y, pBias = bias)
        {
            Run(w.Rows, rows, new BitmaskRows { RowPointers = rows, Bits = bits, WordsPerRow = w.WordsPerRow, Values = values, X = input.Pointer, Level = level }, py, pBias, activation);
        }
    }

    /// <summary>y = w x from a bit-mask.</summary>
    /// <inheritdoc cref="Multiply(CsrMatrix, ReadOnlySpan{float}, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public static void Multiply(BitmaskMatrix w, ReadOnlySpan<float> x, Span<float> y) => Multiply(w, x, y, default, Clamp.None);

    /// <summary>y = clamp(w x + bias) from N:M slots.</summary>
    /// <inheritdoc cref="Multiply(CsrMatrix, ReadOnlySpan{float}, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public static void Multiply(NmMatrix w, ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp activation)
    {
        ArgumentNullException.ThrowIfNull(w);
        Check(w.Rows, w.Columns, x, y, bias);
        int slots = w.GroupsPerRow * w.N;
        var pointers = new int[w.Rows + 1];
        for (int r = 0; r <= w.Rows; r++) pointers[r] = r * slots;
        fixed (int* rows = pointers)
        fixed (byte* positions = w.Positions)
        fixed (ushort* used = w.UsedSlots)
        fixed (float* values = w.Values, px = x, py = y, pBias = bias)
        {
            Run(w.Rows, rows, new NmRows { N = w.N, M = w.M, Groups = w.GroupsPerRow, Positions = positions, Used = used, Values = values, X = px }, py, pBias, activation);
        }
    }

    /// <summary>y = w x from N:M slots.</summary>
    /// <inheritdoc cref="Multiply(CsrMatrix, ReadOnlySpan{float}, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public static void Multiply(NmMatrix w, ReadOnlySpan<float> x, Span<float> y) => Multiply(w, x, y, default, Clamp.None);

    /// <summary>y = clamp(w x + bias) from r x c tiles; zeros inside stored tiles take part.</summary>
    /// <inheritdoc cref="Multiply(CsrMatrix, ReadOnlySpan{float}, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public static void Multiply(BlockCsrMatrix w, ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp activation)
    {
        ArgumentNullException.ThrowIfNull(w);
        Check(w.Rows, w.Columns, x, y, bias);
        fixed (int* rows = w.RowPointers, columns = w.ColumnIndices)
        fixed (float* values = w.Values, px = x, py = y, pBias = bias)
        {
            SimdDispatch.Run(new BlockVectorCall
            {
                Rows = w.Rows,
                Columns = w.Columns,
                BlockRows = w.BlockRows,
                BlockColumns = w.BlockColumns,
                GridRows = w.GridRows,
                RowPointers = rows,
                BlockIndices = columns,
                Values = values,
                X = px,
                Y = py,
                Bias = pBias,
                Clamp = activation,
            });
        }
    }

    /// <summary>y = w x from r x c tiles.</summary>
    /// <inheritdoc cref="Multiply(CsrMatrix, ReadOnlySpan{float}, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public static void Multiply(BlockCsrMatrix w, ReadOnlySpan<float> x, Span<float> y) => Multiply(w, x, y, default, Clamp.None);

    private static bool IsWide => SimdDispatch.Level >= SimdLevel.Vector256 && Avx2.IsSupported && Fma.IsSupported;

    private static void Check(int rows, int columns, ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias)
    {
        PreparedSpMM.Check(x.Length, 1, columns, nameof(x));
        PreparedSpMM.Check(y.Length, 1, rows, nameof(y));
        PreparedSpMM.CheckOptional(bias.Length, rows, nameof(bias));
    }

    private static void Run<TRows>(int rows, int* rowPointers, TRows kernel, float* y, float* bias, Clamp clamp) where TRows : struct, IRowSums
    {
        if (rows == 0) return;
        int parts = (int)Math.Clamp((rowPointers[rows] + 2L * rows) / StoredPerPart, 1, 32);
        int* boundaries = stackalloc int[parts + 1];
        RowPartition.Fill(rowPointers, rows, new Span<int>(boundaries, parts + 1));
        WorkPool.Run(parts, new Parts<TRows> { Kernel = kernel, Boundaries = boundaries, Y = y, Bias = bias, Clamp = clamp });
    }

    /// <summary>One row's product as 16 partial sums.</summary>
    private interface IRowSums
    {
        /// <summary>Rows row .. row + count - 1 (1 to <see cref="RowsAtATime"/>), 16 lanes each.</summary>
        void Rows(int row, int count, float* lanes);
    }

    private struct Parts<TRows> : IParts where TRows : struct, IRowSums
    {
        public TRows Kernel;
        public int* Boundaries;
        public float* Y;
        public float* Bias;
        public Clamp Clamp;

        public readonly void Run(int part)
        {
            float* lanes = stackalloc float[RowsAtATime * Lanes.Count];
            bool clamped = !Clamp.IsNone;
            for (int r = Boundaries[part], end = Boundaries[part + 1]; r < end;)
            {
                int count = Math.Min(RowsAtATime, end - r);
                Kernel.Rows(r, count, lanes);
                for (int i = 0; i < count; i++, r++)
                {
                    float sum = DotKernel.Fold(lanes + i * Lanes.Count);
                    if (Bias != null) sum += Bias[r];
                    Y[r] = clamped ? MathF.Min(MathF.Max(sum, Clamp.Low), Clamp.High) : sum;
                }
            }
        }
    }

    private struct CsrRows : IRowSums
    {
        public int* RowPointers;
        public int* Columns;
        public float* Values;
        public float* X;
        public bool Wide;

        public readonly void Rows(int row, int count, float* lanes)
        {
            for (int i = 0; i < count; i++) Row(row + i, lanes + i * Lanes.Count);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Row(int row, float* lanes)
        {
            int j = RowPointers[row], end = RowPointers[row + 1];
            if (Wide && Avx2.IsSupported && Fma.IsSupported)
            {
                Vector256<float> a = Vector256<float>.Zero, b = a;
                for (; j + 16 <= end; j += 16)
                {
                    a = Fma.MultiplyAdd(Vector256.Load(Values + j), Avx2.GatherVector256(X, Vector256.Load(Columns + j), 4), a);
                    b = Fma.MultiplyAdd(Vector256.Load(Values + j + 8), Avx2.GatherVector256(X, Vector256.Load(Columns + j + 8), 4), b);
                }
                a.Store(lanes);
                b.Store(lanes + 8);
            }
            else
            {
                new Span<float>(lanes, Lanes.Count).Clear();
                for (; j + 16 <= end; j += 16)
                {
                    for (int t = 0; t < 16; t++) lanes[t] = MathF.FusedMultiplyAdd(Values[j + t], X[Columns[j + t]], lanes[t]);
                }
            }
            for (int t = 0; j < end; j++, t++) lanes[t] = MathF.FusedMultiplyAdd(Values[j], X[Columns[j]], lanes[t]);
        }
    }

    private struct NmRows : IRowSums
    {
        public int N, M, Groups;
        public byte* Positions;
        public ushort* Used;
        public float* Values;
        public float* X;

        public readonly void Rows(int row, int count, float* lanes)
        {
            for (int i = 0; i < count; i++) Row(row + i, lanes + i * Lanes.Count);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Row(int row, float* lanes)
        {
            new Span<float>(lanes, Lanes.Count).Clear();
            int group = row * Groups;
            float* values = Values + (nint)group * N;
            byte* positions = Positions + (nint)group * N;
            float* x = X;
            int lane = 0;
            for (int g = 0; g < Groups; g++, x += M, values += N, positions += N)
            {
                int used = Used[group + g];
                for (int s = 0; s < used; s++)
                    lanes[(lane + s) & 15] = MathF.FusedMultiplyAdd(values[s], x[positions[s]], lanes[(lane + s) & 15]);
                lane += N;
            }
        }
    }

    private struct BitmaskRows : IRowSums
    {
        public int* RowPointers;
        public ulong* Bits;
        public int WordsPerRow;
        public float* Values;
        public float* X;
        public SimdLevel Level;

        public readonly void Rows(int row, int count, float* lanes)
        {
            if (count == RowsAtATime && Level >= SimdLevel.Vector512 && Avx512F.IsSupported)
            {
                Wide512x4(row, lanes);
                return;
            }
            for (int i = 0; i < count; i++, lanes += Lanes.Count)
            {
                ulong* bits = Bits + (nint)(row + i) * WordsPerRow;
                float* values = Values + RowPointers[row + i];
                if (Level >= SimdLevel.Vector512 && Avx512F.IsSupported) Wide512(bits, values, lanes);
                else if (Level >= SimdLevel.Vector256 && Avx2.IsSupported && Fma.IsSupported) Wide256(bits, values, lanes);
                else Portable(bits, values, lanes);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Wide512x4(int row, float* lanes)
        {
            Vector512<int> select = Vector512.Create(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
            Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
            float* v0 = Values + RowPointers[row], v1 = Values + RowPointers[row + 1], v2 = Values + RowPointers[row + 2], v3 = Values + RowPointers[row + 3];
            // 16 columns a step; on a little-endian machine the words read as 16-bit pieces in order.
            nint pieces = (nint)WordsPerRow * 4;
            ushort* b0 = (ushort*)(Bits + (nint)row * WordsPerRow), b1 = b0 + pieces, b2 = b1 + pieces, b3 = b2 + pieces;
            float* x = X;
            for (nint p = 0; p < pieces; p++, x += 16)
            {
                Vector512<float> input = Vector512.Load(x);
                s0 = Step(s0, b0[p], v0, input, select);
                v0 += BitOperations.PopCount(b0[p]);
                s1 = Step(s1, b1[p], v1, input, select);
                v1 += BitOperations.PopCount(b1[p]);
                s2 = Step(s2, b2[p], v2, input, select);
                v2 += BitOperations.PopCount(b2[p]);
                s3 = Step(s3, b3[p], v3, input, select);
                v3 += BitOperations.PopCount(b3[p]);
            }
            s0.Store(lanes);
            s1.Store(lanes + 16);
            s2.Store(lanes + 32);
            s3.Store(lanes + 48);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Wide512(ulong* bits, float* values, float* lanes)
        {
            Vector512<int> select = Vector512.Create(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
            Vector512<float> sum = Vector512<float>.Zero;
            float* x = X;
            for (int w = 0; w < WordsPerRow; w++, x += 64)
            {
                ulong word = bits[w];
                for (int part = 0; part < 4; part++, word >>= 16)
                {
                    uint here = (uint)word & 0xFFFF;
                    sum = Step(sum, (int)here, values, Vector512.Load(x + part * 16), select);
                    values += BitOperations.PopCount(here);
                }
            }
            sum.Store(lanes);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static Vector512<float> Step(Vector512<float> sum, int bits, float* values, Vector512<float> x, Vector512<int> select)
        {
            Vector512<float> mask = Vector512.Equals(Vector512.Create(bits) & select, select).AsSingle();
            Vector512<float> v = Avx512F.Expand(Vector512<float>.Zero, mask, Vector512.Load(values));
            return Vector512.ConditionalSelect(mask, Avx512F.FusedMultiplyAdd(v, x, sum), sum);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Wide256(ulong* bits, float* values, float* lanes)
        {
            Vector256<int> select = Vector256.Create(1, 2, 4, 8, 16, 32, 64, 128);
            Vector256<float> low = Vector256<float>.Zero, high = low;
            float* x = X;
            fixed (int* permutations = ExpandTable.Permutations)
            {
                for (int w = 0; w < WordsPerRow; w++, x += 64)
                {
                    ulong word = bits[w];
                    if (word == 0) continue;
                    for (int part = 0; part < 8; part += 2, word >>= 16)
                    {
                        int a = (int)(word & 255), b = (int)(word >> 8 & 255);
                        low = Step(low, a, values, x + part * 8, permutations, select);
                        values += BitOperations.PopCount((uint)a);
                        high = Step(high, b, values, x + part * 8 + 8, permutations, select);
                        values += BitOperations.PopCount((uint)b);
                    }
                }
            }
            low.Store(lanes);
            high.Store(lanes + 8);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static Vector256<float> Step(Vector256<float> sum, int bits, float* values, float* x, int* permutations, Vector256<int> select)
        {
            Vector256<float> mask = Vector256.Equals(Vector256.Create(bits) & select, select).AsSingle();
            Vector256<float> v = Avx2.PermuteVar8x32(Vector256.Load(values), Vector256.Load(permutations + bits * 8));
            return Vector256.ConditionalSelect(mask, Fma.MultiplyAdd(v, Vector256.Load(x), sum), sum);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Portable(ulong* bits, float* values, float* lanes)
        {
            new Span<float>(lanes, Lanes.Count).Clear();
            float* x = X;
            for (int w = 0; w < WordsPerRow; w++, x += 64)
            {
                for (ulong word = bits[w]; word != 0; word &= word - 1)
                {
                    int c = BitOperations.TrailingZeroCount(word);
                    lanes[c & 15] = MathF.FusedMultiplyAdd(*values++, x[c], lanes[c & 15]);
                }
            }
        }
    }

    private static class ExpandTable
    {
        /// <summary>Per byte of mask: which packed value each of eight lanes takes (0 where the bit is clear).</summary>
        public static readonly int[] Permutations = Build();

        private static int[] Build()
        {
            var table = new int[256 * 8];
            for (int bits = 0; bits < 256; bits++)
            {
                int next = 0;
                for (int lane = 0; lane < 8; lane++) table[bits * 8 + lane] = (bits >> lane & 1) != 0 ? next++ : 0;
            }
            return table;
        }
    }
}
