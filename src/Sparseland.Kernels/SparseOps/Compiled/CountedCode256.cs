using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>Products of rows of equal counts with AVX2.</summary>
/// <remarks>
/// <para>Permutations would cost what they save where registers have eight lanes: a value is loaded and spread by one instruction, whose place in the order of loads does not matter. That of its line's number does: a number that is loaded just
/// before it is used stands behind all loads of the value before, and its own value's loads wait for it. So four numbers are loaded at once, one value early, and taken apart in general registers: with 6 registers in the first cache 1.13
/// cycles a multiply-add and not 1.39, where 1 is what a core can do (Zen 1).</para>
/// <para>Up to 12 of 16 registers are sums of one row: more columns share what a value costs besides. Fewer columns leave room for two or four rows, whose chains of additions hide each other's latency.</para>
/// <para>Where operations of 256 bits are done in two halves (<see cref="VectorUnits.AreHalf256"/>) the second cache delivers nearly what they take (26 bytes a cycle measured, 32 taken), so blocks may be deeper than the first cache is, and
/// sums wait less often. Best is a block in which a row has about 20 values: with 12 registers 1.34 cycles a multiply-add with 128 lines at 20 % stored (1.63 with 288), 1.40 with 192 at 10 % (1.52 with 576), 1.46 with 384 at 5 % (1.75 with 96).
/// Cores that take 64 bytes a cycle wait for the second cache: for them a block is little more than the first cache holds.</para>
/// <para>Sums that wait are loaded and stored once a block. In a block of so many bytes a row has the more values the fewer columns it is wide, so full units take thin weights in strips of four registers with three rows in turn: as many sums, as many
/// bytes of lines, a third of the loads and stores of sums. In turn with strips of 12 registers (Zen 3, one thread, 95 % zeros, seen once): 1024 x 256 by 196 columns 0.71 to 0.78 of the time, 256 x 2304 by 196 0.88 to 0.92, 2048 x 2048 by 64 0.82 to 0.95;
/// at 80 % zeros, where a value's own loads are more than those of sums, 1.04 to 1.15. Where all lines are one block no sums wait, and long pieces of output are written sooner: 256 x 64 by 3136 columns took 1.4 times as long in strips. Rows of
/// a matrix packed strip by strip, and not six tiles at a time, are read from beyond the second cache in pieces too short: 128 x 1152 by 784 columns took 1.4 times as long. Sources whose pieces are short in any case pack alone (<see cref="ITileSource.PacksAlone"/>).</para>
/// </remarks>
internal sealed unsafe class CountedCode256 : CountedCode
{
    private const int Mask = 15;

    // How far ahead values and numbers are asked for, in bytes: what a core fetches ahead by itself ends with each page.
    private const int ValuesAhead = 1024, NumbersAhead = 512;

    // Of the lines of a block, and values of a row in it: see above.
    private const int HalfUnitsBytes = 152 * 1024, WholeUnitsBytes = 40 * 1024, NearBytes = 32 * 1024, ValuesOfABlock = 20;

    // Numbers of lines are bytes in 16 bits; one line is spoilt by packers, one zero.
    private const int LinesOfNumbers = (1 << 16) / LineBytes - 2;

    // Of strips: values of a row in a block, and lines of one at least.
    private const int ValuesOfAStrip = 24, LeastLinesOfAStrip = 128;

    // Of 100 values of a matrix, from so many stored ones on strips are too narrow.
    private const int ThickDensity = 15;

    private static readonly CountedCode256[] s_all = [new(rows: 4, tiles: 1), new(rows: 2, tiles: 3), new(rows: 1, tiles: 4), new(rows: 1, tiles: 6)];

    private readonly bool _isStrip;

    private CountedCode256(int rows, int tiles, bool isStrip = false) : base(rows, tiles, Math.Min(LinesOfNumbers, (VectorUnits.AreHalf256 && !isStrip ? HalfUnitsBytes : WholeUnitsBytes) / (tiles * LineBytes)), products: 32) => _isStrip = isStrip;

    /// <summary>Strips of four registers for thin weights of many lines.</summary>
    public static CountedCode256 Strips { get; } = new(rows: 3, tiles: 2, isStrip: true);

    /// <summary>The code for a matrix.</summary>
    /// <param name="width">Columns of a product.</param>
    /// <param name="lines">Lines that are used.</param>
    /// <param name="density">Stored fraction of a row's lines.</param>
    public static CountedCode256 For(long width, int lines, double density)
    {
        int index = IndexFor(width);
        return !VectorUnits.AreHalf256 && index > 0 && 100 * density < ThickDensity && lines > s_all[^1].Lines && Strips.IsUsable ? Strips : s_all[index];
    }

    /// <summary>The code for products with so many columns: which of <see cref="Count"/>.</summary>
    public static int IndexFor(long width)
    {
        long tiles = (width + CompiledMatrix.Lanes - 1) / CompiledMatrix.Lanes;
        int index = 0;
        while (index < s_all.Length - 1 && s_all[index].MostTiles < tiles) index++;
        return index;
    }

    /// <summary>Different ways of cutting the work.</summary>
    public static int Count => s_all.Length;

    /// <summary>One of them.</summary>
    public static CountedCode256 At(int index) => s_all[index];

    /// <inheritdoc/>
    public override int Lanes => 8;

    /// <inheritdoc/>
    public override int PackedTiles(int rows) => _isStrip ? s_all[^1].MostTiles : MostTiles;

    /// <inheritdoc/>
    public override int LinesFor(double density) => _isStrip ? (int)Math.Clamp(ValuesOfAStrip / density, LeastLinesOfAStrip, Lines) : (int)Math.Clamp(ValuesOfABlock / density, Math.Min(Lines, NearBytes / (MostTiles * LineBytes)), Lines);

    /// <inheritdoc/>
    public override int ChunkBytes => 128 * 1024;

    /// <inheritdoc/>
    public override int SharedBytes => 224 * 1024;

    /// <inheritdoc/>
    public override int LeastTiles => 3;

    /// <inheritdoc/>
    protected override bool Allowed => CompiledMatrix.Usable256;

    /// <summary>Columns fill all registers but the last: 32 bits for each of its lanes.</summary>
    public override void FillMasks(int columns, ref Arguments arguments)
    {
        int last = columns - (columns - 1) / Lanes * Lanes;
        fixed (long* masks = arguments.Masks)
        {
            for (int i = 0; i < Lanes; i++) ((int*)masks)[i] = i < last ? -1 : 0;
        }
    }

    /// <inheritdoc/>
    protected override void EmitConstants(Assembler code, in Shape shape)
    {
    }

    /// <inheritdoc/>
    protected override void EmitStart(Assembler code, in Shape shape, int rows)
    {
        for (int r = 0; r < rows && !shape.IsWhole; r++) GoToSums(code, Sums[r], Register.R10, r, shape);
        if (shape.Begins) EmitBegin(code, shape, rows);
        for (int r = 0; r < rows && !shape.Begins; r++)
        {
            for (int j = 0; j < shape.Registers; j++) code.Load256(shape.Sum(r, j), Sums[r], PlaceOf(j));
        }
        // What waits was loaded before it is stored; lines of the output, and of sums that begin, come from further away.
        for (int r = 0; r < rows && (shape.Begins || shape.Ends); r++)
        {
            if (shape.Ends) GoTo(code, Register.R15, Register.R10, RowsAhead + r, Arguments.OutputAt);
            else GoToSums(code, Register.R15, Register.R10, RowsAhead + r, shape);
            for (int t = 0; t < shape.Tiles; t++) code.PrefetchToWrite(Register.R15, t * LineBytes);
        }
    }

    private static void EmitBegin(Assembler code, in Shape shape, int rows)
    {
        code.Load(Register.R14, Register.Rdi, Arguments.BiasAt);
        int without = code.SkipIfZero(Register.R14);
        for (int r = 0; r < rows; r++)
        {
            code.LoadIndex(Register.R15, Register.R10, r * sizeof(int));
            code.ShiftLeft(Register.R15, 2);
            code.Add(Register.R15, Register.R14);
            for (int j = 0; j < shape.Registers; j++) code.Broadcast256(shape.Sum(r, j), Register.R15, 0);
        }
        int with = code.Skip();
        code.Land(without);
        for (int s = 0; s < rows * shape.Registers; s++) code.Clear256(s);
        code.Land(with);
        code.Load(Register.R14, Register.Rdi, Arguments.ResidualAt);
        int none = code.SkipIfZero(Register.R14);
        int last = shape.Registers - 1;
        code.Load256(Mask, Register.Rdi, Arguments.MasksAt);
        for (int r = 0; r < rows; r++)
        {
            GoTo(code, Register.R15, Register.R10, r, Arguments.ResidualAt);
            for (int j = 0; j < last; j++) code.Add256(shape.Sum(r, j), shape.Sum(r, j), Register.R15, PlaceOf(j));
            code.LoadMasked256(Mask - 1, Mask, Register.R15, PlaceOf(last));
            code.Add256(shape.Sum(r, last), shape.Sum(r, last), Mask - 1);
        }
        code.Land(none);
    }

    /// <inheritdoc/>
    protected override void EmitFirst(Assembler code, int? products)
    {
        if (products is { } all)
        {
            code.Load(Register.Rax, Register.Rcx, -all * sizeof(ushort));
            return;
        }
        code.Load(Register.R14, Register.R13, Step.NumbersBackAt);
        code.Add(Register.R14, Register.Rcx);
        code.Load(Register.Rax, Register.R14, 0);
    }

    /// <inheritdoc/>
    protected override void EmitProducts(Assembler code, in Shape shape, int rows, int[] entries)
    {
        int stride = (int)LineStride * sizeof(float), sums = rows * shape.Registers, spreads = Math.Min(4, Mask + 1 - sums);
        for (int left = entries.Length - 1, turn = 0; left > 0; left--)
        {
            entries[left] = code.Length;
            for (int r = 0; r < rows; r++, turn++)
            {
                // Counted from the end, which is where pointers are.
                int behind = (left * rows) - r - 1, spread = sums + turn % spreads;
                Register line = turn % 2 == 0 ? Register.R14 : Register.R15;
                code.TakeWord(line, Register.Rax, 3 - behind % 4);
                if (behind % 4 == 0 && behind > 0) code.Load(Register.Rax, Register.Rcx, -behind * sizeof(ushort));
                code.Broadcast256(spread, Register.Rdx, -(behind + 1) * sizeof(float));
                if (behind % 16 == 0) code.Prefetch(Register.Rdx, ValuesAhead - behind * sizeof(float));
                if (behind % 32 == 0) code.Prefetch(Register.Rcx, NumbersAhead - behind * sizeof(ushort));
                for (int j = 0; j < shape.Registers; j++) code.MultiplyAdd256(shape.Sum(r, j), spread, Register.Rsi, line, (j / 2 * stride) + (j % 2 * Half));
            }
        }
        entries[0] = code.Length;
    }

    /// <inheritdoc/>
    protected override void EmitEnd(Assembler code, in Shape shape, int rows)
    {
        if (!shape.Ends)
        {
            for (int r = 0; r < rows; r++)
            {
                for (int j = 0; j < shape.Registers; j++) code.Store256(shape.Sum(r, j), Sums[r], PlaceOf(j));
            }
            return;
        }
        int low = rows * shape.Registers, high = low + 1, sign = low + 2, last = shape.Registers - 1;
        code.Load(Register.R14, Register.Rdi, Arguments.ClampAt);
        int none = code.SkipIfZero(Register.R14);
        for (int i = 0; i < 3; i++) code.Load256(low + i, Register.R14, i * LineBytes);
        for (int s = 0; s < rows * shape.Registers; s++)
        {
            code.Max256(s, low, s);
            code.Min256(s, high, s);
            code.Add256(s, s, sign);
        }
        code.Land(none);
        // Stores under a mask take many cycles: only where the last register is not full.
        code.LoadIndex(Register.R14, Register.Rdi, Arguments.MasksAt + Half - sizeof(int));
        for (int r = 0; r < rows; r++)
        {
            GoTo(code, Register.R15, Register.R10, r, Arguments.OutputAt);
            for (int j = 0; j < last; j++) code.Store256(shape.Sum(r, j), Register.R15, PlaceOf(j));
            int partial = code.SkipIfZero(Register.R14);
            code.Store256(shape.Sum(r, last), Register.R15, PlaceOf(last));
            int full = code.Skip();
            code.Land(partial);
            code.Load256(Mask, Register.Rdi, Arguments.MasksAt);
            code.StoreMasked256(shape.Sum(r, last), Mask, Register.R15, PlaceOf(last));
            code.Land(full);
        }
    }

    // Bytes of a register.
    private const int Half = LineBytes / 2;

    private static int PlaceOf(int register) => register * Half;
}
