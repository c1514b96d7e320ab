namespace Sparseland.Training.Data.BuiltIn;

/// <summary>Pictures that are drawn from a seed: ten kinds of outlines, textures and figures at random places, sizes, contrasts and polarities under noise.</summary>
/// <remarks>
/// Made to separate networks that look at neighbourhoods from those that do not: polarity is random, so the mean picture of every class is flat
/// and a linear classifier stays far below 60 %, while a small convolutional network exceeds 97 %. Everything is a function of
/// (seed, index); nothing is downloaded.
/// </remarks>
public static class ProceduralShapes
{
    /// <summary>The classes in order.</summary>
    public static IReadOnlyList<string> ClassNames { get; } =
        ["ring", "disc", "frame", "plus", "cross", "horizontal", "vertical", "rising", "falling", "checkers"];

    /// <summary>Draws a set.</summary>
    /// <param name="count">Number of pictures; classes go round in turn.</param>
    /// <param name="side">Height and width, 12 to 64.</param>
    /// <param name="channels">1 (grey) or 3 (the figure and the ground get random colours).</param>
    /// <param name="seed">Which pictures; use different seeds for training and test.</param>
    /// <param name="noise">Standard deviation of the noise as a share of full brightness, 0 to 0.5.</param>
    public static PictureDataset Create(int count, int side = 16, int channels = 1, long seed = 1, double noise = 0.08)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfLessThan(side, 12);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(side, 64);
        if (channels is not (1 or 3)) throw new ArgumentOutOfRangeException(nameof(channels), channels, "1 or 3.");
        if (noise is not (>= 0 and <= 0.5)) throw new ArgumentOutOfRangeException(nameof(noise), noise, "0 to 0.5.");
        int plane = side * side;
        byte[] pixels = new byte[checked(count * channels * plane)];
        int[] labels = new int[count];
        for (int i = 0; i < count; i++)
        {
            labels[i] = i % ClassNames.Count;
            Draw(pixels.AsSpan(i * channels * plane, channels * plane), labels[i], side, channels, noise, SeededRandom.Of(seed, 0x5AFE, i));
        }
        return new PictureDataset(pixels, labels, [channels, side, side], ClassNames.Count, ClassNames);
    }

    private static void Draw(Span<byte> picture, int kind, int side, int channels, double noise, SeededRandom random)
    {
        double radius = side * random.NextDouble(0.24, 0.36);
        double cx = random.NextDouble(radius + 0.5, side - radius - 0.5), cy = random.NextDouble(radius + 0.5, side - radius - 0.5);
        double line = Math.Max(1.1, radius * 0.26), period = Math.Max(4, radius * random.NextDouble(0.75, 0.95)), phase = random.NextDouble(0, period);
        Span<double> ground = stackalloc double[3], figure = stackalloc double[3];
        double contrast = random.NextDouble(0.4, 0.75), low = random.NextDouble(0.05, 0.95 - contrast);
        bool dark = random.NextBool();
        for (int c = 0; c < 3; c++)
        {
            // Colours differ a little per channel; the polarity is shared, so that grey shows the same figure.
            double tint = channels == 3 ? random.NextDouble(-0.1, 0.1) : 0;
            ground[c] = (dark ? low + contrast : low) + tint;
            figure[c] = (dark ? low : low + contrast) + tint;
        }
        for (int y = 0; y < side; y++)
        {
            for (int x = 0; x < side; x++)
            {
                double cover = 0;
                for (int s = 0; s < 4; s++) cover += Inside(kind, x + 0.25 + 0.5 * (s & 1) - cx, y + 0.25 + 0.5 * (s >> 1) - cy, radius, line, period, phase) ? 0.25 : 0;
                for (int c = 0; c < channels; c++)
                {
                    // A sum of four uniforms is close to normal and the same on every machine.
                    double bump = (random.NextDouble() + random.NextDouble() + random.NextDouble() + random.NextDouble() - 2) * 1.7320508075688772;
                    double value = ground[c] + (figure[c] - ground[c]) * cover + noise * bump;
                    picture[(c * side + y) * side + x] = (byte)Math.Clamp((int)(value * 255 + 0.5), 0, 255);
                }
            }
        }
    }

    private static bool Inside(int kind, double x, double y, double radius, double line, double period, double phase)
    {
        double distance = Math.Sqrt(x * x + y * y), box = Math.Max(Math.Abs(x), Math.Abs(y)), straight = radius * 0.9;
        return kind switch
        {
            0 => Math.Abs(distance - radius + line / 2) <= line / 2,
            1 => distance <= radius * 0.85,
            2 => Math.Abs(box - straight + line / 2) <= line / 2,
            3 => box <= straight && Math.Min(Math.Abs(x), Math.Abs(y)) <= line / 2,
            4 => box <= straight * 0.9 && Math.Min(Math.Abs(x - y), Math.Abs(x + y)) <= line * 0.7,
            5 => box <= straight && Stripe(y, period, phase),
            6 => box <= straight && Stripe(x, period, phase),
            7 => box <= straight && Stripe((x + y) * 0.7071067811865476, period, phase),
            8 => box <= straight && Stripe((x - y) * 0.7071067811865476, period, phase),
            _ => box <= straight && Stripe(x, period, phase) != Stripe(y, period, phase),
        };
    }

    private static bool Stripe(double at, double period, double phase)
    {
        double t = (at + phase) / period;
        return t - Math.Floor(t) < 0.5;
    }
}
