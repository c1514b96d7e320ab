namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>Products of rows of equal counts with AVX-512.</summary>
/// <remarks>
/// <para>A unit is 4 or 2 rows: with 2 registers one row at a time took a tenth more. What a value costs besides its products is kept
/// off the two loads that a core starts in a cycle: four lines are loaded at once and taken apart in general registers, eight values are loaded at once and spread by a permutation. With R registers a value takes R loads so and not R + 2, which
/// were 0.69 and not 0.98 cycles a multiply-add for two registers, 0.63 and not 0.81 for four (Zen 5, all in the first cache).</para>
/// <para>Vectors: 0 to 7 sums, 8 to 22 spread values, 23 values, 24 to 31 what spreads each. Sixteen values at once would leave seven for spread ones: products took 1 to 2 % longer.</para>
/// </remarks>
internal sealed unsafe class CountedCode512(int rows, int tiles, int lines) : CountedCode(rows, tiles, lines, WrittenOut / rows)
{
    // Products that are written out: for rows of a unit together.
    private const int WrittenOut = 128;

    // How far ahead values are asked for, in bytes: what a core fetches ahead by itself ends with each page.
    private const int ValuesAhead = 1024;

    // Tiles of 64 columns.
    private const int LineTiles = 4;

    private const int Values = 23, Spread = 24, FirstMask = 1;

    /// <summary>Where lines have few values: what is multiplied with a register stays in the first cache.</summary>
    public static CountedCode512 Many { get; } = new(rows: 4, tiles: 2, lines: 320);

    /// <summary>Where lines have many values.</summary>
    public static CountedCode512 Few { get; } = new(rows: 2, tiles: 4, lines: 160);

    /// <inheritdoc/>
    public override int Lanes => CompiledMatrix.Lanes;

    /// <summary>A line of as many columns as the code is for is read once where the sums of all its strips are no more than a chunk's may be.</summary>
    /// <remarks>49 columns and 512 rows took up to 8 % less so at 5 and 10 % stored; 64 columns and 2048 or 5632 rows, whose sums are too many for that where one thread has them all, up to 4 % more.</remarks>
    public override int PackedTiles(int rows) => (long)rows * LineTiles * LineBytes <= ChunkBytes ? LineTiles : MostTiles;

    /// <inheritdoc/>
    public override int ChunkBytes => 256 * 1024;

    /// <summary>None: each chunk packs for itself.</summary>
    public override int SharedBytes => 0;

    /// <summary>Chunks are always shared.</summary>
    public override int LeastTiles => int.MaxValue;

    /// <inheritdoc/>
    protected override bool Allowed => CompiledMatrix.Usable;

    /// <inheritdoc/>
    public override void FillMasks(int columns, ref Arguments arguments)
    {
        for (int j = 0; j < MostTiles; j++) arguments.Masks[j] = (1 << Math.Clamp(columns - j * Lanes, 0, Lanes)) - 1;
    }

    /// <inheritdoc/>
    protected override void EmitConstants(Assembler code, in Shape shape)
    {
        if (shape.Begins || shape.Ends)
        {
            for (int j = 0; j < shape.Registers; j++) code.LoadMask(FirstMask + j, 16, Register.Rdi, Arguments.MasksAt + j * sizeof(long));
        }
        for (int i = 0; i < ValuesAtOnce; i++) code.BroadcastConstant(Spread + i, (uint)i, Register.Rax);
    }

    /// <inheritdoc/>
    protected override void EmitStart(Assembler code, in Shape shape, int rows)
    {
        for (int r = 0; r < rows && !shape.IsWhole; r++) GoToSums(code, Sums[r], Register.R10, r, shape);
        if (shape.Begins)
        {
            code.Load(Register.R14, Register.Rdi, Arguments.BiasAt);
            int without = code.SkipIfZero(Register.R14);
            for (int r = 0; r < rows; r++)
            {
                code.LoadIndex(Register.R15, Register.R10, r * sizeof(int));
                code.ShiftLeft(Register.R15, 2);
                code.Add(Register.R15, Register.R14);
                code.Broadcast(shape.Sum(r, 0), Register.R15, 0);
                for (int j = 1; j < shape.Registers; j++) code.Copy(shape.Sum(r, j), shape.Sum(r, 0));
            }
            int with = code.Skip();
            code.Land(without);
            for (int s = 0; s < rows * shape.Registers; s++) code.Clear(s);
            code.Land(with);
            code.Load(Register.R14, Register.Rdi, Arguments.ResidualAt);
            int none = code.SkipIfZero(Register.R14);
            for (int r = 0; r < rows; r++)
            {
                GoTo(code, Register.R15, Register.R10, r, Arguments.ResidualAt);
                for (int j = 0; j < shape.Registers; j++)
                {
                    code.LoadMasked(Values, FirstMask + j, Register.R15, j * LineBytes);
                    code.Add(shape.Sum(r, j), shape.Sum(r, j), Values);
                }
            }
            // What the next unit begins with lies far away where a network's other layers have had the second cache.
            for (int r = 0; r < rows; r++)
            {
                GoTo(code, Register.R15, Register.R10, rows + r, Arguments.ResidualAt);
                for (int j = 0; j < shape.Registers; j++) code.PrefetchNear(Register.R15, j * LineBytes);
            }
            code.Land(none);
        }
        else
        {
            for (int r = 0; r < rows; r++)
            {
                for (int j = 0; j < shape.Registers; j++) code.Load(shape.Sum(r, j), Sums[r], j * LineBytes);
            }
        }
        for (int r = 0; r < rows; r++)
        {
            if (shape.Ends) GoTo(code, Register.R15, Register.R10, rows + r, Arguments.OutputAt);
            else GoToSums(code, Register.R15, Register.R10, rows + r, shape);
            for (int j = 0; j < shape.Registers; j++) code.PrefetchToWrite(Register.R15, j * LineBytes);
        }
    }

    /// <inheritdoc/>
    protected override void EmitFirst(Assembler code, int? products)
    {
        if (products is { } all)
        {
            code.Load(Register.Rax, Register.Rcx, -all * sizeof(ushort));
            LoadValues(code, Register.Rdx, -all * sizeof(float));
            return;
        }
        code.Load(Register.R14, Register.R13, Step.NumbersBackAt);
        code.Add(Register.R14, Register.Rcx);
        code.Load(Register.Rax, Register.R14, 0);
        code.Load(Register.R14, Register.R13, Step.ValuesBackAt);
        code.Add(Register.R14, Register.Rdx);
        LoadValues(code, Register.R14, 0);
    }

    /// <inheritdoc/>
    protected override void EmitProducts(Assembler code, in Shape shape, int rows, int[] entries)
    {
        nint stride = LineStride * sizeof(float);
        for (int left = entries.Length - 1, turn = 0; left > 0; left--)
        {
            entries[left] = code.Length;
            for (int r = 0; r < rows; r++, turn++)
            {
                // Counted from the end, which is where pointers are.
                int behind = (left * rows) - r - 1, spread = rows * shape.Registers + turn % (Values - rows * shape.Registers);
                Register line = turn % 2 == 0 ? Register.R14 : Register.R15;
                code.TakeWord(line, Register.Rax, 3 - behind % 4);
                code.Permute(spread, Spread + ValuesAtOnce - 1 - behind % ValuesAtOnce, Values);
                for (int j = 0; j < shape.Registers; j++) code.MultiplyAdd(shape.Sum(r, j), spread, Register.Rsi, line, (int)(j * stride));
                if (behind % 16 == 0) code.Prefetch(Register.Rdx, ValuesAhead - behind * sizeof(float));
                if (behind % 32 == 0) code.Prefetch(Register.Rcx, ValuesAhead / 2 - behind * sizeof(ushort));
                if (behind % ValuesAtOnce == 0 && behind > 0) LoadValues(code, Register.Rdx, -behind * sizeof(float));
                if (behind % 4 == 0 && behind > 0) code.Load(Register.Rax, Register.Rcx, -behind * sizeof(ushort));
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
                for (int j = 0; j < shape.Registers; j++) code.Store(shape.Sum(r, j), Sums[r], j * LineBytes);
            }
            return;
        }
        int low = rows * shape.Registers, high = low + 1, sign = low + 2;
        code.Load(Register.R14, Register.Rdi, Arguments.ClampAt);
        int none = code.SkipIfZero(Register.R14);
        for (int i = 0; i < 3; i++) code.Load(low + i, Register.R14, i * LineBytes);
        for (int s = 0; s < rows * shape.Registers; s++)
        {
            code.Max(s, low, s);
            code.Min(s, high, s);
            code.Add(s, s, sign);
        }
        code.Land(none);
        for (int r = 0; r < rows; r++)
        {
            GoTo(code, Register.R15, Register.R10, r, Arguments.OutputAt);
            for (int j = 0; j < shape.Registers; j++) code.StoreMasked(shape.Sum(r, j), FirstMask + j, Register.R15, j * LineBytes);
        }
    }

    private static void LoadValues(Assembler code, Register address, int offset) => code.LoadLanes(Values, ValuesAtOnce, address, offset);
}
