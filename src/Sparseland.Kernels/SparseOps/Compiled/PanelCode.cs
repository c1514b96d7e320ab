using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>Writes the machine code of <see cref="CompiledMatrix"/>: a loop over tiles, and for each panel of rows and block of lines straight-line code that it calls.</summary>
/// <remarks>
/// <para>Registers: Rdi arguments, R10 input tile, R11 the row that is written, Rsi residual row or zero, in the last of several blocks the row of the sums; R8 bytes between rows, R9 panels left, Rdx values;
/// Rax walks through inputs, Rcx through the rest, Rbx is where a row is stored early. Vectors 0..27 are sums, 28..31 inputs. A panel leaves the pointers at the rows and values of the next, which lies behind it; behind the last
/// panel of a block lies the first of the next block.</para>
/// <para>Between blocks sums wait in lines of their own, one behind the other: rows of an output may begin inside a line, and a store across two of them is dear.</para>
/// <para>A panel with few values stores each row behind its last product, so that stores are spread among products; others store all rows at their end.</para>
/// <para>The first panel of a block can read its inputs out of a matrix and leave them packed for the other panels: what a copy beforehand would take hides behind its products.
/// Where the matrix is much larger than the second cache, it asks for the inputs of the next tile on the way.</para>
/// <para>Each panel asks for the outputs of the next while it multiplies: a store to a line that is in no near cache holds up all that follow. It asks for the residual of the next as well, which
/// other layers have driven out of the second cache: else each panel of such a layer begins by waiting for it.</para>
/// </remarks>
internal static class PanelCode
{
    /// <summary>Rows whose sums stay in registers.</summary>
    public const int Rows = 28;

    // Stored values of a row in the last block of lines, on average, up to which each row is stored behind its last product. All rows of a panel stored in a row are more than the core can put off while it goes on multiplying. One thread, Zen 4,
    // 95 % zeros, microseconds: 256 x 64 by 3136 (3 values a row) 98 to 86, 1024 x 256 by 196 (13) 68 to 63.5, 128 x 512 by 784 (13) 82 to 79.5; where rows have more values the same within 2 %.
    private const int FewValues = 16;

    private const int LineBytes = CompiledMatrix.Lanes * sizeof(float);

    // What a product that reads and broadcasts its value takes with its share of loads and requests, rounded up; what a row that is stored early takes besides, without bounds and with them.
    private const int CodePerValue = 10, CodePerRow = 16, CodePerBoundedRow = 34;

    /// <summary>Writes the loop over tiles; it comes first.</summary>
    public static void EmitLoop(Assembler code)
    {
        code.Push(Register.Rbx);
        int top = code.Length;
        code.Load(Register.R10, Register.Rdi, Arguments.InputAt);
        code.Load(Register.R11, Register.Rdi, Arguments.ToAt);
        code.Load(Register.R8, Register.Rdi, Arguments.RowStrideAt);
        code.Load(Register.R9, Register.Rdi, Arguments.PanelsAt);
        code.Load(Register.Rsi, Register.Rdi, Arguments.FromAt);
        code.Load(Register.Rdx, Register.Rdi, Arguments.ValuesAt);
        code.Load(Register.Rax, Register.Rdi, Arguments.PanelAt);
        code.Call(Register.Rax);
        Advance(Arguments.InputAt, Arguments.InputTileAt);
        Advance(Arguments.OutputAt, Arguments.OutputTileAt);
        Advance(Arguments.ToAt, Arguments.ToTileAt);
        code.Load(Register.Rcx, Register.Rdi, Arguments.FromAt);
        int without = code.SkipIfZero(Register.Rcx);
        Advance(Arguments.FromAt, Arguments.FromTileAt);
        code.Land(without);
        code.Load(Register.Rcx, Register.Rdi, Arguments.SourceAt);
        int packed = code.SkipIfZero(Register.Rcx);
        code.Add(Register.Rcx, LineBytes);
        code.Store(Register.Rcx, Register.Rdi, Arguments.SourceAt);
        code.Land(packed);
        code.Decrement(Register.Rdi, Arguments.TilesAt);
        code.JumpIfNotZero(top);
        code.Pop(Register.Rbx);
        code.ClearUpperHalves();
        code.Return();

        void Advance(int at, int tileAt)
        {
            code.Load(Register.Rax, Register.Rdi, tileAt);
            code.AddTo(Register.Rdi, at, Register.Rax);
        }
    }

    /// <summary>Writes one panel's code for one block of lines.</summary>
    /// <param name="code">Where to; at a line of the instruction cache.</param>
    /// <param name="firstRow">Row of the matrix.</param>
    /// <param name="rows">At most <see cref="Rows"/>.</param>
    /// <param name="entries">Row within the panel of each stored value, line by line.</param>
    /// <param name="ends">Where each line's entries end.</param>
    /// <param name="block">The lines.</param>
    /// <param name="packs">Whether this is the panel that reads inputs where they are and packs them, when there is a source.</param>
    /// <param name="nextRows">Rows of the next panel; 0 for the last one.</param>
    /// <param name="asksAhead">Whether it asks for the code and the values of the panel behind it.</param>
    /// <param name="storesEarly">Whether rows may be stored before the panel's end, for which products are written twice: with and without bounds.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Copies Emit(Assembler code, int firstRow, int rows, (int Row, int Index)[] entries, ReadOnlySpan<int> ends, in Block block, bool packs, int nextRows, bool asksAhead, bool storesEarly)
    {
        if (block.IsFirst)
        {
            code.Load(Register.Rcx, Register.Rdi, Arguments.BiasAt);
            int without = code.SkipIfZero(Register.Rcx);
            for (int r = 0; r < rows; r++) code.Broadcast(r, Register.Rcx, (firstRow + r) * sizeof(float));
            int with = code.Skip();
            code.Land(without);
            for (int r = 0; r < rows; r++) code.Clear(r);
            code.Land(with);
            int none = code.SkipIfZero(Register.Rsi);
            for (int r = 0; r < rows; r++)
            {
                code.AddMemory(r, r, Register.Rsi);
                code.Add(Register.Rsi, Register.R8);
            }
            AskForResidual(code, rows, nextRows);
            code.Land(none);
        }
        else
        {
            for (int r = 0; r < rows; r++) code.Load(r, block.IsLast ? Register.Rsi : Register.R11, r * LineBytes);
            if (block.IsLast) code.Add(Register.Rsi, rows * LineBytes);
        }

        // The outputs of the panel that comes next; behind the last panel, about those of the next tile.
        var outputs = new Lines(Register.Rcx, !block.IsLast ? 0 : nextRows > 0 ? nextRows : rows, nextRows > 0 ? rows : 0);
        if (block.IsLast && storesEarly && ends[^1] <= FewValues * rows)
        {
            code.Load(Register.Rcx, Register.Rdi, Arguments.ClampAt);
            int free = code.SkipIfZero(Register.Rcx), withBounds = code.Length;
            LoadClamp(code);
            int other = EmitProducts(code, entries, ends, block, packs, asksAhead, outputs, rows, Results.Clamped);
            int ready = code.Skip();
            code.Land(free);
            int without = code.Length;
            EmitProducts(code, entries, ends, block, packs, asksAhead, outputs, rows, Results.Stored);
            other += code.Length - without;
            code.Land(ready);
            code.Multiply(Register.Rbx, Register.R8, rows);
            code.Add(Register.R11, Register.Rbx);
            return new Copies(withBounds, without, other);
        }
        int skipped = EmitProducts(code, entries, ends, block, packs, asksAhead, outputs, rows, Results.Left);
        var written = new Copies(code.Length, code.Length, skipped);
        if (!block.IsLast)
        {
            for (int r = 0; r < rows; r++) code.Store(r, Register.R11, r * LineBytes);
            code.Add(Register.R11, rows * LineBytes);
            return written;
        }
        code.Load(Register.Rcx, Register.Rdi, Arguments.ClampAt);
        int unbounded = code.SkipIfZero(Register.Rcx);
        LoadClamp(code);
        for (int r = 0; r < rows; r++) EmitClamp(code, r);
        code.Land(unbounded);
        for (int r = 0; r < rows; r++)
        {
            code.Store(r, Register.R11, 0);
            code.Add(Register.R11, Register.R8);
        }
        return written;
    }

    /// <summary>Bounds, and what is added last, into the registers behind the sums.</summary>
    private static void LoadClamp(Assembler code)
    {
        for (int i = 0; i < 3; i++) code.Load(Rows + i, Register.Rcx, i * LineBytes);
    }

    private static void EmitClamp(Assembler code, int row)
    {
        code.Max(row, Rows, row);
        code.Min(row, Rows + 1, row);
        code.Add(row, row, Rows + 2);
    }

    /// <summary>The products of a panel with a block of lines, wherever its inputs come from. Returns the bytes that are left out where one of its forms runs.</summary>
    private static int EmitProducts(Assembler code, (int Row, int Index)[] entries, ReadOnlySpan<int> ends, in Block block, bool packs, bool asksAhead, in Lines outputs, int rows, Results results)
    {
        if (!packs)
        {
            EmitProducts(code, entries, ends, block, Inputs.Ready, asksAhead, outputs, rows, results);
            return 0;
        }
        code.Load(Register.Rcx, Register.Rdi, Arguments.SourceAt);
        int start = code.Length;
        int packed = code.SkipIfZero(Register.Rcx);
        code.Push(Register.R9);
        code.Push(Register.Rsi);
        code.Load(Register.R9, Register.Rdi, Arguments.SourceStrideAt);
        code.Load(Register.Rax, Register.Rdi, Arguments.SourceIsFarAt);
        int near = code.SkipIfZero(Register.Rax);
        EmitProducts(code, entries, ends, block, Inputs.PackedFromAfar, asksAhead: false, outputs with { Pointer = Register.Rsi }, rows, results);
        int far = code.Skip();
        code.Land(near);
        EmitProducts(code, entries, ends, block, Inputs.Packed, asksAhead: false, outputs with { Pointer = Register.Rsi }, rows, results);
        code.Land(far);
        code.Pop(Register.Rsi);
        code.Pop(Register.R9);
        int done = code.Skip();
        code.Land(packed);
        int skipped = code.Length - start;
        EmitProducts(code, entries, ends, block, Inputs.Ready, asksAhead, outputs, rows, results);
        code.Land(done);
        return skipped;
    }

    /// <summary>Asks for what the next panel adds to, where Rsi is now; behind the last panel, for about what the next tile's rows add to.</summary>
    private static void AskForResidual(Assembler code, int rows, int nextRows)
    {
        bool isLast = nextRows == 0;
        if (isLast) code.Load(Register.Rcx, Register.Rdi, Arguments.FromAt);
        else code.Move(Register.Rcx, Register.Rsi);
        for (int r = 0; r < (isLast ? rows : nextRows); r++)
        {
            code.PrefetchNear(Register.Rcx, isLast ? LineBytes : 0);
            code.Add(Register.Rcx, Register.R8);
        }
    }

    /// <summary>Each line's input, and its products; among them, requests for the outputs that are written next, and results where they are stored early.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EmitProducts(Assembler code, (int Row, int Index)[] entries, ReadOnlySpan<int> ends, in Block block, Inputs come, bool asksAhead, in Lines outputs, int rows, Results results)
    {
        // The registers behind the sums: four inputs by turns, or one beside the bounds.
        int firstInput = results == Results.Clamped ? Rows + 3 : Rows, inputRegisters = results == Results.Clamped ? 1 : 4;
        // From here to the same place of the next panel, with both copies of products where there are two.
        int panelBytes = ends[^1] * CodePerValue;
        if (results != Results.Left) panelBytes = 2 * panelBytes + rows * (CodePerRow + CodePerBoundedRow);
        Span<int> last = stackalloc int[Rows];
        last.Fill(-1);
        for (int e = 0; e < ends[^1]; e++) last[entries[e].Row] = e;
        code.Move(Register.Rax, Register.R10);
        (Register pointer, int wanted, int asked) = (outputs.Pointer, outputs.Count, 0);
        if (wanted > 0)
        {
            if (outputs.RowsAhead > 0)
            {
                code.Multiply(pointer, Register.R8, outputs.RowsAhead);
                code.Add(pointer, Register.R11);
            }
            else
            {
                code.Load(pointer, Register.Rdi, Arguments.OutputAt);
                code.Add(pointer, LineBytes);
            }
        }
        int inputs = 0, values = 0, count = ends[^1], source = 0, codeAsked = code.Length, valuesAsked = 0;
        for (int l = 0, i = 0, turn = 0; l < block.Count; l++)
        {
            int end = ends[l], first = i;
            if (i == end && come == Inputs.Ready) continue;
            int input = firstInput + turn++ % inputRegisters;
            while (block.Offsets is null && l * LineBytes - inputs > sbyte.MaxValue * LineBytes) inputs += Advance(Register.Rax, 255 * LineBytes);
            if (block.Offsets is not null)
            {
                code.Load(input, Register.Rax, block.Offsets[l]);
            }
            else if (come != Inputs.Ready)
            {
                GoTo(block.Numbers[block.First + l]);
                code.Load(input, Register.Rcx, 0);
                code.Store(input, Register.Rax, l * LineBytes - inputs);
                // The last byte that the next tile reads: where rows do not begin with cache lines, this tile has the others.
                if (come == Inputs.PackedFromAfar) code.Prefetch(Register.Rcx, 2 * LineBytes - 1);
            }
            else
            {
                code.LoadNear(input, Register.Rax, l * LineBytes - inputs);
            }
            while (i < end)
            {
                if (i * sizeof(float) - values > sbyte.MaxValue * sizeof(float)) values += Advance(Register.Rdx, 255 * sizeof(float));
                int run = Math.Min(end - i, sbyte.MaxValue + 1 - (i - values / sizeof(float)));
                code.MultiplyAddBroadcasts(entries.AsSpan(i, run), input, Register.Rdx, i - values / sizeof(float));
                i += run;
                if (asksAhead) AskNext(i);
            }
            for (int e = first; e < end && results != Results.Left; e++)
            {
                if (last[entries[e].Row] == e) StoreRow(entries[e].Row);
            }
            while (asked * (long)count < (long)i * wanted) Ask();
        }
        while (asked < wanted) Ask();
        for (int r = 0; r < rows && results != Results.Left; r++)
        {
            if (last[r] < 0) StoreRow(r);
        }
        if (count * sizeof(float) != values) Advance(Register.Rdx, count * sizeof(float) - values);

        void StoreRow(int row)
        {
            if (results == Results.Clamped) EmitClamp(code, row);
            code.Multiply(Register.Rbx, Register.R8, row);
            code.Add(Register.Rbx, Register.R11);
            code.Store(row, Register.Rbx, 0);
        }

        int Advance(Register register, int bytes)
        {
            code.Add(register, bytes);
            return bytes;
        }

        void Ask()
        {
            code.PrefetchToWrite(pointer);
            code.Add(pointer, Register.R8);
            asked++;
        }

        // The next panel lies behind this one, and so do its values; it is about as long.
        void AskNext(int i)
        {
            for (; valuesAsked < i; valuesAsked += CompiledMatrix.Lanes) code.Prefetch(Register.Rdx, (valuesAsked + count) * sizeof(float) - values);
            for (; codeAsked < code.Length; codeAsked += LineBytes) code.PrefetchCode(codeAsked + panelBytes - code.Length);
        }

        // Rcx is at a row of the source and goes to another.
        void GoTo(int row)
        {
            if (row - source > 2)
            {
                code.Multiply(Register.Rcx, Register.R9, row);
                code.Add(Register.Rcx, Register.Rdi, Arguments.SourceAt);
                source = row;
            }
            for (; source < row; source++) code.Add(Register.Rcx, Register.R9);
        }
    }

    /// <summary>Goes on to the next panel, which is written behind this, unless that was the last.</summary>
    /// <param name="code">Where to.</param>
    /// <param name="endsBlock">Whether the next panel is the first of another block.</param>
    /// <param name="nextIsLast">Whether that block is the last one.</param>
    public static void EmitNext(Assembler code, bool endsBlock, bool nextIsLast)
    {
        code.Decrement(Register.R9);
        int next = code.SkipIfNotZero();
        code.Return();
        if (!endsBlock) code.Align();
        code.Land(next);
        if (!endsBlock) return;
        code.Load(Register.R11, Register.Rdi, nextIsLast ? Arguments.OutputAt : Arguments.SumsAt);
        if (nextIsLast) code.Load(Register.Rsi, Register.Rdi, Arguments.SumsAt);
        code.Align();
    }

    /// <summary>What the code is called with; it changes some of it.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public unsafe struct Arguments
    {
        public const int InputAt = 0, InputTileAt = 8, OutputAt = 16, OutputTileAt = 24, ToAt = 32, ToTileAt = 40, FromAt = 48, FromTileAt = 56, SumsAt = 64, RowStrideAt = 72, BiasAt = 80, ClampAt = 88, ValuesAt = 96,
            PanelAt = 104, TilesAt = 112, PanelsAt = 120, SourceAt = 128, SourceStrideAt = 136, SourceIsFarAt = 144;

        public byte* Input;

        /// <summary>Bytes between tiles.</summary>
        public nint InputTile;

        /// <summary>The first panel's first row.</summary>
        public float* Output;
        public nint OutputTile;

        /// <summary>Where the first block's sums go: the output where it is the last one, too, else where they wait.</summary>
        public float* To;
        public nint ToTile;

        /// <summary>What the first block's sums begin with: a residual where no block is before it, or null; where they waited when it is the last one.</summary>
        public float* From;
        public nint FromTile;

        /// <summary>Where sums wait between blocks of one call: a line of 64 bytes for each row.</summary>
        public float* Sums;

        /// <summary>Bytes between rows of output and residual.</summary>
        public nint RowStride;

        /// <summary>Of all rows, or null.</summary>
        public float* Bias;

        /// <summary>Lower bounds, upper bounds, signs of zero, or null.</summary>
        public float* Clamp;

        /// <summary>The first panel's.</summary>
        public float* Values;

        /// <summary>The first panel's code.</summary>
        public nint Panel;

        /// <summary>How many, at least 1.</summary>
        public nint Tiles, Panels;

        /// <summary>Row 0 of the matrix that inputs come from, at the tile's columns; null where they are packed before.</summary>
        public float* Source;

        /// <summary>Bytes.</summary>
        public nint SourceStride;

        /// <summary>Not 0 where the source is much larger than the second cache.</summary>
        public nint SourceIsFar;
    }

    /// <summary>How a panel comes by its inputs.</summary>
    private enum Inputs
    {
        /// <summary>They are packed, or in shifted planes.</summary>
        Ready,

        /// <summary>Out of a matrix; the panel packs them.</summary>
        Packed,

        /// <summary>The same, and those of the next tile are asked for.</summary>
        PackedFromAfar,
    }

    /// <summary>What becomes of a panel's sums.</summary>
    private enum Results
    {
        /// <summary>They stay in their registers.</summary>
        Left,

        /// <summary>Each is stored behind its last product.</summary>
        Stored,

        /// <summary>The same, within bounds that are in the first three registers behind the sums.</summary>
        Clamped,
    }

    /// <summary>Lines of the output.</summary>
    /// <param name="Pointer">A register that is free to walk through them.</param>
    /// <param name="Count">How many.</param>
    /// <param name="RowsAhead">How many rows ahead of the panel's first they begin; 0: in the first row of all, one tile on.</param>
    private readonly record struct Lines(Register Pointer, int Count, int RowsAhead);

    /// <summary>What is written of a panel more than once.</summary>
    /// <param name="WithBounds">Where the products begin that go within bounds, if rows are stored early; else the same as <paramref name="WithoutBounds"/>.</param>
    /// <param name="WithoutBounds">Where those begin that do not, behind the others.</param>
    /// <param name="Skipped">Bytes of copies beside the one that runs; of that with bounds, where there is one, as it is the longer.</param>
    public readonly record struct Copies(int WithBounds, int WithoutBounds, int Skipped);

    /// <summary>A block of lines.</summary>
    /// <param name="Numbers">The row of the input that each line is, for all lines.</param>
    /// <param name="First">The block's first line.</param>
    /// <param name="Count">How many.</param>
    /// <param name="IsFirst">Whether sums begin here, with bias and residual, or go on.</param>
    /// <param name="IsLast">Whether sums end here, are clamped and go to the output.</param>
    /// <param name="Offsets">Where each of the block's lines is from the tile's address on, in bytes; null for one behind the other.</param>
    public readonly record struct Block(int[] Numbers, int First, int Count, bool IsFirst, bool IsLast, int[]? Offsets);
}
