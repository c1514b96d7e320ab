using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

public sealed partial class Pooling
{
    // The maximum of two dimensions without indices: first of the rows of a window, over the whole width of the image, then of its columns in that row. Nine values of a
    // window of 3 x 3 then take four comparisons, and only rows are copied. At steps above one the columns are parted by the remainder of their position, so that neighbours
    // of the output are neighbours in memory.
    private unsafe struct FlatMax : ILevelWork
    {
        // Windows further apart are few.
        private const int LargestStepApart = 4;

        // Comparisons from which threads share the rows of an image, fewest rows of a band, and parts of a band that whoever is done first takes over.
        private const long WorthBands = 1 << 17;
        private const int LeastRows = 4, GroupsOfABand = 4;

        public float* Input;
        public float* Output;
        public int Planes;
        public Pooling Pooling;

        /// <summary>Whether the planes are those of one image.</summary>
        public bool IsImage;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            FlatMax w = this;
            int rows = Pooling._out[1], bands = IsImage && !WorkPool.IsAlone && Planes * Pooling.Work >= WorthBands ? Math.Min(WorkPool.Threads, rows / LeastRows) : 1;
            if (bands <= 1)
            {
                Parts.Rows(Planes, Pooling.Work, (first, end) => w.Range<V>(first, end, 0, rows));
                return;
            }
            int groups = Math.Min(GroupsOfABand, Planes), planes = Planes;
            WorkPool.For(bands * groups, part =>
            {
                int band = part / groups, group = part % groups;
                w.Range<V>((int)((long)planes * group / groups), (int)((long)planes * (group + 1) / groups), (int)((long)rows * band / bands), (int)((long)rows * (band + 1) / bands));
            });
        }

        private readonly void Range<V>(int first, int end, int firstRow, int endRow) where V : unmanaged, IVector<V>
        {
            Pooling p = Pooling;
            int step = p._stride[2], dilation = p._dilation[2], columns = p._kernel[2], outWidth = p._out[2];
            // Two registers give every other value of both.
            bool permutes = step == 2 && dilation == 1 && typeof(V) == typeof(V512) && Avx512F.IsSupported, apart = step is > 1 and <= LargestStepApart && !permutes;
            // Columns of one remainder, and all that windows reach.
            int each = outWidth + ((columns - 1) * dilation / step) + V.Count;
            long reach = apart ? (long)each * step : ((long)(outWidth - 1) * step) + ((long)(columns - 1) * dilation) + 1;
            int length = checked((int)Math.Max(reach, (long)p._before[2] + p._size[2]) + 3 * V.Count);
            using Scratch.Buffer row = Scratch.Rent(length), parted = Scratch.Rent(apart ? reach : 0), line = Scratch.Rent(outWidth + V.Count);
            new Span<float>(row.Pointer, length).Fill(float.NegativeInfinity);
            for (int plane = first; plane < end; plane++)
            {
                float* x = Input + ((nint)plane * p.InputPlane), y = Output + ((nint)plane * p.OutputPlane);
                for (int i = firstRow; i < endRow; i++)
                {
                    (int from, int to) = p._ranges[1][i];
                    Rows<V>(x + ((nint)from * p._size[2]), (nint)p._dilation[1] * p._size[2], to <= from ? 0 : (to - from + p._dilation[1] - 1) / p._dilation[1], p._size[2], row.Pointer + p._before[2]);
                    if (apart)
                    {
                        for (int remainder = 0; remainder < Math.Min(step, ((columns - 1) * dilation) + 1); remainder++) EveryNth.Copy(row.Pointer, remainder, step, parted.Pointer + ((nint)remainder * each), each);
                    }
                    if (permutes) EveryOther(row.Pointer, columns, outWidth, line.Pointer);
                    else if (apart || step == 1) Columns<V>(apart ? parted.Pointer : row.Pointer, columns, dilation, step, each, outWidth, line.Pointer);
                    else FarColumns(row.Pointer, columns, dilation, step, outWidth, line.Pointer);
                    new ReadOnlySpan<float>(line.Pointer, outWidth).CopyTo(new Span<float>(y + ((nint)i * outWidth), outWidth));
                }
            }
        }

        // The maximum of some rows at a distance; nothing behind their ends is read.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Rows<V>(float* first, nint distance, int rows, int width, float* to) where V : unmanaged, IVector<V>
        {
            if (width < V.Count)
            {
                for (int x = 0; x < width; x++)
                {
                    float best = float.NegativeInfinity;
                    for (int r = 0; r < rows; r++) best = MathF.Max(best, first[x + (r * distance)]);
                    to[x] = best;
                }
                return;
            }
            for (int x = 0; x < width; x += V.Count)
            {
                // The last register ends with the row.
                int at = Math.Min(x, width - V.Count);
                V best = V.Broadcast(float.NegativeInfinity);
                float* from = first + at;
                for (int r = 0; r < rows; r++, from += distance) best = V.Max(best, V.Load(from));
                V.Store(best, to + at);
            }
        }

        // The maximum of the columns of each window; the last register may reach behind the end.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Columns<V>(float* row, int columns, int dilation, int step, int each, int width, float* to) where V : unmanaged, IVector<V>
        {
            for (int x = 0; x < width; x += V.Count)
            {
                V best = V.Load(row + x);
                for (int c = 1; c < columns; c++)
                {
                    int at = c * dilation;
                    best = V.Max(best, V.Load(row + x + ((nint)(at % step) * each) + (at / step)));
                }
                V.Store(best, to + x);
            }
        }

        // The same at steps of two; the last registers may reach 32 floats behind the last window.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void EveryOther(float* row, int columns, int width, float* to)
        {
            Vector512<int> even = Vector512.Create(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            for (int x = 0; x < width; x += V512.Count)
            {
                float* from = row + 2 * (nint)x;
                Vector512<float> best = Avx512F.PermuteVar16x32x2(Vector512.Load(from), even, Vector512.Load(from + V512.Count));
                for (int c = 1; c < columns; c++) best = Vector512.Max(best, Avx512F.PermuteVar16x32x2(Vector512.Load(from + c), even, Vector512.Load(from + c + V512.Count)));
                best.Store(to + x);
            }
        }

        private static void FarColumns(float* row, int columns, int dilation, nint step, int width, float* to)
        {
            for (int x = 0; x < width; x++)
            {
                float best = float.NegativeInfinity;
                for (int c = 0; c < columns; c++) best = MathF.Max(best, row[(x * step) + ((nint)c * dilation)]);
                to[x] = best;
            }
        }
    }
}
