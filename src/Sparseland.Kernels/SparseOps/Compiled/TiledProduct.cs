using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>output [rows, columns] = clamp(bias + residual + W * input [depth, columns]) with a W of tiles.</summary>
/// <remarks>
/// Inputs are read where they are: a tile's columns are walked through for some hundred columns of the input, so loops are long for the predictor of jumps, lines are neighbours, and each tile's values stay in the
/// first cache for all of them. Rows that are too far apart, or begin inside lines, are copied first. Threads share rows where outputs are far more than inputs, which every thread then reads where they are, columns where each
/// gets enough of them, rows otherwise. Matrices whose columns are in blocks have their inputs packed (<see cref="TiledPanels"/>).
/// </remarks>
internal unsafe struct TiledProduct
{
    public TiledMatrix Matrix;

    /// <summary>Where each column of a tile finds its line, in units of <see cref="InputStride"/>; null where the columns themselves say it. Such lines are near already and are not copied or cut.</summary>
    public int* Offsets;
    public float* Input;

    /// <summary>Floats between rows of the input.</summary>
    public nint InputStride;
    public int Columns;
    public float* Output;

    /// <summary>Floats between rows of the output and the residual.</summary>
    public nint OutputStride;
    public float* Bias;
    public float* Residual;
    public Clamp Clamp;

    private const int LineFloats = 16;

    // Groups of registers that a tile is multiplied with before the next tile has its turn: at least so many, and as many as inputs fit the second cache (in registers of 16 floats: with AVX2 they are half as large, and so is that cache, 512 KB and not 1 MB).
    private const int LeastGroups = 8, MostGroups = 256, NearInputs = 256 * 1024;

    // Fewer columns than these leave so little to do between stores that groups of 12 to 16 sums overlap better than those of 24: 8 x 2 for 8 x 3, 4 x 3 for 4 x 6.
    private const int FewColumns = 8, FewOf8 = 2, FewOf4 = 3;

    // Lines of an output's row between those that are stored and those that are asked for.
    private const int LinesAhead = 8;

    // From so many outputs for an input on threads share rows, where each gets so many tiles that none waits long for another: what a core fetches by itself behind a row's share of columns is what another core writes. 256 x 64 by 3136
    // columns at 95 % zeros took 75 to 80 microseconds on two cores cut by columns and 37 to 45 cut by rows, and 220 and 37 in a minute in which these cores were far from each other (Zen 4). No tile may be more than a fourth of a thread's share. Every thread reads all inputs: they have to fit its second cache, and not to be copied by each thread anew.
    private const int OutputsForAnInput = 2, LeastTilesOfAThread = 8, LeastPartsOfAShare = 4, UsualSecondCache = 1 << 20;

    // What writing a tile takes, in columns of it: as in RowPartition.
    private const int ColumnsToWrite = 2;

    // Rows of the input that are a multiple of so many floats apart fall into few sets of the caches, unless all of them is read: then a chunk is copied.
    private const int CrowdedStride = 512;

    // So often each line of the input is used before it pays to copy rows that begin inside lines to where they do not. Tiles of 4 rows use what they load four times: each load across two lines is two, and one line more comes out of the second cache.
    private const int UsesWorthACopy = 16;

    // Multiply-adds of a call: garbage collections may have to wait for it, some hundred microseconds.
    private const int MostInACall = 1 << 20;

    private readonly int Most => Math.Min(Matrix.StoredCount < (long)Matrix.Height * FewColumns * Matrix.Tiles ? Matrix.Height == 8 ? FewOf8 : FewOf4 : int.MaxValue, Matrix.Code.MostRegisters(Matrix.Height, laneColumns: 0));

    private readonly int Lanes => Matrix.Code.Lanes;

    /// <summary>
    /// Whether tiles are faster than straight-line code with so many columns of an input. One register does not hide what a loop costs: 768 x 768 by 8 columns took 50 microseconds at 80 % zeros where code took 37; by 17 it took 58 and 72. Columns whose
    /// rows are in the lanes pay with eight rows (3 columns: 20 and 37).
    /// </summary>
    public static bool Pays(TiledMatrix matrix, long columns) => columns > matrix.Code.Lanes || (columns <= matrix.Code.MostLaneColumns && matrix.Height == 8);

    public readonly void Run()
    {
        if (Columns == 0) return;
        int threads = WorkPool.IsAlone ? 1 : WorkPool.Threads;
        if (Matrix.BlockDepth > 0) Share(new TiledPanels { Product = this }, threads);
        else Share(new Whole { Call = this }, threads, prefersRows: PrefersRows(threads));
    }

    /// <summary>Whether so many threads share rows even where there are enough columns for each.</summary>
    internal readonly bool PrefersRows(int threads)
    {
        if (Matrix.Rows < (long)OutputsForAnInput * Matrix.Depth || Matrix.Tiles < LeastTilesOfAThread * threads) return false;
        long secondCache = ProcessorIdentity.CacheBytes.L2, stored = Matrix.Pointers[^1];
        if (secondCache <= 0) secondCache = UsualSecondCache;
        if (InputStride % CrowdedStride == 0 || IsWorthACopy(stored / threads) || (long)Matrix.Depth * Columns * sizeof(float) > secondCache) return false;
        return (Matrix.LargestTile + ColumnsToWrite) * (long)LeastPartsOfAShare * threads <= stored + (long)ColumnsToWrite * Matrix.Tiles;
    }

    /// <summary>Cuts the product into a share for each thread and runs them.</summary>
    /// <param name="work">Computes a share.</param>
    /// <param name="most">Most threads.</param>
    /// <param name="prefersRows">Whether rows are cut even where there are enough columns (<see cref="PrefersRows"/>).</param>
    public readonly void Share<TWork>(TWork work, int most, bool prefersRows = false) where TWork : struct, ITiledWork
    {
        int wide = (Columns + Lanes - 1) / Lanes, threads = (int)Math.Clamp(((long)Matrix.StoredCount + Matrix.Rows) * ((Columns + LineFloats - 1) / LineFloats) / CodedMatrix.WorthAPart, 1, most);
        if (threads == 1)
        {
            work.Run(0, wide, 0, Matrix.Tiles);
        }
        else if (!prefersRows && wide >= Most * threads)
        {
            WorkPool.Run(threads, new ColumnParts<TWork> { Work = work, Tiles = Matrix.Tiles, Wide = wide, Threads = threads });
        }
        else
        {
            threads = Math.Min(threads, Matrix.Tiles);
            int* boundaries = stackalloc int[threads + 1];
            fixed (int* pointers = Matrix.Pointers) RowPartition.Fill(pointers, Matrix.Tiles, new Span<int>(boundaries, threads + 1));
            WorkPool.Run(threads, new RowParts<TWork> { Work = work, Wide = wide, Boundaries = boundaries });
        }
    }

    /// <summary>Some tiles in registers first .. end-1 of the columns; the last one of all may be shorter than others.</summary>
    public readonly void RunColumns(int first, int end, int firstTile, int endTile)
    {
        int start = first * Lanes, width = Math.Min(Columns, end * Lanes) - start;
        int registers = width / Lanes, rest = width % Lanes, lanes = rest <= Matrix.Code.MostLaneColumns ? rest : 0;
        bool masked = rest > 0 && lanes == 0;
        if (masked) registers++;
        (int size, int larger, int groups) = Cut(registers, lanes, packed: false);
        int smaller = groups - larger - (rest > 0 ? 1 : 0);
        Groups(start, size + 1, larger, firstTile, endTile);
        Groups(start + larger * (size + 1) * Lanes, size, smaller, firstTile, endTile);
        int last = registers - size;
        if (rest > 0) Chunk(new Piece(start + last * Lanes, size, 1, lanes, masked), width - last * Lanes, firstTile, endTile);
    }

    /// <summary>Registers in groups of two sizes, the larger ones first: the one with a mask or with rows in the lanes is the last of the smaller ones.</summary>
    public readonly (int Size, int Larger, int Groups) Cut(int registers, int lanes, bool packed)
    {
        int most = Most, groups = Math.Max(1, (registers + most - 1) / most);
        while (lanes > 0 && registers / groups > Matrix.Code.MostRegisters(Matrix.Height, lanes, packed)) groups++;
        return (registers / groups, registers % groups, groups);
    }

    private readonly void Groups(int start, int registers, int groups, int firstTile, int endTile)
    {
        int most = Offsets != null ? groups + 1 : (int)Math.Clamp(NearInputs / ((long)Matrix.Depth * registers * LineFloats + 1), LeastGroups, MostGroups), chunks = (groups + most - 1) / most;
        for (int c = 0; c < chunks; c++)
        {
            int from = groups * c / chunks, to = groups * (c + 1) / chunks;
            Chunk(new Piece(start + from * registers * Lanes, registers, to - from, 0, false), (to - from) * registers * Lanes, firstTile, endTile);
        }
    }

    private readonly void Chunk(in Piece piece, int width, int firstTile, int endTile)
    {
        if (Offsets == null && ((width < Columns && InputStride % CrowdedStride == 0) || IsWorthACopy(Matrix.Pointers[endTile] - Matrix.Pointers[firstTile])))
        {
            // An odd number of lines between rows, so that they are spread.
            nint stride = ((width + LineFloats - 1) / LineFloats | 1) * (nint)LineFloats;
            using Scratch.Buffer copy = Scratch.Rent(Matrix.Depth * stride);
            PlaneRows.Copy(Input + piece.Start, InputStride, Matrix.Depth, width, copy.Pointer, stride);
            Chunk(piece, copy.Pointer, stride, width, firstTile, endTile);
            return;
        }
        Chunk(piece, Input + piece.Start, InputStride, width, firstTile, endTile);
    }

    private readonly bool IsWorthACopy(long columns) =>
        Matrix.Height == 4 && InputStride % LineFloats != 0 && columns >= (long)UsesWorthACopy * Matrix.Depth;

    /// <summary>Some tiles of a piece.</summary>
    /// <param name="piece">The columns.</param>
    /// <param name="input">What line 0 has for the first of them.</param>
    /// <param name="stride">Floats between lines.</param>
    /// <param name="width">How many columns they are.</param>
    /// <param name="firstTile">First tile.</param>
    /// <param name="endTile">The one after the last.</param>
    public readonly void Chunk(in Piece piece, float* input, nint stride, int width, int firstTile, int endTile)
    {
        int height = Matrix.Height, whole = Math.Min(endTile, Matrix.Rows / height), each = MostInACall / (piece.Registers * piece.Groups + 1);
        float* output = Output + piece.Start, residual = Residual == null ? null : Residual + piece.Start;
        ReadOnlySpan<int> pointers = Matrix.Starts[(piece.Block * Matrix.Tiles)..];
        for (int tile = firstTile, end; tile < whole; tile = end)
        {
            for (end = tile + 1; end < whole && (pointers[end + 1] - pointers[tile] + (long)ColumnsToWrite * (end + 1 - tile)) * height <= each; end++)
            {
            }
            nint row = (nint)tile * height;
            Call(piece, input, stride, tile, end - tile, output + row * OutputStride, OutputStride, residual == null ? null : residual + row * OutputStride, Bias == null ? null : Bias + row);
        }
        if (endTile > whole) LastTile(piece, input, stride, width, output, residual);
    }

    /// <summary>The tile that ends with the last row: rows that fill it up go nowhere.</summary>
    private readonly void LastTile(in Piece piece, float* input, nint stride, int width, float* output, float* residual)
    {
        int height = Matrix.Height, tile = Matrix.Tiles - 1, rows = Matrix.Rows - tile * height;
        nint row = (nint)tile * height, wide = (width + Lanes - 1) / Lanes * (nint)Lanes;
        using Scratch.Buffer rest = Scratch.Rent(height * wide);
        float* bias = stackalloc float[height];
        new Span<float>(bias, height).Clear();
        if (Bias != null) new ReadOnlySpan<float>(Bias + row, rows).CopyTo(new Span<float>(bias, height));
        if (residual != null && !piece.Continues)
        {
            new Span<float>(rest.Pointer, (int)(height * wide)).Clear();
            PlaneRows.Copy(residual + row * OutputStride, OutputStride, rows, width, rest.Pointer, wide);
        }
        Call(piece, input, stride, tile, 1, rest.Pointer, wide, residual == null ? null : rest.Pointer, Bias == null ? null : bias);
        if (!piece.Waits) PlaneRows.Copy(rest.Pointer, wide, rows, width, output + row * OutputStride, OutputStride);
    }

    private readonly void Call(in Piece piece, float* input, nint stride, int tile, int tiles, float* output, nint outputStride, float* residual, float* bias)
    {
        int part = piece.Block * Matrix.Tiles + tile, first = Matrix.Starts[part];
        if (tiles == 1 && piece.Groups > 1)
        {
            // A single tile of many columns can be more than a call should do: it takes fewer groups at a time.
            int most = (int)Math.Clamp(MostInACall / ((long)(Matrix.Starts[part + 1] - first) * Matrix.Height * piece.Registers + 1), 1, piece.Groups);
            nint floats = piece.Registers * Lanes;
            for (int group = 0; most < piece.Groups && group < piece.Groups; group += most)
            {
                nint at = group * floats;
                Call(piece with { Groups = Math.Min(most, piece.Groups - group) }, input + at, stride, tile, 1, output + at, outputStride, residual == null ? null : residual + at, bias);
            }
            if (most < piece.Groups) return;
        }
        float* clamp = stackalloc float[3 * CompiledMatrix.Lanes];
        CompiledMatrix.FillClamp(Clamp, clamp);
        nint width = piece.Registers * Lanes * sizeof(float), nextTile = Matrix.Height * outputStride * sizeof(float);
        int ahead = piece.Groups <= LeastGroups ? 0 : Math.Max(2, Lanes == LineFloats ? (LinesAhead + piece.Registers - 1) / piece.Registers : 0);
        var arguments = new TileCode.Arguments
        {
            Counts = Matrix.Counts + part,
            Columns = (Offsets == null ? Matrix.Columns : Offsets) + first,
            Values = Matrix.Values + (nint)first * Matrix.Height,
            Input = input,
            InputStride = stride * sizeof(float),
            Output = output,
            OutputStride = outputStride * sizeof(float),
            Adds = residual == null ? 0 : 1,
            ResidualFromOutput = (nint)residual - (nint)output,
            Bias = bias,
            Clamp = Clamp.IsNone ? null : clamp,
            Groups = piece.Groups,
            Tiles = tiles,
            Mask = (1 << Columns % Lanes) - 1,
            // Along the rows where they are long and then the next tile's, else the next tile's at once.
            Ahead = ahead > 0 ? ahead * width : nextTile,
            GroupsToWrap = ahead > 0 ? piece.Groups - ahead : 0,
            Wrap = nextTile - piece.Groups * width,
            Sums = (float*)piece.Sums + (nint)tile * piece.SumsOfATile(Matrix.Height, Lanes),
            Continues = piece.Continues ? 1 : 0,
            Waits = piece.Waits ? 1 : 0,
        };
        CompiledMatrix.EndTurn();
        Matrix.Code.Run(Matrix.Height, piece.Registers, piece.LaneColumns, piece.Masked, Matrix.BlockDepth > 0, &arguments);
        GC.KeepAlive(Matrix);
    }

    /// <summary>Columns that one function computes for a tile, from Start on: groups of some registers, or one group that ends with a mask or with columns whose rows are in the lanes.</summary>
    internal readonly record struct Piece(int Start, int Registers, int Groups, int LaneColumns, bool Masked)
    {
        /// <summary>The block of the matrix's columns.</summary>
        public int Block { get; init; }

        /// <summary>Where sums of tile 0 wait between blocks.</summary>
        public nint Sums { get; init; }

        /// <summary>Whether sums begin with those that wait.</summary>
        public bool Continues { get; init; }

        /// <summary>Whether sums wait for the next block.</summary>
        public bool Waits { get; init; }

        /// <summary>Floats of a tile's sums that wait.</summary>
        public int SumsOfATile(int height, int lanes) => (height * Registers + LaneColumns) * lanes;
    }

    private struct Whole : ITiledWork
    {
        public TiledProduct Call;

        public readonly void Run(int first, int end, int firstTile, int endTile) => Call.RunColumns(first, end, firstTile, endTile);
    }

    private struct ColumnParts<TWork> : IParts where TWork : struct, ITiledWork
    {
        public TWork Work;
        public int Tiles, Wide, Threads;

        public readonly void Run(int part) => Work.Run(Share(part), Share(part + 1), 0, Tiles);

        // As compiled products are shared: a thread reads what it wrote.
        private readonly int Share(int thread) => (int)(((long)Wide * thread + Threads - 1) / Threads);
    }

    private struct RowParts<TWork> : IParts where TWork : struct, ITiledWork
    {
        public TWork Work;
        public int Wide;
        public int* Boundaries;

        public readonly void Run(int part)
        {
            if (Boundaries[part + 1] > Boundaries[part]) Work.Run(0, Wide, Boundaries[part], Boundaries[part + 1]);
        }
    }
}

/// <summary>A share of a product with tiles.</summary>
internal interface ITiledWork
{
    /// <summary>Computes tiles firstTile .. endTile-1 in registers first .. end-1 of the columns.</summary>
    void Run(int first, int end, int firstTile, int endTile);
}
