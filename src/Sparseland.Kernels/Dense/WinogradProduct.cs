using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>The products of transformed tiles: rows of single values, as they lie, times registers.</summary>
/// <remarks>Tiles of <see cref="MicroKernel.RunDirectNear"/>, and of sixteen rows where columns are one register. Sums begin at zero and take their products in the order of the inner dimension, so that all widths give the same bits.</remarks>
internal static unsafe class WinogradProduct
{
    /// <summary>Numbers of rows are multiples of this.</summary>
    public const int Rows = MicroKernel.DirectRows;

    /// <summary>c [rows, width] = or += a b, where a (row, k) lies at row * rowStep + k * innerStep.</summary>
    /// <param name="rows">Rows, a multiple of <see cref="Rows"/>.</param>
    /// <param name="width">Columns, 16 or 32.</param>
    /// <param name="k">Length of the sums.</param>
    /// <param name="a">The single values.</param>
    /// <param name="rowStep">Distance of rows in a.</param>
    /// <param name="innerStep">Distance of the values of a sum in a.</param>
    /// <param name="b">[k, width].</param>
    /// <param name="c">[rows, width].</param>
    /// <param name="ldc">Distance of rows in c.</param>
    /// <param name="accumulate">Whether the sums are added to what is there.</param>
    public static void Run<V>(int rows, int width, int k, float* a, nint rowStep, nint innerStep, float* b, float* c, nint ldc, bool accumulate) where V : unmanaged, IVector<V>
    {
        for (int j = 0; j < width; j += 2 * V.Count)
        {
            bool two = width - j >= 2 * V.Count;
            int i = 0;
            if (!two)
            {
                for (; i + (2 * Rows) <= rows; i += 2 * Rows) Narrow16<V>(k, a + (i * rowStep), rowStep, innerStep, b + j, width, c + (i * ldc) + j, ldc, accumulate);
            }
            // Operands and results are in the second cache.
            for (; i < rows; i += Rows) MicroKernel.RunDirectNear<V>(k, a + (i * rowStep), rowStep, innerStep, b + j, width, c + (i * ldc) + j, ldc, two, accumulate);
        }
    }

    // Sixteen columns where a register has as many: a load for each product, so eight rows wait for the loads of b and of addresses more often than sixteen.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Narrow16<V>(int k, float* a, nint rowStep, nint innerStep, float* b, nint ldb, float* c, nint ldc, bool accumulate) where V : unmanaged, IVector<V>
    {
        V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero, s4 = V.Zero, s5 = V.Zero, s6 = V.Zero, s7 = V.Zero;
        V s8 = V.Zero, s9 = V.Zero, s10 = V.Zero, s11 = V.Zero, s12 = V.Zero, s13 = V.Zero, s14 = V.Zero, s15 = V.Zero;
        float* a4 = a + (4 * rowStep), a8 = a + (8 * rowStep), a12 = a + (12 * rowStep);
        nint three = 3 * rowStep;
        for (int p = 0; p < k; p++)
        {
            V x = V.Load(b);
            V.Accumulate(ref s0, V.Broadcast(*a), x);
            V.Accumulate(ref s1, V.Broadcast(a[rowStep]), x);
            V.Accumulate(ref s2, V.Broadcast(a[2 * rowStep]), x);
            V.Accumulate(ref s3, V.Broadcast(a[three]), x);
            V.Accumulate(ref s4, V.Broadcast(*a4), x);
            V.Accumulate(ref s5, V.Broadcast(a4[rowStep]), x);
            V.Accumulate(ref s6, V.Broadcast(a4[2 * rowStep]), x);
            V.Accumulate(ref s7, V.Broadcast(a4[three]), x);
            V.Accumulate(ref s8, V.Broadcast(*a8), x);
            V.Accumulate(ref s9, V.Broadcast(a8[rowStep]), x);
            V.Accumulate(ref s10, V.Broadcast(a8[2 * rowStep]), x);
            V.Accumulate(ref s11, V.Broadcast(a8[three]), x);
            V.Accumulate(ref s12, V.Broadcast(*a12), x);
            V.Accumulate(ref s13, V.Broadcast(a12[rowStep]), x);
            V.Accumulate(ref s14, V.Broadcast(a12[2 * rowStep]), x);
            V.Accumulate(ref s15, V.Broadcast(a12[three]), x);
            a += innerStep;
            a4 += innerStep;
            a8 += innerStep;
            a12 += innerStep;
            b += ldb;
        }
        float* c8 = c + (8 * ldc);
        if (accumulate)
        {
            s0 = V.Add(V.Load(c), s0);
            s1 = V.Add(V.Load(c + ldc), s1);
            s2 = V.Add(V.Load(c + (2 * ldc)), s2);
            s3 = V.Add(V.Load(c + (3 * ldc)), s3);
            s4 = V.Add(V.Load(c + (4 * ldc)), s4);
            s5 = V.Add(V.Load(c + (5 * ldc)), s5);
            s6 = V.Add(V.Load(c + (6 * ldc)), s6);
            s7 = V.Add(V.Load(c + (7 * ldc)), s7);
            s8 = V.Add(V.Load(c8), s8);
            s9 = V.Add(V.Load(c8 + ldc), s9);
            s10 = V.Add(V.Load(c8 + (2 * ldc)), s10);
            s11 = V.Add(V.Load(c8 + (3 * ldc)), s11);
            s12 = V.Add(V.Load(c8 + (4 * ldc)), s12);
            s13 = V.Add(V.Load(c8 + (5 * ldc)), s13);
            s14 = V.Add(V.Load(c8 + (6 * ldc)), s14);
            s15 = V.Add(V.Load(c8 + (7 * ldc)), s15);
        }
        V.Store(s0, c);
        V.Store(s1, c + ldc);
        V.Store(s2, c + (2 * ldc));
        V.Store(s3, c + (3 * ldc));
        V.Store(s4, c + (4 * ldc));
        V.Store(s5, c + (5 * ldc));
        V.Store(s6, c + (6 * ldc));
        V.Store(s7, c + (7 * ldc));
        V.Store(s8, c8);
        V.Store(s9, c8 + ldc);
        V.Store(s10, c8 + (2 * ldc));
        V.Store(s11, c8 + (3 * ldc));
        V.Store(s12, c8 + (4 * ldc));
        V.Store(s13, c8 + (5 * ldc));
        V.Store(s14, c8 + (6 * ldc));
        V.Store(s15, c8 + (7 * ldc));
    }
}
