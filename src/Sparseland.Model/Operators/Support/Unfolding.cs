using System.Numerics;

namespace Sparseland.Model.Operators.Support;

/// <summary>Windows of an image as columns of a matrix, and back by adding (im2col, col2im).</summary>
internal static class Unfolding
{
    /// <summary>image [channels, spatial...] -> columns [channels * cells, pixels]; cells in the padding are zero.</summary>
    public static void ToColumns<T>(Window window, ReadOnlySpan<T> image, int channels, Span<T> columns) where T : unmanaged, INumber<T>
    {
        int plane = Axes.Product(window.Input), pixels = Axes.Product(window.Output);
        int[] map = new int[pixels];
        for (int cell = 0, cells = window.Cells; cell < cells; cell++)
        {
            Sources(window, cell, map);
            for (int c = 0; c < channels; c++)
            {
                ReadOnlySpan<T> from = image.Slice(c * plane, plane);
                Span<T> row = columns.Slice(((c * cells) + cell) * pixels, pixels);
                for (int i = 0; i < row.Length; i++) row[i] = map[i] < 0 ? T.Zero : from[map[i]];
            }
        }
    }

    /// <summary>Adds columns [channels * cells, pixels] to image [channels, spatial...].</summary>
    public static void FromColumns<T>(Window window, ReadOnlySpan<T> columns, int channels, Span<T> image) where T : unmanaged, INumber<T>
    {
        int plane = Axes.Product(window.Input), pixels = Axes.Product(window.Output);
        int[] map = new int[pixels];
        for (int cell = 0, cells = window.Cells; cell < cells; cell++)
        {
            Sources(window, cell, map);
            for (int c = 0; c < channels; c++)
            {
                Span<T> to = image.Slice(c * plane, plane);
                ReadOnlySpan<T> row = columns.Slice(((c * cells) + cell) * pixels, pixels);
                for (int i = 0; i < row.Length; i++)
                {
                    if (map[i] >= 0) to[map[i]] += row[i];
                }
            }
        }
    }

    /// <summary>For each output place, the input place under one cell of the window, or -1 in the padding.</summary>
    public static void Sources(Window window, int cell, Span<int> map)
    {
        Span<int> offset = stackalloc int[window.Rank];
        Axes.Unravel(cell, window.Kernel, offset);
        Span<int> at = stackalloc int[window.Rank];
        at.Clear();
        for (int i = 0; i < map.Length; i++)
        {
            int from = 0;
            for (int d = 0; d < at.Length; d++)
            {
                int p = (at[d] * window.Strides[d]) - window.Before[d] + (offset[d] * window.Dilations[d]);
                if ((uint)p >= (uint)window.Input[d])
                {
                    from = -1;
                    break;
                }
                from = (from * window.Input[d]) + p;
            }
            map[i] = from;
            Axes.Next(at, window.Output);
        }
    }
}
