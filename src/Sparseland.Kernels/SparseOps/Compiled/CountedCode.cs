using System.Runtime.InteropServices;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>Products of rows that have about as many stored values as each other in a block of lines, with some registers of columns: machine code that is written once a process.</summary>
/// <remarks>
/// <para>A unit is 4 or 2 such rows, or a single one where rows are left over. Its sums are loaded, every stored value is spread over a register and multiplied with its line, the sums are stored. Values and lines of a unit's rows take turns in memory, so
/// several chains of additions are under way at once: with 2 registers one row at a time took a tenth more.</para>
/// <para>The products are written out <see cref="Products"/> times, and a unit jumps in where as many are left as its longest row has values (what shorter ones lack are products with zeros): no loop ends inside a unit, and the jump is the same for all units of a group. What else a value costs is kept
/// off the two loads that a core starts in a cycle: four lines are loaded at once and taken apart in general registers, sixteen values are loaded at once and spread by a permutation. With R registers a value takes R loads so and not R + 2, which
/// were 0.69 and not 0.98 cycles a multiply-add for two registers, 0.63 and not 0.81 for four (Zen 5, all in the first cache).</para>
/// <para>Registers: Rdi arguments, Rsi lines, Rcx and Rdx behind the numbers and values of the unit's products, R10 its rows, R11 units left, R12 passes left, R13 the steps of the group, R8, R9, Rbx and Rbp its sums; Rax, R14 and R15 lines.
/// Vectors: sums, spread values, 15 values, 16 to 31 what spreads each.</para>
/// </remarks>
internal static unsafe class CountedCode
{
    /// <summary>Most registers of columns.</summary>
    public const int MostRegisters = 4;

    /// <summary>Rows of a unit where lines have few values, and where they have many.</summary>
    public const int ManyRows = 4, FewRows = 2;

    /// <summary>Lines of a block, where units have many rows and up to two registers, and where they have few rows and up to four: what is multiplied with a register stays in the first cache.</summary>
    public const int LinesOfMany = 320, LinesOfFew = 160;

    /// <summary>Numbers and values that may be read in front of a unit's first, and behind the last one's.</summary>
    public const int Margin = 16;

    // Products that are written out: for rows of a unit together. Rows with more values pass through all of them again.
    private const int Products = 128;

    // How far ahead values are asked for, in bytes: what a core fetches ahead by itself ends with each page.
    private const int ValuesAhead = 1024;

    private const int LineBytes = CompiledMatrix.Lanes * sizeof(float), Values = 15, Spread = 16, FirstMask = 1;

    private static readonly Register[] s_sums = [Register.R8, Register.R9, Register.Rbx, Register.Rbp];

    private static readonly Lazy<Functions?> s_functions = new(Write);

    /// <summary>Whether calls from this thread may use the code.</summary>
    public static bool IsUsable => CompiledMatrix.Usable && s_functions.Value is not null;

    /// <summary>Products of a row that are written out.</summary>
    /// <param name="rows">Rows of a unit.</param>
    public static int ProductsOf(int rows) => Products / rows;

    /// <summary>Lines of a block at most.</summary>
    /// <param name="rows">Rows of a unit.</param>
    public static int LinesOf(int rows) => rows == ManyRows ? LinesOfMany : LinesOfFew;

    /// <summary>Registers of columns at most.</summary>
    /// <param name="rows">Rows of a unit.</param>
    public static int RegistersOf(int rows) => rows == ManyRows ? 2 : MostRegisters;

    /// <summary>The line of zeros, which products that fill up a row meet: behind the line that packers may spoil.</summary>
    /// <param name="rows">Rows of a unit.</param>
    public static int ZeroLine(int rows) => LinesOf(rows) + 1;

    /// <summary>Floats from the lines of one register to those of the next.</summary>
    /// <param name="rows">Rows of a unit.</param>
    public static nint LineStride(int rows) => (ZeroLine(rows) + 1) * CompiledMatrix.Lanes;

    /// <summary>Runs the code; only where <see cref="IsUsable"/>.</summary>
    /// <param name="rows">Rows of a unit.</param>
    /// <param name="registers">Registers of columns.</param>
    /// <param name="stage">Where sums come from and go to.</param>
    /// <param name="arguments">What it works on.</param>
    public static void Run(int rows, int registers, Stages stage, Arguments* arguments)
    {
        Function function = s_functions.Value!.All[Index(rows, registers, stage)];
        fixed (Step* units = function.Units, singles = function.Singles)
        {
            arguments->UnitSteps = units;
            arguments->SingleSteps = singles;
            ((delegate* unmanaged[SuppressGCTransition]<Arguments*, void>)function.Address)(arguments);
        }
    }

    private static int Index(int rows, int registers, Stages stage) => (rows / ManyRows * MostRegisters + registers - 1) * 4 + (int)stage;

    private static Functions? Write()
    {
        var code = new Assembler();
        var written = new List<(int Index, int Start, int[] Units, int[] Singles)>();
        foreach (int rows in (int[])[FewRows, ManyRows])
        {
            for (int registers = 1; registers <= RegistersOf(rows); registers++)
            {
                for (Stages stage = 0; stage <= Stages.Whole; stage++)
                {
                    code.Align();
                    int start = code.Length;
                    (int[] units, int[] singles) = Emit(code, new Shape(rows, registers, stage));
                    written.Add((Index(rows, registers, stage), start, units, singles));
                }
            }
        }
        if (ExecutableMemory.TryCreate(code.Code) is not { } memory) return null;
        var all = new Function[Index(ManyRows, MostRegisters, Stages.Whole) + 1];
        foreach ((int index, int start, int[] units, int[] singles) in written)
            all[index] = new Function(memory.Address + start, Steps(memory.Address, units, Products / (units.Length - 1)), Steps(memory.Address, singles, 1));
        return new Functions(memory, all);
    }

    private static Step[] Steps(nint address, int[] entries, int rows)
    {
        var steps = new Step[entries.Length];
        for (int n = 0; n < steps.Length; n++)
        {
            int products = n * rows;
            steps[n] = new Step
            {
                Numbers = products * sizeof(ushort),
                Values = products * sizeof(float),
                NumbersBack = -(products + 3) / 4 * 4 * sizeof(ushort),
                ValuesBack = -(products + 15) / 16 * 16 * sizeof(float),
                Entry = address + entries[n],
            };
        }
        return steps;
    }

    /// <summary>Writes one function.</summary>
    /// <returns>Where a unit and a single row with n products enter, for every n.</returns>
    private static (int[] Units, int[] Singles) Emit(Assembler code, in Shape shape)
    {
        code.SaveRegisters();
        code.Load(Register.Rsi, Register.Rdi, Arguments.InputAt);
        code.Load(Register.Rcx, Register.Rdi, Arguments.NumbersAt);
        code.Load(Register.Rdx, Register.Rdi, Arguments.ValuesAt);
        code.Load(Register.R10, Register.Rdi, Arguments.RowsAt);
        if (shape.Begins || shape.Ends)
        {
            for (int j = 0; j < shape.Registers; j++) code.LoadMask(FirstMask + j, 16, Register.Rdi, Arguments.MasksAt + j * sizeof(long));
        }
        for (int i = 0; i < CompiledMatrix.Lanes; i++) code.BroadcastConstant(Spread + i, (uint)i, Register.Rax);

        int group = code.Length;
        code.Load(Register.R14, Register.Rdi, Arguments.GroupsAt);
        code.Load(Register.R12, Register.R14, Group.PassesAt);
        code.Store(Register.R12, Register.Rdi, Arguments.PassesAt);
        int[] units = EmitUnits(code, shape, shape.Rows, Group.UnitsAt, Arguments.UnitStepsAt);
        int[] singles = EmitUnits(code, shape, 1, Group.SinglesAt, Arguments.SingleStepsAt);
        code.Load(Register.R14, Register.Rdi, Arguments.GroupsAt);
        code.Add(Register.R14, sizeof(Group));
        code.Store(Register.R14, Register.Rdi, Arguments.GroupsAt);
        code.Decrement(Register.Rdi, Arguments.GroupCountAt);
        code.JumpIfNotZero(group);
        code.ClearUpperHalves();
        code.RestoreRegisters();
        code.Return();
        return (units, singles);
    }

    private static int[] EmitUnits(Assembler code, in Shape shape, int rows, int countAt, int stepsAt)
    {
        var entries = new int[ProductsOf(shape.Rows) + 1];
        code.Load(Register.R14, Register.Rdi, Arguments.GroupsAt);
        code.Load(Register.R11, Register.R14, countAt);
        int none = code.SkipIfZero(Register.R11);
        code.Load(Register.R13, Register.R14, Group.FirstAt);
        code.Multiply(Register.R13, Register.R13, sizeof(Step));
        code.Add(Register.R13, Register.Rdi, stepsAt);

        int unit = code.Length;
        code.Add(Register.Rcx, Register.R13, Step.NumbersAt);
        code.Add(Register.Rdx, Register.R13, Step.ValuesAt);
        EmitStart(code, shape, rows);
        code.Load(Register.R14, Register.R13, Step.NumbersBackAt);
        code.Add(Register.R14, Register.Rcx);
        code.Load(Register.Rax, Register.R14, 0);
        code.Load(Register.R14, Register.R13, Step.ValuesBackAt);
        code.Add(Register.R14, Register.Rdx);
        code.Load(Values, Register.R14, 0);
        code.Load(Register.R12, Register.Rdi, Arguments.PassesAt);
        code.Jump(Register.R13, Step.EntryAt);

        int again = code.Length, products = (entries.Length - 1) * rows;
        code.Add(Register.Rcx, products * sizeof(ushort));
        code.Add(Register.Rdx, products * sizeof(float));
        code.Load(Register.Rax, Register.Rcx, -products * sizeof(ushort));
        code.Load(Values, Register.Rdx, -products * sizeof(float));
        EmitProducts(code, shape, rows, entries);
        code.Decrement(Register.R12);
        code.JumpIfNotZero(again);

        EmitEnd(code, shape, rows);
        code.Add(Register.R10, rows * sizeof(int));
        code.Loop(Register.R11, unit);
        code.Land(none);
        return entries;
    }

    /// <summary>Sums begin with bias + residual, or where the block before left them. The lines that the next unit's go to are asked for.</summary>
    private static void EmitStart(Assembler code, in Shape shape, int rows)
    {
        for (int r = 0; r < rows && !shape.IsWhole; r++)
        {
            code.LoadIndex(s_sums[r], Register.R10, r * sizeof(int));
            code.Multiply(s_sums[r], s_sums[r], shape.Registers * LineBytes);
            code.Add(s_sums[r], Register.Rdi, Arguments.SumsAt);
        }
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
            code.Land(none);
        }
        else
        {
            for (int r = 0; r < rows; r++)
            {
                for (int j = 0; j < shape.Registers; j++) code.Load(shape.Sum(r, j), s_sums[r], j * LineBytes);
            }
        }
        for (int r = 0; r < rows; r++)
        {
            if (shape.Ends)
            {
                GoTo(code, Register.R15, Register.R10, rows + r, Arguments.OutputAt);
            }
            else
            {
                code.LoadIndex(Register.R15, Register.R10, (rows + r) * sizeof(int));
                code.Multiply(Register.R15, Register.R15, shape.Registers * LineBytes);
                code.Add(Register.R15, Register.Rdi, Arguments.SumsAt);
            }
            for (int j = 0; j < shape.Registers; j++) code.PrefetchToWrite(Register.R15, j * LineBytes);
        }
    }

    /// <summary>The products of all rows of a unit, as many as are written out; the last comes last.</summary>
    private static void EmitProducts(Assembler code, in Shape shape, int rows, int[] entries)
    {
        nint stride = LineStride(shape.Rows) * sizeof(float);
        for (int left = entries.Length - 1, turn = 0; left > 0; left--)
        {
            entries[left] = code.Length;
            for (int r = 0; r < rows; r++, turn++)
            {
                // Counted from the end, which is where pointers are.
                int behind = (left * rows) - r - 1, spread = rows * shape.Registers + turn % (Values - rows * shape.Registers);
                Register line = turn % 2 == 0 ? Register.R14 : Register.R15;
                code.TakeWord(line, Register.Rax, 3 - behind % 4);
                code.Permute(spread, Spread + 15 - behind % 16, Values);
                for (int j = 0; j < shape.Registers; j++) code.MultiplyAdd(shape.Sum(r, j), spread, Register.Rsi, line, (int)(j * stride));
                if (behind % 16 == 0) code.Prefetch(Register.Rdx, ValuesAhead - behind * sizeof(float));
                if (behind % 32 == 0) code.Prefetch(Register.Rcx, ValuesAhead / 2 - behind * sizeof(ushort));
                if (behind % 16 == 0 && behind > 0) code.Load(Values, Register.Rdx, -behind * sizeof(float));
                if (behind % 4 == 0 && behind > 0) code.Load(Register.Rax, Register.Rcx, -behind * sizeof(ushort));
            }
        }
        entries[0] = code.Length;
    }

    private static void EmitEnd(Assembler code, in Shape shape, int rows)
    {
        if (!shape.Ends)
        {
            for (int r = 0; r < rows; r++)
            {
                for (int j = 0; j < shape.Registers; j++) code.Store(shape.Sum(r, j), s_sums[r], j * LineBytes);
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

    /// <summary>The address of a row of output or residual.</summary>
    private static void GoTo(Assembler code, Register target, Register rows, int row, int matrixAt)
    {
        code.LoadIndex(target, rows, row * sizeof(int));
        code.MultiplyBy(target, Register.Rdi, Arguments.RowStrideAt);
        code.Add(target, Register.Rdi, matrixAt);
    }

    /// <summary>Where sums come from and go to.</summary>
    public enum Stages
    {
        /// <summary>They come from where sums wait and go back there.</summary>
        Middle = 0,

        /// <summary>They begin with bias and residual.</summary>
        First = 1,

        /// <summary>They are clamped and go to the output.</summary>
        Last = 2,

        /// <summary>Both: they wait nowhere.</summary>
        Whole = 3,
    }

    /// <summary>Units of as many products as each other.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Group
    {
        public const int FirstAt = 0, PassesAt = 8, UnitsAt = 16, SinglesAt = 24;

        /// <summary>Products of a row in its first pass; all others have <see cref="ProductsOf"/>.</summary>
        public nint First;

        /// <summary>At least 1.</summary>
        public nint Passes;

        /// <summary>Units, then single rows.</summary>
        public nint Units, Singles;

        /// <summary>Counts one more.</summary>
        public void Add(bool single)
        {
            if (single) Singles++;
            else Units++;
        }
    }

    /// <summary>What the code is called with; it changes some of it.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Arguments
    {
        public const int InputAt = 0, NumbersAt = 8, ValuesAt = 16, RowsAt = 24, GroupsAt = 32, GroupCountAt = 40, SumsAt = 48, OutputAt = 56, ResidualAt = 64, RowStrideAt = 72, BiasAt = 80, ClampAt = 88, MasksAt = 96,
            UnitStepsAt = 128, SingleStepsAt = 136, PassesAt = 144;

        /// <summary>Line 0 of the block in the first register; see <see cref="LineStride"/>.</summary>
        public float* Input;

        /// <summary>Which line each value meets, in bytes.</summary>
        public ushort* Numbers;

        /// <summary>Of the unit's first value.</summary>
        public float* Values;

        /// <summary>Of the first unit; a unit's number of rows more behind the last one's, whichever.</summary>
        public int* Rows;

        /// <summary>The groups, and how many, at least 1.</summary>
        public Group* Groups;
        public nint GroupCount;

        /// <summary>Where sums of row 0 wait, a line for each register of columns.</summary>
        public float* Sums;

        /// <summary>Row 0 at the first column.</summary>
        public float* Output;

        /// <summary>The same, or null; may be the output.</summary>
        public float* Residual;

        /// <summary>Bytes between rows of output and residual.</summary>
        public nint RowStride;

        /// <summary>Of all rows, or null.</summary>
        public float* Bias;

        /// <summary>Lower bounds, upper bounds, signs of zero, or null.</summary>
        public float* Clamp;

        /// <summary>Lanes of each register that are columns of output and residual.</summary>
        public fixed long Masks[MostRegisters];

        /// <summary>Of the function.</summary>
        public Step* UnitSteps, SingleSteps;

        /// <summary>The code's own.</summary>
        public nint Passes;
    }

    /// <summary>What depends on the number of products of a first pass.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Step
    {
        public const int NumbersAt = 0, ValuesAt = 8, NumbersBackAt = 16, ValuesBackAt = 24, EntryAt = 32;

        /// <summary>Bytes to behind the last number and the last value.</summary>
        public nint Numbers, Values;

        /// <summary>From there back to where the first four numbers and the first sixteen values are loaded.</summary>
        public nint NumbersBack, ValuesBack;

        public nint Entry;
    }

    /// <param name="Rows">Rows of a unit.</param>
    /// <param name="Registers">Registers of columns.</param>
    /// <param name="Stage">Where sums come from and go to.</param>
    private readonly record struct Shape(int Rows, int Registers, Stages Stage)
    {
        public bool Begins => (Stage & Stages.First) != 0;

        public bool Ends => (Stage & Stages.Last) != 0;

        public bool IsWhole => Stage == Stages.Whole;

        public int Sum(int row, int register) => row * Registers + register;
    }

    private sealed record Function(nint Address, Step[] Units, Step[] Singles);

    private sealed record Functions(ExecutableMemory Memory, Function[] All);
}
