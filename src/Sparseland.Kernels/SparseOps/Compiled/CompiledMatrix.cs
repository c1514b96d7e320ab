using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
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
/// <para>Measured before it was written (one thread, AVX-512 at 3.3 GHz, OpenBLAS 90-107 GFLOP/s beside it, 15 shapes of ResNet-50, ViT
/// and Llama, inputs packed within the time, e = speed-up x density): 1 register of columns and 28 rows reached a median e of 0.91 at 80 % zeros, 0.70 at
/// 90 % and 0.44 at 95 %; 2 registers and 14 rows 0.72, 0.49 and 0.36; 4 and 7 rows 0.51, 0.37 and 0.28: more rows use
/// each input more often. Code and values of a panel are taken in blocks of 768 columns, else 4096 columns fell from 0.9 to 0.2: neither inputs nor code stayed in the second cache.</para>
/// <para>Then, on ResNet-50 at 90 % zeros, one thread: asking for the next piece's code and values ahead took it from 19.8 to 17.8 ms (its last stage from 780 to 550
/// microseconds for a 3 x 3 layer: code came from memory too late), large pages for code from 17.6 to 17.4 ms.</para>
/// </remarks>
internal sealed unsafe class CompiledMatrix
{
    /// <summary>Columns of a tile.</summary>
    public const int Lanes = 16;

    /// <summary>Lines of inputs that one piece of code reads at most.</summary>
    public const int DepthBlock = 768;

    private const int PanelRows = 28;
    private const int LineBytes = Lanes * sizeof(float);

    // A stored value takes at most 17 bytes of code: a load of its input, its product and two requests ahead. Beyond this the code would not fit an array.
    private const int MostStored = 60_000_000;

    // Beyond so many values code and values leave the second cache before they are needed again.
    private const int StaysInCache = 32 * 1024;
    private const int CodePerValue = 11;

    private static readonly bool s_allowed = Environment.GetEnvironmentVariable(CompiledKernels.EnvironmentVariable) != "0";

    [ThreadStatic]
    private static bool t_forbidden;

    private readonly ExecutableMemory _memory;
    private readonly Piece[] _pieces;
    private readonly int[] _order;
    private readonly float[] _values;
    private readonly int _blocks;

    private CompiledMatrix(int rows, int[] lines, ExecutableMemory memory, Piece[] pieces, int panels, int[] order)
    {
        (RowCount, Lines, Panels) = (rows, lines, panels);
        (_memory, _pieces, _order) = (memory, pieces, order);
        _values = GC.AllocateUninitializedArray<float>(order.Length, pinned: true);
        _blocks = pieces.Length / panels;
    }

    /// <summary>Whether kernels called from this thread may be compiled.</summary>
    public static bool Usable => SimdDispatch.Level == SimdLevel.Vector512 && Avx512F.IsSupported && !t_forbidden && s_allowed && ExecutableMemory.Works;

    /// <summary>Rows of W.</summary>
    public int RowCount { get; }

    /// <summary>The columns that hold anything, ascending: line i of a tile is row Lines[i] of the input.</summary>
    public int[] Lines { get; }

    /// <summary>Panels of rows: pieces of work.</summary>
    public int Panels { get; }

    /// <summary>Stored values.</summary>
    public int StoredCount => _order.Length;

    /// <summary>Bytes of code.</summary>
    public long CodeBytes { get; private init; }

    /// <summary>Floats from one tile to the next: one line more than there is, which packers may spoil.</summary>
    public nint TileStride => (nint)(Lines.Length + 1) * Lanes;

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
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static CompiledMatrix? TryCompile(int rows, int columns, ReadOnlySpan<int> rowPointers, ReadOnlySpan<int> indices, int leastReuse = 0)
    {
        if (!Usable || indices.Length is 0 or > MostStored) return null;
        var line = new int[columns];
        foreach (int c in indices) line[c] = 1;
        int used = 0;
        for (int c = 0; c < columns; c++) line[c] = line[c] == 0 ? -1 : used++;
        if ((long)used * leastReuse > indices.Length) return null;
        var lines = new int[used];
        for (int c = 0; c < columns; c++)
        {
            if (line[c] >= 0) lines[line[c]] = c;
        }

        // Panels of whole blocks of four rows where there are enough: tiles of 4 x 1 weights are not torn.
        int quads = (rows + 3) / 4, panels = (quads + PanelRows / 4 - 1) / (PanelRows / 4), blocks = (used + DepthBlock - 1) / DepthBlock;
        var pieces = new Piece[panels * blocks];
        var order = new int[indices.Length];
        var assembler = new Assembler();
        var starts = new int[DepthBlock + 1];
        var entries = new (int Row, int Index)[PanelRows * DepthBlock];
        int[] position = rowPointers[..rows].ToArray();
        int at = 0;
        for (int b = 0; b < blocks; b++)
        {
            int firstLine = b * DepthBlock, endLine = Math.Min(used, firstLine + DepthBlock);
            for (int p = 0; p < panels; p++)
            {
                int first = Math.Min(rows, (int)((long)quads * p / panels) * 4), end = Math.Min(rows, (int)((long)quads * (p + 1) / panels) * 4);
                Array.Clear(starts);
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
                assembler.Align();
                pieces[b * panels + p] = new Piece(assembler.Length, first, at, count);
                Emit(assembler, end - first, entries, starts, endLine - firstLine, b == 0, b == blocks - 1, indices.Length > StaysInCache);
                for (int i = 0; i < count; i++) order[at++] = entries[i].Index;
            }
        }
        ExecutableMemory? memory = ExecutableMemory.TryCreate(assembler.Code);
        return memory is null ? null : new CompiledMatrix(rows, lines, memory, pieces, panels, order) { CodeBytes = assembler.Length };
    }

    /// <summary>Takes over values, given in row order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void SetValues(ReadOnlySpan<float> values)
    {
        int[] order = _order;
        float[] to = _values;
        for (int i = 0; i < order.Length; i++) to[i] = values[order[i]];
    }

    /// <summary>Stored values of the panels before each: Panels + 1 entries.</summary>
    public void StoredBefore(Span<long> sums)
    {
        sums[0] = 0;
        for (int p = 0; p < Panels; p++)
        {
            long sum = sums[p];
            for (int b = 0; b < _blocks; b++) sum += _pieces[b * Panels + p].Count;
            sums[p + 1] = sum;
        }
    }

    /// <summary>The rows of panels first .. end-1.</summary>
    public (int First, int End) Rows(int first, int end) => (_pieces[first].FirstRow, end == Panels ? RowCount : _pieces[end].FirstRow);

    /// <summary>Multiplies panels first .. end-1 with packed tiles.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Run(in Tiles tiles, int first, int end)
    {
        float* zeros = stackalloc float[PanelRows];
        new Span<float>(zeros, PanelRows).Clear();
        // Bounds, and what turns -0 into +0 exactly where the maximum of -0 and a bound of +0 would.
        float* clamp = stackalloc float[3 * Lanes];
        if (!tiles.Clamp.IsNone)
        {
            new Span<float>(clamp, Lanes).Fill(tiles.Clamp.Low);
            new Span<float>(clamp + Lanes, Lanes).Fill(tiles.Clamp.High);
            new Span<float>(clamp + 2 * Lanes, Lanes).Fill(tiles.Clamp.Low == 0 && !float.IsNegative(tiles.Clamp.Low) ? 0f : -0f);
        }
        fixed (float* values = _values)
        {
            for (int b = 0; b < _blocks; b++)
            {
                nint block = (nint)b * DepthBlock * LineBytes;
                for (int p = first; p < end; p++)
                {
                    ref readonly Piece piece = ref _pieces[b * Panels + p];
                    var code = (delegate* unmanaged[SuppressGCTransition]<Arguments*, void>)(_memory.Address + piece.Start);
                    nint row = piece.FirstRow * tiles.RowStride;
                    Arguments a = new()
                    {
                        Values = values + piece.Value,
                        Bias = tiles.Bias == null ? zeros : tiles.Bias + piece.FirstRow,
                        Clamp = tiles.Clamp.IsNone ? null : clamp,
                        InputTile = TileStride * sizeof(float),
                        OutputTile = tiles.OutputTile * sizeof(float),
                    };
                    if (tiles.Whole > 0)
                    {
                        a.Input = (byte*)tiles.Input + block;
                        a.Tiles = tiles.Whole;
                        a.Output = tiles.Output + row;
                        a.Residual = tiles.Residual == null ? null : tiles.Residual + row;
                        a.RowStride = tiles.RowStride * sizeof(float);
                        code(&a);
                    }
                    if (tiles.Tail != null)
                    {
                        a.Input = (byte*)(tiles.Input + tiles.Whole * TileStride) + block;
                        a.Tiles = 1;
                        a.Output = tiles.Tail + piece.FirstRow * Lanes;
                        a.Residual = tiles.TailResidual == null ? null : tiles.TailResidual + piece.FirstRow * Lanes;
                        a.RowStride = LineBytes;
                        code(&a);
                    }
                }
            }
        }
        GC.KeepAlive(_memory);
    }

    // Registers: Rdi arguments, R10 input tile, R11 output tile, Rsi residual tile or zero, R8 row stride, R9 tiles left;
    // Rax and Rdx walk through inputs and values, Rcx through the rest. Vectors 0..27 are sums, 28..31 inputs.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Emit(Assembler code, int rows, (int Row, int Index)[] entries, int[] ends, int lines, bool isFirst, bool isLast, bool prefetch)
    {
        code.Load(Register.R10, Register.Rdi, Arguments.InputAt);
        code.Load(Register.R11, Register.Rdi, Arguments.OutputAt);
        code.Load(Register.R8, Register.Rdi, Arguments.RowStrideAt);
        code.Load(Register.R9, Register.Rdi, Arguments.TilesAt);
        code.Load(Register.Rsi, Register.Rdi, Arguments.ResidualAt);
        int top = code.Length;
        if (isFirst)
        {
            code.Load(Register.Rcx, Register.Rdi, Arguments.BiasAt);
            for (int r = 0; r < rows; r++) code.Broadcast(r, Register.Rcx, r * sizeof(float));
            int none = code.SkipIfZero(Register.Rsi);
            code.Move(Register.Rcx, Register.Rsi);
            for (int r = 0; r < rows; r++)
            {
                code.AddMemory(r, r, Register.Rcx);
                code.Add(Register.Rcx, Register.R8);
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
        code.Load(Register.Rdx, Register.Rdi, Arguments.ValuesAt);
        int inputs = 0, values = 0, asked = code.Length;
        // The next piece lies behind this one and is about as long.
        int count = ends[^1], ahead = count * CodePerValue;
        for (int l = 0, i = 0; l < lines; l++)
        {
            int end = ends[l];
            if (i == end) continue;
            while (l * LineBytes - inputs > sbyte.MaxValue * LineBytes) inputs += Advance(Register.Rax, 255 * LineBytes);
            int input = PanelRows + l % 4;
            code.Load(input, Register.Rax, l * LineBytes - inputs);
            for (; i < end; i++)
            {
                if (i * sizeof(float) - values > sbyte.MaxValue * sizeof(float)) values += Advance(Register.Rdx, 255 * sizeof(float));
                code.MultiplyAddBroadcast(entries[i].Row, input, Register.Rdx, i * sizeof(float) - values);
                if (!prefetch) continue;
                if (i % Lanes == 0) code.Prefetch(Register.Rdx, (i + count) * sizeof(float) - values);
                if (code.Length < asked) continue;
                code.PrefetchCode(ahead);
                asked += LineBytes;
            }
        }

        if (isLast)
        {
            code.Load(Register.Rcx, Register.Rdi, Arguments.ClampAt);
            int none = code.SkipIfZero(Register.Rcx);
            for (int i = 0; i < 3; i++) code.Load(PanelRows + i, Register.Rcx, i * LineBytes);
            for (int r = 0; r < rows; r++)
            {
                code.Max(r, PanelRows, r);
                code.Min(r, PanelRows + 1, r);
                code.Add(r, r, PanelRows + 2);
            }
            code.Land(none);
        }
        code.Move(Register.Rax, Register.R11);
        for (int r = 0; r < rows; r++)
        {
            code.Store(r, Register.Rax, 0);
            code.Add(Register.Rax, Register.R8);
        }
        code.Load(Register.Rax, Register.Rdi, Arguments.InputTileAt);
        code.Add(Register.R10, Register.Rax);
        code.Load(Register.Rax, Register.Rdi, Arguments.OutputTileAt);
        code.Add(Register.R11, Register.Rax);
        int without = code.SkipIfZero(Register.Rsi);
        code.Add(Register.Rsi, Register.Rax);
        code.Land(without);
        code.Loop(Register.R9, top);
        code.Return();

        int Advance(Register register, int bytes)
        {
            code.Add(register, bytes);
            return bytes;
        }
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
        /// <summary>Packed tiles, <see cref="TileStride"/> floats apart: <see cref="Whole"/> ones and, where there is a tail, one more.</summary>
        public float* Input;

        /// <summary>Tiles that are written to Output.</summary>
        public int Whole;

        public float* Output;

        /// <summary>As Output, or null; may be Output.</summary>
        public float* Residual;

        /// <summary>Floats between rows.</summary>
        public nint RowStride;

        /// <summary>Floats between tiles.</summary>
        public nint OutputTile;

        /// <summary>[rows, 16] for the last tile, or null.</summary>
        public float* Tail;

        /// <summary>[rows, 16], or null; may be Tail.</summary>
        public float* TailResidual;

        /// <summary>[rows], or null.</summary>
        public float* Bias;

        public Clamp Clamp;
    }

    private readonly record struct Piece(int Start, int FirstRow, int Value, int Count);

    [StructLayout(LayoutKind.Sequential)]
    private struct Arguments
    {
        public const int InputAt = 0, ValuesAt = 8, OutputAt = 16, RowStrideAt = 24, BiasAt = 32, TilesAt = 40, InputTileAt = 48, OutputTileAt = 56, ResidualAt = 64, ClampAt = 72;

        public byte* Input;
        public float* Values;
        public float* Output;
        public nint RowStride;
        public float* Bias;
        public nint Tiles;
        public nint InputTile;
        public nint OutputTile;
        public float* Residual;
        public float* Clamp;
    }
}
