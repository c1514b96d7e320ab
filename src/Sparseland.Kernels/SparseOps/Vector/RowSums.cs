using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>One row times the vector.</summary>
internal unsafe interface IRowSum
{
    /// <summary>Bytes of working memory that <see cref="Row"/> wants.</summary>
    int ScratchBytes { get; }

    /// <summary>Whether <see cref="Four"/> is faster than <see cref="Row"/> for rows before this one; 0 when it never is.</summary>
    int FourUpTo { get; }

    /// <summary>The sum of products of one row.</summary>
    float Row(int row, byte* scratch);

    /// <summary>The sums of rows row, row + distance, row + 2 distance and row + 3 distance.</summary>
    void Four(int row, int distance, float* sums, byte* scratch);
}

/// <summary>A product with one vector, cut into parts of rows.</summary>
/// <remarks>
/// Four rows at a time share the loads of the input, of which a core has two a cycle. They are not neighbours: each comes from
/// its own quarter of the part, so that memory is read as four long streams.
/// </remarks>
internal unsafe struct RowParts<TRows> : IParts where TRows : struct, IRowSum
{
    public TRows Kernel;
    public int* Boundaries;
    public float* Y;
    public float* Bias;

    /// <summary>A factor per row, or null.</summary>
    public float* Scales;
    public Clamp Clamp;

    public readonly void Run(int part)
    {
        using Scratch.Buffer scratch = Scratch.Rent((Kernel.ScratchBytes + 3) / 4);
        float* sums = stackalloc float[4], y = Y, scales = Scales;
        bool isPlain = Bias == null && Clamp.IsNone;
        int first = Boundaries[part], end = Boundaries[part + 1], distance = Math.Max(0, (Math.Min(end, Kernel.FourUpTo) - first) / 4);
        for (int r = first; r < first + distance; r++)
        {
            Kernel.Four(r, distance, sums, (byte*)scratch.Pointer);
            if (!isPlain)
            {
                for (int i = 0; i < 4; i++) Finish(r + (i * distance), sums[i]);
                continue;
            }
            // What nearly every product is, without a call and a question for each row.
            int b = r + distance, c = b + distance, d = c + distance;
            if (scales == null)
            {
                y[r] = sums[0];
                y[b] = sums[1];
                y[c] = sums[2];
                y[d] = sums[3];
                continue;
            }
            y[r] = sums[0] * scales[r];
            y[b] = sums[1] * scales[b];
            y[c] = sums[2] * scales[c];
            y[d] = sums[3] * scales[d];
        }
        for (int r = first + (4 * distance); r < end; r++) Finish(r, Kernel.Row(r, (byte*)scratch.Pointer));
    }

    private readonly void Finish(int row, float sum)
    {
        if (Scales != null) sum *= Scales[row];
        if (Bias != null) sum += Bias[row];
        Y[row] = Clamp.IsNone ? sum : MathF.Min(MathF.Max(sum, Clamp.Low), Clamp.High);
    }
}
