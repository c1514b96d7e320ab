namespace Sparseland.Training.Data.Corruptions;

/// <summary>Convolutions of planes with reflecting or repeated edges, and sampling between pixels.</summary>
internal static class Filtering
{
    /// <summary>Weights of a normal curve of that deviation, four deviations to each side; they add up to 1.</summary>
    public static double[] Gaussian(double sigma)
    {
        int radius = Math.Max(1, (int)(4 * sigma + 0.5));
        var weights = new double[2 * radius + 1];
        for (int i = -radius; i <= radius; i++) weights[i + radius] = Math.Exp(-0.5 * i * i / (sigma * sigma));
        return Normalised(weights);
    }

    /// <summary>A box of a width that need not be odd or whole: the outermost entries count in part.</summary>
    public static double[] Box(double width)
    {
        int radius = Math.Max(0, (int)Math.Ceiling((width - 1) / 2));
        var weights = new double[2 * radius + 1];
        for (int i = -radius; i <= radius; i++) weights[i + radius] = Math.Clamp((width / 2) - Math.Abs(i) + 0.5, 0, 1);
        return Normalised(weights);
    }

    /// <summary>Convolves rows and columns with the same weights; the edge pixels are repeated outwards.</summary>
    public static void Separable(Planes picture, double[] weights)
    {
        int radius = weights.Length / 2;
        var copy = new float[picture.Plane];
        for (int c = 0; c < picture.Channels; c++)
        {
            Span<float> plane = picture.Channel(c);
            plane.CopyTo(copy);
            for (int y = 0; y < picture.Height; y++)
            {
                for (int x = 0; x < picture.Width; x++)
                {
                    double sum = 0;
                    for (int k = -radius; k <= radius; k++) sum += weights[k + radius] * copy[y * picture.Width + Math.Clamp(x + k, 0, picture.Width - 1)];
                    plane[y * picture.Width + x] = (float)sum;
                }
            }
            plane.CopyTo(copy);
            for (int y = 0; y < picture.Height; y++)
            {
                for (int x = 0; x < picture.Width; x++)
                {
                    double sum = 0;
                    for (int k = -radius; k <= radius; k++) sum += weights[k + radius] * copy[Math.Clamp(y + k, 0, picture.Height - 1) * picture.Width + x];
                    plane[y * picture.Width + x] = (float)sum;
                }
            }
        }
    }

    /// <summary>Convolves with a square kernel; the edge pixels are repeated outwards.</summary>
    public static void Square(Planes picture, double[] kernel, int radius)
    {
        int side = 2 * radius + 1;
        var copy = new float[picture.Plane];
        for (int c = 0; c < picture.Channels; c++)
        {
            Span<float> plane = picture.Channel(c);
            plane.CopyTo(copy);
            for (int y = 0; y < picture.Height; y++)
            {
                for (int x = 0; x < picture.Width; x++)
                {
                    double sum = 0;
                    for (int dy = -radius; dy <= radius; dy++)
                    {
                        int row = Math.Clamp(y + dy, 0, picture.Height - 1) * picture.Width;
                        for (int dx = -radius; dx <= radius; dx++) sum += kernel[(dy + radius) * side + dx + radius] * copy[row + Math.Clamp(x + dx, 0, picture.Width - 1)];
                    }
                    plane[y * picture.Width + x] = (float)sum;
                }
            }
        }
    }

    /// <summary>The value between pixels, bilinear; outside the edge pixels are repeated.</summary>
    public static float Sample(ReadOnlySpan<float> plane, int height, int width, double y, double x)
    {
        y = Math.Clamp(y, 0, height - 1);
        x = Math.Clamp(x, 0, width - 1);
        int y0 = (int)y, x0 = (int)x, y1 = Math.Min(y0 + 1, height - 1), x1 = Math.Min(x0 + 1, width - 1);
        double fy = y - y0, fx = x - x0;
        double top = plane[y0 * width + x0] * (1 - fx) + plane[y0 * width + x1] * fx, bottom = plane[y1 * width + x0] * (1 - fx) + plane[y1 * width + x1] * fx;
        return (float)(top * (1 - fy) + bottom * fy);
    }

    public static double[] Normalised(double[] weights)
    {
        double sum = weights.Sum();
        for (int i = 0; i < weights.Length; i++) weights[i] /= sum;
        return weights;
    }

    /// <summary>A random height map 0 to 1 by midpoint displacement (diamond-square) that wraps around.</summary>
    /// <param name="size">Least side; the map's side is the next power of two.</param>
    /// <param name="decay">By how much the displacement shrinks from level to level; smaller is rougher.</param>
    /// <param name="random">Its numbers.</param>
    public static (double[] Heights, int Side) Plasma(int size, double decay, ref SeededRandom random)
    {
        int side = 1;
        while (side < size) side *= 2;
        var map = new double[side * side];
        double displacement = 100;
        for (int step = side; step >= 2; step /= 2)
        {
            int half = step / 2;
            for (int y = 0; y < side; y += step)
            {
                for (int x = 0; x < side; x += step)
                {
                    double mean = (At(y, x) + At(y + step, x) + At(y, x + step) + At(y + step, x + step)) / 4;
                    map[Index(y + half, x + half)] = mean + displacement * random.NextDouble(-displacement, displacement);
                }
            }
            for (int y = 0; y < side; y += half)
            {
                for (int x = (y / half) % 2 == 0 ? half : 0; x < side; x += step)
                {
                    double mean = (At(y - half, x) + At(y + half, x) + At(y, x - half) + At(y, x + half)) / 4;
                    map[Index(y, x)] = mean + displacement * random.NextDouble(-displacement, displacement);
                }
            }
            displacement /= decay;
        }
        double low = map.Min(), range = map.Max() - low;
        for (int i = 0; i < map.Length; i++) map[i] = range > 0 ? (map[i] - low) / range : 0;
        return (map, side);

        int Index(int y, int x) => ((y + side) % side) * side + ((x + side) % side);
        double At(int y, int x) => map[Index(y, x)];
    }
}
