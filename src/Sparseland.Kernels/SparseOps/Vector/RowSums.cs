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

    /// <summary>The sums of rows row, row + distance, row + 2 distance and row + 3 distance, and of the <paramref name="count"/> - 1 times four rows that follow them.</summary>
    /// <param name="row">The first row.</param>
    /// <param name="count">At most <see cref="RowSums.FoursAtOnce"/>.</param>
    /// <param name="distance">Rows between those of four.</param>
    /// <param name="sums">[count, 4].</param>
    /// <param name="scratch">Working memory.</param>
    void Four(int row, int count, int distance, float* sums, byte* scratch);
}

/// <summary>Constants of products with one vector.</summary>
internal static class RowSums
{
    /// <summary>How many times four rows are asked for at once: what is looked up of rows, and what is done with their sums, comes from memory between long runs of their values.</summary>
    public const int FoursAtOnce = 64;
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
        float* sums = stackalloc float[4 * RowSums.FoursAtOnce], y = Y, scales = Scales;
        bool isPlain = Bias == null && Clamp.IsNone;
        int first = Boundaries[part], end = Boundaries[part + 1], distance = Math.Max(0, (Math.Min(end, Kernel.FourUpTo) - first) / 4);
        for (int r = first, quarter = first + distance; r < quarter;)
        {
            int count = Math.Min(RowSums.FoursAtOnce, quarter - r);
            Kernel.Four(r, count, distance, sums, (byte*)scratch.Pointer);
            float* s = sums;
            for (int stop = r + count; r < stop; r++, s += 4)
            {
                if (!isPlain)
                {
                    for (int i = 0; i < 4; i++) Finish(r + (i * distance), s[i]);
                    continue;
                }
                // What nearly every product is, without a call and a question for each row.
                int b = r + distance, c = b + distance, d = c + distance;
                if (scales == null)
                {
                    y[r] = s[0];
                    y[b] = s[1];
                    y[c] = s[2];
                    y[d] = s[3];
                    continue;
                }
                y[r] = s[0] * scales[r];
                y[b] = s[1] * scales[b];
                y[c] = s[2] * scales[c];
                y[d] = s[3] * scales[d];
            }
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
