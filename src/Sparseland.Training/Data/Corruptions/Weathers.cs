namespace Sparseland.Training.Data.Corruptions;

/// <summary>Fog: a random height map over the picture, which loses contrast.</summary>
internal sealed class Fog() : Corruption("fog", CorruptionFamily.Weather, "a random height map times 0.2, 0.5, 0.75, 1, 1.5 is added and the sum scaled back to the picture's brightest value")
{
    private static readonly (double Amount, double Decay)[] s_fog = [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        (double amount, double decay) = s_fog[severity - 1];
        (double[] heights, int side) = Filtering.Plasma(Math.Max(picture.Height, picture.Width), decay, ref random);
        float brightest = 0;
        foreach (float x in picture.Values) brightest = Math.Max(brightest, x);
        double scale = brightest / (brightest + amount);
        for (int c = 0; c < picture.Channels; c++)
        {
            Span<float> plane = picture.Channel(c);
            for (int y = 0; y < picture.Height; y++)
            {
                for (int x = 0; x < picture.Width; x++)
                {
                    ref float v = ref plane[y * picture.Width + x];
                    v = (float)((v + amount * heights[y * side + x]) * scale);
                }
            }
        }
    }
}

/// <summary>Frost: bright veins over a darkened picture. The benchmark lays photographs over the picture; these veins are computed.</summary>
internal sealed class Frost() : Corruption("frost", CorruptionFamily.Weather, "the picture times 1, 1, 0.9, 0.85, 0.75 plus computed veins times 0.2, 0.3, 0.4, 0.4, 0.45 (the benchmark uses photographs)")
{
    private static readonly (double Picture, double Veins)[] s_frost = [(1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        (double keep, double veins) = s_frost[severity - 1];
        (double[] heights, int side) = Filtering.Plasma(2 * Math.Max(picture.Height, picture.Width), 1.6, ref random);
        int top = random.NextInt(side - picture.Height + 1), left = random.NextInt(side - picture.Width + 1);
        for (int c = 0; c < picture.Channels; c++)
        {
            Span<float> plane = picture.Channel(c);
            // Ice is bluish.
            double tint = picture.Channels == 3 && c < 2 ? 0.92 : 1;
            for (int y = 0; y < picture.Height; y++)
            {
                for (int x = 0; x < picture.Width; x++)
                {
                    // Ridges of the height map: bright where it is near the middle.
                    double ridge = 1 - Math.Abs(2 * heights[(y + top) * side + x + left] - 1);
                    ref float v = ref plane[y * picture.Width + x];
                    v = (float)(keep * v + veins * tint * ridge * ridge);
                }
            }
        }
    }
}
