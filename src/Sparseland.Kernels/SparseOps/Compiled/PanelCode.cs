using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>Writes the machine code of <see cref="CompiledMatrix"/>: a loop over tiles, and for each panel of rows and block of lines straight-line code that it calls.</summary>
/// <remarks>
/// Registers: Rdi arguments, R10 input tile, R11 output row, Rsi residual row or zero, R8 bytes between rows, R9 panels left, Rdx values; Rax walks through inputs,
/// Rcx through the rest. Vectors 0..27 are sums, 28..31 inputs. A panel leaves the pointers at the rows and values of the next, which lies behind it.
/// </remarks>
internal static class PanelCode
{
    /// <summary>Rows whose sums stay in registers.</summary>
    public const int Rows = 28;

    private const int LineBytes = CompiledMatrix.Lanes * sizeof(float);
    private const int ValueStep = 32;

    /// <summary>Writes the loop over tiles; it comes first.</summary>
    public static void EmitLoop(Assembler code)
    {
        int top = code.Length;
        code.Load(Register.R10, Register.Rdi, Arguments.InputAt);
        code.Load(Register.R11, Register.Rdi, Arguments.OutputAt);
        code.Load(Register.R8, Register.Rdi, Arguments.RowStrideAt);
        code.Load(Register.R9, Register.Rdi, Arguments.PanelsAt);
        code.Load(Register.Rsi, Register.Rdi, Arguments.ResidualAt);
        code.Load(Register.Rdx, Register.Rdi, Arguments.ValuesAt);
        code.Load(Register.Rax, Register.Rdi, Arguments.PanelAt);
        code.Call(Register.Rax);
        code.Load(Register.Rax, Register.Rdi, Arguments.InputTileAt);
        code.AddTo(Register.Rdi, Arguments.InputAt, Register.Rax);
        code.Load(Register.Rax, Register.Rdi, Arguments.OutputTileAt);
        code.AddTo(Register.Rdi, Arguments.OutputAt, Register.Rax);
        code.Load(Register.Rcx, Register.Rdi, Arguments.ResidualAt);
        int without = code.SkipIfZero(Register.Rcx);
        code.AddTo(Register.Rdi, Arguments.ResidualAt, Register.Rax);
        code.Land(without);
        code.Decrement(Register.Rdi, Arguments.TilesAt);
        code.JumpIfNotZero(top);
        code.ClearUpperHalves();
        code.Return();
    }

    /// <summary>Writes one panel's code for one block of lines.</summary>
    /// <param name="code">Where to; at a line of the instruction cache.</param>
    /// <param name="firstRow">Row of the matrix.</param>
    /// <param name="rows">At most <see cref="Rows"/>.</param>
    /// <param name="entries">Row within the panel of each stored value, line by line.</param>
    /// <param name="ends">Where each line's entries end.</param>
    /// <param name="lines">Lines of the block.</param>
    /// <param name="isFirst">Whether sums begin here, with bias and residual, or go on from the output.</param>
    /// <param name="isLast">Whether sums end here and are clamped.</param>
    /// <param name="ahead">Whether lines of other code are asked for.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Emit(Assembler code, int firstRow, int rows, (int Row, int Index)[] entries, int[] ends, int lines, bool isFirst, bool isLast, bool ahead)
    {
        if (isFirst)
        {
            code.Load(Register.Rcx, Register.Rdi, Arguments.BiasAt);
            for (int r = 0; r < rows; r++) code.Broadcast(r, Register.Rcx, (firstRow + r) * sizeof(float));
            int none = code.SkipIfZero(Register.Rsi);
            for (int r = 0; r < rows; r++)
            {
                code.AddMemory(r, r, Register.Rsi);
                code.Add(Register.Rsi, Register.R8);
            }
            code.Land(none);
        }
        else
        {
            code.Move(Register.Rcx, Register.R11);
            for (int r = 0; r < rows; r++)
            {
                code.Load(r, Register.Rcx, 0);
                code.Add(Register.Rcx, Register.R8);
            }
        }

        code.Move(Register.Rax, Register.R10);
        int inputs = 0, values = 0, count = ends[^1];
        for (int l = 0, i = 0, turn = 0; l < lines; l++)
        {
            int end = ends[l];
            if (i == end) continue;
            while (l * LineBytes - inputs > sbyte.MaxValue * LineBytes) inputs += Advance(Register.Rax, 255 * LineBytes);
            int input = Rows + turn++ % 4;
            code.Load(input, Register.Rax, l * LineBytes - inputs);
            for (; i < end; i++)
            {
                if (i * sizeof(float) - values > sbyte.MaxValue * sizeof(float)) values += Advance(Register.Rdx, 255 * sizeof(float));
                code.MultiplyAddBroadcast(entries[i].Row, input, Register.Rdx, i * sizeof(float) - values);
            }
        }
        if (count * sizeof(float) != values) Advance(Register.Rdx, count * sizeof(float) - values);

        if (isLast)
        {
            code.Load(Register.Rcx, Register.Rdi, Arguments.ClampAt);
            int none = code.SkipIfZero(Register.Rcx);
            for (int i = 0; i < 3; i++) code.Load(Rows + i, Register.Rcx, i * LineBytes);
            for (int r = 0; r < rows; r++)
            {
                code.Max(r, Rows, r);
                code.Min(r, Rows + 1, r);
                code.Add(r, r, Rows + 2);
            }
            code.Land(none);
        }
        for (int r = 0; r < rows; r++)
        {
            code.Store(r, Register.R11, 0);
            code.Add(Register.R11, Register.R8);
        }
        if (ahead) EmitAhead(code);

        int Advance(Register register, int bytes)
        {
            code.Add(register, bytes);
            return bytes;
        }
    }

    /// <summary>Goes on to the next panel, which is written behind this, unless that was the last.</summary>
    public static void EmitNext(Assembler code)
    {
        code.Decrement(Register.R9);
        int next = code.SkipIfNotZero();
        code.Return();
        code.Align();
        code.Land(next);
    }

    /// <summary>Asks for a few lines of the code and the values that are needed after these panels.</summary>
    private static void EmitAhead(Assembler code)
    {
        code.Load(Register.Rax, Register.Rdi, Arguments.AheadLinesAt);
        int none = code.SkipIfZero(Register.Rax);
        code.Load(Register.Rcx, Register.Rdi, Arguments.AheadCodeAt);
        int top = code.Length;
        code.Prefetch(Register.Rcx);
        code.Add(Register.Rcx, LineBytes);
        code.Decrement(Register.Rax);
        code.JumpIfNotZero(top);
        code.Store(Register.Rcx, Register.Rdi, Arguments.AheadCodeAt);
        code.Load(Register.Rax, Register.Rdi, Arguments.AheadLinesAt);
        code.Load(Register.Rcx, Register.Rdi, Arguments.AheadValuesAt);
        top = code.Length;
        code.Prefetch(Register.Rcx);
        code.Add(Register.Rcx, ValueStep);
        code.Decrement(Register.Rax);
        code.JumpIfNotZero(top);
        code.Store(Register.Rcx, Register.Rdi, Arguments.AheadValuesAt);
        code.Land(none);
    }

    /// <summary>What the code is called with; it changes some of it.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public unsafe struct Arguments
    {
        public const int InputAt = 0, InputTileAt = 8, OutputAt = 16, OutputTileAt = 24, ResidualAt = 32, RowStrideAt = 40, BiasAt = 48, ClampAt = 56, ValuesAt = 64, PanelAt = 72, TilesAt = 80, PanelsAt = 88,
            AheadCodeAt = 96, AheadValuesAt = 104, AheadLinesAt = 112;

        public byte* Input;

        /// <summary>Bytes between tiles.</summary>
        public nint InputTile;

        /// <summary>The first panel's first row.</summary>
        public float* Output;
        public nint OutputTile;

        /// <summary>As Output, or null.</summary>
        public float* Residual;

        /// <summary>Bytes.</summary>
        public nint RowStride;

        /// <summary>Of all rows.</summary>
        public float* Bias;

        /// <summary>Lower bounds, upper bounds, signs of zero, or null.</summary>
        public float* Clamp;

        /// <summary>The first panel's.</summary>
        public float* Values;

        /// <summary>The first panel's code.</summary>
        public nint Panel;

        /// <summary>How many, at least 1.</summary>
        public nint Tiles, Panels;

        /// <summary>What each panel of each tile asks for: so many lines from here on.</summary>
        public nint AheadCode, AheadValues, AheadLines;
    }
}
