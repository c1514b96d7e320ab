using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>Sums over pixels of outer products: registers of output channels times single values of the input.</summary>
/// <remarks>
/// A weight's sum is one chain of fused multiply-adds from pixel to pixel, so that tiles may have any size, and nothing is folded. Values of the input are
/// read one at a time: rows may have any length, and strides need no planes of their own.
/// </remarks>
internal static unsafe class OuterProducts
{
    /// <summary>Output channels that lie side by side; blocks of them have one or two such groups.</summary>
    public const int Group = 16;

    /// <summary>The most triples of a tile: tables of triples have so many more entries than there are.</summary>
    public const int MostTriples = 8;

    /// <summary>The pixels that are summed over.</summary>
    public struct Pixels
    {
        /// <summary>The output's gradient [pixels, channels of a block].</summary>
        public float* Y;

        /// <summary>Channels of a block: one group or two.</summary>
        public nint YStep;

        /// <summary>The input's planes.</summary>
        public float* X;

        /// <summary>Where rows of pixels begin in the planes.</summary>
        public nint* RowOffsets;

        /// <summary>Rows of pixels, and pixels in each.</summary>
        public int Rows, Width;

        /// <summary>From a pixel to the next in the planes.</summary>
        public nint Step;

        /// <summary>Between lines of the sums.</summary>
        public nint TargetStep;
    }

    /// <summary>
    /// target [lines, block] += the sums over pixels of y times the three values of each triple: x[base], x[base + second], x[base + third].
    /// </summary>
    /// <param name="pixels">What is summed over.</param>
    /// <param name="bases">Where triples begin; readable up to <see cref="MostTriples"/> behind the last one.</param>
    /// <param name="triples">How many.</param>
    /// <param name="second">From the first value of a triple to its second.</param>
    /// <param name="third">From the first value of a triple to its third.</param>
    /// <param name="target">The sums of this block.</param>
    /// <param name="places">For each value of each triple its line, or -1 for none.</param>
    public static void Run<V>(in Pixels pixels, nint* bases, int triples, nint second, nint third, float* target, int* places) where V : unmanaged, IVector<V>
    {
        if (second == 1 && third == 2) Run<V, Adjacent>(pixels, bases, triples, default, target, places);
        else Run<V, Distant>(pixels, bases, triples, new Distant(second, third), target, places);
    }

    private static void Run<V, TApart>(in Pixels pixels, nint* bases, int triples, TApart apart, float* target, int* places) where V : unmanaged, IVector<V> where TApart : struct, IApart
    {
        if (V.Count == Group && pixels.YStep == Group)
        {
            for (int t = 0; t < triples; t += 8) Eights<V, TApart>(pixels, bases + t, apart, target, places + (3 * t));
            return;
        }
        if (V.Count == Group)
        {
            for (int t = 0; t < triples; t += 4) Fours<V, TApart>(pixels, bases + t, apart, target, places + (3 * t));
            return;
        }
        // Sixteen registers: two triples, two registers of channels at a time.
        for (int lane = 0; lane < pixels.YStep; lane += 2 * V.Count)
        {
            Pixels part = pixels;
            part.Y += lane;
            for (int t = 0; t < triples; t += 2) Pairs<V, TApart>(part, bases + t, apart, target + lane, places + (3 * t));
        }
    }

    // Eight triples times one register of channels.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Eights<V, TApart>(in Pixels pixels, nint* bases, TApart apart, float* target, int* places) where V : unmanaged, IVector<V> where TApart : struct, IApart
    {
        float* x0 = pixels.X + bases[0];
        float* x1 = pixels.X + bases[1];
        float* x2 = pixels.X + bases[2];
        float* x3 = pixels.X + bases[3];
        float* x4 = pixels.X + bases[4];
        float* x5 = pixels.X + bases[5];
        float* x6 = pixels.X + bases[6];
        float* x7 = pixels.X + bases[7];
        V a00 = V.Zero, b00 = V.Zero, c00 = V.Zero;
        V a01 = V.Zero, b01 = V.Zero, c01 = V.Zero;
        V a02 = V.Zero, b02 = V.Zero, c02 = V.Zero;
        V a03 = V.Zero, b03 = V.Zero, c03 = V.Zero;
        V a04 = V.Zero, b04 = V.Zero, c04 = V.Zero;
        V a05 = V.Zero, b05 = V.Zero, c05 = V.Zero;
        V a06 = V.Zero, b06 = V.Zero, c06 = V.Zero;
        V a07 = V.Zero, b07 = V.Zero, c07 = V.Zero;
        float* y = pixels.Y;
        nint step = pixels.Step, length = pixels.Width * step;
        for (int row = 0; row < pixels.Rows; row++)
        {
            nint p = pixels.RowOffsets[row], end = p + length;
            for (; p < end; p += step)
            {
                V v = V.Load(y);
                V.Accumulate(ref a00, V.Broadcast(x0[p]), v);
                V.Accumulate(ref b00, V.Broadcast(x0[p + apart.Second]), v);
                V.Accumulate(ref c00, V.Broadcast(x0[p + apart.Third]), v);
                V.Accumulate(ref a01, V.Broadcast(x1[p]), v);
                V.Accumulate(ref b01, V.Broadcast(x1[p + apart.Second]), v);
                V.Accumulate(ref c01, V.Broadcast(x1[p + apart.Third]), v);
                V.Accumulate(ref a02, V.Broadcast(x2[p]), v);
                V.Accumulate(ref b02, V.Broadcast(x2[p + apart.Second]), v);
                V.Accumulate(ref c02, V.Broadcast(x2[p + apart.Third]), v);
                V.Accumulate(ref a03, V.Broadcast(x3[p]), v);
                V.Accumulate(ref b03, V.Broadcast(x3[p + apart.Second]), v);
                V.Accumulate(ref c03, V.Broadcast(x3[p + apart.Third]), v);
                V.Accumulate(ref a04, V.Broadcast(x4[p]), v);
                V.Accumulate(ref b04, V.Broadcast(x4[p + apart.Second]), v);
                V.Accumulate(ref c04, V.Broadcast(x4[p + apart.Third]), v);
                V.Accumulate(ref a05, V.Broadcast(x5[p]), v);
                V.Accumulate(ref b05, V.Broadcast(x5[p + apart.Second]), v);
                V.Accumulate(ref c05, V.Broadcast(x5[p + apart.Third]), v);
                V.Accumulate(ref a06, V.Broadcast(x6[p]), v);
                V.Accumulate(ref b06, V.Broadcast(x6[p + apart.Second]), v);
                V.Accumulate(ref c06, V.Broadcast(x6[p + apart.Third]), v);
                V.Accumulate(ref a07, V.Broadcast(x7[p]), v);
                V.Accumulate(ref b07, V.Broadcast(x7[p + apart.Second]), v);
                V.Accumulate(ref c07, V.Broadcast(x7[p + apart.Third]), v);
                y += V.Count;
            }
        }
        nint line = pixels.TargetStep;
        Put(a00, target, line, places[0]);
        Put(b00, target, line, places[1]);
        Put(c00, target, line, places[2]);
        Put(a01, target, line, places[3]);
        Put(b01, target, line, places[4]);
        Put(c01, target, line, places[5]);
        Put(a02, target, line, places[6]);
        Put(b02, target, line, places[7]);
        Put(c02, target, line, places[8]);
        Put(a03, target, line, places[9]);
        Put(b03, target, line, places[10]);
        Put(c03, target, line, places[11]);
        Put(a04, target, line, places[12]);
        Put(b04, target, line, places[13]);
        Put(c04, target, line, places[14]);
        Put(a05, target, line, places[15]);
        Put(b05, target, line, places[16]);
        Put(c05, target, line, places[17]);
        Put(a06, target, line, places[18]);
        Put(b06, target, line, places[19]);
        Put(c06, target, line, places[20]);
        Put(a07, target, line, places[21]);
        Put(b07, target, line, places[22]);
        Put(c07, target, line, places[23]);
    }

    // Four triples times two registers of channels.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Fours<V, TApart>(in Pixels pixels, nint* bases, TApart apart, float* target, int* places) where V : unmanaged, IVector<V> where TApart : struct, IApart
    {
        float* x0 = pixels.X + bases[0];
        float* x1 = pixels.X + bases[1];
        float* x2 = pixels.X + bases[2];
        float* x3 = pixels.X + bases[3];
        V a00 = V.Zero, b00 = V.Zero, c00 = V.Zero;
        V a01 = V.Zero, b01 = V.Zero, c01 = V.Zero;
        V a02 = V.Zero, b02 = V.Zero, c02 = V.Zero;
        V a03 = V.Zero, b03 = V.Zero, c03 = V.Zero;
        V a10 = V.Zero, b10 = V.Zero, c10 = V.Zero;
        V a11 = V.Zero, b11 = V.Zero, c11 = V.Zero;
        V a12 = V.Zero, b12 = V.Zero, c12 = V.Zero;
        V a13 = V.Zero, b13 = V.Zero, c13 = V.Zero;
        float* y = pixels.Y;
        nint step = pixels.Step, length = pixels.Width * step;
        for (int row = 0; row < pixels.Rows; row++)
        {
            nint p = pixels.RowOffsets[row], end = p + length;
            for (; p < end; p += step)
            {
                V v0 = V.Load(y), v1 = V.Load(y + V.Count), w;
                w = V.Broadcast(x0[p]); V.Accumulate(ref a00, w, v0); V.Accumulate(ref a10, w, v1);
                w = V.Broadcast(x0[p + apart.Second]); V.Accumulate(ref b00, w, v0); V.Accumulate(ref b10, w, v1);
                w = V.Broadcast(x0[p + apart.Third]); V.Accumulate(ref c00, w, v0); V.Accumulate(ref c10, w, v1);
                w = V.Broadcast(x1[p]); V.Accumulate(ref a01, w, v0); V.Accumulate(ref a11, w, v1);
                w = V.Broadcast(x1[p + apart.Second]); V.Accumulate(ref b01, w, v0); V.Accumulate(ref b11, w, v1);
                w = V.Broadcast(x1[p + apart.Third]); V.Accumulate(ref c01, w, v0); V.Accumulate(ref c11, w, v1);
                w = V.Broadcast(x2[p]); V.Accumulate(ref a02, w, v0); V.Accumulate(ref a12, w, v1);
                w = V.Broadcast(x2[p + apart.Second]); V.Accumulate(ref b02, w, v0); V.Accumulate(ref b12, w, v1);
                w = V.Broadcast(x2[p + apart.Third]); V.Accumulate(ref c02, w, v0); V.Accumulate(ref c12, w, v1);
                w = V.Broadcast(x3[p]); V.Accumulate(ref a03, w, v0); V.Accumulate(ref a13, w, v1);
                w = V.Broadcast(x3[p + apart.Second]); V.Accumulate(ref b03, w, v0); V.Accumulate(ref b13, w, v1);
                w = V.Broadcast(x3[p + apart.Third]); V.Accumulate(ref c03, w, v0); V.Accumulate(ref c13, w, v1);
                y += 2 * V.Count;
            }
        }
        nint line = pixels.TargetStep;
        Put(a00, target, line, places[0]); Put(a10, target + V.Count, line, places[0]);
        Put(b00, target, line, places[1]); Put(b10, target + V.Count, line, places[1]);
        Put(c00, target, line, places[2]); Put(c10, target + V.Count, line, places[2]);
        Put(a01, target, line, places[3]); Put(a11, target + V.Count, line, places[3]);
        Put(b01, target, line, places[4]); Put(b11, target + V.Count, line, places[4]);
        Put(c01, target, line, places[5]); Put(c11, target + V.Count, line, places[5]);
        Put(a02, target, line, places[6]); Put(a12, target + V.Count, line, places[6]);
        Put(b02, target, line, places[7]); Put(b12, target + V.Count, line, places[7]);
        Put(c02, target, line, places[8]); Put(c12, target + V.Count, line, places[8]);
        Put(a03, target, line, places[9]); Put(a13, target + V.Count, line, places[9]);
        Put(b03, target, line, places[10]); Put(b13, target + V.Count, line, places[10]);
        Put(c03, target, line, places[11]); Put(c13, target + V.Count, line, places[11]);
    }

    // Two triples times two registers of channels.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Pairs<V, TApart>(in Pixels pixels, nint* bases, TApart apart, float* target, int* places) where V : unmanaged, IVector<V> where TApart : struct, IApart
    {
        float* x0 = pixels.X + bases[0];
        float* x1 = pixels.X + bases[1];
        V a00 = V.Zero, b00 = V.Zero, c00 = V.Zero;
        V a01 = V.Zero, b01 = V.Zero, c01 = V.Zero;
        V a10 = V.Zero, b10 = V.Zero, c10 = V.Zero;
        V a11 = V.Zero, b11 = V.Zero, c11 = V.Zero;
        float* y = pixels.Y;
        nint yStep = pixels.YStep, step = pixels.Step, length = pixels.Width * step;
        for (int row = 0; row < pixels.Rows; row++)
        {
            nint p = pixels.RowOffsets[row], end = p + length;
            for (; p < end; p += step)
            {
                V v0 = V.Load(y), v1 = V.Load(y + V.Count), w;
                w = V.Broadcast(x0[p]); V.Accumulate(ref a00, w, v0); V.Accumulate(ref a10, w, v1);
                w = V.Broadcast(x0[p + apart.Second]); V.Accumulate(ref b00, w, v0); V.Accumulate(ref b10, w, v1);
                w = V.Broadcast(x0[p + apart.Third]); V.Accumulate(ref c00, w, v0); V.Accumulate(ref c10, w, v1);
                w = V.Broadcast(x1[p]); V.Accumulate(ref a01, w, v0); V.Accumulate(ref a11, w, v1);
                w = V.Broadcast(x1[p + apart.Second]); V.Accumulate(ref b01, w, v0); V.Accumulate(ref b11, w, v1);
                w = V.Broadcast(x1[p + apart.Third]); V.Accumulate(ref c01, w, v0); V.Accumulate(ref c11, w, v1);
                y += yStep;
            }
        }
        nint line = pixels.TargetStep;
        Put(a00, target, line, places[0]); Put(a10, target + V.Count, line, places[0]);
        Put(b00, target, line, places[1]); Put(b10, target + V.Count, line, places[1]);
        Put(c00, target, line, places[2]); Put(c10, target + V.Count, line, places[2]);
        Put(a01, target, line, places[3]); Put(a11, target + V.Count, line, places[3]);
        Put(b01, target, line, places[4]); Put(b11, target + V.Count, line, places[4]);
        Put(c01, target, line, places[5]); Put(c11, target + V.Count, line, places[5]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put<V>(V sum, float* target, nint step, int place) where V : unmanaged, IVector<V>
    {
        if (place < 0) return;
        float* to = target + (place * step);
        V.Store(V.Add(V.Load(to), sum), to);
    }

    private interface IApart
    {
        nint Second { get; }

        nint Third { get; }
    }

    // Neighbours in a row: taps of an undilated kernel. Constants save registers.
    private readonly struct Adjacent : IApart
    {
        public nint Second => 1;

        public nint Third => 2;
    }

    private readonly struct Distant(nint second, nint third) : IApart
    {
        public nint Second => second;

        public nint Third => third;
    }
}
