using System.Numerics.Tensors;

namespace Sparseland.Kernels.Dense;

/// <summary>Rows of a table by index, and the sums back.</summary>
public static unsafe class Embedding
{
    /// <summary>output[i] = table[indices[i]].</summary>
    /// <param name="table">[rows, width].</param>
    /// <param name="rows">Rows of the table.</param>
    /// <param name="width">Width of a row.</param>
    /// <param name="indices">0 .. rows-1.</param>
    /// <param name="output">[indices.Length, width].</param>
    /// <exception cref="ArgumentException">An index is outside the table (the message names it), or a span is too short; nothing is written then.</exception>
    public static void Gather(ReadOnlySpan<float> table, int rows, int width, ReadOnlySpan<int> indices, Span<float> output)
    {
        Check(table.Length, rows, width, indices, nameof(table));
        Parts.Need(output.Length, (long)indices.Length * width, nameof(output));
        for (int i = 0; i < indices.Length; i++) table.Slice(indices[i] * width, width).CopyTo(output.Slice(i * width, width));
    }

    /// <summary>tableGradient[indices[i]] += outputGradient[i], added in the order of i.</summary>
    /// <param name="outputGradient">[indices.Length, width].</param>
    /// <param name="indices">0 .. rows-1.</param>
    /// <param name="tableGradient">[rows, width]; added to.</param>
    /// <param name="rows">Rows of the table.</param>
    /// <param name="width">Width of a row.</param>
    /// <exception cref="ArgumentException">An index is outside the table, or a span is too short; nothing is written then.</exception>
    public static void ScatterAdd(ReadOnlySpan<float> outputGradient, ReadOnlySpan<int> indices, Span<float> tableGradient, int rows, int width)
    {
        Check(tableGradient.Length, rows, width, indices, nameof(tableGradient));
        Parts.Need(outputGradient.Length, (long)indices.Length * width, nameof(outputGradient));
        if (width == 0 || indices.IsEmpty) return;
        fixed (float* fg = outputGradient, ft = tableGradient)
        {
            fixed (int* fi = indices)
            {
                float* g = fg, t = ft;
                int* index = fi;
                int count = indices.Length;
                // Parts are ranges of columns: each sum is taken by one part, in order.
                Parts.Rows(width, count, (first, end) =>
                {
                    for (int i = 0; i < count; i++)
                    {
                        var sum = new Span<float>(t + ((nint)index[i] * width) + first, end - first);
                        TensorPrimitives.Add(sum, new ReadOnlySpan<float>(g + ((nint)i * width) + first, end - first), sum);
                    }
                }, minimumRows: 64);
            }
        }
    }

    private static void Check(int table, int rows, int width, ReadOnlySpan<int> indices, string name)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(width);
        Parts.Need(table, (long)rows * width, name);
        for (int i = 0; i < indices.Length; i++)
        {
            if ((uint)indices[i] >= (uint)rows) throw new ArgumentException($"Index {i} is {indices[i]}; the table has {rows} rows.", nameof(indices));
        }
    }
}
