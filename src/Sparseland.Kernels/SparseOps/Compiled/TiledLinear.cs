using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>output [batch, rows] = clamp(input [batch, depth] * W^T + bias + residual) with a W of tiles: a linear layer.</summary>
/// <remarks>
/// Tiles multiply along the batch, so inputs and outputs have to be turned: as many rows of the input as the second cache holds at a time, and the results of some tiles while they are in the first cache. What one layer's turning costs
/// beside its products falls with the inputs that an output keeps.
/// </remarks>
internal unsafe struct TiledLinear : ITiledWork
{
    // Registers of turned inputs that half of a second cache holds (its size goes with that of the registers: 1 MB and 512 KB), and the fewest registers of the batch that are turned at a time.
    private const int NearRegisters = 8 * 1024, LeastRegisters = 6;

    // Rows of results that are turned at a time, and columns of inputs.
    private const int TurnedRows = 64, TurnedColumns = 64, LineFloats = 16;

    public TiledMatrix Matrix;

    /// <summary>[batch, depth].</summary>
    public float* Input;
    public int Batch;

    /// <summary>[batch, rows].</summary>
    public float* Output;
    public float* Bias;

    /// <summary>As Output, or null; may be Output.</summary>
    public float* Residual;
    public Clamp Clamp;

    public readonly void Run()
    {
        if (Batch > 0) new TiledProduct { Matrix = Matrix, Columns = Batch }.Share(this, WorkPool.IsAlone ? 1 : WorkPool.Threads);
    }

    public readonly void Run(int first, int end, int firstTile, int endTile)
    {
        int lanes = Matrix.Code.Lanes;
        int most = (int)Math.Clamp(NearRegisters / Math.Max(1, Matrix.Depth), LeastRegisters, Math.Max(LeastRegisters, end - first)), chunks = (end - first + most - 1) / most;
        most = (end - first + chunks - 1) / chunks;
        // An odd number of lines between rows, so that they are spread over the sets of the caches.
        nint stride = ((most * lanes + LineFloats - 1) / LineFloats | 1) * (nint)LineFloats;
        int height = Matrix.Height, tiles = TurnedRows / height;
        using Scratch.Buffer inputs = Scratch.Rent(Matrix.Depth * stride), results = Scratch.Rent(TurnedRows * stride);
        for (int c = 0; c < chunks; c++)
        {
            int from = first + (int)((long)(end - first) * c / chunks), until = first + (int)((long)(end - first) * (c + 1) / chunks);
            int start = from * lanes, width = Math.Min(until * lanes, Batch) - start;
            Turn(start, width, inputs.Pointer, stride);
            for (int tile = firstTile; tile < endTile; tile += tiles)
            {
                int endOfTiles = Math.Min(tile + tiles, endTile), row = tile * height, rows = Math.Min(endOfTiles * height, Matrix.Rows) - row;
                nint place = (nint)start * Matrix.Rows + row;
                if (Residual != null) Transposition.Copy(Residual + place, Matrix.Rows, width, rows, results.Pointer, stride);
                float* origin = results.Pointer - row * stride - start;
                new TiledProduct
                {
                    Matrix = Matrix,
                    Input = inputs.Pointer - start,
                    InputStride = stride,
                    Columns = Batch,
                    Output = origin,
                    OutputStride = stride,
                    Bias = Bias,
                    Residual = Residual == null ? null : origin,
                    Clamp = Clamp,
                }.RunColumns(from, until, tile, endOfTiles);
                Transposition.Copy(results.Pointer, stride, rows, width, Output + place, Matrix.Rows);
            }
        }
    }

    /// <summary>Some rows of the input as columns.</summary>
    private readonly void Turn(int start, int width, float* to, nint stride)
    {
        int depth = Matrix.Depth;
        float* from = Input + (nint)start * depth;
        for (int i = 0; i < depth; i += TurnedColumns) Transposition.Copy(from + i, depth, width, Math.Min(TurnedColumns, depth - i), to + i * stride, stride);
    }
}
