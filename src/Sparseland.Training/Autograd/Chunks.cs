using Sparseland.Kernels.Threading;

namespace Sparseland.Training.Autograd;

/// <summary>Element-wise loops over long arrays, cut into chunks by length alone.</summary>
internal static class Chunks
{
    private const int Chunk = 1 << 15;

    /// <summary>Calls <paramref name="body"/>(start, count) for consecutive ranges of 0 .. length-1, on several threads when it is long.</summary>
    public static void Ranges(int length, Action<int, int> body, int chunk = Chunk)
    {
        if (length <= chunk)
        {
            if (length > 0) body(0, length);
            return;
        }
        int parts = (length + chunk - 1) / chunk;
        WorkPool.For(parts, part =>
        {
            int start = part * chunk;
            body(start, Math.Min(chunk, length - start));
        });
    }

    /// <summary>Calls <paramref name="body"/> for every row; rows of a few elements share a part.</summary>
    /// <param name="rows">Number of rows.</param>
    /// <param name="rowLength">Elements of a row: the work that one row costs.</param>
    /// <param name="body">Called once per row.</param>
    public static void Rows(int rows, int rowLength, Action<int> body) => RangesOfRows(rows, rowLength, (start, count) =>
    {
        for (int row = start; row < start + count; row++) body(row);
    });

    /// <summary>Calls <paramref name="body"/>(first, count) for the rows of each part.</summary>
    /// <param name="rows">Number of rows.</param>
    /// <param name="rowLength">Elements of a row: the work that one row costs.</param>
    /// <param name="body">Called once per part.</param>
    public static void RangesOfRows(int rows, int rowLength, Action<int, int> body) => Ranges(rows, body, Math.Max(1, Chunk / Math.Max(1, rowLength)));

    /// <summary>sum = a + b over the first <paramref name="length"/> elements; sum may be a or b.</summary>
    public static void Add(float[] a, float[] b, float[] sum, int length) => Ranges(length, (start, count) =>
        TensorPrimitives.Add(a.AsSpan(start, count), b.AsSpan(start, count), sum.AsSpan(start, count)));
}
