using System.Numerics;
using Sparseland.Kernels.Sparse;

namespace Sparseland.Bench.Figures;

/// <summary>Rows of a sparse matrix in an order in which neighbours share columns, so that groups of them can be multiplied as tiles.</summary>
internal static class RowGroups
{
    private const int WordBits = 64;

    /// <summary>An order of the rows, group after group: each group starts with the fullest row that is left and takes, one at a time, the row that adds fewest columns to it.</summary>
    /// <param name="mask">Of rows x columns entries.</param>
    /// <param name="rows">Rows of the matrix.</param>
    /// <param name="columns">Columns of the matrix.</param>
    /// <param name="height">Rows of a group, above 0; the last one may have fewer.</param>
    /// <returns>Which row stands at each place. Of rows that add equally many the fuller one is taken, then the lower one.</returns>
    public static int[] Order(Mask mask, int rows, int columns, int height)
    {
        ulong[][] bits = Bits(mask, rows, columns);
        var left = new List<int>(Enumerable.Range(0, rows).OrderByDescending(r => bits[r].Sum(w => (long)BitOperations.PopCount(w))));
        var order = new int[rows];
        ulong[] union = [];
        for (int at = 0; at < rows; at++)
        {
            int chosen = 0;
            if (at % height == 0) union = [.. bits[left[0]]];
            else
            {
                int fewest = int.MaxValue;
                for (int i = 0; i < left.Count; i++)
                {
                    int added = Added(union, bits[left[i]]);
                    if (added < fewest) (fewest, chosen) = (added, i);
                }
                for (int w = 0; w < union.Length; w++) union[w] |= bits[left[chosen]][w];
            }
            order[at] = left[chosen];
            left.RemoveAt(chosen);
        }
        return order;
    }

    private static int Added(ulong[] union, ulong[] row)
    {
        int added = 0;
        for (int w = 0; w < union.Length; w++) added += BitOperations.PopCount(row[w] & ~union[w]);
        return added;
    }

    private static ulong[][] Bits(Mask mask, int rows, int columns)
    {
        var bits = new ulong[rows][];
        for (int r = 0; r < rows; r++)
        {
            bits[r] = new ulong[(columns + WordBits - 1) / WordBits];
            for (int c = 0; c < columns; c++)
            {
                if (mask[r * columns + c]) bits[r][c / WordBits] |= 1ul << c % WordBits;
            }
        }
        return bits;
    }
}
