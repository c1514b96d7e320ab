using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>output [rows, columns] = clamp(bias + residual + W * source) with a W whose rows are in the order of their counts.</summary>
/// <remarks>
/// Columns are cut into groups of tiles. A group's lines are packed block by block, for as many chunks of rows as have their sums in the second cache beside them (one chunk at least); where the code takes fewer tiles at a time, strips of a group have their turn on a
/// block one after the other, so that rows of a matrix are read in long pieces and values come from near after the first strip; sources that pack alone are packed for one strip. Then a chunk's sums of one strip fit the second cache, and those of all strips, which wait meanwhile, may not. Threads share the tiles where there are enough; else the chunks, so each reads
/// its part of the values only, and packs the lines for itself.
/// </remarks>
internal unsafe struct CountedProduct<TSource> where TSource : struct, ITileSource
{
    public CountedMatrix Matrix;
    public TSource Source;
    public int Columns;
    public float* Output;

    /// <summary>Floats between rows of the output and the residual; between columns when they are turned.</summary>
    public nint RowStride;

    /// <summary>Whether output and residual are [columns, rows].</summary>
    public bool Turned;
    public float* Bias;
    public float* Residual;
    public Clamp Clamp;

    private const int Lanes = CompiledMatrix.Lanes;

    private readonly CountedCode Code => Matrix.Code;

    /// <summary>Tiles that are packed together: those of one strip where more would not be read in longer pieces, so that they are still in the first cache when they are multiplied.</summary>
    private readonly int PackedTiles => Source.PacksAlone ? Code.MostTiles : Code.PackedTiles((Matrix.RowCount + Matrix.Chunks - 1) / Matrix.Chunks);

    /// <summary>Tiles of 16 columns.</summary>
    private readonly int TileCount => (Columns + Lanes - 1) / Lanes;

    public readonly void Run()
    {
        if (Columns == 0) return;
        long work = ((long)Matrix.StoredCount + Matrix.RowCount) * TileCount;
        int groups = (TileCount + PackedTiles - 1) / PackedTiles, threads = WorkPool.IsAlone || work < 2 * CodedMatrix.WorthAPart ? 1 : WorkPool.Threads;
        if (threads == 1)
        {
            Multiply(0, Matrix.Chunks, 0, groups, groups);
        }
        else if (TileCount / threads >= Code.LeastTiles)
        {
            // As many groups for each thread.
            groups = Math.Min(TileCount, (groups + threads - 1) / threads * threads);
            WorkPool.Run(groups, new GroupParts { Call = this, Groups = groups });
        }
        else
        {
            // With fewer chunks than threads columns are shared as well.
            int shares = Code.LeastTiles < int.MaxValue ? Math.Min(TileCount, (threads + Matrix.Chunks - 1) / Matrix.Chunks) : 1;
            groups = Math.Max(groups, shares);
            WorkPool.Run(Matrix.Chunks * shares, new ChunkParts { Call = this, Groups = groups, Shares = shares });
        }
    }

    /// <summary>Computes some of the groups of tiles for some chunks of rows.</summary>
    private readonly void Multiply(int firstChunk, int endChunk, int firstGroup, int endGroup, int groups)
    {
        CompiledMatrix.EndTurn();
        float* clamp = stackalloc float[3 * Lanes];
        CompiledMatrix.FillClamp(Clamp, clamp);
        // Tiles of nearly as many registers as each other.
        int most = (TileCount + groups - 1) / groups;
        nint stride = Code.LineStride;
        using Scratch.Buffer packed = Scratch.Rent(most * stride);
        for (int j = 0; j < most; j++) new Span<float>(packed.Pointer + j * stride + Code.ZeroLine * Lanes, Lanes).Clear();
        for (int chunk = firstChunk; chunk < endChunk;)
        {
            int first = chunk, firstRow = Matrix.Rows(first).First;
            do chunk++; while (chunk < endChunk && (Matrix.Rows(chunk).End - firstRow) * (long)most * Lanes * sizeof(float) <= Code.SharedBytes);
            int rows = Matrix.Rows(chunk - 1).End - firstRow;
            if (rows == 0) continue;
            using Scratch.Buffer sums = Scratch.Rent(Turned || Matrix.Blocks > 1 ? rows * (nint)most * Lanes : 0);
            for (int g = firstGroup; g < endGroup; g++) Multiply(first, chunk, (int)((long)TileCount * g / groups), (int)((long)TileCount * (g + 1) / groups), packed.Pointer, sums.Pointer, Clamp.IsNone ? null : clamp);
        }
    }

    /// <summary>Computes a group of tiles for chunks that share packed lines: strips of as many tiles as the code takes, side by side.</summary>
    private readonly void Multiply(int firstChunk, int endChunk, int firstTile, int endTile, float* packed, float* sums, float* clamp)
    {
        int firstRow = Matrix.Rows(firstChunk).First, rows = Matrix.Rows(endChunk - 1).End - firstRow, tiles = endTile - firstTile, strips = (tiles + Code.MostTiles - 1) / Code.MostTiles;
        CountedCode.Arguments* all = stackalloc CountedCode.Arguments[strips];
        for (int i = 0; i < strips; i++)
        {
            (int first, int count) = StripOf(i);
            int start = (firstTile + first) * Lanes, columns = Math.Min(Columns - start, count * Lanes);
            float* waiting = sums + (nint)rows * first * Lanes, origin = waiting - (nint)firstRow * count * Lanes;
            all[i] = new CountedCode.Arguments
            {
                Input = packed + first * Code.LineStride,
                Sums = origin,
                Output = Turned ? origin : Output + start,
                Residual = Residual == null ? null : Turned ? origin : Residual + start,
                RowStride = (Turned ? count * Lanes : RowStride) * sizeof(float),
                Bias = Bias,
                Clamp = clamp,
            };
            Code.FillMasks(Turned ? RegistersOf(columns) * Code.Lanes : columns, ref all[i]);
            if (Turned && Residual != null) Transposition.Copy(Residual + start * RowStride + firstRow, RowStride, columns, rows, waiting, count * Lanes);
        }
        for (int b = 0; b < Matrix.Blocks; b++)
        {
            int line = b * Matrix.Depth;
            Source.Pack(firstTile, tiles, line, Math.Min(Matrix.Lines.Length, line + Matrix.Depth), packed - (nint)line * Lanes, Code.LineStride);
            for (int i = 0; i < strips; i++)
            {
                (int first, int count) = StripOf(i);
                int registers = RegistersOf(Math.Min(Columns - (firstTile + first) * Lanes, count * Lanes));
                for (int chunk = firstChunk; chunk < endChunk; chunk++) Matrix.Run(chunk, b, registers, all[i]);
            }
        }
        for (int i = 0; i < strips && Turned; i++)
        {
            (int first, int count) = StripOf(i);
            int start = (firstTile + first) * Lanes;
            Transposition.Copy(sums + (nint)rows * first * Lanes, count * Lanes, rows, Math.Min(Columns - start, count * Lanes), Output + start * RowStride + firstRow, RowStride);
        }

        (int First, int Count) StripOf(int strip)
        {
            int first = tiles * strip / strips;
            return (first, tiles * (strip + 1) / strips - first);
        }
    }

    private readonly int RegistersOf(int columns) => (columns + Code.Lanes - 1) / Code.Lanes;

    private struct GroupParts : IParts
    {
        public CountedProduct<TSource> Call;
        public int Groups;

        public readonly void Run(int group) => Call.Multiply(0, Call.Matrix.Chunks, group, group + 1, Groups);
    }

    private struct ChunkParts : IParts
    {
        public CountedProduct<TSource> Call;
        public int Groups, Shares;

        public readonly void Run(int part)
        {
            int chunk = part / Shares, share = part % Shares;
            Call.Multiply(chunk, chunk + 1, Groups * share / Shares, Groups * (share + 1) / Shares, Groups);
        }
    }
}
