using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>output [rows, columns] = clamp(bias + residual + W * source) with a W whose rows are in the order of their counts.</summary>
/// <remarks>
/// Columns are cut into tiles of some registers. A tile's lines are packed block by block, for as many chunks of rows as have their sums in the second cache beside them. Threads share the tiles where there are enough; else the chunks, so each reads
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

    /// <summary>Tiles of 16 columns.</summary>
    private readonly int TileCount => (Columns + Lanes - 1) / Lanes;

    public readonly void Run()
    {
        if (Columns == 0) return;
        long work = ((long)Matrix.StoredCount + Matrix.RowCount) * TileCount;
        int groups = (TileCount + Code.MostTiles - 1) / Code.MostTiles, threads = WorkPool.IsAlone || work < 2 * CodedMatrix.WorthAPart ? 1 : WorkPool.Threads;
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

    /// <summary>Computes some tiles for chunks that share packed lines.</summary>
    private readonly void Multiply(int firstChunk, int endChunk, int firstTile, int endTile, float* packed, float* sums, float* clamp)
    {
        int firstRow = Matrix.Rows(firstChunk).First, rows = Matrix.Rows(endChunk - 1).End - firstRow, tiles = endTile - firstTile;
        int start = firstTile * Lanes, columns = Math.Min(Columns - start, tiles * Lanes), registers = (columns + Code.Lanes - 1) / Code.Lanes;
        float* origin = sums - (nint)firstRow * tiles * Lanes;
        var arguments = new CountedCode.Arguments
        {
            Input = packed,
            Sums = origin,
            Output = Turned ? origin : Output + start,
            Residual = Residual == null ? null : Turned ? origin : Residual + start,
            RowStride = (Turned ? tiles * Lanes : RowStride) * sizeof(float),
            Bias = Bias,
            Clamp = clamp,
        };
        Code.FillMasks(Turned ? registers * Code.Lanes : columns, ref arguments);
        if (Turned && Residual != null) Transposition.Copy(Residual + start * RowStride + firstRow, RowStride, columns, rows, sums, tiles * Lanes);
        for (int b = 0; b < Matrix.Blocks; b++)
        {
            int line = b * Matrix.Depth;
            Source.Pack(firstTile, tiles, line, Math.Min(Matrix.Lines.Length, line + Matrix.Depth), packed - (nint)line * Lanes, Code.LineStride);
            for (int chunk = firstChunk; chunk < endChunk; chunk++) Matrix.Run(chunk, b, registers, arguments);
        }
        if (Turned) Transposition.Copy(sums, tiles * Lanes, rows, columns, Output + start * RowStride + firstRow, RowStride);
    }

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
