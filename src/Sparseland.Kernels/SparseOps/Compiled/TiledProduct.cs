using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>output [rows, columns] = clamp(bias + residual + W * input [depth, columns]) with a W of tiles.</summary>
/// <remarks>
/// Inputs are read where they are: a tile's columns are walked through for some hundred columns of the input, so loops are long for the predictor of jumps, lines are neighbours, and each tile's values stay in the
/// first cache for all of them. Threads share columns where each gets enough of them, rows otherwise.
/// </remarks>
internal unsafe struct TiledProduct
{
    public TiledMatrix Matrix;
    public float* Input;

    /// <summary>Floats between rows of the input.</summary>
    public nint InputStride;
    public int Columns;
    public float* Output;

    /// <summary>Floats between rows of the output and the residual.</summary>
    public nint OutputStride;
    public float* Bias;
    public float* Residual;
    public Clamp Clamp;

    private const int Lanes = CompiledMatrix.Lanes;

    // Groups of registers that a tile is multiplied with before the next tile has its turn: at least so many, and as many as inputs fit the second cache.
    private const int LeastGroups = 8, MostGroups = 64, NearInputs = 256 * 1024;

    // Fewer columns than these leave so little to do between stores that groups of 4 x 4 sums overlap better than those of 4 x 6.
    private const int FewColumns = 8;

    // Rows of the input that are a multiple of so many floats apart fall into few sets of the caches, unless all of them is read: then a chunk is copied.
    private const int CrowdedStride = 512;

    // Multiply-adds of 16 columns: below, waking a thread costs more than it brings.
    private const long WorthAPart = 4096;

    // Multiply-adds of a call: garbage collections may have to wait for it, some hundred microseconds.
    private const int MostInACall = 1 << 20;

    private readonly int Most => Matrix.Height == 4 && Matrix.StoredCount < 4L * FewColumns * Matrix.Tiles ? 4 : TileCode.MostRegisters(Matrix.Height, withLanes: false);

    public readonly void Run()
    {
        if (Columns == 0) return;
        int wide = (Columns + Lanes - 1) / Lanes;
        long work = ((long)Matrix.StoredCount + Matrix.Rows) * wide;
        int threads = WorkPool.IsAlone ? 1 : (int)Math.Clamp(work / WorthAPart, 1, WorkPool.Threads);
        if (threads == 1)
        {
            RunColumns(0, wide, 0, Matrix.Tiles);
        }
        else if (wide >= Most * threads)
        {
            WorkPool.Run(threads, new ColumnParts { Call = this, Wide = wide, Threads = threads });
        }
        else
        {
            threads = Math.Min(threads, Matrix.Tiles);
            int* boundaries = stackalloc int[threads + 1];
            fixed (int* pointers = Matrix.Pointers) RowPartition.Fill(pointers, Matrix.Tiles, new Span<int>(boundaries, threads + 1));
            WorkPool.Run(threads, new RowParts { Call = this, Wide = wide, Boundaries = boundaries });
        }
    }

    /// <summary>All rows of registers first .. end-1; the last one of all may be shorter than others.</summary>
    private readonly void RunColumns(int first, int end, int firstTile, int endTile)
    {
        int start = first * Lanes, width = Math.Min(Columns, end * Lanes) - start, height = Matrix.Height;
        int registers = width / Lanes, rest = width % Lanes, lanes = rest <= TileCode.MostLaneColumns ? rest : 0;
        bool masked = rest > 0 && lanes == 0;
        if (masked) registers++;
        int most = Most, groups = Math.Max(1, (registers + most - 1) / most);
        while (lanes > 0 && registers / groups > TileCode.MostRegisters(height, withLanes: true)) groups++;
        // Groups of two sizes; the one with a mask or with rows in the lanes is the last of the smaller ones.
        int size = registers / groups, larger = registers % groups, smaller = groups - larger - (rest > 0 ? 1 : 0);
        Groups(start, size + 1, larger, firstTile, endTile);
        Groups(start + larger * (size + 1) * Lanes, size, smaller, firstTile, endTile);
        int last = registers - size;
        if (rest > 0) Chunk(new Piece(start + last * Lanes, size, 1, lanes, masked), width - last * Lanes, firstTile, endTile);
    }

    private readonly void Groups(int start, int registers, int groups, int firstTile, int endTile)
    {
        int most = (int)Math.Clamp(NearInputs / ((long)Matrix.Depth * registers * Lanes + 1), LeastGroups, MostGroups), chunks = (groups + most - 1) / most;
        for (int c = 0; c < chunks; c++)
        {
            int from = groups * c / chunks, to = groups * (c + 1) / chunks;
            Chunk(new Piece(start + from * registers * Lanes, registers, to - from, 0, false), (to - from) * registers * Lanes, firstTile, endTile);
        }
    }

    private readonly void Chunk(in Piece piece, int width, int firstTile, int endTile)
    {
        if (width < Columns && InputStride % CrowdedStride == 0)
        {
            // An odd number of lines between rows, so that they are spread.
            nint stride = ((width + Lanes - 1) / Lanes | 1) * (nint)Lanes;
            using Scratch.Buffer copy = Scratch.Rent(Matrix.Depth * stride);
            CopyRows(Input + piece.Start, InputStride, copy.Pointer, stride, Matrix.Depth, width);
            Chunk(piece, copy.Pointer, stride, width, firstTile, endTile);
            return;
        }
        Chunk(piece, Input + piece.Start, InputStride, width, firstTile, endTile);
    }

    private readonly void Chunk(in Piece piece, float* input, nint stride, int width, int firstTile, int endTile)
    {
        int height = Matrix.Height, whole = Math.Min(endTile, Matrix.Rows / height), each = MostInACall / (piece.Registers * piece.Groups + 1);
        float* output = Output + piece.Start, residual = Residual == null ? null : Residual + piece.Start;
        ReadOnlySpan<int> pointers = Matrix.Pointers;
        for (int tile = firstTile, end; tile < whole; tile = end)
        {
            for (end = tile + 1; end < whole && (pointers[end + 1] - pointers[tile]) * height <= each; end++)
            {
            }
            nint row = (nint)tile * height;
            Call(piece, input, stride, tile, end - tile, output + row * OutputStride, OutputStride, residual == null ? null : residual + row * OutputStride, Bias == null ? null : Bias + row);
        }
        if (endTile > whole) LastTile(piece, input, stride, width, output, residual);
    }

    /// <summary>The tile that ends with the last row: rows that fill it up go nowhere.</summary>
    private readonly void LastTile(in Piece piece, float* input, nint stride, int width, float* output, float* residual)
    {
        int height = Matrix.Height, tile = Matrix.Tiles - 1, rows = Matrix.Rows - tile * height;
        nint row = (nint)tile * height, wide = (width + Lanes - 1) / Lanes * (nint)Lanes;
        using Scratch.Buffer rest = Scratch.Rent(height * wide);
        float* bias = stackalloc float[height];
        new Span<float>(bias, height).Clear();
        if (Bias != null) new ReadOnlySpan<float>(Bias + row, rows).CopyTo(new Span<float>(bias, height));
        if (residual != null)
        {
            new Span<float>(rest.Pointer, (int)(height * wide)).Clear();
            CopyRows(residual + row * OutputStride, OutputStride, rest.Pointer, wide, rows, width);
        }
        Call(piece, input, stride, tile, 1, rest.Pointer, wide, residual == null ? null : rest.Pointer, Bias == null ? null : bias);
        CopyRows(rest.Pointer, wide, output + row * OutputStride, OutputStride, rows, width);
    }

    private readonly void Call(in Piece piece, float* input, nint stride, int tile, int tiles, float* output, nint outputStride, float* residual, float* bias)
    {
        int first = Matrix.Pointers[tile];
        if (tiles == 1 && piece.Groups > 1)
        {
            // A single tile of many columns can be more than a call should do: it takes fewer groups at a time.
            int most = (int)Math.Clamp(MostInACall / ((long)(Matrix.Pointers[tile + 1] - first) * Matrix.Height * piece.Registers + 1), 1, piece.Groups);
            nint width = piece.Registers * Lanes;
            for (int group = 0; most < piece.Groups && group < piece.Groups; group += most)
            {
                nint at = group * width;
                Call(piece with { Groups = Math.Min(most, piece.Groups - group) }, input + at, stride, tile, 1, output + at, outputStride, residual == null ? null : residual + at, bias);
            }
            if (most < piece.Groups) return;
        }
        float* clamp = stackalloc float[3 * Lanes];
        CompiledMatrix.FillClamp(Clamp, clamp);
        var arguments = new TileCode.Arguments
        {
            Counts = Matrix.Counts + tile,
            Columns = Matrix.Columns + first,
            Values = Matrix.Values + (nint)first * Matrix.Height,
            Input = input,
            InputStride = stride * sizeof(float),
            Output = output,
            OutputStride = outputStride * sizeof(float),
            Adds = residual == null ? 0 : 1,
            ResidualFromOutput = (nint)residual - (nint)output,
            Bias = bias,
            Clamp = Clamp.IsNone ? null : clamp,
            Groups = piece.Groups,
            Tiles = tiles,
            Mask = (1 << Columns % Lanes) - 1,
            // Along the rows where they are long, else the next tile's.
            Ahead = piece.Groups > LeastGroups ? 2 * piece.Registers * Lanes * sizeof(float) : Matrix.Height * outputStride * sizeof(float),
        };
        TileCode.Run(Matrix.Height, piece.Registers, piece.LaneColumns, piece.Masked, &arguments);
        GC.KeepAlive(Matrix);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyRows(float* from, nint stride, float* to, nint toStride, int rows, int width)
    {
        for (int r = 0; r < rows; r++, from += stride, to += toStride)
        {
            int i = 0;
            for (; i + Lanes <= width; i += Lanes) Vector512.Load(from + i).Store(to + i);
            for (; i < width; i++) to[i] = from[i];
        }
    }

    /// <summary>Columns that one function computes for a tile, from Start on: groups of some registers, or one group that ends with a mask or with columns whose rows are in the lanes.</summary>
    private readonly record struct Piece(int Start, int Registers, int Groups, int LaneColumns, bool Masked);

    private struct ColumnParts : IParts
    {
        public TiledProduct Call;
        public int Wide, Threads;

        public readonly void Run(int part) => Call.RunColumns(Share(part), Share(part + 1), 0, Call.Matrix.Tiles);

        // As compiled products are shared: a thread reads what it wrote.
        private readonly int Share(int thread) => (int)(((long)Wide * thread + Threads - 1) / Threads);
    }

    private struct RowParts : IParts
    {
        public TiledProduct Call;
        public int Wide;
        public int* Boundaries;

        public readonly void Run(int part)
        {
            if (Boundaries[part + 1] > Boundaries[part]) Call.RunColumns(0, Wide, Boundaries[part], Boundaries[part + 1]);
        }
    }
}
