using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>Cuts loops into parts by shape, and leaves the threads alone when there is little to do.</summary>
internal static class Parts
{
    /// <summary>Elements per part of element-wise work: 64 KiB, within a second-level cache with several operands.</summary>
    public const int Chunk = 16384;

    /// <summary>Runs body(first, end) over ranges of rows; a range has about <see cref="Chunk"/> elements.</summary>
    public static void Rows(int rows, long elementsPerRow, Action<int, int> body, int minimumRows = 1)
    {
        if (rows <= 0) return;
        int each = (int)Math.Clamp(Chunk / Math.Max(elementsPerRow, 1), Math.Min(minimumRows, rows), rows);
        int parts = (rows + each - 1) / each;
        if (parts == 1 || rows * elementsPerRow < 2 * Chunk)
        {
            body(0, rows);
            return;
        }
        WorkPool.For(parts, part => body(part * each, Math.Min((part + 1) * each, rows)));
    }

    /// <summary>Runs body for 0 .. count-1, on threads if there are enough elements in all.</summary>
    public static void Each(int count, long elements, Action<int> body)
    {
        if (elements >= 2 * Chunk) WorkPool.For(count, body);
        else
        {
            for (int i = 0; i < count; i++) body(i);
        }
    }

    /// <summary>Throws unless a span has the needed length.</summary>
    public static void Need(int length, long needed, string name)
    {
        if (needed < 0) throw new ArgumentException($"'{name}' would have {needed} values; sizes cannot be negative.", name);
        if (length < needed) throw new ArgumentException($"'{name}' needs {needed} values; it has {length}.", name);
    }
}
