using System.Runtime.InteropServices;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>Products of tiles of rows, 4 or 8 that share their columns, with some columns of the input: machine code that is written once a process.</summary>
/// <remarks>
/// <para>The sums of a tile and up to 24 registers of columns stay in registers: 4 rows by 6 or 8 by 3. For each column of the tile the code loads the inputs once, where they are, and multiplies them with each row's
/// value. Up to four columns that are left over have the rows in the lanes: one multiply-add for each of them and not one for each row (49 pixels take 25 multiply-adds for 8 values and not 32); more are read under a mask.</para>
/// <para>Registers: Rdi arguments, R10 inputs, R11 outputs, R8 bytes between rows of the output, R9 of the input, Rax columns left, Rcx where the next one's number is, Rdx values, Rsi a line of the input.
/// Vectors: sums from 0 on, row by row, then those of columns with rows in the lanes; then inputs; 31 a value.</para>
/// <para>While outputs are stored, others that follow are asked for: a store to a line that is in no near cache holds up all that follow.</para>
/// <para>Written as code and not in C#: 24 sums, 6 inputs and a value take 31 of 32 registers, and a compiler that spills one of them loses what this is for.</para>
/// </remarks>
internal static unsafe class TileCode
{
    /// <summary>Most columns with rows in the lanes.</summary>
    public const int MostLaneColumns = 4;

    private const int MostSums = 24, Value = 31, Upper = 30, Low = 29, High = 30, Sign = 31, LineBytes = CompiledMatrix.Lanes * sizeof(float), Mask = 1;

    private static readonly Lazy<Functions?> s_functions = new(Write);

    /// <summary>Whether calls from this thread may use the code.</summary>
    public static bool IsUsable => CompiledMatrix.Usable && s_functions.Value is not null;

    /// <summary>Most registers of columns, with or without columns whose rows are in the lanes.</summary>
    public static int MostRegisters(int rows, bool withLanes) => rows == 4 && withLanes ? 5 : MostSums / rows;

    /// <summary>Runs the code; only where <see cref="IsUsable"/>.</summary>
    /// <param name="rows">Rows of a tile: 4 or 8.</param>
    /// <param name="registers">Registers of columns.</param>
    /// <param name="laneColumns">Columns behind them whose rows are in the lanes.</param>
    /// <param name="masked">Whether the last register is masked.</param>
    /// <param name="arguments">What it works on.</param>
    public static void Run(int rows, int registers, int laneColumns, bool masked, Arguments* arguments) =>
        ((delegate* unmanaged[SuppressGCTransition]<Arguments*, void>)s_functions.Value!.Addresses[Index(rows, registers, laneColumns, masked)])(arguments);

    private static int Index(int rows, int registers, int laneColumns, bool masked) => ((rows / 8 * 7 + registers) * (MostLaneColumns + 1) + laneColumns) * 2 + (masked ? 1 : 0);

    private static Functions? Write()
    {
        var code = new Assembler();
        var starts = new int[Index(8, 6, MostLaneColumns, true) + 1];
        foreach (int rows in (int[])[4, 8])
        {
            for (int lanes = 0; lanes <= MostLaneColumns; lanes++)
            {
                for (int registers = lanes == 0 ? 1 : 0; registers <= MostRegisters(rows, lanes > 0); registers++)
                {
                    foreach (bool masked in (bool[])[false, true])
                    {
                        if (masked && lanes > 0) continue;
                        code.Align();
                        starts[Index(rows, registers, lanes, masked)] = code.Length;
                        Emit(code, new Shape(rows, registers, lanes, masked));
                    }
                }
            }
        }
        return ExecutableMemory.TryCreate(code.Code) is { } memory ? new Functions(memory, [.. starts.Select(s => memory.Address + s)]) : null;
    }

    private static void Emit(Assembler code, in Shape shape)
    {
        code.Load(Register.R8, Register.Rdi, Arguments.OutputStrideAt);
        code.Load(Register.R9, Register.Rdi, Arguments.InputStrideAt);
        if (shape.Masked) code.LoadMask(Mask, 16, Register.Rdi, Arguments.MaskAt);
        int tile = code.Length;
        code.Load(Register.Rcx, Register.Rdi, Arguments.CountsAt);
        code.LoadIndex(Register.Rax, Register.Rcx);
        code.Store(Register.Rax, Register.Rdi, Arguments.CountAt);
        code.Add(Register.Rcx, sizeof(int));
        code.Store(Register.Rcx, Register.Rdi, Arguments.CountsAt);
        code.Load(Register.Rax, Register.Rdi, Arguments.GroupsAt);
        code.Store(Register.Rax, Register.Rdi, Arguments.GroupsLeftAt);
        code.Load(Register.R10, Register.Rdi, Arguments.InputAt);
        code.Load(Register.R11, Register.Rdi, Arguments.OutputAt);

        int group = code.Length;
        EmitStart(code, shape);
        EmitProducts(code, shape);
        EmitEnd(code, shape);
        code.Add(Register.R10, shape.Registers * LineBytes);
        code.Add(Register.R11, shape.Registers * LineBytes);
        code.Decrement(Register.Rdi, Arguments.GroupsLeftAt);
        code.JumpIfNotZero(group);

        code.Load(Register.Rax, Register.Rdi, Arguments.NextColumnsAt);
        code.Store(Register.Rax, Register.Rdi, Arguments.ColumnsAt);
        code.Load(Register.Rax, Register.Rdi, Arguments.NextValuesAt);
        code.Store(Register.Rax, Register.Rdi, Arguments.ValuesAt);
        code.Multiply(Register.Rax, Register.R8, shape.Rows);
        code.AddTo(Register.Rdi, Arguments.OutputAt, Register.Rax);
        code.Load(Register.Rcx, Register.Rdi, Arguments.BiasAt);
        int without = code.SkipIfZero(Register.Rcx);
        code.Add(Register.Rcx, shape.Rows * sizeof(float));
        code.Store(Register.Rcx, Register.Rdi, Arguments.BiasAt);
        code.Land(without);
        code.Decrement(Register.Rdi, Arguments.TilesAt);
        code.JumpIfNotZero(tile);
        code.ClearUpperHalves();
        code.Return();
    }

    /// <summary>Sums begin with bias + residual.</summary>
    private static void EmitStart(Assembler code, in Shape shape)
    {
        code.Load(Register.Rcx, Register.Rdi, Arguments.BiasAt);
        int without = code.SkipIfZero(Register.Rcx);
        for (int r = 0; r < shape.Rows && shape.Registers > 0; r++)
        {
            code.Broadcast(shape.Sum(r, 0), Register.Rcx, r * sizeof(float));
            for (int j = 1; j < shape.Registers; j++) code.Copy(shape.Sum(r, j), shape.Sum(r, 0));
        }
        for (int c = 0; c < shape.Lanes; c++) code.LoadLanes(shape.LaneSum(c), shape.Rows, Register.Rcx, 0);
        int with = code.Skip();
        code.Land(without);
        for (int s = 0; s < shape.Sums; s++) code.Clear(s);
        code.Land(with);

        code.Load(Register.Rcx, Register.Rdi, Arguments.AddsAt);
        int none = code.SkipIfZero(Register.Rcx);
        GoToResidual();
        for (int r = 0; r < shape.Rows && shape.Registers > 0; r++)
        {
            for (int j = 0; j < shape.Registers; j++)
            {
                Load(code, shape, Value, Register.Rcx, j);
                code.Add(shape.Sum(r, j), shape.Sum(r, j), Value);
            }
            code.Add(Register.Rcx, Register.R8);
        }
        for (int c = 0; c < shape.Lanes; c++)
        {
            GoToResidual();
            code.Clear(Value);
            code.Clear(Upper);
            for (int r = 0; r < shape.Rows; r++)
            {
                code.LoadLane(r < 4 ? Value : Upper, r % 4, Register.Rcx, shape.Registers * LineBytes + c * sizeof(float));
                code.Add(Register.Rcx, Register.R8);
            }
            if (shape.Rows > 4) code.JoinLanes(Value, Upper);
            code.Add(shape.LaneSum(c), shape.LaneSum(c), Value);
        }
        code.Land(none);

        void GoToResidual()
        {
            code.Load(Register.Rcx, Register.Rdi, Arguments.ResidualFromOutputAt);
            code.Add(Register.Rcx, Register.R11);
        }
    }

    private static void EmitProducts(Assembler code, in Shape shape)
    {
        code.Load(Register.Rax, Register.Rdi, Arguments.CountAt);
        code.Load(Register.Rcx, Register.Rdi, Arguments.ColumnsAt);
        code.Load(Register.Rdx, Register.Rdi, Arguments.ValuesAt);
        int empty = code.SkipIfZero(Register.Rax);
        int next = code.Length;
        code.LoadIndex(Register.Rsi, Register.Rcx);
        code.Multiply(Register.Rsi, Register.R9);
        code.Add(Register.Rsi, Register.R10);
        code.Add(Register.Rcx, sizeof(int));
        for (int j = 0; j < shape.Registers; j++) Load(code, shape, shape.Input(j), Register.Rsi, j);
        for (int r = 0; r < shape.Rows && shape.Registers > 0; r++)
        {
            code.Broadcast(Value, Register.Rdx, r * sizeof(float));
            for (int j = 0; j < shape.Registers; j++) code.MultiplyAdd(shape.Sum(r, j), shape.Input(j), Value);
        }
        for (int c = 0; c < shape.Lanes; c++)
        {
            code.Broadcast(Value, Register.Rsi, shape.Registers * LineBytes + c * sizeof(float));
            code.MultiplyAddLanes(shape.LaneSum(c), Value, shape.Rows, Register.Rdx);
        }
        code.Add(Register.Rdx, shape.Rows * sizeof(float));
        code.Loop(Register.Rax, next);
        code.Land(empty);
        code.Store(Register.Rcx, Register.Rdi, Arguments.NextColumnsAt);
        code.Store(Register.Rdx, Register.Rdi, Arguments.NextValuesAt);
    }

    private static void EmitEnd(Assembler code, in Shape shape)
    {
        code.Load(Register.Rcx, Register.Rdi, Arguments.ClampAt);
        int none = code.SkipIfZero(Register.Rcx);
        for (int i = 0; i < 3; i++) code.Load(Low + i, Register.Rcx, i * LineBytes);
        for (int s = 0; s < shape.Sums; s++)
        {
            code.Max(s, Low, s);
            code.Min(s, High, s);
            code.Add(s, s, Sign);
        }
        code.Land(none);
        code.Move(Register.Rcx, Register.R11);
        code.Load(Register.Rsi, Register.Rdi, Arguments.AheadAt);
        code.Add(Register.Rsi, Register.R11);
        for (int r = 0; r < shape.Rows; r++)
        {
            for (int j = 0; j < shape.Registers; j++)
            {
                code.PrefetchToWrite(Register.Rsi, j * LineBytes);
                if (shape.Masked && j == shape.Registers - 1) code.StoreMasked(shape.Sum(r, j), Mask, Register.Rcx, j * LineBytes);
                else code.Store(shape.Sum(r, j), Register.Rcx, j * LineBytes);
            }
            for (int c = 0; c < shape.Lanes; c++)
            {
                if (r == 4) code.UpperLanes(shape.LaneSum(c), shape.LaneSum(c));
                code.StoreLane(shape.LaneSum(c), r % 4, Register.Rcx, shape.Registers * LineBytes + c * sizeof(float));
            }
            code.Add(Register.Rcx, Register.R8);
            code.Add(Register.Rsi, Register.R8);
        }
    }

    private static void Load(Assembler code, in Shape shape, int target, Register address, int register)
    {
        if (shape.Masked && register == shape.Registers - 1) code.LoadMasked(target, Mask, address, register * LineBytes);
        else code.Load(target, address, register * LineBytes);
    }

    /// <summary>What the code is called with; it changes some of it.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Arguments
    {
        public const int CountsAt = 0, ColumnsAt = 8, ValuesAt = 16, InputAt = 24, InputStrideAt = 32, OutputAt = 40, OutputStrideAt = 48, AddsAt = 56, ResidualFromOutputAt = 64, BiasAt = 72, ClampAt = 80, GroupsAt = 88,
            TilesAt = 96, MaskAt = 104, CountAt = 112, GroupsLeftAt = 120, NextColumnsAt = 128, NextValuesAt = 136, AheadAt = 144;

        /// <summary>How many columns each tile has.</summary>
        public int* Counts;

        /// <summary>The rows of the input that they meet, tile by tile.</summary>
        public int* Columns;

        /// <summary>The values of one column of a tile after the other.</summary>
        public float* Values;

        /// <summary>Row 0 of the input at the first column, and bytes between rows.</summary>
        public float* Input;
        public nint InputStride;

        /// <summary>The first tile's first row at the first column, and bytes between rows.</summary>
        public float* Output;
        public nint OutputStride;

        /// <summary>Not 0 where a residual is added, which begins so many bytes behind the output.</summary>
        public nint Adds, ResidualFromOutput;

        /// <summary>Of the first tile's rows, or null.</summary>
        public float* Bias;

        /// <summary>Lower bounds, upper bounds, signs of zero, or null.</summary>
        public float* Clamp;

        /// <summary>How often in a tile, so many registers further each time; 1 where there is a mask or rows are in the lanes.</summary>
        public nint Groups;

        /// <summary>How many, at least 1.</summary>
        public nint Tiles;

        /// <summary>Lanes of the last register.</summary>
        public nint Mask;

        /// <summary>The code's own.</summary>
        public nint Count, GroupsLeft, NextColumns, NextValues;

        /// <summary>How many bytes behind the outputs that are stored those lie that are asked for meanwhile.</summary>
        public nint Ahead;
    }

    /// <summary>What one function computes at a time.</summary>
    /// <param name="Rows">Rows of a tile.</param>
    /// <param name="Registers">Registers of columns.</param>
    /// <param name="Lanes">Columns behind them with rows in the lanes.</param>
    /// <param name="Masked">Whether the last register is masked.</param>
    private readonly record struct Shape(int Rows, int Registers, int Lanes, bool Masked)
    {
        public int Sums => Rows * Registers + Lanes;

        public int Sum(int row, int register) => row * Registers + register;

        public int LaneSum(int column) => Rows * Registers + column;

        public int Input(int register) => Sums + register;
    }

    private sealed record Functions(ExecutableMemory Memory, nint[] Addresses);
}
