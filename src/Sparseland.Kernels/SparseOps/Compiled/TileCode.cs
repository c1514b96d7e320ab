using System.Runtime.InteropServices;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>Products of tiles of rows, 4 or 8 that share their columns, with some columns of the input: machine code that is written once a process.</summary>
/// <remarks>
/// <para>The sums of a tile and of up to 24 registers of columns (12 without AVX-512) stay in registers: 4 rows by 6 or 8 by 3; 4 rows by 3. For each column of the tile the code loads the inputs once, where they are, and multiplies them with
/// each row's value. Some columns that are left over have the rows in the lanes: one multiply-add for each of them and not one for each row (49 pixels take 25 multiply-adds for 8 values and not 32); more are read under a mask.</para>
/// <para>Where lines are packed (<see cref="TiledPanels"/>; only without AVX-512) a tile is multiplied with some lines at a time: its sums may begin with those of the lines before, and wait for those behind. Nothing is asked for ahead there, two columns are
/// done a round, and beside one column with rows in the lanes there are three registers of columns: the last one of an input is read by the multiply-adds.</para>
/// <para>Registers: Rdi arguments, R10 inputs, R11 outputs, R8 bytes between rows of the output, R9 of the input, Rax columns left, Rcx where the next one's number is, Rdx values, Rsi a line of the input.
/// Vectors: sums from 0 on, row by row, then those of columns with rows in the lanes; then inputs; the last one a value.</para>
/// <para>While outputs are stored, others that follow are asked for: a store to a line that is in no near cache holds up all that follow.</para>
/// <para>Written as code and not in C#: 24 sums, 6 inputs and a value take 31 of 32 registers (12, 3 and one all 16), and a compiler that spills one of them loses what this is for.</para>
/// </remarks>
internal sealed unsafe class TileCode
{
    // Rows in the lanes instead of a masked register: up to so many columns. Without masks all of them.
    private const int MostWideLaneColumns = 4, MostNarrowLaneColumns = 7, CacheLine = 64;

    private static readonly Lazy<TileCode?> s_wide = new(() => TryCreate(isWide: true)), s_narrow = new(() => TryCreate(isWide: false));

    private readonly bool _isWide;
    private readonly nint[] _addresses = new nint[Index(new Shape(8, 6, MostNarrowLaneColumns, true, true)) + 1];
    private readonly ExecutableMemory? _memory;

    private TileCode(bool isWide)
    {
        _isWide = isWide;
        var code = new Assembler();
        foreach (Shape shape in Shapes())
        {
            code.Align();
            _addresses[Index(shape)] = code.Length;
            Emit(code, new TileVectors(code, isWide), shape);
        }
        _memory = ExecutableMemory.TryCreate(code.Code);
        for (int i = 0; i < _addresses.Length && _memory is not null; i++) _addresses[i] += _memory.Address;
    }

    /// <summary>The code for the instruction level in use, or null where calls from this thread may not use any.</summary>
    public static TileCode? Current => CompiledMatrix.Usable ? s_wide.Value : CompiledMatrix.Usable256 ? s_narrow.Value : null;

    /// <summary>Whether calls from this thread may use code.</summary>
    public static bool IsUsable => Current is not null;

    /// <summary>Floats of a register.</summary>
    public int Lanes => _isWide ? 16 : 8;

    /// <summary>Whether there are functions for packed lines.</summary>
    public bool Packs => !_isWide;

    /// <summary>Rows that a tile may have, the best first.</summary>
    public ReadOnlySpan<int> Heights => _isWide ? [8, 4] : [4];

    /// <summary>Most columns with rows in the lanes.</summary>
    public int MostLaneColumns => _isWide ? MostWideLaneColumns : MostNarrowLaneColumns;

    /// <summary>Most registers of columns beside so many columns whose rows are in the lanes.</summary>
    public int MostRegisters(int rows, int laneColumns, bool packed = false)
    {
        if (_isWide) return rows == 4 && laneColumns > 0 ? 5 : 24 / rows;
        return laneColumns switch { 0 => 3, 1 when packed => 3, <= 5 => 2, _ => 1 };
    }

    /// <summary>Runs the code; only while <see cref="Current"/> is this.</summary>
    /// <param name="rows">Rows of a tile, one of <see cref="Heights"/>.</param>
    /// <param name="registers">Registers of columns.</param>
    /// <param name="laneColumns">Columns behind them whose rows are in the lanes.</param>
    /// <param name="masked">Whether the last register is masked; only where <see cref="MostLaneColumns"/> does not make it needless.</param>
    /// <param name="packed">Whether lines are packed.</param>
    /// <param name="arguments">What it works on.</param>
    public void Run(int rows, int registers, int laneColumns, bool masked, bool packed, Arguments* arguments) =>
        ((delegate* unmanaged[SuppressGCTransition]<Arguments*, void>)_addresses[Index(new Shape(rows, registers, laneColumns, masked, packed))])(arguments);

    private IEnumerable<Shape> Shapes()
    {
        foreach (bool packed in Packs ? (bool[])[false, true] : [false])
        {
            foreach (int rows in Heights.ToArray())
            {
                for (int lanes = 0; lanes <= MostLaneColumns; lanes++)
                {
                    for (int registers = lanes == 0 ? 1 : 0; registers <= MostRegisters(rows, lanes, packed); registers++)
                    {
                        yield return new Shape(rows, registers, lanes, false, packed);
                        if (lanes == 0 && MostLaneColumns < Lanes - 1) yield return new Shape(rows, registers, lanes, true, packed);
                    }
                }
            }
        }
    }

    private static int Index(in Shape shape) => (((shape.Rows / 8 * 7 + shape.Registers) * (MostNarrowLaneColumns + 1) + shape.Lanes) * 2 + (shape.Masked ? 1 : 0)) * 2 + (shape.Packed ? 1 : 0);

    private static TileCode? TryCreate(bool isWide) => new TileCode(isWide) is { _memory: not null } code ? code : null;

    private static void Emit(Assembler code, TileVectors vectors, in Shape shape)
    {
        code.Load(Register.R8, Register.Rdi, Arguments.OutputStrideAt);
        code.Load(Register.R9, Register.Rdi, Arguments.InputStrideAt);
        if (shape.Masked) vectors.SetMask(Register.Rdi, Arguments.MaskAt);
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
        code.Load(Register.Rax, Register.Rdi, Arguments.AheadAt);
        code.Store(Register.Rax, Register.Rdi, Arguments.AheadNowAt);
        code.Load(Register.Rax, Register.Rdi, Arguments.GroupsToWrapAt);
        code.Store(Register.Rax, Register.Rdi, Arguments.ToWrapAt);

        int group = code.Length;
        EmitStart(code, vectors, shape);
        EmitProducts(code, vectors, shape);
        EmitEnd(code, vectors, shape);
        code.Add(Register.R10, shape.Registers * vectors.Bytes);
        code.Add(Register.R11, shape.Registers * vectors.Bytes);
        code.Decrement(Register.Rdi, Arguments.ToWrapAt);
        int inRow = code.SkipIfNotZero();
        code.Load(Register.Rax, Register.Rdi, Arguments.WrapAt);
        code.AddTo(Register.Rdi, Arguments.AheadNowAt, Register.Rax);
        code.Land(inRow);
        code.Decrement(Register.Rdi, Arguments.GroupsLeftAt);
        code.JumpIfNotZero(group);

        // Each group leaves Rdx behind the tile's values.
        code.Store(Register.Rdx, Register.Rdi, Arguments.ValuesAt);
        code.Load(Register.Rcx, Register.Rdi, Arguments.CountAt);
        code.Multiply(Register.Rax, Register.Rcx, sizeof(int));
        code.AddTo(Register.Rdi, Arguments.ColumnsAt, Register.Rax);
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

    /// <summary>Sums begin with bias + residual, or with those of the lines before.</summary>
    private static void EmitStart(Assembler code, TileVectors vectors, in Shape shape)
    {
        int continued = 0;
        if (shape.Packed)
        {
            code.Load(Register.Rcx, Register.Rdi, Arguments.ContinuesAt);
            int begins = code.SkipIfZero(Register.Rcx);
            code.Load(Register.Rcx, Register.Rdi, Arguments.SumsAt);
            for (int s = 0; s < shape.Sums; s++) vectors.Load(s, Register.Rcx, s * vectors.Bytes);
            continued = code.Skip();
            code.Land(begins);
        }
        code.Load(Register.Rcx, Register.Rdi, Arguments.BiasAt);
        int without = code.SkipIfZero(Register.Rcx);
        for (int r = 0; r < shape.Rows && shape.Registers > 0; r++)
        {
            vectors.Broadcast(shape.Sum(r, 0), Register.Rcx, r * sizeof(float));
            for (int j = 1; j < shape.Registers; j++) vectors.Copy(shape.Sum(r, j), shape.Sum(r, 0));
        }
        for (int c = 0; c < shape.Lanes; c++) vectors.LoadRows(shape.LaneSum(c), shape.Rows, Register.Rcx);
        int with = code.Skip();
        code.Land(without);
        for (int s = 0; s < shape.Sums; s++) vectors.Clear(s);
        code.Land(with);

        int upper = vectors.Value - 1;
        code.Load(Register.Rcx, Register.Rdi, Arguments.AddsAt);
        int none = code.SkipIfZero(Register.Rcx);
        GoToResidual();
        for (int r = 0; r < shape.Rows && shape.Registers > 0; r++)
        {
            for (int j = 0; j < shape.Registers; j++)
            {
                vectors.Load(vectors.Value, Register.Rcx, j * vectors.Bytes, shape.IsMasked(j));
                vectors.Add(shape.Sum(r, j), shape.Sum(r, j), vectors.Value);
            }
            code.Add(Register.Rcx, Register.R8);
        }
        for (int c = 0; c < shape.Lanes; c++)
        {
            GoToResidual();
            vectors.Clear(vectors.Value);
            if (shape.Rows > 4) vectors.Clear(upper);
            for (int r = 0; r < shape.Rows; r++)
            {
                vectors.LoadLane(r < 4 ? vectors.Value : upper, r % 4, Register.Rcx, shape.Registers * vectors.Bytes + c * sizeof(float));
                code.Add(Register.Rcx, Register.R8);
            }
            if (shape.Rows > 4) vectors.Join(vectors.Value, upper);
            vectors.Add(shape.LaneSum(c), shape.LaneSum(c), vectors.Value);
        }
        code.Land(none);
        if (shape.Packed) code.Land(continued);

        void GoToResidual()
        {
            code.Load(Register.Rcx, Register.Rdi, Arguments.ResidualFromOutputAt);
            code.Add(Register.Rcx, Register.R11);
        }
    }

    private static void EmitProducts(Assembler code, TileVectors vectors, in Shape shape)
    {
        code.Load(Register.Rax, Register.Rdi, Arguments.CountAt);
        code.Load(Register.Rcx, Register.Rdi, Arguments.ColumnsAt);
        code.Load(Register.Rdx, Register.Rdi, Arguments.ValuesAt);
        int empty = code.SkipIfZero(Register.Rax);
        if (shape.Packed)
        {
            int even = code.SkipIfEven(Register.Rax);
            EmitColumns(code, vectors, shape, 1);
            code.Land(even);
            code.ShiftRight(Register.Rax, 1);
            int single = code.SkipIfZero(Register.Rax), pairs = code.Length;
            EmitColumns(code, vectors, shape, 2);
            code.Loop(Register.Rax, pairs);
            code.Land(single);
        }
        else
        {
            int next = code.Length;
            EmitColumns(code, vectors, shape, 1);
            code.Loop(Register.Rax, next);
        }
        code.Land(empty);
    }

    /// <summary>Some columns of a tile, one after the other.</summary>
    private static void EmitColumns(Assembler code, TileVectors vectors, in Shape shape, int columns)
    {
        for (int column = 0; column < columns; column++)
        {
            int values = column * shape.Rows * sizeof(float);
            code.LoadIndex(Register.Rsi, Register.Rcx, column * sizeof(int));
            code.Multiply(Register.Rsi, Register.R9);
            code.Add(Register.Rsi, Register.R10);
            if (column == columns - 1) code.Add(Register.Rcx, columns * sizeof(int));
            for (int j = 0; j < shape.Registers && shape.Input(j) < vectors.Value; j++) vectors.Load(shape.Input(j), Register.Rsi, j * vectors.Bytes, shape.IsMasked(j));
            if (vectors.AsksAhead && !shape.Packed && shape.Lanes == 0)
            {
                // What the next group of columns reads of this line.
                int group = shape.Registers * vectors.Bytes;
                for (int at = 2 * group - 1; at >= group; at -= CacheLine) code.PrefetchNear(Register.Rsi, at);
            }
            for (int r = 0; r < shape.Rows && shape.Registers > 0; r++)
            {
                vectors.Broadcast(vectors.Value, Register.Rdx, values + r * sizeof(float));
                for (int j = 0; j < shape.Registers; j++)
                {
                    if (shape.Input(j) < vectors.Value) vectors.MultiplyAdd(shape.Sum(r, j), shape.Input(j), vectors.Value);
                    else vectors.MultiplyAdd(shape.Sum(r, j), vectors.Value, Register.Rsi, j * vectors.Bytes);
                }
            }
            for (int c = 0; c < shape.Lanes; c++)
            {
                vectors.BroadcastToRows(vectors.Value, shape.Rows, Register.Rsi, shape.Registers * vectors.Bytes + c * sizeof(float));
                vectors.MultiplyAddRows(shape.LaneSum(c), vectors.Value, shape.Rows, Register.Rdx, values);
            }
        }
        code.Add(Register.Rdx, columns * shape.Rows * sizeof(float));
    }

    private static void EmitEnd(Assembler code, TileVectors vectors, in Shape shape)
    {
        int low = vectors.Value - 2, high = low + 1, sign = low + 2, waiting = 0;
        if (shape.Packed)
        {
            code.Load(Register.Rcx, Register.Rdi, Arguments.WaitsAt);
            int ends = code.SkipIfZero(Register.Rcx);
            code.Load(Register.Rcx, Register.Rdi, Arguments.SumsAt);
            for (int s = 0; s < shape.Sums; s++) vectors.Store(s, Register.Rcx, s * vectors.Bytes);
            waiting = code.Skip();
            code.Land(ends);
        }
        code.Load(Register.Rcx, Register.Rdi, Arguments.ClampAt);
        int none = code.SkipIfZero(Register.Rcx);
        for (int i = 0; i < 3; i++) vectors.Load(low + i, Register.Rcx, i * CompiledMatrix.Lanes * sizeof(float));
        for (int s = 0; s < shape.Sums; s++)
        {
            vectors.Max(s, low, s);
            vectors.Min(s, high, s);
            vectors.Add(s, s, sign);
        }
        code.Land(none);
        code.Move(Register.Rcx, Register.R11);
        code.Load(Register.Rsi, Register.Rdi, Arguments.AheadNowAt);
        code.Add(Register.Rsi, Register.R11);
        for (int r = 0; r < shape.Rows; r++)
        {
            for (int j = 0; j < shape.Registers; j++)
            {
                if (j * vectors.Bytes % CacheLine == 0) code.PrefetchToWrite(Register.Rsi, j * vectors.Bytes);
                vectors.Store(shape.Sum(r, j), Register.Rcx, j * vectors.Bytes, shape.IsMasked(j));
            }
            for (int c = 0; c < shape.Lanes; c++)
            {
                if (r == 4) vectors.TakeUpper(shape.LaneSum(c));
                vectors.StoreLane(shape.LaneSum(c), r % 4, Register.Rcx, shape.Registers * vectors.Bytes + c * sizeof(float));
            }
            code.Add(Register.Rcx, Register.R8);
            code.Add(Register.Rsi, Register.R8);
        }
        if (!shape.Packed) return;
        code.Land(waiting);
        code.Load(Register.Rcx, Register.Rdi, Arguments.SumsAt);
        code.Add(Register.Rcx, shape.Sums * vectors.Bytes);
        code.Store(Register.Rcx, Register.Rdi, Arguments.SumsAt);
    }

    /// <summary>What the code is called with; it changes some of it.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Arguments
    {
        public const int CountsAt = 0, ColumnsAt = 8, ValuesAt = 16, InputAt = 24, InputStrideAt = 32, OutputAt = 40, OutputStrideAt = 48, AddsAt = 56, ResidualFromOutputAt = 64, BiasAt = 72, ClampAt = 80, GroupsAt = 88,
            TilesAt = 96, MaskAt = 104, CountAt = 112, GroupsLeftAt = 120, AheadNowAt = 128, ToWrapAt = 136, AheadAt = 144, GroupsToWrapAt = 152, WrapAt = 160, SumsAt = 168, ContinuesAt = 176, WaitsAt = 184;

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
        public nint Count, GroupsLeft, AheadNow, ToWrap;

        /// <summary>How many bytes behind the outputs that are stored those lie that are asked for meanwhile, from a tile's first group on.</summary>
        public nint Ahead;

        /// <summary>After so many groups of a tile it is <see cref="Wrap"/> bytes more: where the row ends, what is asked for is the next tile's. 0: never.</summary>
        public nint GroupsToWrap, Wrap;

        /// <summary>Where lines are packed: the first tile's sums, one register after the other, tile by tile.</summary>
        public float* Sums;

        /// <summary>Not 0 where sums begin with those of the lines before, and where they wait for those behind.</summary>
        public nint Continues, Waits;
    }

    /// <summary>What one function computes at a time.</summary>
    /// <param name="Rows">Rows of a tile.</param>
    /// <param name="Registers">Registers of columns.</param>
    /// <param name="Lanes">Columns behind them with rows in the lanes.</param>
    /// <param name="Masked">Whether the last register is masked.</param>
    /// <param name="Packed">Whether lines are packed.</param>
    private readonly record struct Shape(int Rows, int Registers, int Lanes, bool Masked, bool Packed)
    {
        public int Sums => Rows * Registers + Lanes;

        public int Sum(int row, int register) => row * Registers + register;

        public int LaneSum(int column) => Rows * Registers + column;

        public int Input(int register) => Sums + register;

        public bool IsMasked(int register) => Masked && register == Registers - 1;
    }
}
