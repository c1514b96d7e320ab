using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>Products of small matrices that are in the caches, both read where they lie: nothing is packed.</summary>
internal static unsafe class DirectProduct
{
    // What a panel of the right operand may take of a first-level cache before columns are the outer loop.
    private const int PanelBytes = 16384;

    /// <summary>
    /// c [m, n] = a b with a [m, k], b [k, n]; element (i, p) of a at a + i * row + p * step. n is a multiple of the register's floats. Rows of a are read up to the
    /// next multiple of 8.
    /// </summary>
    /// <param name="m">Rows.</param>
    /// <param name="n">Columns.</param>
    /// <param name="k">Length of the sums.</param>
    /// <param name="a">The left operand.</param>
    /// <param name="row">Distance of its rows.</param>
    /// <param name="step">Distance of its columns.</param>
    /// <param name="b">The right operand.</param>
    /// <param name="ldb">Distance of its rows.</param>
    /// <param name="c">The result.</param>
    /// <param name="ldc">Distance of its rows.</param>
    /// <param name="accumulate">Adds the products to c.</param>
    /// <param name="padded">c has room for the next multiple of 8 rows, which are written.</param>
    /// <param name="ahead">Memory that is asked for meanwhile, or null.</param>
    [SkipLocalsInit]
    public static void Run<V>(int m, int n, int k, float* a, nint row, nint step, float* b, nint ldb, float* c, nint ldc, bool accumulate, bool padded, ReadAhead* ahead = null) where V : unmanaged, IVector<V>
    {
        const int rows = MicroKernel.DirectRows;
        float* edge = stackalloc float[rows * 32];
        bool columnsFirst = k * n * sizeof(float) > PanelBytes;
        // Rows of which three panels of eight are four of six; columns that leave a single register have eight.
        int sixes = MicroKernel.DirectSix<V>() && n % (2 * V.Count) == 0 ? m / 24 * 4 : 0;
        int across = (n + (2 * V.Count) - 1) / (2 * V.Count), down = sixes + (m - (6 * sixes) + rows - 1) / rows, outer = columnsFirst ? across : down, inner = columnsFirst ? down : across;
        for (int o = 0; o < outer; o++)
        {
            for (int t = 0; t < inner; t++)
            {
                int panel = columnsFirst ? t : o, i = panel < sixes ? 6 * panel : (6 * sixes) + ((panel - sixes) * rows), j = (columnsFirst ? o : t) * 2 * V.Count, height = Math.Min(rows, m - i);
                bool two = n - j > V.Count;
                float* to = c + (i * ldc) + j;
                float* next = a;
                nint pace = ahead == null ? 0 : ahead->Take(k, a, out next);
                if (panel < sixes)
                {
                    MicroKernel.RunDirectSix<V>(k, a + (i * row), row, step, b + j, ldb, to, ldc, accumulate, next, pace);
                    continue;
                }
                if (height == rows || padded)
                {
                    MicroKernel.RunDirect<V>(k, a + (i * row), row, step, b + j, ldb, to, ldc, two, accumulate, next, pace);
                    continue;
                }
                MicroKernel.RunDirect<V>(k, a + (i * row), row, step, b + j, ldb, edge, 32, two, false, next, pace);
                for (int r = 0; r < height; r++)
                {
                    for (int column = 0; column < (two ? 2 * V.Count : V.Count); column += V.Count)
                    {
                        V sum = V.Load(edge + (r * 32) + column);
                        float* at = to + (r * ldc) + column;
                        V.Store(accumulate ? V.Add(V.Load(at), sum) : sum, at);
                    }
                }
            }
        }
    }
}
