using System.Diagnostics;
using System.Runtime.CompilerServices;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>Where the columns of a product come from.</summary>
internal unsafe interface ITileSource
{
    /// <summary>Whether a tile that is packed alone costs what it costs among others: then strips, and tiles of short code, are packed when they are needed, into the first cache.</summary>
    bool PacksAlone { get; }

    /// <summary>Whether columns are pixels, so that there are many tiles as a rule; a linear layer has few.</summary>
    bool HasManyTiles { get; }

    /// <summary>Copies lines first .. end-1 of 16 columns each; element (tile t, line i, lane) goes to (t - tile) * stride + i * 16 + lane.</summary>
    /// <param name="tile">First tile.</param>
    /// <param name="tiles">How many.</param>
    /// <param name="first">First line.</param>
    /// <param name="end">Line after the last; the floats of line <paramref name="end"/> may be spoilt.</param>
    /// <param name="to">Line 0 of the first tile, at an address divisible by 64.</param>
    /// <param name="stride">Floats between tiles.</param>
    void Pack(int tile, int tiles, int first, int end, float* to, nint stride);

    /// <summary>Where row 0 of a matrix begins whose rows are the lines, and the floats between its rows; null where lines must be packed.</summary>
    float* InPlace(out nint stride);
}

/// <summary>A source whose planes are laid out by whoever multiplies them.</summary>
internal unsafe interface IPlaneSource : ITileSource
{
    /// <summary>Says where the planes are.</summary>
    void Place(float* planes);
}

/// <summary>output [rows, columns] = clamp(bias + residual + W * source) with a compiled W.</summary>
/// <remarks>
/// What <see cref="CountedMatrix"/> multiplies is left to <see cref="CountedProduct{TSource}"/>; the rest is about straight-line code.
/// Many columns are cut into a share for each thread, the same one in every layer of an image's size, so that a thread reads what it wrote; a share is cut into groups of tiles. A part packs a block of
/// lines of its group, which fits the second cache, multiplies, and goes on to the next block. Where columns are too few for that, panels of rows are shared: then each thread reads its part
/// of the code only, and of the panel in the middle each has some tiles, so that 19 panels are no 10 and 9 (Zen 4, two threads, 512 x 4608 with 7 x 7 pixels at 90 %: 254 microseconds to 246). It packs all columns for itself: they are few, and what another thread packs comes from its cache line by line (8 x 8 pixels, 256 x 2304 at 90 % zeros, two threads: 68 microseconds, and 104 when
/// packing was shared with a barrier behind it).
/// </remarks>
internal unsafe struct CompiledProduct<TSource> where TSource : struct, ITileSource
{
    public CodedMatrix Matrix;
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

    /// <summary>Where the output lies in halves (<see cref="PlaneHalves"/>): floats that the lower one lies further; else 0. Straight-line code alone, no residual.</summary>
    public nint OutputSecond;

    private const int MostTiles = 16;

    // Below so many tiles a thread, code would be read for too few of them.
    private const int LeastTiles = 4;
    private const int GroupBytes = 384 * 1024;

    private readonly CompiledMatrix Code => (CompiledMatrix)Matrix;

    private readonly int TileCount => (Columns + CompiledMatrix.Lanes - 1) / CompiledMatrix.Lanes;

    private readonly long Work => (long)(Code.StoredCount + Code.Lines.Length) * TileCount;

    private readonly int ThreadCount => WorkPool.IsAlone || Work < 2 * CodedMatrix.WorthAPart ? 1 : WorkPool.Threads;

    // Tiles whose block of lines fits the second cache.
    private readonly int GroupTiles => Math.Clamp(GroupBytes / (Math.Min(Code.Lines.Length, Code.Depth) * CompiledMatrix.Lanes * sizeof(float)), 1, MostTiles);

    public readonly void Run()
    {
        if (Columns == 0) return;
        if (Matrix is CountedMatrix counted)
        {
            new CountedProduct<TSource> { Matrix = counted, Source = Source, Columns = Columns, Output = Output, RowStride = RowStride, Turned = Turned, Bias = Bias, Residual = Residual, Clamp = Clamp }.Run();
            return;
        }
        int tiles = TileCount, threads = ThreadCount;
        if (OutputSecond != 0)
        {
            RunHalves(Source);
        }
        else if (threads == 1)
        {
            RunTiles(0, tiles);
        }
        else if (SharesTiles(threads))
        {
            int each = (ShareOf(1, threads) + GroupTiles - 1) / GroupTiles;
            WorkPool.Run(threads * each, new ShareParts { Call = this, Threads = threads, Each = each });
        }
        else if (tiles > MostTiles)
        {
            // Groups of one tile would read all code for 16 columns.
            int shares = Math.Min(threads, tiles / 2);
            WorkPool.Run(shares, new ShareParts { Call = this, Threads = shares, Each = 1 });
        }
        else
        {
            int sharers = PanelSharers(threads);
            WorkPool.Run(sharers, new PanelParts { Call = this, Sharers = sharers });
        }
    }

    /// <summary>As <see cref="Run()"/> for a source or an output in halves, or both: straight-line code, at least one column, no residual.</summary>
    /// <param name="lowerSource">The source of the lower half.</param>
    public readonly void RunHalves(in TSource lowerSource)
    {
        Debug.Assert(Matrix is CompiledMatrix && Columns > 0 && Residual == null);
        int each = (ShareOf(1, 2) + GroupTiles - 1) / GroupTiles;
        CompiledProduct<TSource> lower = this;
        lower.Source = lowerSource;
        lower.Output += OutputSecond;
        var halves = new HalfParts { Upper = this, Lower = lower, Each = each };
        if (ThreadCount > 1) WorkPool.Run(2 * each, halves);
        else for (int part = 0; part < 2 * each; part++) halves.Run(part);
    }

    /// <summary>Whether every one of so many threads gets enough tiles of its own and enough to do; rows are shared otherwise.</summary>
    public readonly bool SharesTiles(int threads) => Matrix is CompiledMatrix && TileCount >= LeastTiles * threads && Work >= 2 * CodedMatrix.WorthAPart;

    /// <summary>How many of so many threads share the panels where tiles are too few to share.</summary>
    public readonly int PanelSharers(int threads) => (int)Math.Clamp(Work / CodedMatrix.WorthAPart, 1, Math.Min(threads, Code.Panels));

    /// <summary>The first tile of a thread's share.</summary>
    public readonly int ShareOf(int thread, int threads) => (int)(((long)TileCount * thread + threads - 1) / threads);

    /// <summary>Computes tiles first .. end-1 on the calling thread.</summary>
    public readonly void RunTiles(int first, int end)
    {
        int groups = (end - first + GroupTiles - 1) / GroupTiles;
        for (int g = 0; g < groups; g++) RunGroup(first, end - first, g, groups);
    }

    /// <summary>Computes all columns for one of some shares of the panels, on the calling thread.</summary>
    public readonly void RunPanels(int share, int sharers)
    {
        PanelCut from = CutOf(share, sharers), to = CutOf(share + 1, sharers);
        if (from == to) return;
        if (from.Tile == 0 && to.Tile == 0) Multiply(0, TileCount, from.Panel, to.Panel);
        else Run(WholeTiles(0, TileCount), 0, TileCount, from, to);
    }

    private readonly void RunGroup(int first, int tiles, int group, int groups)
    {
        int from = (int)((long)tiles * group / groups), to = (int)((long)tiles * (group + 1) / groups);
        if (to > from) Multiply(first + from, to - from, 0, Code.Panels);
    }

    /// <summary>Where a share of nearly as many stored values as the others begins: inside a panel where all tiles are whole, else between two.</summary>
    internal readonly PanelCut CutOf(int share, int sharers)
    {
        int panels = Code.Panels, tiles = TileCount;
        if (share == 0) return default;
        if (share == sharers) return new PanelCut(panels, 0);
        ReadOnlySpan<long> before = Code.StoredBefore;
        long target = before[panels] * share / sharers;
        int p = 0;
        while (p < panels - 1 && before[p + 1] <= target) p++;
        long part = target - before[p], all = Math.Max(1, before[p + 1] - before[p]);
        int tile = Turned || Columns % CompiledMatrix.Lanes != 0 ? (2 * part > all ? tiles : 0) : (int)((part * tiles + all / 2) / all);
        return tile < tiles ? new PanelCut(p, tile) : new PanelCut(p + 1, 0);
    }

    /// <summary>Multiplies some panels with some tiles.</summary>
    private readonly void Multiply(int tile, int tiles, int firstPanel, int endPanel)
    {
        if (Turned)
        {
            MultiplyTurned(tile, tiles, firstPanel, endPanel);
            return;
        }
        nint stride = 0;
        float* from = firstPanel == 0 && endPanel == Code.Panels && Columns >= CompiledMatrix.Lanes && Code.RunsInPlace(tiles) ? Source.InPlace(out stride) : null;
        if (from != null)
        {
            MultiplyInPlace(from, stride, tile, tiles);
            return;
        }
        int start = tile * CompiledMatrix.Lanes, width = Math.Min(Columns - start, tiles * CompiledMatrix.Lanes), whole = width / CompiledMatrix.Lanes;
        CompiledMatrix.Tiles call = WholeTiles(tile, whole);
        if (whole == tiles)
        {
            Run(call, tile, tiles, new PanelCut(firstPanel, 0), new PanelCut(endPanel, 0));
            return;
        }
        // The last tile ends inside a register: it goes through a copy.
        (int first, int end) = Code.Rows(firstPanel, endPanel);
        int rest = width - whole * CompiledMatrix.Lanes;
        using Scratch.Buffer tail = Scratch.Rent((long)(end - first) * CompiledMatrix.Lanes);
        float* rows = tail.Pointer - (nint)first * CompiledMatrix.Lanes;
        float* edge = Output + start + whole * CompiledMatrix.Lanes;
        if (Residual != null)
        {
            float* added = Residual + start + whole * CompiledMatrix.Lanes;
            for (nint r = first; r < end; r++) Unsafe.CopyBlockUnaligned(rows + r * CompiledMatrix.Lanes, added + r * RowStride, (uint)rest * sizeof(float));
        }
        call.Tail = rows;
        call.TailResidual = Residual == null ? null : rows;
        Run(call, tile, tiles, new PanelCut(firstPanel, 0), new PanelCut(endPanel, 0));
        for (nint r = first; r < end; r++) Unsafe.CopyBlockUnaligned(edge + r * RowStride, rows + r * CompiledMatrix.Lanes, (uint)rest * sizeof(float));
    }

    /// <summary>Tiles whose results go where they stay.</summary>
    private readonly CompiledMatrix.Tiles WholeTiles(int tile, int count) => new()
    {
        Whole = count,
        Output = Output + tile * CompiledMatrix.Lanes,
        Residual = Residual == null ? null : Residual + tile * CompiledMatrix.Lanes,
        RowStride = RowStride,
        OutputTile = CompiledMatrix.Lanes,
        Bias = Bias,
        Clamp = Clamp,
    };

    /// <summary>Multiplies all panels with some tiles that lie in a matrix.</summary>
    private readonly void MultiplyInPlace(float* from, nint stride, int tile, int tiles)
    {
        const int Lanes = CompiledMatrix.Lanes;
        int start = tile * Lanes, whole = Math.Min(tiles, Columns / Lanes - tile), rest = tiles > whole ? Columns % Lanes : 0;
        using Scratch.Buffer packed = Scratch.Rent(Code.Depth * (nint)Lanes), sums = Scratch.Rent((Code.RunsTileAfterTile ? 1 : Math.Max(1, whole)) * Code.SumsOf(Code.RowCount));
        var call = new CompiledMatrix.Tiles
        {
            Input = packed.Pointer,
            Sums = sums.Pointer,
            SumsTile = Code.RunsTileAfterTile ? 0 : (nint)Code.RowCount * Lanes,
            Whole = whole,
            Output = Output + start,
            Residual = Residual == null ? null : Residual + start,
            RowStride = RowStride,
            OutputTile = Lanes,
            Bias = Bias,
            Clamp = Clamp,
            ComesFromFar = Code.TakeTurn(),
        };
        if (whole > 0) Code.RunInPlace(call, from + start, stride);
        if (rest == 0) return;
        // The last tile ends with the last column. Columns that belong to the tile before get the same bits once more, unless another thread is at them or they have been added to.
        int last = Columns - Lanes;
        call.Whole = 1;
        call.ComesFromFar &= whole == 0;
        if (whole > 0 && Residual != Output)
        {
            call.Output = Output + last;
            call.Residual = Residual == null ? null : Residual + last;
            Code.RunInPlace(call, from + last, stride);
            return;
        }
        using Scratch.Buffer tail = Scratch.Rent((long)Code.RowCount * Lanes);
        float* edge = tail.Pointer + Lanes - rest;
        if (Residual != null)
        {
            new Span<float>(tail.Pointer, Code.RowCount * Lanes).Clear();
            CopyColumns(Residual + Columns - rest, RowStride, edge, Lanes, rest);
        }
        call.Output = tail.Pointer;
        call.Residual = Residual == null ? null : tail.Pointer;
        call.RowStride = Lanes;
        Code.RunInPlace(call, from + last, stride);
        CopyColumns(edge, Lanes, Output + Columns - rest, RowStride, rest);
    }

    private readonly void CopyColumns(float* from, nint stride, float* to, nint toStride, int columns)
    {
        for (int r = 0; r < Code.RowCount; r++, from += stride, to += toStride) Unsafe.CopyBlockUnaligned(to, from, (uint)columns * sizeof(float));
    }

    private readonly void MultiplyTurned(int tile, int tiles, int firstPanel, int endPanel)
    {
        (int first, int end) = Code.Rows(firstPanel, endPanel);
        int rows = end - first;
        nint size = (nint)rows * CompiledMatrix.Lanes;
        using Scratch.Buffer turned = Scratch.Rent(tiles * size);
        float* origin = turned.Pointer - (nint)first * CompiledMatrix.Lanes;
        if (Residual != null)
        {
            for (int t = 0; t < tiles; t++)
                Transposition.Copy(Residual + (tile + t) * CompiledMatrix.Lanes * RowStride + first, RowStride, Width(tile + t), rows, turned.Pointer + t * size, CompiledMatrix.Lanes);
        }
        Run(new CompiledMatrix.Tiles
        {
            Whole = tiles,
            Output = origin,
            Residual = Residual == null ? null : origin,
            RowStride = CompiledMatrix.Lanes,
            OutputTile = size,
            Sums = origin,
            Bias = Bias,
            Clamp = Clamp,
        }, tile, tiles, new PanelCut(firstPanel, 0), new PanelCut(endPanel, 0));
        for (int t = 0; t < tiles; t++)
            Transposition.Copy(turned.Pointer + t * size, CompiledMatrix.Lanes, rows, Width(tile + t), Output + (tile + t) * CompiledMatrix.Lanes * RowStride + first, RowStride);
    }

    private readonly void Run(CompiledMatrix.Tiles call, int tile, int tiles, PanelCut from, PanelCut to)
    {
        int lines = Code.Lines.Length;
        call.InputTile = CompiledMatrix.TileStride(Math.Min(lines, Code.Depth));
        (int firstRow, int endRow) = Code.Rows(from.Panel, to.At(0));
        call.SumsTile = (nint)(endRow - firstRow) * CompiledMatrix.Lanes;
        call.ComesFromFar = Code.TakeTurn();
        // Packed one by one, tiles stay in the first cache on their way to the products. Units of half the width multiply no faster than packed lines arrive from the second: there a call for each of many tiles costs more than it saves.
        bool alone = Source.PacksAlone && Code.BlocksAreShort && (VectorUnits.AreFullWidth || !Source.HasManyTiles);
        using Scratch.Buffer packed = Scratch.Rent((alone ? 1 : tiles) * call.InputTile), sums = Scratch.Rent(call.Sums == null ? tiles * Code.SumsOf(endRow - firstRow) : 0);
        call.Input = packed.Pointer;
        if (call.Sums == null) call.Sums = sums.Pointer - (nint)firstRow * CompiledMatrix.Lanes;
        for (int b = 0; b < Code.Blocks; b++)
        {
            int first = b * Code.Depth, end = Math.Min(lines, first + Code.Depth);
            float* origin = packed.Pointer - (nint)first * CompiledMatrix.Lanes;
            if (!alone)
            {
                Source.Pack(tile, tiles, first, end, origin, call.InputTile);
                RunBlock(call, from, to, b);
                continue;
            }
            for (int t = 0; t < tiles; t++)
            {
                if (from.At(t) == to.At(t)) continue;
                Source.Pack(tile + t, 1, first, end, origin, call.InputTile);
                // The panel that another share begins has its first tile of this one later than the panels behind it.
                Code.Run(call.Only(t, isFirst: t == 0 || t == from.Tile), from.At(t), to.At(t), b, b + 1);
            }
        }
    }

    /// <summary>A block of lines for all that lies between two cuts.</summary>
    private readonly void RunBlock(in CompiledMatrix.Tiles call, PanelCut from, PanelCut to, int block)
    {
        int first = from.At(0);
        if (from.Panel == to.Panel) Code.Run(call.Some(from.Tile, to.Tile), from.Panel, from.Panel + 1, block, block + 1);
        else
        {
            if (from.Tile > 0) Code.Run(call.Some(from.Tile, call.Whole), from.Panel, first, block, block + 1);
            Code.Run(call, first, to.Panel, block, block + 1);
            if (to.Tile > 0) Code.Run(call.Some(0, to.Tile), to.Panel, to.Panel + 1, block, block + 1);
        }
    }

    private readonly int Width(int tile) => Math.Min(CompiledMatrix.Lanes, Columns - tile * CompiledMatrix.Lanes);

    private struct ShareParts : IParts
    {
        public CompiledProduct<TSource> Call;
        public int Threads, Each;

        public readonly void Run(int part)
        {
            int first = Call.ShareOf(part / Each, Threads), end = Call.ShareOf(part / Each + 1, Threads);
            Call.RunGroup(first, end - first, part % Each, Each);
        }
    }

    private struct HalfParts : IParts
    {
        public CompiledProduct<TSource> Upper, Lower;
        public int Each;

        public readonly void Run(int part) => new ShareParts { Call = part < Each ? Upper : Lower, Threads = 2, Each = Each }.Run(part);
    }

    /// <summary>A place among panels and tiles: all tiles of the panels before it, and of its own panel those before its tile.</summary>
    internal readonly record struct PanelCut(int Panel, int Tile)
    {
        /// <summary>How many panels of a tile are before the cut.</summary>
        public int At(int tile) => tile < Tile ? Panel + 1 : Panel;
    }

    private struct PanelParts : IParts
    {
        public CompiledProduct<TSource> Call;
        public int Sharers;

        public readonly void Run(int part) => Call.RunPanels(part, Sharers);
    }
}
