using System.Globalization;

namespace Sparseland.Microbench;

/// <summary>Seeded operands.</summary>
internal static class Operands
{
    /// <summary>Values from -1 to 1.</summary>
    public static float[] Values(long length, Random random)
    {
        var values = new float[length];
        for (int i = 0; i < length; i++) values[i] = 2 * random.NextSingle() - 1;
        return values;
    }

    /// <summary>A matrix of which blocks of rows x 1 stay with the given probability; the others are zero.</summary>
    public static float[] Pruned(float[] weight, int rows, int columns, double density, int blockRows, Random random)
    {
        var w = new float[weight.Length];
        for (int r = 0; r < rows; r += blockRows)
        {
            for (int c = 0; c < columns; c++)
            {
                if (random.NextDouble() >= density) continue;
                for (int i = r; i < Math.Min(rows, r + blockRows); i++) w[i * columns + c] = weight[i * columns + c];
            }
        }
        return w;
    }

    /// <summary>The numbers of "256x2304x196".</summary>
    public static int[] Sizes(string shape) => [.. shape.Split('x').Select(s => int.Parse(s, CultureInfo.InvariantCulture))];
}
