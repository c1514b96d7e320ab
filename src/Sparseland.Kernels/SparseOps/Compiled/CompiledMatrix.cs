using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>The structure of a sparse matrix W [rows, columns] as machine code that multiplies it with tiles of 16 columns.</summary>
/// <remarks>
/// <para>Up to 28 rows form a panel whose sums stay in registers. Its code walks through the columns that any of these rows
/// uses: one load of the 16 inputs, then one multiply-add for each stored value, which the instruction itself reads and
/// broadcasts. There is nothing else: no index, no loop, no branch. Values are a stream beside the code, so training updates
/// them and keeps the code. As in the just-in-time kernels of Intel (arXiv 2306.16601, "pattern baked into generated
/// code") and LIBXSMM's fsspmdm, here for any pattern and with the structure apart from the values.</para>
/// <para>Each output starts from bias + residual and adds its products in the order of the columns, rounding once each: the bits of <see cref="RowKernel"/>.</para>
/// <para>Measured before it was written (one thread, Zen 4, 15 shapes of ResNet-50, ViT and Llama): 1 register of columns and 28 rows beat 2 registers and 14 rows, and 4 and 7 rows: more rows
/// use each input more often.</para>
/// <para>What limits it at 95 % zeros, where a load serves one or two values: loads, and where they find their inputs. Blocks of 256 lines and all panels in turn on one tile keep inputs in the first cache; code
/// may stream from beyond it. Lines of a matrix are packed by the first panel while it multiplies (<see cref="RunInPlace"/>). What was tried besides: docs/performance.md, section 2. The figure
/// <c>spmm</c> prints what comes of it.</para>
/// <para>Code and values of the next panels are asked for ahead, a few lines after each panel: layers with few pixels and many weights otherwise wait for code from memory.</para>
/// </remarks>
internal sealed unsafe partial class CompiledMatrix : CodedMatrix
{
    /// <summary>Columns of a tile.</summary>
    public const int Lanes = 16;

    private const int LineBytes = Lanes * sizeof(float);

    // Inputs of a block of lines stay in the first cache while all panels use them, beside the lines of the matrix that the first panel reads: 16 KiB. 24 KiB where that makes one block and no sums
    // have to wait, and for convolutions, most of which pack their lines beforehand. Where a line serves so many values that loads do not matter, sums are rather kept twice as long.
    private const int ThinDepth = 256, MediumDepth = 384, DenseDepth = 768, ValuesThatHideALoad = 4;

    // Code of the panels that share a tile: it stays in the second cache from tile to tile. Where all code comes from memory and panels are thick, each is a group.
    private const int GroupCode = 96 * 1024;

    // Tiles of a call at most.
    private const int MostTiles = 16;

    // More code would come from far for each tile: then tiles take turns on one block of lines, and where the code of a block is more than this, inputs are packed for many tiles and panels take turns in groups.
    // Units of half the width multiply no faster than code arrives from the third cache; full ones take two to three times as long for code that does not stay in the second.
    private static readonly int s_inPlaceCode = VectorUnits.AreFullWidth ? 512 * 1024 : 4 << 20;

    // Beyond so many stored values there is more code than that for sure.
    private static readonly int s_mostStoredInPlace = s_inPlaceCode / LeastCodePerValue;

    private const int LeastCodePerValue = 7;

    // Code of a block of lines, measured on a Zen 5. Up to the first, 3 x 3 kernels whose tiles are packed one by one took 2 to 4 % less, with more code up to a tenth more; up to the second, products of 196 columns whose
    // tiles take turns on blocks took 3 to 10 % less than packed ones, and those of 49 columns as long or longer.
    private const int ShortBlock = 128 * 1024, LongBlock = 320 * 1024, LeastTilesInTurn = 8;

    // Bytes of code that a thread keeps room for.
    private const int KeptCode = 4 << 20;

    // A stored value takes at most 17 bytes of code: a load of its input, its product, and its share of the requests. Beyond this the code would not fit an array; half of it may be stored early, and is written twice then.
    // First panels of blocks have three copies of either, and may be all there are.
    private const int MostStored = 60_000_000, MostStoredToPack = MostStored / 6;

    // Floats of a source whose lines are asked for a tile ahead. Of 9 MB they arrived a tenth sooner; of 4 MB and less the requests cost what they brought, or more.
    private const long FarSource = 1 << 20;

    // Beyond so many values code and values leave the second cache before they are needed again.
    private const int StaysInCache = 32 * 1024;

    private static readonly bool s_allowed = Environment.GetEnvironmentVariable(CompiledKernels.EnvironmentVariable) != "0";

    [ThreadStatic]
    private static bool t_forbidden;

    // While training, structures are compiled after every change of masks: what they are written with is kept.
    [ThreadStatic]
    private static Assembler? t_assembler;

    [ThreadStatic]
    private static (int Row, int Index)[]? t_entries;

    private readonly ExecutableMemory _memory;
    private readonly Piece[] _pieces;
    private readonly long[] _before;
    private readonly int[] _order;
    private readonly float[] _values;
    private (int First, int End)[] _copies = [];

    private CompiledMatrix(int rows, int[] lines, ExecutableMemory memory, Piece[] pieces, int panels, int depth, int[] order)
    {
        (RowCount, Lines, Panels, Depth) = (rows, lines, panels, depth);
        (_memory, _pieces, _order) = (memory, pieces, order);
        _values = GC.AllocateUninitializedArray<float>(order.Length, pinned: true);
        Blocks = (lines.Length + depth - 1) / depth;
        _before = new long[panels + 1];
        for (int p = 0; p < panels; p++)
        {
            long sum = _before[p];
            for (int b = 0; b < Blocks; b++) sum += pieces[b * panels + p + 1].Value - pieces[b * panels + p].Value;
            _before[p + 1] = sum;
        }
    }

    /// <summary>Whether kernels called from this thread may be compiled.</summary>
    public static bool Usable => SimdDispatch.Level == SimdLevel.Vector512 && Avx512F.IsSupported && MayRunCode;

    /// <summary>Whether kernels called from this thread may run code with registers of 256 bits, which is written once a process: loops over stored values, which take numbers apart with an instruction of BMI2, and tiles.</summary>
    public static bool Usable256 => SimdDispatch.Level == SimdLevel.Vector256 && Avx2.IsSupported && Fma.IsSupported && Bmi2.X64.IsSupported && MayRunCode;

    private static bool MayRunCode => !t_forbidden && s_allowed && ExecutableMemory.Works;

    /// <summary>Rows of W.</summary>
    public int RowCount { get; }

    /// <inheritdoc/>
    public override int[] Lines { get; }

    /// <summary>Panels of rows: pieces of work.</summary>
    public int Panels { get; }

    /// <summary>Lines of a block: sums rest in the output between blocks.</summary>
    public int Depth { get; }

    /// <summary>Blocks of lines.</summary>
    public int Blocks { get; }

    /// <inheritdoc/>
    public override SparseForm Form => Planes is null ? SparseForm.Compiled : SparseForm.Shifted;

    /// <inheritdoc/>
    public override int StoredCount => _order.Length;

    /// <summary>Bytes of code, with all copies of products.</summary>
    public long CodeBytes { get; private init; }

    /// <summary>Bytes of code that a product runs through: one copy of each.</summary>
    public long BytesThatRun { get; private init; }

    /// <inheritdoc/>
    public override long Bytes => CodeBytes + (sizeof(float) + sizeof(int)) * (long)StoredCount;

    /// <summary>Where code reads its inputs (see <see cref="ShiftedProduct"/>); null when it reads packed lines.</summary>
    public ShiftedPlanes? Planes { get; private init; }

    /// <summary>The copies of planes that a block of lines reads: its input begins with the first.</summary>
    public (int First, int End) Copies(int block) => _copies[block];

    /// <summary>Floats from one tile to the next when so many lines are packed: one line more, which packers may spoil.</summary>
    public static nint TileStride(int lines) => (nint)(lines + 1) * Lanes;

    /// <summary>Keeps kernels called from this thread from being compiled until the result is disposed: for tests.</summary>
    public static Forbidden Forbid()
    {
        bool before = t_forbidden;
        t_forbidden = true;
        return new Forbidden(before);
    }

    /// <summary>Compiles a structure; null where that cannot be done or cannot win.</summary>
    /// <param name="rows">Rows of W.</param>
    /// <param name="columns">Columns of W.</param>
    /// <param name="rowPointers">Where each row starts; rows + 1 entries.</param>
    /// <param name="indices">The column of each stored value, ascending within a row.</param>
    /// <param name="leastReuse">Stored values that a used column must hold on average.</param>
    /// <param name="planes">Where the inputs lie when code reads them in place; null for packed lines.</param>
    /// <param name="comesFromFar">Whether this is a convolution of a network, whose other code drives this out of the second cache between its uses, however short it is.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static CompiledMatrix? TryCompile(int rows, int columns, ReadOnlySpan<int> rowPointers, ReadOnlySpan<int> indices, int leastReuse = 0, ShiftedPlanes? planes = null, bool comesFromFar = false)
    {
        if (!Usable || indices.Length is 0 or > MostStored) return null;
        (int[] line, int[] lines, int holding) = UsedColumns(columns, indices, planes is null ? UnusedShare : 0);
        int used = lines.Length;
        if ((long)holding * leastReuse > indices.Length) return null;

        // Panels of whole blocks of four rows where there are enough: tiles of 4 x 1 weights are not torn.
        int quads = (rows + 3) / 4, panels = (quads + PanelCode.Rows / 4 - 1) / (PanelCode.Rows / 4);
        int most = indices.Length > (long)ValuesThatHideALoad * panels * used ? DenseDepth : used <= MediumDepth || planes is not null || comesFromFar ? MediumDepth : ThinDepth, blocks = (used + most - 1) / most;
        // Blocks of one size: a short last one would spill all sums for little.
        int depth = (used + blocks - 1) / blocks;
        var pieces = new Piece[panels * blocks + 1];
        var copies = new (int First, int End)[planes is null ? 0 : blocks];
        var order = new int[indices.Length];
        Assembler assembler = t_assembler ?? new Assembler();
        assembler.Clear();
        bool packs = planes is null && indices.Length <= Math.Min(MostStoredToPack, Math.Max(s_mostStoredInPlace, (long)LongBlock / LeastCodePerValue * blocks));
        PanelCode.EmitLoop(assembler);
        assembler.Align();
        var counts = new int[depth + 1];
        (int Row, int Index)[] entries = t_entries ??= new (int, int)[PanelCode.Rows * DenseDepth];
        int[] position = rowPointers[..rows].ToArray();
        int at = 0, skipped = 0;
        for (int b = 0; b < blocks; b++)
        {
            int firstLine = b * depth, endLine = Math.Min(used, firstLine + depth);
            int[]? offsets = null;
            if (planes is not null)
            {
                copies[b] = planes.Range(lines.AsSpan(firstLine, endLine - firstLine));
                offsets = [.. lines.AsSpan(firstLine, endLine - firstLine)];
                foreach (ref int offset in offsets.AsSpan()) offset = planes.Offset(offset, copies[b].First) * sizeof(float);
            }
            var block = new PanelCode.Block(lines, firstLine, endLine - firstLine, b == 0, b == blocks - 1, offsets);
            for (int p = 0; p < panels; p++)
            {
                int first = FirstRow(p), end = FirstRow(p + 1);
                Span<int> starts = counts.AsSpan(0, endLine - firstLine + 1);
                starts.Clear();
                for (int r = first; r < end; r++)
                {
                    for (int j = position[r]; j < rowPointers[r + 1] && line[indices[j]] < endLine; j++) starts[line[indices[j]] - firstLine + 1]++;
                }
                for (int i = 1; i < starts.Length; i++) starts[i] += starts[i - 1];
                int count = starts[^1];
                for (int r = first; r < end; r++)
                {
                    int j = position[r];
                    for (; j < rowPointers[r + 1] && line[indices[j]] < endLine; j++) entries[starts[line[indices[j]] - firstLine]++] = (r - first, j);
                    position[r] = j;
                }
                // Each start has moved to the next line's.
                (int start, int runs) = (assembler.Length, assembler.Length - skipped);
                PanelCode.Copies written = PanelCode.Emit(assembler, first, end - first, entries, starts, block, packs && p == 0, nextRows: p + 1 < panels ? FirstRow(p + 2) - end : 0, asksAhead: comesFromFar || indices.Length > StaysInCache, storesEarly: indices.Length <= MostStored / 2);
                PanelCode.EmitNext(assembler, endsBlock: p == panels - 1 && b < blocks - 1, nextIsLast: b == blocks - 2);
                pieces[b * panels + p] = new Piece(start, first, at, runs, written.WithBounds, written.WithoutBounds);
                skipped += written.Skipped;
                for (int i = 0; i < count; i++) order[at++] = entries[i].Index;
            }
        }
        pieces[^1] = new Piece(assembler.Length, rows, at, assembler.Length - skipped, assembler.Length, assembler.Length);
        ExecutableMemory? memory = ExecutableMemory.TryCreate(assembler.Code);
        t_assembler = assembler.Length <= KeptCode ? assembler : null;
        return memory is null ? null : new CompiledMatrix(rows, lines, memory, pieces, panels, depth, order) { CodeBytes = assembler.Length, BytesThatRun = assembler.Length - skipped, Planes = planes, _copies = copies, Packs = packs };

        int FirstRow(int panel) => Math.Min(rows, (int)((long)quads * panel / panels) * 4);
    }

    /// <inheritdoc/>
    protected override int[] Order => _order;

    /// <inheritdoc/>
    protected override Memory<float> Values => _values;

    /// <summary>Stored values of the panels before each: Panels + 1 entries.</summary>
    public ReadOnlySpan<long> StoredBefore => _before;

    /// <summary>Floats that the sums of so many rows of a tile take while they wait between blocks.</summary>
    public long SumsOf(int rows) => Blocks == 1 ? 0 : (long)rows * Lanes;

    /// <summary>The rows of panels first .. end-1.</summary>
    public (int First, int End) Rows(int first, int end) => (_pieces[first].FirstRow, end == Panels ? RowCount : _pieces[end].FirstRow);

    /// <summary>Whether the code of a block of lines is so short that tiles are better packed one by one, each for all panels, than together for groups of panels.</summary>
    public bool BlocksAreShort => BytesThatRun <= (long)ShortBlock * Blocks;

    /// <summary>Whether <see cref="RunInPlace"/> is the faster way for so many tiles.</summary>
    public bool RunsInPlace(int tiles) => Packs && (RunsTileAfterTile || tiles >= LeastTilesInTurn && BytesThatRun <= (long)LongBlock * Blocks);

    /// <summary>Whether the first panel of each block can read inputs out of a matrix and pack them.</summary>
    private bool Packs { get; init; }

    /// <summary>Whether <see cref="RunInPlace"/> takes all code for a tile before the next one: then the sums of one tile wait, else those of all.</summary>
    public bool RunsTileAfterTile => BytesThatRun <= s_inPlaceCode;

    /// <summary>Multiplies all panels and blocks of lines with tiles that are read where they are.</summary>
    /// <remarks>
    /// Tile after tile: all code runs on 16 columns, the first panel of each block packs the block's inputs, sums that wait between blocks stay in the near caches. Where all code is too much for that, the same for one block after the other.
    /// </remarks>
    /// <param name="tiles">Input: room for a block of lines. No tail.</param>
    /// <param name="source">Row 0 of the matrix, at the first tile's columns; every line is followed by 16 readable floats for each tile.</param>
    /// <param name="stride">Floats between rows of the matrix.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void RunInPlace(in Tiles tiles, float* source, nint stride)
    {
        float* clamp = stackalloc float[3 * Lanes];
        FillClamp(tiles.Clamp, clamp);
        fixed (float* values = _values)
        {
            PanelCode.Arguments a = new()
            {
                Bias = tiles.Bias,
                Clamp = tiles.Clamp.IsNone ? null : clamp,
                Input = (byte*)tiles.Input,
                OutputTile = tiles.OutputTile * sizeof(float),
                RowStride = tiles.RowStride * sizeof(float),
                SourceStride = stride * sizeof(float),
                SourceIsFar = stride * Lines.Length > FarSource ? 1 : 0,
            };
            int step = RunsTileAfterTile ? Blocks : 1;
            for (int b = 0; b < Blocks; b += step)
            {
                int from = b * Panels, to = from + step * Panels;
                if (tiles.ComesFromFar) AskFor(from, to, values, !tiles.Clamp.IsNone);
                a.Values = values + _pieces[from].Value;
                a.Panel = _memory.Address + _pieces[from].Start;
                a.Panels = to - from;
                // Calls of about the length that those of Run have.
                int most = Math.Max(1, MostTiles * GroupCode / (_pieces[to].Runs - _pieces[from].Runs));
                for (int t = 0; t < tiles.Whole; t += most)
                {
                    a.Tiles = Math.Min(most, tiles.Whole - t);
                    a.Input = (byte*)tiles.Input;
                    a.Source = source + t * Lanes;
                    a.Output = tiles.Output + t * tiles.OutputTile;
                    a.Sums = tiles.Sums + t * tiles.SumsTile;
                    Place(ref a, b, tiles.Residual == null ? null : tiles.Residual + t * tiles.OutputTile, a.Sums, tiles.SumsTile);
                    Call(ref a);
                }
            }
        }
        GC.KeepAlive(_memory);
    }

    /// <summary>Bounds, and what is added last (<see cref="Clamp.Zero"/>): three registers.</summary>
    internal static void FillClamp(Clamp clamp, float* to)
    {
        if (clamp.IsNone) return;
        new Span<float>(to, Lanes).Fill(clamp.Low);
        new Span<float>(to + Lanes, Lanes).Fill(clamp.High);
        new Span<float>(to + 2 * Lanes, Lanes).Fill(clamp.Zero);
    }

    /// <summary>Multiplies panels first .. end-1 with blocks firstBlock .. endBlock-1 of packed tiles; the first block starts from bias and residual, the last clamps.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Run(in Tiles tiles, int first, int end, int firstBlock, int endBlock)
    {
        float* clamp = stackalloc float[3 * Lanes];
        FillClamp(tiles.Clamp, clamp);
        fixed (float* values = _values)
        {
            PanelCode.Arguments a = new()
            {
                Bias = tiles.Bias,
                Clamp = tiles.Clamp.IsNone ? null : clamp,
                InputTile = tiles.InputTile * sizeof(float),
            };
            for (int b = firstBlock; b < endBlock; b++)
            {
                nint block = (nint)(b - firstBlock) * Depth * Lanes;
                for (int p = first, next; p < end; p = next)
                {
                    // A single tile needs no groups, but calls have to end: garbage collections wait for them.
                    next = tiles.Count == 1 && BlocksAreShort ? end : GroupEnd(b, p, end);
                    if (tiles.ComesFromFar) AskFor(b * Panels + p, b * Panels + next, values, !tiles.Clamp.IsNone);
                    ref readonly Piece piece = ref _pieces[b * Panels + p];
                    a.Values = values + piece.Value;
                    a.Panel = _memory.Address + piece.Start;
                    if (tiles.Whole > 0)
                    {
                        nint row = piece.FirstRow * tiles.RowStride;
                        a.Input = (byte*)(tiles.Input + block);
                        (a.Tiles, a.Panels) = (tiles.Whole, next - p);
                        a.Output = tiles.Output + row;
                        a.OutputTile = tiles.OutputTile * sizeof(float);
                        a.RowStride = tiles.RowStride * sizeof(float);
                        Place(ref a, b, tiles.Residual == null ? null : tiles.Residual + row, tiles.Sums + piece.FirstRow * Lanes, tiles.SumsTile);
                        Call(ref a);
                    }
                    if (tiles.Tail != null)
                    {
                        nint row = piece.FirstRow * Lanes;
                        a.Input = (byte*)(tiles.Input + tiles.Whole * tiles.InputTile + block);
                        (a.Tiles, a.Panels) = (1, next - p);
                        a.Output = tiles.Tail + row;
                        a.RowStride = LineBytes;
                        Place(ref a, b, tiles.TailResidual == null ? null : tiles.TailResidual + row, tiles.Sums + tiles.Whole * tiles.SumsTile + row, tiles.SumsTile);
                        Call(ref a);
                    }
                }
            }
        }
        GC.KeepAlive(_memory);
    }

    /// <summary>Where the sums of a block come from and go to.</summary>
    private void Place(ref PanelCode.Arguments a, int block, float* residual, float* sums, nint sumsTile)
    {
        bool isFirst = block == 0, isLast = block == Blocks - 1;
        a.To = isLast ? a.Output : sums;
        a.ToTile = isLast ? a.OutputTile : sumsTile * sizeof(float);
        a.From = isFirst ? residual : isLast ? sums : null;
        a.FromTile = isFirst ? a.OutputTile : sumsTile * sizeof(float);
    }

    private void Call(ref PanelCode.Arguments arguments)
    {
        fixed (PanelCode.Arguments* a = &arguments) ((delegate* unmanaged[SuppressGCTransition]<PanelCode.Arguments*, void>)_memory.Address)(a);
    }

    /// <summary>The panel behind those that follow one tile after the other, from panel p on.</summary>
    private int GroupEnd(int block, int p, int end)
    {
        if (StoredCount > s_mostStoredInPlace && Depth > MediumDepth) return p + 1;
        int next = p + 1, limit = _pieces[block * Panels + p].Runs + GroupCode;
        while (next < end && _pieces[block * Panels + next + 1].Runs <= limit) next++;
        return next;
    }

    /// <summary>Restores what was before <see cref="Forbid"/>.</summary>
    public readonly struct Forbidden(bool before) : IDisposable
    {
        /// <inheritdoc/>
        public void Dispose() => t_forbidden = before;
    }

    /// <summary>What panels are multiplied with, and where results go: element (row, tile t, lane) is at row * RowStride + t * OutputTile + lane.</summary>
    public struct Tiles
    {
        /// <summary>Packed tiles, from the first line of the first block on: <see cref="Whole"/> ones and, where there is a tail, one more.</summary>
        public float* Input;

        /// <summary>Floats between packed tiles.</summary>
        public nint InputTile;

        /// <summary>Tiles that are written to Output.</summary>
        public int Whole;

        public float* Output;

        /// <summary>As Output, or null; may be Output.</summary>
        public float* Residual;

        /// <summary>Floats between rows.</summary>
        public nint RowStride;

        /// <summary>Floats between tiles.</summary>
        public nint OutputTile;

        /// <summary>Where sums wait between blocks, unless there is one block alone: element (row, tile t, lane) is at t * SumsTile + row * 16 + lane. In lines of the cache.</summary>
        public float* Sums;

        /// <summary>Floats between tiles of sums.</summary>
        public nint SumsTile;

        /// <summary>[rows, 16] for the last tile, or null.</summary>
        public float* Tail;

        /// <summary>[rows, 16], or null; may be Tail.</summary>
        public float* TailResidual;

        /// <summary>[rows], or null.</summary>
        public float* Bias;

        public Clamp Clamp;

        /// <summary>What <see cref="TakeTurn"/> said: code and values are asked for before they are used.</summary>
        public bool ComesFromFar;

        /// <summary>All of them.</summary>
        public readonly int Count => Tail == null ? Whole : Whole + 1;

        /// <summary>Tiles first .. end-1, where there is no tail.</summary>
        public readonly Tiles Some(int first, int end)
        {
            Tiles some = this;
            some.Whole = end - first;
            some.Input += first * InputTile;
            some.Output += first * OutputTile;
            if (Residual != null) some.Residual += first * OutputTile;
            some.Sums += first * SumsTile;
            return some;
        }

        /// <summary>One of the tiles alone, packed where the first was.</summary>
        /// <param name="tile">Which one.</param>
        /// <param name="isFirst">Whether it is the first to use some of the code: the others find it near.</param>
        public readonly Tiles Only(int tile, bool isFirst)
        {
            Tiles one = this;
            one.Sums += tile * SumsTile;
            one.ComesFromFar &= isFirst;
            if (tile == Whole)
            {
                one.Whole = 0;
                return one;
            }
            one.Whole = 1;
            one.Tail = null;
            one.Output += tile * OutputTile;
            if (Residual != null) one.Residual += tile * OutputTile;
            return one;
        }
    }

    /// <summary>A panel's part of a block of lines.</summary>
    /// <param name="Start">Where its code begins.</param>
    /// <param name="FirstRow">Of the panel.</param>
    /// <param name="Value">Its first value.</param>
    /// <param name="Runs">Bytes before its code of those that run (<see cref="BytesThatRun"/>).</param>
    /// <param name="WithBounds">As <see cref="PanelCode.Copies.WithBounds"/>.</param>
    /// <param name="WithoutBounds">As <see cref="PanelCode.Copies.WithoutBounds"/>.</param>
    private readonly record struct Piece(int Start, int FirstRow, int Value, int Runs, int WithBounds, int WithoutBounds);
}
