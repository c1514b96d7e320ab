using System.Runtime.InteropServices;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>Products of rows that have about as many stored values as each other in a block of lines, with some registers of columns: machine code that is written once a process for each way of cutting the work.</summary>
/// <remarks>
/// <para>A unit is some such rows, or a single one where rows are left over. Its sums are loaded, every stored value is spread over a register and multiplied with its line, the sums are stored. Values and lines of a unit's rows take turns in memory, so
/// several chains of additions are under way at once.</para>
/// <para>The products are written out some times, and a unit jumps in where as many are left as its longest row has values (what shorter ones lack are products with zeros): no loop ends inside a unit, and the jump is the same for all units of a group.</para>
/// <para>Registers: Rdi arguments, Rsi lines, Rcx and Rdx behind the numbers and values of the unit's products, R10 its rows, R11 units left, R12 passes left, R13 the steps of the group, R8, R9, Rbx and Rbp its sums; Rax, R14 and R15 lines.</para>
/// </remarks>
internal abstract unsafe class CountedCode
{
    /// <summary>Most rows of a unit.</summary>
    public const int MostRows = 4;

    /// <summary>So many rows further the lines of a unit's rows are asked for: those and a unit more may be read behind the last one's, whichever they are.</summary>
    public const int RowsAhead = MostRows;

    /// <summary>Numbers and values that may be read in front of a unit's first, and behind the last one's.</summary>
    public const int Margin = 16;

    /// <summary>Values that are loaded together, where they are not spread as they are loaded.</summary>
    protected const int ValuesAtOnce = 8;

    /// <summary>Bytes of a line of 16 columns.</summary>
    protected const int LineBytes = CompiledMatrix.Lanes * sizeof(float);

    /// <summary>Where the sums of each row of a unit are.</summary>
    protected static readonly Register[] Sums = [Register.R8, Register.R9, Register.Rbx, Register.Rbp];

    private readonly Lazy<Functions?> _functions;

    /// <param name="rows">Rows of a unit, 1 to 4.</param>
    /// <param name="tiles">Tiles of 16 columns at most.</param>
    /// <param name="lines">Lines of a block at most.</param>
    /// <param name="products">Products of a row that are written out; rows with more pass through all of them again.</param>
    protected CountedCode(int rows, int tiles, int lines, int products)
    {
        (UnitRows, MostTiles, Lines, Products) = (rows, tiles, lines, products);
        _functions = new Lazy<Functions?>(Write);
    }

    /// <summary>Rows of a unit.</summary>
    public int UnitRows { get; }

    /// <summary>Tiles of 16 columns that are multiplied at a time at most.</summary>
    public int MostTiles { get; }

    /// <summary>Tiles that are packed at a time at most: strips of <see cref="MostTiles"/> take turns on what they read of a block.</summary>
    /// <param name="rows">Rows of a chunk.</param>
    public abstract int PackedTiles(int rows);

    /// <summary>Lines of a block at most.</summary>
    public int Lines { get; }

    /// <summary>Products of a row that are written out.</summary>
    public int Products { get; }

    /// <summary>The line of zeros, which products that fill up a row meet: behind the line that packers may spoil.</summary>
    public int ZeroLine => Lines + 1;

    /// <summary>Floats from the lines of one tile to those of the next.</summary>
    public nint LineStride => (ZeroLine + 1) * CompiledMatrix.Lanes;

    /// <summary>Floats of a register.</summary>
    public abstract int Lanes { get; }

    /// <summary>Bytes of the sums of a chunk of rows in <see cref="MostTiles"/> tiles, on average. A call does one chunk of one block: garbage collections may have to wait for it, some hundred microseconds at most.</summary>
    public abstract int ChunkBytes { get; }

    /// <summary>Bytes of the sums of chunks that are multiplied with the same packed lines, in all packed tiles; 0 where no chunks share any.</summary>
    /// <remarks>
    /// One chunk alone may have more where strips take turns: near are the sums of the strip whose turn it is (<see cref="ChunkBytes"/>), and those of all strips wait, up to <see cref="PackedTiles"/> / <see cref="MostTiles"/> times as many bytes.
    /// Whether smaller chunks would be faster there has not been measured.
    /// </remarks>
    public abstract int SharedBytes { get; }

    /// <summary>Tiles of a thread that are worth columns of its own; with fewer, threads share chunks of rows.</summary>
    public abstract int LeastTiles { get; }

    /// <summary>Lines of a block where rows have so many values.</summary>
    /// <param name="density">Stored fraction of a row.</param>
    public virtual int LinesFor(double density) => Lines;

    /// <summary>Whether calls from this thread may use the code.</summary>
    public bool IsUsable => Allowed && _functions.Value is not null;

    /// <summary>Whether the machine has the instructions and may be used.</summary>
    protected abstract bool Allowed { get; }

    /// <summary>The lanes of each register that are columns of output and residual.</summary>
    /// <param name="columns">How many columns there are.</param>
    /// <param name="arguments">Their masks are written.</param>
    public abstract void FillMasks(int columns, ref Arguments arguments);

    /// <summary>Runs the code; only where <see cref="IsUsable"/>.</summary>
    /// <param name="registers">Registers of columns.</param>
    /// <param name="stage">Where sums come from and go to.</param>
    /// <param name="arguments">What it works on.</param>
    public void Run(int registers, Stages stage, Arguments* arguments)
    {
        Function function = _functions.Value!.All[Index(registers, stage)];
        fixed (Step* units = function.Units, singles = function.Singles)
        {
            arguments->UnitSteps = units;
            arguments->SingleSteps = singles;
            ((delegate* unmanaged[SuppressGCTransition]<Arguments*, void>)function.Address)(arguments);
        }
    }

    /// <summary>What stands before the first group.</summary>
    protected abstract void EmitConstants(Assembler code, in Shape shape);

    /// <summary>Sums begin with bias + residual, or where the block before left them. The lines that the next unit's go to are asked for.</summary>
    protected abstract void EmitStart(Assembler code, in Shape shape, int rows);

    /// <summary>Loads the first numbers and values of a pass, which lie so many products before where the pointers are, or as the step says.</summary>
    protected abstract void EmitFirst(Assembler code, int? products);

    /// <summary>The products of all rows of a unit, as many as are written out; the last comes last. Where those with n left begin goes to entries[n].</summary>
    protected abstract void EmitProducts(Assembler code, in Shape shape, int rows, int[] entries);

    /// <summary>Sums go where they wait, or are clamped and written.</summary>
    protected abstract void EmitEnd(Assembler code, in Shape shape, int rows);

    /// <summary>The address of a row of output or residual.</summary>
    protected static void GoTo(Assembler code, Register target, Register rows, int row, int matrixAt)
    {
        code.LoadIndex(target, rows, row * sizeof(int));
        code.MultiplyBy(target, Register.Rdi, Arguments.RowStrideAt);
        code.Add(target, Register.Rdi, matrixAt);
    }

    /// <summary>The address of the sums of a row.</summary>
    protected static void GoToSums(Assembler code, Register target, Register rows, int row, in Shape shape)
    {
        code.LoadIndex(target, rows, row * sizeof(int));
        code.Multiply(target, target, shape.Tiles * LineBytes);
        code.Add(target, Register.Rdi, Arguments.SumsAt);
    }

    private static int Index(int registers, Stages stage) => (registers - 1) * 4 + (int)stage;

    private Functions? Write()
    {
        var code = new Assembler();
        int most = MostTiles * CompiledMatrix.Lanes / Lanes;
        var written = new List<(int Index, int Start, int[] Units, int[] Singles)>();
        for (int registers = 1; registers <= most; registers++)
        {
            for (Stages stage = 0; stage <= Stages.Whole; stage++)
            {
                code.Align();
                int start = code.Length;
                (int[] units, int[] singles) = Emit(code, new Shape(UnitRows, registers, (registers * Lanes + CompiledMatrix.Lanes - 1) / CompiledMatrix.Lanes, stage));
                written.Add((Index(registers, stage), start, units, singles));
            }
        }
        if (ExecutableMemory.TryCreate(code.Code) is not { } memory) return null;
        var all = new Function[Index(most, Stages.Whole) + 1];
        foreach ((int index, int start, int[] units, int[] singles) in written)
            all[index] = new Function(memory.Address + start, Steps(memory.Address, units, UnitRows), Steps(memory.Address, singles, 1));
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
                ValuesBack = -(products + ValuesAtOnce - 1) / ValuesAtOnce * ValuesAtOnce * sizeof(float),
                Entry = address + entries[n],
            };
        }
        return steps;
    }

    /// <summary>Writes one function.</summary>
    /// <returns>Where a unit and a single row with n products enter, for every n.</returns>
    private (int[] Units, int[] Singles) Emit(Assembler code, in Shape shape)
    {
        code.SaveRegisters();
        code.Load(Register.Rsi, Register.Rdi, Arguments.InputAt);
        code.Load(Register.Rcx, Register.Rdi, Arguments.NumbersAt);
        code.Load(Register.Rdx, Register.Rdi, Arguments.ValuesAt);
        code.Load(Register.R10, Register.Rdi, Arguments.RowsAt);
        EmitConstants(code, shape);

        int group = code.Length;
        code.Load(Register.R14, Register.Rdi, Arguments.GroupsAt);
        code.Load(Register.R12, Register.R14, Group.PassesAt);
        code.Store(Register.R12, Register.Rdi, Arguments.PassesAt);
        int[] units = EmitUnits(code, shape, shape.Rows, Group.UnitsAt, Arguments.UnitStepsAt);
        int[] singles = shape.Rows == 1 ? [] : EmitUnits(code, shape, 1, Group.SinglesAt, Arguments.SingleStepsAt);
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

    private int[] EmitUnits(Assembler code, in Shape shape, int rows, int countAt, int stepsAt)
    {
        var entries = new int[Products + 1];
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
        EmitFirst(code, null);
        code.Load(Register.R12, Register.Rdi, Arguments.PassesAt);
        code.Jump(Register.R13, Step.EntryAt);

        int again = code.Length, products = Products * rows;
        code.Add(Register.Rcx, products * sizeof(ushort));
        code.Add(Register.Rdx, products * sizeof(float));
        EmitFirst(code, products);
        EmitProducts(code, shape, rows, entries);
        code.Decrement(Register.R12);
        code.JumpIfNotZero(again);

        EmitEnd(code, shape, rows);
        code.Add(Register.R10, rows * sizeof(int));
        code.Loop(Register.R11, unit);
        code.Land(none);
        return entries;
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

        /// <summary>Products of a row in its first pass; all others have <see cref="CountedCode.Products"/>.</summary>
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

        /// <summary>Of the first unit; see <see cref="RowsAhead"/>.</summary>
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

        /// <summary>See <see cref="FillMasks"/>.</summary>
        public fixed long Masks[4];

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

        /// <summary>From there back to where the first four numbers and the first <see cref="ValuesAtOnce"/> values are loaded.</summary>
        public nint NumbersBack, ValuesBack;

        public nint Entry;
    }

    /// <param name="Rows">Rows of a unit.</param>
    /// <param name="Registers">Registers of columns.</param>
    /// <param name="Tiles">Tiles of 16 columns that these are; the last may be filled by half.</param>
    /// <param name="Stage">Where sums come from and go to.</param>
    protected readonly record struct Shape(int Rows, int Registers, int Tiles, Stages Stage)
    {
        public bool Begins => (Stage & Stages.First) != 0;

        public bool Ends => (Stage & Stages.Last) != 0;

        public bool IsWhole => Stage == Stages.Whole;

        public int Sum(int row, int register) => row * Registers + register;
    }

    private sealed record Function(nint Address, Step[] Units, Step[] Singles);

    private sealed record Functions(ExecutableMemory Memory, Function[] All);
}
