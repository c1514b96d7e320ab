using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>Where a tile is written, and what happens to its sums before: + what is there, + bias, + residual, then clamp.</summary>
internal unsafe struct TileStore
{
    /// <summary>The first row of the tile's first register.</summary>
    public float* C0;

    /// <summary>The first row of the tile's second register.</summary>
    public float* C1;

    /// <summary>Distance of rows.</summary>
    public nint Stride;

    /// <summary>Whether the sums of earlier blocks of k are there.</summary>
    public bool Accumulate;

    /// <summary>One value per row, or null.</summary>
    public float* Bias;

    /// <summary>Distance in floats from an output to its residual, if <see cref="HasResidual"/>.</summary>
    public nint Residual;

    public bool HasResidual, Clamped;

    // The last is that of Clamp.
    public float Low, High, Zero;

    /// <summary>A plain tile whose two registers are neighbours.</summary>
    public static TileStore Plain(float* c, nint stride, int registerLength, bool accumulate) => new() { C0 = c, C1 = c + registerLength, Stride = stride, Accumulate = accumulate };
}

/// <summary>The innermost loop of the matrix product: a tile of rows x one or two registers that stays in registers over k.</summary>
/// <remarks>
/// After Van Zee, van de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", section 4.
/// 8 rows on 512 bits (32 registers: 16 sums, 2 for b, 1 for a) and 6 rows below (16 registers: 12 + 2 + 1). 8 divides the
/// usual numbers of channels.
/// Every sum starts at zero and takes its products in the order of k, so that all widths give the same bits.
/// <para>
/// Measured (AMD EPYC, Zen 4, one 512-bit multiply-add a cycle, 118 GFLOP/s; two cores): 8 x 2 registers run at 116 of 118 from
/// the first-level cache and at 107 to 114 with a from the second level and c in a matrix of 2048 columns, so larger tiles
/// have nothing to win there. The JIT moves every second sum through another register (vfmadd213 + vmovaps); the moves are
/// eliminated when registers are renamed and cost issue slots only: 38 instructions for 16 cycles of multiply-adds.
/// Asking for packed a 4 KiB ahead (behind the page, where the hardware stops) takes 8 % off layers whose weights come from memory (7 x 7 pixels,
/// 512 channels: 3.00 to 2.73 ms); 1 KiB ahead took 2 %, 6 KiB 4 %. Asking for the sums that a tile is added to lifts the product
/// of 2048 x 2048 matrices from 0.89 to 0.93..1.0 of OpenBLAS; asking for outputs that are only written cost 15 % and was dropped,
/// for residuals it changed nothing. Blocks of k of 256 or 384 instead of 192 gained 1 % and were not taken: they change results' bits.
/// </para>
/// <para>
/// Zen 1 (AVX2 in halves of 128 bits, 40 GFLOP/s a core; two builds in turn, one thread): the tile of 6 x 2 registers is 12 sums, 2 of b and 1 of a, and runs at 39.5 from the first-level cache and with a from the second, as the
/// same loop in assembly does (unrolled by four, without prefetches or as 4 x 3 registers: no difference). It ran at 28 while every second sum was moved (<see cref="IVector{TSelf}.Accumulate"/>): a move of 256 bits is two of the four
/// operations that the vector units are given in a cycle. In all layers of ResNet-50 nine tenths of this function's time are that loop.
/// </para>
/// <para>
/// Zen 3 (AVX2 at once, 93 GFLOP/s a core): sums end in some hundred cycles, sooner than a line comes from the third cache, so tiles of six and four rows ask for all their outputs and residuals when they begin. Layers of ResNet-50 that add a
/// residual went from 33..47 to 47..64 GFLOP/s, the whole network from 159 to 141 ms (two builds in turn, one thread, medians), products of 512 and more 3 to 9 % faster.
/// </para>
/// </remarks>
internal static unsafe partial class MicroKernel
{
    /// <summary>Floats of packed a that the loop asks for ahead: 4 KiB.</summary>
    private const int PrefetchAhead = 1024;

    /// <summary>How the loop finds row p of b.</summary>
    private interface IWalk
    {
        /// <summary>The distance of the next row from the first.</summary>
        nint Next();
    }

    /// <summary>Whether tiles of six and four rows, and what copies panels for them, ask for memory before they need it. Not without AVX2 and not on the first cores with it, where it was not measured.</summary>
    public static bool AsksAhead { get; } = Avx2.IsSupported && !VectorUnits.AreHalf256;

    /// <summary>Rows of a tile at width <typeparamref name="V"/>.</summary>
    public static int Rows<V>() where V : unmanaged, IVector<V> => V.Count == 16 ? 8 : 6;

    /// <summary>Columns of a tile at width <typeparamref name="V"/>.</summary>
    public static int Columns<V>() where V : unmanaged, IVector<V> => 2 * V.Count;

    /// <summary>Columns of the widest tile at width <typeparamref name="V"/>: see <see cref="RunBroad"/>.</summary>
    public static int MostColumns<V>() where V : unmanaged, IVector<V> => V.Count == 16 ? 3 * V.Count : 2 * V.Count;

    /// <summary>Up to so many columns cost less in <see cref="FewColumns{V}"/> than as one register that is mostly empty.</summary>
    public static int MaxFewColumns<V>() where V : unmanaged, IVector<V> => !Vector256.IsHardwareAccelerated ? 0 : V.Count == 16 ? 4 : V.Count == 8 ? 2 : 0;

    /// <summary>Columns of a tile of half a register (of 128 bits), for what is left of 14 x 14 pixels; 0 where a level has none.</summary>
    public static int HalfColumns<V>() where V : unmanaged, IVector<V> => V.Count == 8 ? V128.Count : 0;

    /// <summary>
    /// c [rows, columns] = or += a [k, rows] (packed) times b: row p of b starts at b + p * stride.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Run<V>(int k, float* a, float* b, nint stride, float* c, nint ldc, bool accumulate) where V : unmanaged, IVector<V> =>
        Run<V>(Rows<V>(), k, a, b, stride, TileStore.Plain(c, ldc, V.Count, accumulate));

    /// <summary>As above, with everything that is to happen before the tile is stored, and for panels of any height (<see cref="RowPanels"/>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Run<V>(int rows, int k, float* a, float* b, nint stride, in TileStore to) where V : unmanaged, IVector<V>
    {
        if (V.Count == 16)
        {
            Wide8<V, Strided>(k, a, b, b + V.Count, new Strided(stride), to);
            return;
        }
        ExpectAll<V>(to, rows);
        if (rows == RowPanels.Low) Wide4<V, Strided>(k, a, b, b + V.Count, new Strided(stride), to);
        else if (stride == 2 * V.Count) Packed6<V>(k, a, b, to);
        else Wide6<V, Strided>(k, a, b, b + V.Count, new Strided(stride), to);
    }

    /// <summary>A tile of one register: row p of b starts at b + p * stride.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void RunNarrow<V>(int rows, int k, float* a, float* b, nint stride, in TileStore to) where V : unmanaged, IVector<V>
    {
        if (V.Count == 16) Narrow8<V>(k, a, b, stride, to);
        else if (rows == RowPanels.Low) Narrow4<V>(k, a, b, stride, to);
        else Narrow6<V>(k, a, b, stride, to);
    }

    /// <summary>
    /// As <see cref="Run{V}(int, int, float*, float*, nint, in TileStore)"/>, where row p of b is read at b0 + offsets[p] and b1 + offsets[p] (one register each).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void RunOffsets<V>(int rows, int k, float* a, float* b0, float* b1, nint* offsets, in TileStore to) where V : unmanaged, IVector<V>
    {
        if (V.Count == 16)
        {
            Wide8<V, Listed>(k, a, b0, b1, new Listed(offsets), to);
            return;
        }
        ExpectAll<V>(to, rows);
        if (rows == RowPanels.Low) Wide4<V, Listed>(k, a, b0, b1, new Listed(offsets), to);
        else Wide6<V, Listed>(k, a, b0, b1, new Listed(offsets), to);
    }

    /// <summary>
    /// Four row panels times two columns, with the rows in the registers: sums [2][4 * 8]. Same sums as the other tiles, bit for bit.
    /// Panels of fewer than eight rows are read as if they had eight: the sums behind them mean nothing.
    /// </summary>
    /// <param name="height">Rows of a panel; eight with registers of 512 bits.</param>
    /// <param name="k">Length of the sums.</param>
    /// <param name="a">The first panel.</param>
    /// <param name="a1">The second.</param>
    /// <param name="a2">The third.</param>
    /// <param name="a3">The fourth.</param>
    /// <param name="b0">The first column; its elements are <paramref name="stride"/> apart.</param>
    /// <param name="b1">The second column.</param>
    /// <param name="stride">Distance of rows in b.</param>
    /// <param name="sums">Receives the sums.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void FewColumns<V>(nint height, int k, float* a, float* a1, float* a2, float* a3, float* b0, float* b1, nint stride, float* sums) where V : unmanaged, IVector<V>
    {
        if (V.Count == 16) height = 8;
        Vector256<float> s00 = default, s01 = default, s02 = default, s03 = default, s10 = default, s11 = default, s12 = default, s13 = default;
        for (int p = 0; p < k; p++)
        {
            Vector256<float> x0 = Vector256.Create(*b0), x1 = Vector256.Create(*b1), w;
            w = Vector256.Load(a + (p * height)); s00 = Vector256.FusedMultiplyAdd(w, x0, s00); s10 = Vector256.FusedMultiplyAdd(w, x1, s10);
            w = Vector256.Load(a1 + (p * height)); s01 = Vector256.FusedMultiplyAdd(w, x0, s01); s11 = Vector256.FusedMultiplyAdd(w, x1, s11);
            w = Vector256.Load(a2 + (p * height)); s02 = Vector256.FusedMultiplyAdd(w, x0, s02); s12 = Vector256.FusedMultiplyAdd(w, x1, s12);
            w = Vector256.Load(a3 + (p * height)); s03 = Vector256.FusedMultiplyAdd(w, x0, s03); s13 = Vector256.FusedMultiplyAdd(w, x1, s13);
            b0 += stride;
            b1 += stride;
        }
        s00.Store(sums); s01.Store(sums + 8); s02.Store(sums + 16); s03.Store(sums + 24);
        s10.Store(sums + 32); s11.Store(sums + 40); s12.Store(sums + 48); s13.Store(sums + 56);
    }

    /// <summary>Eight row panels, one behind the other, times one column: sums [8 * 8], as in <see cref="FewColumns{V}"/>.</summary>
    /// <param name="height">Rows of a panel; eight with registers of 512 bits.</param>
    /// <param name="k">Length of the sums.</param>
    /// <param name="a">The first panel.</param>
    /// <param name="panel">Distance of panels.</param>
    /// <param name="b">The column; its elements are <paramref name="stride"/> apart.</param>
    /// <param name="stride">Distance of rows in b.</param>
    /// <param name="sums">Receives the sums.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void OneColumn<V>(nint height, int k, float* a, nint panel, float* b, nint stride, float* sums) where V : unmanaged, IVector<V>
    {
        if (V.Count == 16) height = 8;
        Vector256<float> s0 = default, s1 = default, s2 = default, s3 = default, s4 = default, s5 = default, s6 = default, s7 = default;
        float* a4 = a + (4 * panel);
        for (int p = 0; p < k; p++)
        {
            Vector256<float> x = Vector256.Create(*b);
            s0 = Vector256.FusedMultiplyAdd(Vector256.Load(a), x, s0);
            s1 = Vector256.FusedMultiplyAdd(Vector256.Load(a + panel), x, s1);
            s2 = Vector256.FusedMultiplyAdd(Vector256.Load(a + (2 * panel)), x, s2);
            s3 = Vector256.FusedMultiplyAdd(Vector256.Load(a + (3 * panel)), x, s3);
            s4 = Vector256.FusedMultiplyAdd(Vector256.Load(a4), x, s4);
            s5 = Vector256.FusedMultiplyAdd(Vector256.Load(a4 + panel), x, s5);
            s6 = Vector256.FusedMultiplyAdd(Vector256.Load(a4 + (2 * panel)), x, s6);
            s7 = Vector256.FusedMultiplyAdd(Vector256.Load(a4 + (3 * panel)), x, s7);
            a += height;
            a4 += height;
            b += stride;
        }
        s0.Store(sums); s1.Store(sums + 8); s2.Store(sums + 16); s3.Store(sums + 24);
        s4.Store(sums + 32); s5.Store(sums + 40); s6.Store(sums + 48); s7.Store(sums + 56);
    }

    // Asks for the sums that the tile will be added to.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Expect(in TileStore to, int rows)
    {
        if (!Sse.IsSupported) return;
        float* c0 = to.C0, c1 = to.C1;
        for (int i = 0; i < rows; i++)
        {
            Sse.Prefetch0(c0);
            Sse.Prefetch0(c1);
            c0 += to.Stride;
            c1 += to.Stride;
        }
    }

    // Asks for all lines that a tile of six or four rows and two registers touches when its sums are done: outputs, read before or not, and residuals. Called before the tile's loop is
    // entered: a check of a static field there, before the class is known to be initialised, moves the sums out of their registers.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void ExpectAll<V>(in TileStore to, int rows) where V : unmanaged, IVector<V>
    {
        if (!AsksAhead)
        {
            if (to.Accumulate) Expect(to, rows);
            return;
        }
        float* c0 = to.C0, c1 = to.C1 + V.Count - 1;
        Ask<V>(c0, c1, to.Stride, rows);
        if (to.HasResidual) Ask<V>(c0 + to.Residual, c1 + to.Residual, to.Stride, rows);
    }

    // Rows from their first float to their last; one line each where they begin with it. Without loops: tiles with few products are many.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Ask<V>(float* c0, float* c1, nint stride, int rows) where V : unmanaged, IVector<V>
    {
        Ask(c0, stride, rows);
        if (2 * V.Count * sizeof(float) > LineMemory.Line || (nint)c1 - (nint)c0 >= LineMemory.Line || (((nint)c0 | (stride * sizeof(float))) & (LineMemory.Line - 1)) != 0) Ask(c1, stride, rows);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Ask(float* c, nint stride, int rows)
    {
        Sse.Prefetch0(c);
        Sse.Prefetch0(c += stride);
        Sse.Prefetch0(c += stride);
        Sse.Prefetch0(c += stride);
        if (rows == RowPanels.Low) return;
        Sse.Prefetch0(c += stride);
        Sse.Prefetch0(c + stride);
    }

    private struct Strided(nint stride) : IWalk
    {
        private nint _at = -stride;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public nint Next() => _at += stride;
    }

    private struct Listed(nint* offsets) : IWalk
    {
        private nint* _next = offsets;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public nint Next() => *_next++;
    }
}
