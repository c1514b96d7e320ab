using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>What happens to a finished element of a product: + row bias, + column bias, + residual, then clamp.</summary>
internal unsafe struct GemmEpilogue
{
    public float* RowBias;
    public float* ColumnBias;
    public float* Residual;
    public nint ResidualStride;
    public Clamp Clamp;

    public readonly bool IsEmpty => RowBias == null && ColumnBias == null && Residual == null && Clamp.IsNone;

    /// <summary>Applies this to c [rows, columns], whose first element is (row, column) of the product.</summary>
    public readonly void Apply<V>(float* c, nint ldc, int row, int column, int rows, int columns) where V : unmanaged, IVector<V>
    {
        for (int i = 0; i < rows; i++)
        {
            float* residual = Residual == null ? null : Residual + ((row + i) * ResidualStride) + column;
            ApplyRow<V>(c + (i * ldc), columns, RowBias == null ? 0f : RowBias[row + i], RowBias != null,
                ColumnBias == null ? null : ColumnBias + column, residual, Clamp);
        }
    }

    /// <summary>Applies a row bias, column biases, a residual and a clamp to one contiguous piece.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ApplyRow<V>(float* c, int count, float bias, bool hasBias, float* columnBias, float* residual, Clamp clamp) where V : unmanaged, IVector<V>
    {
        bool clamped = !clamp.IsNone;
        V low = V.Broadcast(clamp.Low), high = V.Broadcast(clamp.High), zero = V.Broadcast(clamp.Zero), rowBias = V.Broadcast(bias);
        int j = 0;
        for (; j + V.Count <= count; j += V.Count)
        {
            V x = V.Load(c + j);
            if (hasBias) x = V.Add(x, rowBias);
            if (columnBias != null) x = V.Add(x, V.Load(columnBias + j));
            if (residual != null) x = V.Add(x, V.Load(residual + j));
            if (clamped) x = Clamp.Bounded(x, low, high, zero);
            V.Store(x, c + j);
        }
        for (; j < count; j++)
        {
            float x = c[j];
            if (hasBias) x += bias;
            if (columnBias != null) x += columnBias[j];
            if (residual != null) x += residual[j];
            if (clamped) x = MathF.Min(MathF.Max(x, clamp.Low), clamp.High);
            c[j] = x;
        }
    }
}

/// <summary>One product C = epilogue(alpha op(A) op(B) + beta C) with all its operands.</summary>
internal unsafe struct GemmCall : ILevelWork
{
    public bool TransA, TransB;
    public int M, N, K;
    public float Alpha, Beta;
    public float* A;
    public float* B;
    public float* C;
    public nint Lda, Ldb, Ldc;
    public GemmEpilogue Epilogue;

    /// <summary>A in panels (see <see cref="PackedMatrix"/>), or null.</summary>
    public float* PackedA;

    /// <summary>B in panels, or null.</summary>
    public float* PackedB;

    public readonly void Run<V>() where V : unmanaged, IVector<V> => GemmDriver.Run<V>(this);
}

/// <summary>Chooses how a product is computed and cuts it into cache-sized parts.</summary>
/// <remarks>
/// Goto, van de Geijn, "Anatomy of High-Performance Matrix Multiplication", section 4: for each block of k, both operands
/// are packed into panels (in parallel), then tiles of C are computed (in parallel). How an element is summed up depends
/// on the shape only; how C is cut into tiles depends on the number of threads as well.
/// Measured on a Zen 5 core with 512-bit units: see docs of <see cref="MicroKernel"/>.
/// </remarks>
internal static unsafe class GemmDriver
{
    // Tiles of C that one part computes at most; multiples of every panel height (8, 6) and width (32, 16, 8, 2).
    public const int TileRows = 96;
    public const int TileColumns = 128;

    // A C of so many tiles for each thread leaves little to gain from smaller ones.
    private const int EnoughTiles = 4;

    // Blocks of C between which packed operands are reused: bounds the packing memory to about 12 MB.
    private const int BigRows = TileRows * 40;
    private const int BigColumns = TileColumns * 32;

    // Blocks of k that a tile of C takes one after the other before the next tile begins: its sums wait in the second-level
    // cache beside 84 KiB of each block's panels, and the whole of C is read and written half as often.
    private const int BlocksAtOnce = 2;

    // Products below this many multiply-adds (about 10 microseconds) are not worth waking threads for.
    private const long WorthThreads = 1 << 19;

    public static void Run<V>(in GemmCall call) where V : unmanaged, IVector<V>
    {
        if (call.M == 0 || call.N == 0) return;
        bool packed = call.PackedA != null || call.PackedB != null;
        if (call.K == 0 || (call.Alpha == 0f && !packed)) ScaleOnly<V>(call);
        else if (packed) Blocked<V>(call);
        else if (call.N <= 8 && call.M > call.N) Swapped<V>(call);
        else if (call.M <= DotKernel.MaxRows && call.TransB) Dots<V>(call);
        else if (call.M == 1 && !call.TransB) RunParts((call.N + GemmRows<V>.Columns - 1) / GemmRows<V>.Columns, new GemmRows<V>(call), (long)call.N * call.K);
        else Blocked<V>(call);
    }

    private static void ScaleOnly<V>(in GemmCall call) where V : unmanaged, IVector<V>
    {
        for (int i = 0; i < call.M; i++) Scale(call.C + (i * call.Ldc), call.N, call.Beta);
        if (!call.Epilogue.IsEmpty) call.Epilogue.Apply<V>(call.C, call.Ldc, 0, 0, call.M, call.N);
    }

    // beta = 0 overwrites, as in BLAS: what C held, NaN included, does not matter.
    private static void Scale(float* c, int count, float beta)
    {
        if (beta == 0f) new Span<float>(c, count).Clear();
        else if (beta != 1f)
        {
            for (int j = 0; j < count; j++) c[j] *= beta;
        }
    }

    // C^T = op(B)^T op(A)^T: a narrow C becomes a low one.
    private static void Swapped<V>(in GemmCall call) where V : unmanaged, IVector<V>
    {
        using Scratch.Buffer buffer = Scratch.Rent((long)call.M * call.N);
        float* t = buffer.Pointer;
        var swapped = new GemmCall
        {
            TransA = !call.TransB,
            TransB = !call.TransA,
            M = call.N,
            N = call.M,
            K = call.K,
            Alpha = call.Alpha,
            A = call.B,
            Lda = call.Ldb,
            B = call.A,
            Ldb = call.Lda,
            C = t,
            Ldc = call.M,
            Epilogue = new GemmEpilogue { Clamp = Clamp.None },
        };
        Run<V>(swapped);
        for (int i = 0; i < call.M; i++)
        {
            float* c = call.C + (i * call.Ldc);
            for (int j = 0; j < call.N; j++)
            {
                float x = t[((nint)j * call.M) + i];
                c[j] = call.Beta == 0f ? x : call.Beta == 1f ? c[j] + x : (c[j] * call.Beta) + x;
            }
        }
        if (!call.Epilogue.IsEmpty) call.Epilogue.Apply<V>(call.C, call.Ldc, 0, 0, call.M, call.N);
    }

    private static void Dots<V>(in GemmCall call) where V : unmanaged, IVector<V>
    {
        GemmCall dots = call;
        using Scratch.Buffer buffer = Scratch.Rent(call.TransA ? (long)call.M * call.K : 0);
        if (call.TransA)
        {
            Packing.Transpose(call.A, call.Lda, call.K, call.M, buffer.Pointer, call.K);
            dots.A = buffer.Pointer;
            dots.Lda = call.K;
        }
        RunParts((call.N + TileColumns - 1) / TileColumns, new DotParts<V>(dots), (long)call.M * call.N * call.K);
    }

    private static void Blocked<V>(in GemmCall call) where V : unmanaged, IVector<V>
    {
        int mr = MicroKernel.Rows<V>(), nr = MicroKernel.Columns<V>();
        int block = Packing.BlockLength(call.K);
        bool direct = call.PackedB == null && !call.TransB && call.M <= 16;
        // Rows that fill no tile are read where they are.
        bool directA = call.PackedA == null && call.Alpha == 1f && call.M < mr;
        int rowsAtOnce = Math.Min(call.M, BigRows), columnsAtOnce = Math.Min(call.N, BigColumns), depth = Math.Min(call.K, block * BlocksAtOnce);
        using Scratch.Buffer bufferA = Scratch.Rent(call.PackedA != null || directA ? 0 : (long)RoundUp(rowsAtOnce, mr) * depth);
        using Scratch.Buffer bufferB = Scratch.Rent(call.PackedB != null || direct ? 0 : (long)RoundUp(columnsAtOnce, nr) * depth);
        long work = (long)call.M * call.N * call.K;

        for (int j0 = 0; j0 < call.N; j0 += BigColumns)
        {
            int columns = Math.Min(BigColumns, call.N - j0);
            for (int i0 = 0; i0 < call.M; i0 += BigRows)
            {
                int rows = Math.Min(BigRows, call.M - i0);
                (int tileRows, int tileColumns) = TileOf(rows, columns, work, mr, nr);
                for (int k0 = 0; k0 < call.K; k0 += depth)
                {
                    var step = new Step
                    {
                        Call = call,
                        I0 = i0,
                        J0 = j0,
                        K0 = k0,
                        Rows = rows,
                        Columns = columns,
                        K = Math.Min(depth, call.K - k0),
                        Block = block,
                        DirectA = directA,
                        DirectB = direct,
                        // Panels of a prepared operand: the block at k0 begins behind all panels of earlier blocks.
                        PanelsA = call.PackedA != null ? call.PackedA + ((nint)RoundUp(call.M, mr) * k0) : bufferA.Pointer,
                        PanelsB = call.PackedB != null ? call.PackedB + ((nint)RoundUp(call.N, nr) * k0) : bufferB.Pointer,
                        HeightA = RoundUp(call.PackedA != null ? call.M : rows, mr),
                        WidthB = RoundUp(call.PackedB != null ? call.N : columns, nr),
                        FirstA = call.PackedA != null ? i0 : 0,
                        FirstB = call.PackedB != null ? j0 : 0,
                    };
                    int tilesA = (rows + tileRows - 1) / tileRows, tilesB = (columns + tileColumns - 1) / tileColumns, blocks = (step.K + block - 1) / block;
                    int packA = call.PackedA != null || directA ? 0 : tilesA, packB = call.PackedB != null || direct ? 0 : tilesB;
                    if (packA + packB > 0) RunParts((packA + packB) * blocks, new PackParts<V>(step, packA, packA + packB, tileRows, tileColumns), work);
                    RunParts(tilesA * tilesB, new TileParts<V>(step, tilesA, tileRows, tileColumns), work);
                }
            }
        }
    }

    // Rows and columns of a tile: a C of few tiles is cut so that threads end together. Pairs of panels stay whole, and panels of rows: what computes an element is the same however C is cut.
    private static (int Rows, int Columns) TileOf(int rows, int columns, long work, int mr, int nr)
    {
        int threads = WorkPool.IsAlone || work < WorthThreads ? 1 : WorkPool.Threads, least = (rows + TileRows - 1) / TileRows;
        (int High, int Wide) best = (TileRows, TileColumns);
        if (threads == 1 || least * ((columns + TileColumns - 1) / TileColumns) >= EnoughTiles * threads) return best;
        double leastTime = double.PositiveInfinity;
        for (int wide = TileColumns; wide >= Math.Max(2 * nr, TileColumns / 2); wide /= 2)
        {
            for (int pieces = least; pieces <= least + threads && (pieces == least || pieces <= rows / mr); pieces++)
            {
                int high = pieces == least ? Math.Min(TileRows, RoundUp(rows, mr)) : RoundUp((rows + pieces - 1) / pieces, mr), across = Math.Min(wide, RoundUp(columns, nr));
                // What a tile reads beside its multiply-adds: its panels of B for each row of panels, those of A for each pair of columns.
                double full = (high * across) + (0.5 * across) + (2 * high), time = TimeOf(rows, high, (columns + wide - 1) / wide, threads) * full / high;
                if (time >= leastTime) continue;
                leastTime = time;
                best = (high, wide);
            }
        }
        return best;
    }

    // Rows that the last thread has computed where all take a tile in turn, those of the lower edge last.
    private static int TimeOf(int rows, int high, int tilesB, int threads)
    {
        int whole = rows / high * tilesB, edge = rows % high, rounds = (whole + threads - 1) / threads;
        int beside = edge == 0 ? 0 : ((rounds * threads) - whole) * (high / edge), left = edge == 0 ? 0 : Math.Max(0, tilesB - beside);
        return (rounds * high) + ((left + threads - 1) / threads * edge);
    }

    private static int RoundUp(int x, int to) => (x + to - 1) / to * to;

    private static void RunParts<TWork>(int parts, TWork work, long multiplyAdds) where TWork : IParts
    {
        if (parts > 1 && multiplyAdds >= WorthThreads) WorkPool.Run(parts, work);
        else
        {
            for (int part = 0; part < parts; part++) work.Run(part);
        }
    }

    // One step: some blocks of k, for one big block of C.
    private struct Step
    {
        public GemmCall Call;
        public int I0, J0, K0, Rows, Columns, K, Block;
        public bool DirectA, DirectB;
        public float* PanelsA;
        public float* PanelsB;

        // Rows and columns of all panels of a block, and those before this step's first.
        public int HeightA, WidthB, FirstA, FirstB;

        /// <summary>The panels of the block that begins at <paramref name="k0"/> of this step and is <paramref name="k"/> long, from row <paramref name="i"/> on.</summary>
        public readonly float* A(int k0, int k, int i) => PanelsA + ((nint)HeightA * k0) + ((nint)(FirstA + i) * k);

        /// <summary>As <see cref="A"/>, from column <paramref name="j"/> on.</summary>
        public readonly float* B(int k0, int k, int j) => PanelsB + ((nint)WidthB * k0) + ((nint)(FirstB + j) * k);
    }

    private readonly struct PackParts<V>(Step step, int partsA, int partsOfBlock, int tileRows, int tileColumns) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            ref readonly GemmCall call = ref step.Call;
            int k0 = part / partsOfBlock * step.Block, k = Math.Min(step.Block, step.K - k0);
            nint from = step.K0 + k0;
            part %= partsOfBlock;
            if (part < partsA)
            {
                int i = part * tileRows;
                nint row = step.I0 + i;
                float* a = call.TransA ? call.A + (from * call.Lda) + row : call.A + (row * call.Lda) + from;
                Packing.Left(call.TransA, a, call.Lda, Math.Min(tileRows, step.Rows - i), k, MicroKernel.Rows<V>(), call.Alpha, step.A(k0, k, i));
            }
            else
            {
                int j = (part - partsA) * tileColumns;
                nint column = step.J0 + j;
                float* b = call.TransB ? call.B + (column * call.Ldb) + from : call.B + (from * call.Ldb) + column;
                Packing.Right(call.TransB, b, call.Ldb, k, Math.Min(tileColumns, step.Columns - j), MicroKernel.Columns<V>(), step.B(k0, k, j));
            }
        }
    }

    private readonly struct TileParts<V>(Step step, int tilesA, int tileRows, int tileColumns) : IParts where V : unmanaged, IVector<V>
    {
        [SkipLocalsInit]
        public void Run(int part)
        {
            ref readonly GemmCall call = ref step.Call;
            int mr = MicroKernel.Rows<V>(), nr = MicroKernel.Columns<V>();
            int i0 = part % tilesA * tileRows, j0 = part / tilesA * tileColumns;
            int rows = Math.Min(tileRows, step.Rows - i0), columns = Math.Min(tileColumns, step.Columns - j0);
            float* c = call.C + ((step.I0 + i0) * call.Ldc) + step.J0 + j0;
            bool accumulate = step.K0 > 0 || call.Beta != 0f;
            if (step.K0 == 0 && accumulate && call.Beta != 1f)
            {
                for (int i = 0; i < rows; i++) Scale(c + (i * call.Ldc), columns, call.Beta);
            }

            float* edge = stackalloc float[8 * 32];
            using Scratch.Buffer tail = Scratch.Rent(step.DirectB && columns % nr != 0 ? (long)step.Block * nr : 0);
            // Rows that fill no tile: in pieces of much the same number.
            int last = columns / nr * nr, left = rows % mr, tiled = rows - left, pieces = (left + MicroKernel.RowsOfPairs<V>() - 1) / MicroKernel.RowsOfPairs<V>();
            nint distance = step.DirectA && !call.TransA ? call.Lda : 1, next = !step.DirectA ? mr : call.TransA ? call.Lda : 1;
            for (int k0 = 0; k0 < step.K; k0 += step.Block)
            {
                int k = Math.Min(step.Block, step.K - k0);
                if (step.DirectB && last < columns) Packing.Right(false, Panel(step, k0, k, j0 + last, nr, null, out _), call.Ldb, k, columns - last, nr, tail.Pointer);
                for (int j = 0; tiled > 0 && j < columns; j += nr)
                {
                    float* b = Panel(step, k0, k, j0 + j, nr, j == last ? tail.Pointer : null, out nint stride);
                    for (int i = 0; i < tiled; i += mr)
                    {
                        float* a = step.A(k0, k, i0 + i);
                        float* to = c + (i * call.Ldc) + j;
                        if (j < last) MicroKernel.Run<V>(k, a, b, stride, to, call.Ldc, accumulate);
                        else
                        {
                            MicroKernel.Run<V>(k, a, b, stride, edge, nr, false);
                            AddEdge<V>(edge, nr, to, call.Ldc, mr, columns - last, accumulate);
                        }
                    }
                }
                float* few = step.DirectA ? call.A + ((step.K0 + k0) * next) + ((step.I0 + i0) * distance) : step.A(k0, k, i0 + tiled);
                for (int j = 0; left > 0 && j < columns; j += 2 * nr)
                {
                    // A panel without a neighbour is its own.
                    int second = j + nr < columns ? j + nr : j, width = Math.Min(second - j + nr, columns - j);
                    float* b0 = Panel(step, k0, k, j0 + j, nr, j == last ? tail.Pointer : null, out nint stride0);
                    float* b1 = Panel(step, k0, k, j0 + second, nr, second == last ? tail.Pointer : null, out nint stride1);
                    for (int piece = 0; piece < pieces; piece++)
                    {
                        int i = piece * left / pieces, height = ((piece + 1) * left / pieces) - i;
                        MicroKernel.RunPair<V>(height, k, few + (i * distance), distance, next, b0, stride0, b1, stride1, edge);
                        AddEdge<V>(edge, 2 * nr, c + ((tiled + i) * call.Ldc) + j, call.Ldc, height, width, accumulate);
                    }
                }
                accumulate = true;
            }
            if (step.K0 + step.K == call.K && !call.Epilogue.IsEmpty) call.Epilogue.Apply<V>(c, call.Ldc, step.I0 + i0, step.J0 + j0, rows, columns);
        }
    }

    // The panel of columns that begins at column j of the step: where it was packed or, where b is read in place, there; the last of those, where it is not full, in tail.
    private static float* Panel(in Step step, int k0, int k, int j, int width, float* tail, out nint stride)
    {
        stride = step.DirectB && tail == null ? step.Call.Ldb : width;
        if (!step.DirectB) return step.B(k0, k, j);
        return tail != null ? tail : step.Call.B + ((step.K0 + k0) * step.Call.Ldb) + step.J0 + j;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddEdge<V>(float* edge, int stride, float* c, nint ldc, int rows, int columns, bool accumulate) where V : unmanaged, IVector<V>
    {
        for (int i = 0; i < rows; i++)
        {
            int j = 0;
            if (accumulate)
            {
                for (; j + V.Count <= columns; j += V.Count) V.Store(V.Add(V.Load(c + j), V.Load(edge + j)), c + j);
                for (; j < columns; j++) c[j] += edge[j];
            }
            else
            {
                for (; j + V.Count <= columns; j += V.Count) V.Store(V.Load(edge + j), c + j);
                for (; j < columns; j++) c[j] = edge[j];
            }
            edge += stride;
            c += ldc;
        }
    }

    private readonly struct DotParts<V>(GemmCall call) : IParts where V : unmanaged, IVector<V>
    {
        [SkipLocalsInit]
        public void Run(int part)
        {
            float* sums = stackalloc float[DotKernel.MaxRows * DotKernel.MaxColumns * Lanes.Count];
            nint* offsets = stackalloc nint[DotKernel.MaxColumns];
            int end = Math.Min((part + 1) * TileColumns, call.N);
            for (int j0 = part * TileColumns; j0 < end; j0 += DotKernel.MaxColumns)
            {
                int columns = Math.Min(DotKernel.MaxColumns, end - j0);
                for (int j = 0; j < columns; j++) offsets[j] = j * call.Ldb;
                new Span<float>(sums, call.M * columns * Lanes.Count).Clear();
                DotKernel.Run<V>(call.M, columns, call.K, call.A, call.Lda, call.B + (j0 * call.Ldb), offsets, sums);
                for (int i = 0; i < call.M; i++)
                {
                    float* c = call.C + (i * call.Ldc) + j0;
                    for (int j = 0; j < columns; j++)
                    {
                        float x = DotKernel.Fold(sums + (((i * columns) + j) * Lanes.Count)) * call.Alpha;
                        c[j] = call.Beta == 0f ? x : call.Beta == 1f ? c[j] + x : (c[j] * call.Beta) + x;
                    }
                }
            }
            int j1 = part * TileColumns;
            if (!call.Epilogue.IsEmpty) call.Epilogue.Apply<V>(call.C + j1, call.Ldc, 0, j1, call.M, end - j1);
        }
    }
}
