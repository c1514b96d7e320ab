namespace Sparseland.Training.Data.Corruptions;

/// <summary>A normal curve of deviation 0.4 to 1 pixel.</summary>
internal sealed class GaussianBlur() : Corruption("gaussian-blur", CorruptionFamily.Blur, "a normal curve of deviation 0.4, 0.6, 0.7, 0.8, 1.0 pixels (of 32)")
{
    private static readonly double[] s_sigma = [0.4, 0.6, 0.7, 0.8, 1];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random) => Filtering.Separable(picture, Filtering.Gaussian(s_sigma[severity - 1] * picture.Scale));
}

/// <summary>A box of 1.5 to 3.5 pixels. Not part of the benchmark.</summary>
internal sealed class BoxBlur() : Corruption("box-blur", CorruptionFamily.Blur, "a box of 1.5, 2, 2.5, 3, 3.5 pixels (of 32); not part of the benchmark")
{
    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random) => Filtering.Separable(picture, Filtering.Box(1 + Math.Max(0.25, 0.5 * severity * picture.Scale)));
}

/// <summary>A lens out of focus: a disc with a soft edge.</summary>
internal sealed class DefocusBlur() : Corruption("defocus-blur", CorruptionFamily.Blur, "a disc of radius 0.3, 0.4, 0.5, 1, 1.5 pixels with an edge softened by 0.4, 0.5, 0.6, 0.2, 0.1 (of 32)")
{
    private static readonly (double Radius, double Soft)[] s_discs = [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        (double radius, double soft) = s_discs[severity - 1];
        radius *= picture.Scale;
        soft *= picture.Scale;
        // The disc of whole pixels, softened by a normal curve over its neighbours.
        int reach = (int)Math.Ceiling(radius) + 1, side = 2 * reach + 1;
        var disc = new double[side * side];
        double total = 0;
        for (int y = -reach; y <= reach; y++)
        {
            for (int x = -reach; x <= reach; x++)
            {
                if (y * y + x * x > radius * radius) continue;
                disc[(y + reach) * side + x + reach] = 1;
                total++;
            }
        }
        double near = Math.Exp(-0.5 / (soft * soft));
        var kernel = new double[side * side];
        for (int y = 0; y < side; y++)
        {
            for (int x = 0; x < side; x++)
            {
                double sum = 0;
                for (int dy = -1; dy <= 1; dy++)
                {
                    for (int dx = -1; dx <= 1; dx++)
                    {
                        int yy = y + dy, xx = x + dx;
                        if (yy >= 0 && yy < side && xx >= 0 && xx < side) sum += disc[yy * side + xx] / total * (dy == 0 ? 1 : near) * (dx == 0 ? 1 : near);
                    }
                }
                kernel[y * side + x] = sum;
            }
        }
        Filtering.Square(picture, Filtering.Normalised(kernel), reach);
    }
}

/// <summary>A camera that moves while it looks: one direction within 45 degrees of level.</summary>
internal sealed class MotionBlur() : Corruption("motion-blur", CorruptionFamily.Blur, "a trail of 6, 6, 6, 8, 9 pixels that fades with deviation 1, 1.5, 2, 2, 2.5 (of 32), in a random direction within 45 degrees of level")
{
    private static readonly (double Length, double Sigma)[] s_trails = [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        (double length, double sigma) = s_trails[severity - 1];
        double angle = random.NextDouble(-Math.PI / 4, Math.PI / 4), dy = Math.Sin(angle), dx = Math.Cos(angle);
        int taps = Math.Max(2, (int)Math.Round(length * picture.Scale) + 1);
        var weights = new double[taps];
        for (int i = 0; i < taps; i++) weights[i] = Math.Exp(-0.5 * i * i / Math.Pow(sigma * picture.Scale, 2));
        Filtering.Normalised(weights);
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
                    for (int i = 0; i < taps; i++) sum += weights[i] * Filtering.Sample(copy, picture.Height, picture.Width, y + i * dy, x + i * dx);
                    plane[y * picture.Width + x] = (float)sum;
                }
            }
        }
    }
}

/// <summary>Frosted glass: pixels change places with near ones, between two soft blurs.</summary>
internal sealed class GlassBlur() : Corruption("glass-blur", CorruptionFamily.Blur, "pixels change places with neighbours, 1, 1, 1, 2, 2 times, between blurs of deviation 0.05, 0.25, 0.4, 0.25, 0.4")
{
    private static readonly (double Sigma, int Times)[] s_glass = [(0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2)];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        (double sigma, int times) = s_glass[severity - 1];
        double[] weights = Filtering.Gaussian(sigma * picture.Scale);
        Filtering.Separable(picture, weights);
        int width = picture.Width;
        for (int t = 0; t < times; t++)
        {
            for (int y = picture.Height - 2; y > 1; y--)
            {
                for (int x = width - 2; x > 1; x--)
                {
                    int from = y * width + x, to = (y + random.NextInt(3) - 1) * width + x + random.NextInt(3) - 1;
                    for (int c = 0; c < picture.Channels; c++)
                    {
                        Span<float> plane = picture.Channel(c);
                        (plane[from], plane[to]) = (plane[to], plane[from]);
                    }
                }
            }
        }
        Filtering.Separable(picture, weights);
    }
}

/// <summary>A lens that zooms while it looks: the mean of enlargements up to 1.06 to 1.26.</summary>
internal sealed class ZoomBlur() : Corruption("zoom-blur", CorruptionFamily.Blur, "the mean of enlargements in steps of 1 % up to 1.05, 1.10, 1.15, 1.20, 1.25")
{
    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        int steps = 5 * severity + 1;
        double cy = (picture.Height - 1) / 2.0, cx = (picture.Width - 1) / 2.0;
        var copy = new float[picture.Plane];
        for (int c = 0; c < picture.Channels; c++)
        {
            Span<float> plane = picture.Channel(c);
            plane.CopyTo(copy);
            for (int y = 0; y < picture.Height; y++)
            {
                for (int x = 0; x < picture.Width; x++)
                {
                    double sum = copy[y * picture.Width + x];
                    for (int i = 0; i < steps; i++)
                    {
                        double zoom = 1 + 0.01 * i;
                        sum += Filtering.Sample(copy, picture.Height, picture.Width, cy + (y - cy) / zoom, cx + (x - cx) / zoom);
                    }
                    plane[y * picture.Width + x] = (float)(sum / (steps + 1));
                }
            }
        }
    }
}
