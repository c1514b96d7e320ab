using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>output [rows, columns] = clamp(bias + residual + W * source) with a W whose rows are in the order of their counts.</summary>
/// <remarks>
/// Columns are cut into tiles of some registers. A tile's lines are packed block by block; a chunk of rows is multiplied with all blocks before the next chunk has its turn. Threads share the chunks, so each reads
/// its part of the values only; it packs the lines for itself.
/// </remarks>
internal unsafe struct CountedProduct<TSource> where TSource : struct, ITileSource
{
    public CountedMatrix Matrix;
    public TSource Source;
    public int Columns;
    public float* Output;

    /// <summary>Floats between rows of the output and the residual; between columns when they are turned.</summary>
    public nint RowStride;

    /// <summary>Whether output and residual are [columns, rows].</summary>
    public bool Turned;
    public float* Bias;
    public float* Residual;
    public Clamp Clamp;

    private const int Lanes = CompiledMatrix.Lanes;

    private readonly int RegisterCount => (Columns + Lanes - 1) / Lanes;

    private readonly int TileCount => (RegisterCount + Matrix.MostRegisters - 1) / Matrix.MostRegisters;

    public readonly void Run()
    {
        if (Columns == 0) return;
        long work = ((long)Matrix.StoredCount + Matrix.RowCount) * RegisterCount;
        if (WorkPool.IsAlone || work < 2 * CodedMatrix.WorthAPart)
        {
            for (int chunk = 0; chunk < Matrix.Chunks; chunk++) Multiply(chunk);
        }
        else
        {
            WorkPool.Run(Matrix.Chunks, new ChunkParts { Call = this });
        }
    }

    /// <summary>Computes all columns of a chunk of rows.</summary>
    private readonly void Multiply(int chunk)
    {
        (int firstRow, int endRow) = Matrix.Rows(chunk);
        int rows = endRow - firstRow, tiles = TileCount;
        if (rows == 0) return;
        CompiledMatrix.EndTurn();
        nint stride = CountedCode.LineStride(Matrix.UnitRows), width = Matrix.MostRegisters * (nint)Lanes;
        using Scratch.Buffer packed = Scratch.Rent(Matrix.MostRegisters * stride), sums = Scratch.Rent(Turned || Matrix.Blocks > 1 ? rows * width : 0);
        for (int j = 0; j < Matrix.MostRegisters; j++) new Span<float>(packed.Pointer + j * stride + CountedCode.ZeroLine(Matrix.UnitRows) * Lanes, Lanes).Clear();
        float* clamp = stackalloc float[3 * Lanes];
        CompiledMatrix.FillClamp(Clamp, clamp);
        for (int t = 0; t < tiles; t++)
        {
            // Tiles of nearly as many registers as each other.
            int first = (int)((long)RegisterCount * t / tiles), registers = (int)((long)RegisterCount * (t + 1) / tiles) - first;
            int start = first * Lanes, columns = Math.Min(Columns - start, registers * Lanes);
            float* origin = sums.Pointer - (nint)firstRow * registers * Lanes;
            var arguments = new CountedCode.Arguments
            {
                Input = packed.Pointer,
                Sums = origin,
                Output = Turned ? origin : Output + start,
                Residual = Residual == null ? null : Turned ? origin : Residual + start,
                RowStride = (Turned ? registers * Lanes : RowStride) * sizeof(float),
                Bias = Bias,
                Clamp = Clamp.IsNone ? null : clamp,
            };
            for (int j = 0; j < registers; j++) arguments.Masks[j] = Turned ? ushort.MaxValue : (1 << Math.Clamp(columns - j * Lanes, 0, Lanes)) - 1;
            if (Turned && Residual != null) Transposition.Copy(Residual + start * RowStride + firstRow, RowStride, columns, rows, sums.Pointer, registers * Lanes);
            for (int b = 0; b < Matrix.Blocks; b++)
            {
                int line = b * Matrix.Depth;
                Source.Pack(first, registers, line, Math.Min(Matrix.Lines.Length, line + Matrix.Depth), packed.Pointer - (nint)line * Lanes, stride);
                Matrix.Run(chunk, b, registers, arguments);
            }
            if (Turned) Transposition.Copy(sums.Pointer, registers * Lanes, rows, columns, Output + start * RowStride + firstRow, RowStride);
        }
    }

    private struct ChunkParts : IParts
    {
        public CountedProduct<TSource> Call;

        public readonly void Run(int chunk) => Call.Multiply(chunk);
    }
}
