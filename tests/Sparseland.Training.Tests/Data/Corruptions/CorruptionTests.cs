using Sparseland.Training.Data;
using Sparseland.Training.Data.BuiltIn;
using Sparseland.Training.Data.Corruptions;

namespace Sparseland.Training.Tests.Data.Corruptions;

public class CorruptionTests
{
    public static TheoryData<string> Ids => new(CorruptionCatalog.All.Select(c => c.Id));

    private static float[] Picture(int channels, int height, int width, long seed)
    {
        SeededRandom random = SeededRandom.Of(seed);
        float[] values = new float[channels * height * width];
        // Smooth shapes with an edge, so that blurs and shifts have something to change.
        for (int i = 0; i < values.Length; i++)
        {
            int x = i % width, y = i / width % height;
            values[i] = (float)(0.5 + 0.3 * Math.Sin(0.9 * x) * Math.Cos(0.7 * y) + (x > width / 2 ? 0.15 : 0) + 0.02 * random.NextDouble());
        }
        return values;
    }

    private static float[] Corrupt(string id, float[] picture, int[] shape, int severity, long seed)
    {
        float[] copy = [.. picture];
        SeededRandom random = SeededRandom.Of(seed);
        CorruptionCatalog.Get(id).Apply(copy, shape, severity, ref random);
        return copy;
    }

    [Theory]
    [MemberData(nameof(Ids))]
    public void Severity_zero_is_the_clean_picture_and_others_stay_in_range_and_are_repeatable(string id)
    {
        foreach (int[] shape in (int[][])[[3, 32, 32], [1, 28, 28], [1, 16, 20], [3, 9, 8]])
        {
            float[] clean = Picture(shape[0], shape[1], shape[2], 3);
            Assert.Equal(clean, Corrupt(id, clean, shape, 0, 1));
            for (int severity = 1; severity <= 5; severity++)
            {
                float[] once = Corrupt(id, clean, shape, severity, 7), again = Corrupt(id, clean, shape, severity, 7);
                Assert.Equal(once, again);
                Assert.All(once, v => Assert.InRange(v, 0f, 1f));
                Assert.NotEqual(clean, once);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Ids))]
    public void The_highest_severity_changes_more_than_the_lowest(string id)
    {
        double[] changed = new double[6];
        int[] shape = [3, 32, 32];
        for (int picture = 0; picture < 6; picture++)
        {
            float[] clean = Picture(3, 32, 32, picture);
            foreach (int severity in (int[])[1, 5])
            {
                float[] corrupted = Corrupt(id, clean, shape, severity, 100 + picture);
                changed[severity] += corrupted.Zip(clean, (a, b) => (double)(a - b) * (a - b)).Sum();
            }
        }
        Assert.True(changed[5] > 1.1 * changed[1], $"{id}: {changed[1]:G4} at severity 1, {changed[5]:G4} at 5");
    }

    [Fact]
    public void Noise_has_the_deviation_that_the_benchmark_gives()
    {
        int[] shape = [1, 200, 200];
        float[] grey = new float[40_000];
        Array.Fill(grey, 0.5f);
        double[] gaussian = [0.04, 0.06, 0.08, 0.09, 0.10], photons = [500, 250, 100, 75, 50], impulse = [0.01, 0.02, 0.03, 0.05, 0.07];
        for (int s = 1; s <= 5; s++)
        {
            Assert.Equal(gaussian[s - 1], Deviation(Corrupt("gaussian-noise", grey, shape, s, 1)), 0.02 * gaussian[s - 1] + 0.0005);
            // A Poisson number of mean c/2 has that variance: the deviation of x = n/c is sqrt(0.5 / c).
            Assert.Equal(Math.Sqrt(0.5 / photons[s - 1]), Deviation(Corrupt("shot-noise", grey, shape, s, 2)), 0.001);
            float[] salted = Corrupt("impulse-noise", grey, shape, s, 3);
            Assert.Equal(impulse[s - 1], salted.Count(v => v is 0 or 1) / 40_000.0, 0.003);
        }
        // Small means use another algorithm.
        float[] dark = new float[40_000];
        Array.Fill(dark, 0.04f);
        float[] shot = Corrupt("shot-noise", dark, shape, 5, 4);
        Assert.Equal(0.04, shot.Average(), 0.001);
        Assert.Equal(Math.Sqrt(0.04 / 50), Deviation(shot), 0.001);
    }

    [Fact]
    public void Contrast_brightness_and_translation_are_what_their_formulas_say()
    {
        int[] shape = [1, 2, 2];
        float[] picture = [0.2f, 0.4f, 0.6f, 0.8f];
        Assert.Equal([0.35f, 0.45f, 0.55f, 0.65f], Corrupt("contrast", picture, shape, 2, 1), Close);
        Assert.Equal([0.3f, 0.5f, 0.7f, 0.9f], Corrupt("brightness", picture, shape, 2, 1), Close);
        // Colour: the largest channel grows by 0.1, hue and saturation stay; black becomes grey.
        float[] colour = [0.4f, 0f, 0.2f, 0f, 0.1f, 0f];
        Assert.Equal([0.5f, 0.1f, 0.25f, 0.1f, 0.125f, 0.1f], Corrupt("brightness", colour, [3, 1, 2], 2, 1), Close);
        float[] dot = new float[32 * 32];
        dot[16 * 32 + 16] = 1;
        for (int s = 1; s <= 5; s++)
        {
            int at = Array.IndexOf(Corrupt("translation", dot, [1, 32, 32], s, s), 1f), dy = at / 32 - 16, dx = at % 32 - 16;
            Assert.Equal(s, Math.Max(Math.Abs(dy), Math.Abs(dx)));
            Assert.True(dy == 0 || dx == 0 || Math.Abs(dy) == Math.Abs(dx));
        }
    }

    [Theory]
    [InlineData("gaussian-blur")]
    [InlineData("box-blur")]
    [InlineData("defocus-blur")]
    [InlineData("motion-blur")]
    [InlineData("zoom-blur")]
    [InlineData("pixelate")]
    [InlineData("contrast")]
    public void A_picture_of_one_grey_stays_that_grey(string id)
    {
        float[] grey = new float[3 * 20 * 20];
        Array.Fill(grey, 0.3f);
        for (int s = 1; s <= 5; s++) Assert.All(Corrupt(id, grey, [3, 20, 20], s, 5), v => Assert.Equal(0.3f, v, 5));
    }

    [Fact]
    public void A_corrupted_data_set_is_a_function_of_seed_and_index_and_keeps_labels()
    {
        PictureDataset source = ProceduralShapes.Create(20, 16, 1, 3);
        var a = new CorruptedDataset(source, CorruptionCatalog.Get("gaussian-noise"), 3, 9);
        var b = new CorruptedDataset(source, CorruptionCatalog.Get("gaussian-noise"), 3, 10);
        float[] clean = new float[256], first = new float[256], again = new float[256], other = new float[256];
        int[] label = new int[1], same = new int[1];
        source.Fill(7, clean, label);
        a.Fill(7, first, same);
        a.Fill(3, again, same);
        a.Fill(7, again, same);
        b.Fill(7, other, same);
        Assert.Equal(label, same);
        Assert.Equal(first, again);
        Assert.NotEqual(first, other);
        Assert.NotEqual(clean, first);
        new CorruptedDataset(source, CorruptionCatalog.Get("fog"), 0, 9).Fill(7, again, same);
        Assert.Equal(clean, again);
    }

    [Fact]
    public void Lists_name_corruptions_families_or_all_and_unknown_names_are_errors()
    {
        Assert.Equal(CorruptionCatalog.All, CorruptionCatalog.Parse("all"));
        Assert.Equal(["fog", "frost"], CorruptionCatalog.Parse("weather,fog").Select(c => c.Id));
        Assert.Equal(["contrast", "fog"], CorruptionCatalog.Parse("contrast, FOG").Select(c => c.Id));
        DataException error = Assert.Throws<DataException>(() => CorruptionCatalog.Parse("contrast,rain"));
        Assert.Equal("SL3015", error.Code);
        Assert.Contains("gaussian-noise", error.Try, StringComparison.Ordinal);
        Assert.Throws<DataException>(() => CorruptionCatalog.Parse("2"));
        Assert.Equal(CorruptionCatalog.All.Count, CorruptionCatalog.All.Select(c => c.Id).Distinct().Count());
    }

    private static bool Close(float a, float b) => Math.Abs(a - b) < 1e-6f;

    private static double Deviation(float[] values)
    {
        double mean = values.Average(v => (double)v);
        return Math.Sqrt(values.Average(v => (v - mean) * (v - mean)));
    }
}
