using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>A matrix stored by its columns times a vector with zeros: the columns beside a zero are not read. The work of decoding behind a ReLU or a threshold.</summary>
/// <remarks>
/// Each output is one chain of multiply-adds over the columns that take part, ascending: the same bits on every instruction set and for every number of threads.
/// A matrix that is used more than once is better laid out for it: <see cref="PreparedColumns"/>. A column that is skipped adds nothing, even when it holds infinities. The idea of skipping columns by magnitude is TEAL's (arXiv 2408.14690).
/// </remarks>
public static unsafe class ColumnGemv
{
    // Outputs of one part at most: each column is read in long runs, which is what memory is fast at. Their sums stay in the first-level cache; where registers of 512 bits are whole the second is near enough (11008 outputs in one part: 0.9 of the time of three, Zen 5).
    private static readonly int s_mostOutputs = VectorUnits.AreFullWidth ? 16384 : 4096;

    // A core without whole units of 512 bits (Zen 4) waits for the next columns where it is not asked.
    private static readonly bool s_asks = Sse.IsSupported && Avx512F.IsSupported && !VectorUnits.AreFullWidth;

    // Elsewhere four columns are four streams, and each is asked for a little ahead. Zen 5, one thread, of 2 KiB, which were better than 0.5, 1, 3 and 4: 0.73 to 0.87 of the time of not asking (4096 and 11008 outputs, none to 90 % zeros). Zen 1, one thread, of 4096 outputs at 50 to 90 % zeros: 13.5 to 15 GB/s, 13 where nothing is asked for, and 9.3 where the next four
    // columns are asked for one after the other. With whole units of 256 bits half as far: 0.87 to 0.93 of the time of 1 KiB (Zen 3, 4096 and 1000 outputs, no zeros to 70 %; a quarter of a KiB as long, 2 KiB longer where nothing is cached).
    private static readonly bool s_asksNear = Sse.IsSupported && !s_asks;

    private static readonly int s_nearFloats = VectorUnits.AreFullWidth ? 512 : VectorUnits.AreHalf256 ? 256 : 128;

    private const int LineFloats = LineMemory.Line / sizeof(float);

    /// <summary>y = clamp(w x + bias) over the columns with |x| above a threshold.</summary>
    /// <param name="columns">[inputs, outputs], row-major: column c of w begins at c * outputs.</param>
    /// <param name="x">[inputs].</param>
    /// <param name="threshold">Inputs of at most this magnitude are taken as zero; 0 skips zeros alone. NaN inputs take part.</param>
    /// <param name="y">[outputs]; must not overlap x.</param>
    /// <param name="bias">[outputs], or empty.</param>
    /// <param name="activation">Applied last.</param>
    /// <returns>How many columns took part.</returns>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The threshold is negative or NaN.</exception>
    public static int Multiply(ReadOnlySpan<float> columns, ReadOnlySpan<float> x, float threshold, Span<float> y, ReadOnlySpan<float> bias, Clamp activation)
    {
        PreparedSpMM.Check(columns.Length, x.Length, y.Length, nameof(columns));
        fixed (float* w = columns) return Multiply(w, y.Length, x, threshold, y, bias, activation);
    }

    /// <summary>The same where columns are a distance apart. What lies between them is read up to the end of a line, and its sums are left out.</summary>
    internal static int Multiply(float* columns, int distance, ReadOnlySpan<float> x, float threshold, Span<float> y, ReadOnlySpan<float> bias, Clamp activation)
    {
        if (!(threshold >= 0)) throw new ArgumentOutOfRangeException(nameof(threshold), threshold, "A threshold is at least 0.");
        PreparedSpMM.CheckOptional(bias.Length, y.Length, nameof(bias));
        // Two arrays of the active columns, in floats and ints of the same size.
        using Scratch.Buffer memory = Scratch.Rent(2L * x.Length);
        float* factors = memory.Pointer;
        int* indices = (int*)(factors + x.Length);
        int active = Active(x, threshold, factors, indices);
        fixed (float* py = y, pBias = bias)
        {
            SimdDispatch.Run(new Work { Outputs = Part(y.Length), Columns = columns, Distance = distance, Factors = factors, Indices = indices, Active = active, Length = y.Length, Y = py, Bias = pBias, Clamp = activation });
        }
        return active;
    }

    /// <summary>y = w x over the columns with |x| above a threshold.</summary>
    /// <inheritdoc cref="Multiply(ReadOnlySpan{float}, ReadOnlySpan{float}, float, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public static int Multiply(ReadOnlySpan<float> columns, ReadOnlySpan<float> x, float threshold, Span<float> y) => Multiply(columns, x, threshold, y, default, Clamp.None);

    /// <summary>Lists the inputs that take part, and where they stand.</summary>
    private static int Active(ReadOnlySpan<float> x, float threshold, float* factors, int* indices)
    {
        int active = 0, c = 0;
        if (Avx512F.IsSupported && SimdDispatch.Level == SimdLevel.Vector512)
        {
            Vector512<float> limit = Vector512.Create(threshold);
            Vector512<int> at = Vector512<int>.Indices;
            // Whole registers are written, and never beyond the lists: no more inputs take part than were seen.
            for (; c + 16 <= x.Length; c += 16)
            {
                Vector512<float> values = Vector512.Create(x.Slice(c, 16));
                Vector512<float> takesPart = ~Vector512.LessThanOrEqual(Vector512.Abs(values), limit);
                Avx512F.Compress(values, takesPart, values).Store(factors + active);
                Avx512F.Compress(at, takesPart.AsInt32(), at).Store(indices + active);
                active += BitOperations.PopCount(takesPart.ExtractMostSignificantBits());
                at += Vector512.Create(16);
            }
        }
        for (; c < x.Length; c++)
        {
            indices[active] = c;
            factors[active] = x[c];
            // No branch: whether an input is zero cannot be predicted.
            active += MathF.Abs(x[c]) <= threshold ? 0 : 1;
        }
        return active;
    }

    // Every output is a sum of its own: how many share a part changes no bits.
    private static int Part(int outputs)
    {
        int threads = WorkPool.IsAlone ? 1 : WorkPool.Threads;
        return Math.Clamp(((outputs + threads - 1) / threads + 15) / 16 * 16, 256, s_mostOutputs);
    }

    private struct Work : ILevelWork
    {
        public float* Columns;
        public float* Factors;
        public int* Indices;
        public int Active, Length, Distance, Outputs;
        public float* Y;
        public float* Bias;
        public Clamp Clamp;

        public readonly void Run<V>() where V : unmanaged, IVector<V> => WorkPool.Run((Length + Outputs - 1) / Outputs, new OutputParts<V> { Work = this });
    }

    private struct OutputParts<V> : IParts where V : unmanaged, IVector<V>
    {
        public Work Work;

        [SkipLocalsInit]
        public readonly void Run(int part)
        {
            int first = part * Work.Outputs, count = Math.Min(Work.Outputs, Work.Length - first);
            // Sums lie in their lines as the columns do in theirs: both are read in whole lines, of which the first may be shorter.
            float* room = stackalloc float[count + (3 * LineFloats)];
            int before = Before(Work.Columns + first);
            float* sums = room + ((LineFloats - Before(room)) % LineFloats) + before;
            // What lies between columns fills their last line: its sums are computed and left.
            int wide = Math.Min((count + LineFloats - 1) / LineFloats * LineFloats, Work.Distance - first);
            new Span<float>(sums, wide).Clear();
            Accumulate(sums, wide, first, (LineFloats - before) % V.Count);
            float* y = Work.Y + first;
            new ReadOnlySpan<float>(sums, count).CopyTo(new Span<float>(y, count));
            if (Work.Bias != null)
            {
                for (int j = 0; j < count; j++) y[j] += Work.Bias[first + j];
            }
            if (Work.Clamp.IsNone) return;
            for (int j = 0; j < count; j++) y[j] = MathF.Min(MathF.Max(y[j], Work.Clamp.Low), Work.Clamp.High);
        }

        // Floats between the beginning of a line and an address in it.
        private static int Before(float* address) => (int)((nint)address / sizeof(float) % LineFloats);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Accumulate(float* y, int count, int first, int head)
        {
            int a = 0;
            bool near = s_asksNear;
            // Of columns that are shorter it is the next four that are asked for.
            int ahead = Math.Min(s_nearFloats, count);
            for (; a + 4 <= Work.Active; a += 4)
            {
                float* w0 = Column(a, first), w1 = Column(a + 1, first), w2 = Column(a + 2, first), w3 = Column(a + 3, first);
                float f0 = Work.Factors[a], f1 = Work.Factors[a + 1], f2 = Work.Factors[a + 2], f3 = Work.Factors[a + 3];
                V v0 = V.Broadcast(f0), v1 = V.Broadcast(f1), v2 = V.Broadcast(f2), v3 = V.Broadcast(f3);
                // The last register overlaps the one before it: computed from the sums of now, when those are stored. Its columns are not touched before their turn, when they are not there yet.
                int last = count - V.Count;
                bool isWide = last >= head, overlaps = isWide && (count - head) % V.Count != 0;
                V end = overlaps ? V.Load(y + last) : v0;
                // So does the first register, where the columns begin inside a line.
                int j = isWide ? head : 0;
                V begin = j > 0 ? Four(v0, w0, v1, w1, v2, w2, v3, w3, V.Load(y), 0) : v0;
                if (s_asks && a + 4 < Work.Active) j = Asking(y, j, count, first, a);
                for (; j + 16 <= count; j += 16)
                {
                    if (near)
                    {
                        int on = j + ahead;
                        if (on < count)
                        {
                            Sse.Prefetch0(w0 + on);
                            Sse.Prefetch0(w1 + on);
                            Sse.Prefetch0(w2 + on);
                            Sse.Prefetch0(w3 + on);
                        }
                        else if (a + 8 <= Work.Active)
                        {
                            for (int n = a + 4; n < a + 8; n++) Sse.Prefetch0(Column(n, first) + on - count);
                        }
                    }
                    for (int l = j; l < j + 16; l += V.Count) V.Store(Four(v0, w0, v1, w1, v2, w2, v3, w3, V.Load(y + l), l), y + l);
                }
                for (; j + V.Count <= count; j += V.Count) V.Store(Four(v0, w0, v1, w1, v2, w2, v3, w3, V.Load(y + j), j), y + j);
                if (isWide && head > 0) V.Store(begin, y);
                if (overlaps)
                {
                    V.Store(Four(v0, w0, v1, w1, v2, w2, v3, w3, end, last), y + last);
                    continue;
                }
                for (; j < count; j++)
                {
                    float s = MathF.FusedMultiplyAdd(f1, w1[j], MathF.FusedMultiplyAdd(f0, w0[j], y[j]));
                    y[j] = MathF.FusedMultiplyAdd(f3, w3[j], MathF.FusedMultiplyAdd(f2, w2[j], s));
                }
            }
            for (; a < Work.Active; a++)
            {
                float* w = Column(a, first);
                float f = Work.Factors[a];
                V v = V.Broadcast(f);
                int j = 0;
                for (; j + V.Count <= count; j += V.Count) V.Store(V.MultiplyAdd(v, V.Load(w + j), V.Load(y + j)), y + j);
                for (; j < count; j++) y[j] = MathF.FusedMultiplyAdd(f, w[j], y[j]);
            }
        }

        /// <summary>The sums from one on, as far as there are whole lines of them, after four columns, while up to four more are asked for, and where it ended: there may be sums left.</summary>
        /// <remarks>
        /// Hardware cannot know where the next active columns are. They come into the second cache, for in the first they would drive out the sums; and one after the other, each during a quarter of the sums: memory is faster at four lines that follow each
        /// other than at one of each column. A method of its own, so that nothing in its loop is on the stack.
        /// </remarks>
        [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
        private readonly int Asking(float* y, int from, int count, int first, int a)
        {
            float* w0 = Column(a, first), w1 = Column(a + 1, first), w2 = Column(a + 2, first), w3 = Column(a + 3, first);
            V v0 = V.Broadcast(Work.Factors[a]), v1 = V.Broadcast(Work.Factors[a + 1]), v2 = V.Broadcast(Work.Factors[a + 2]), v3 = V.Broadcast(Work.Factors[a + 3]);
            nint j = from, end = from + ((count - from) & -LineFloats), quarter = (count - from + (4 * LineFloats) - 1) / (4 * LineFloats) * LineFloats;
            for (int n = a + 4, stopAt = Math.Min(a + 8, Work.Active); n < stopAt; n++)
            {
                float* next = Column(n, first), last = next + count - 1;
                for (nint stop = nint.Min(end, j + quarter); j < stop; j += LineFloats, next += 4 * LineFloats)
                {
                    Sse.Prefetch1(next);
                    Sse.Prefetch1(next + LineFloats);
                    Sse.Prefetch1(next + (2 * LineFloats));
                    Sse.Prefetch1(next + (3 * LineFloats));
                    if (V.Count == LineFloats) V.Store(Four(v0, w0, v1, w1, v2, w2, v3, w3, V.Load(y + j), j), y + j);
                    else for (nint l = j; l < j + LineFloats; l += V.Count) V.Store(Four(v0, w0, v1, w1, v2, w2, v3, w3, V.Load(y + l), l), y + l);
                }
                // Of the last column fewer were asked for where there are no whole quarters, and a column that begins inside a line ends in one more.
                for (; next < last; next += LineFloats) Sse.Prefetch1(next);
                Sse.Prefetch1(last);
            }
            return (int)j;
        }

        /// <summary>The sums at l after four columns.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static V Four(V v0, float* w0, V v1, float* w1, V v2, float* w2, V v3, float* w3, V s, nint l)
        {
            s = V.MultiplyAdd(v0, V.Load(w0 + l), s);
            s = V.MultiplyAdd(v1, V.Load(w1 + l), s);
            s = V.MultiplyAdd(v2, V.Load(w2 + l), s);
            return V.MultiplyAdd(v3, V.Load(w3 + l), s);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly float* Column(int active, int first) => Work.Columns + ((nint)Work.Indices[active] * Work.Distance) + first;
    }
}
