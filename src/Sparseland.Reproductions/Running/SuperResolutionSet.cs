using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.Data.BuiltIn;
using Sparseland.Training.Data.Pictures;

namespace Sparseland.Reproductions.Running;

/// <summary>Grey pictures and their halves, for small super-resolution networks.</summary>
/// <remarks>Values are 0 to 1. The small picture is the area average of 2 x 2 pixels (the usual benchmark uses bicubic filtering, so figures are not comparable with published ones).</remarks>
public sealed class SuperResolutionSet
{
    private readonly List<(float[] Large, int Width, int Height)> _train, _test;

    private SuperResolutionSet(string name, List<(float[], int, int)> train, List<(float[], int, int)> test) => (Name, _train, _test) = (name, train, test);

    /// <summary>What was really used.</summary>
    public string Name { get; }

    /// <summary>Test pictures.</summary>
    public int TestCount => _test.Count;

    /// <summary>Opens the set: 68 photographs to train on and twelve others to test with when they are on the machine, shapes otherwise.</summary>
    public static SuperResolutionSet Open(ReproductionRun run)
    {
        ArgumentNullException.ThrowIfNull(run);
        string? root = DataCatalog.Root(run.DataRoot), train = root is null ? null : Path.Combine(root, "images-sr-denoise", "bsd68"), test = root is null ? null : Path.Combine(root, "images-sr-denoise", "set12");
        if (Directory.Exists(train) && Directory.Exists(test)) return new SuperResolutionSet("bsd68, set12", Read(train), Read(test));
        run.Note("the photographs of 'images-sr-denoise' are not on this machine: the built-in shapes took their place");
        return new SuperResolutionSet("shapes", Shapes(64, 21), Shapes(12, 22));
    }

    /// <summary>A batch of patches, a function of (seed, step): small [count, 1, side, side] and large [count, 1, 2 side, 2 side], flipped and turned at random.</summary>
    public (Tensor Small, Tensor Large) Batch(long seed, long step, int count, int side)
    {
        SeededRandom random = SeededRandom.Of(seed, step, 0x5C);
        int big = 2 * side;
        float[] large = new float[count * big * big];
        for (int n = 0; n < count; n++)
        {
            (float[] picture, int width, int height) = _train[random.NextInt(_train.Count)];
            int left = random.NextInt(width - big + 1), top = random.NextInt(height - big + 1);
            bool flips = random.NextBool(), turns = random.NextBool();
            for (int y = 0; y < big; y++)
            {
                for (int x = 0; x < big; x++)
                {
                    (int px, int py) = turns ? (y, x) : (x, y);
                    large[(n * big + y) * big + x] = picture[(top + py) * width + left + (flips ? big - 1 - px : px)];
                }
            }
        }
        return (Tensor.Wrap(Halve(large, count * big, big), count, 1, side, side), Tensor.Wrap(large, count, 1, big, big));
    }

    /// <summary>Mean PSNR in dB over the test pictures, without a border of 2 pixels.</summary>
    public double Psnr(TrainableModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        model.IsTraining = false;
        double sum = 0;
        using (GradientMode.Off())
        {
            foreach ((float[] large, int width, int height) in _test)
            {
                Tensor made = model.Forward(new ModelValue(Tensor.Wrap(Halve(large, height, width), 1, 1, height / 2, width / 2)));
                sum += Psnr(large, made.Values, width, height, 2);
            }
        }
        model.IsTraining = true;
        return sum / _test.Count;
    }

    /// <summary>10 log10(1 / mean squared error) of values between 0 and 1, without a border.</summary>
    public static double Psnr(ReadOnlySpan<float> wanted, ReadOnlySpan<float> made, int width, int height, int border)
    {
        double error = 0;
        int count = 0;
        for (int y = border; y < height - border; y++)
        {
            for (int x = border; x < width - border; x++, count++)
            {
                double d = (double)wanted[y * width + x] - Math.Clamp(made[y * width + x], 0f, 1f);
                error += d * d;
            }
        }
        return error == 0 ? double.PositiveInfinity : 10 * Math.Log10(count / error);
    }

    // Rows of all pictures lie one below the other; each has an even number of rows.
    private static float[] Halve(float[] large, int rows, int width)
    {
        float[] small = new float[rows / 2 * (width / 2)];
        for (int y = 0; y < rows / 2; y++)
        {
            for (int x = 0; x < width / 2; x++)
            {
                int at = 2 * y * width + 2 * x;
                small[y * (width / 2) + x] = 0.25f * (large[at] + large[at + 1] + large[at + width] + large[at + width + 1]);
            }
        }
        return small;
    }

    private static List<(float[], int, int)> Read(string folder)
    {
        var pictures = new List<(float[], int, int)>();
        foreach (string file in Directory.GetFiles(folder, "*.png").Order(StringComparer.Ordinal))
        {
            Picture picture = PngReader.Read(file);
            picture = picture.CenterCrop(picture.Width / 2 * 2, picture.Height / 2 * 2);
            pictures.Add(([.. picture.ToPlanes(1).Select(v => v / 255f)], picture.Width, picture.Height));
        }
        return pictures;
    }

    private static List<(float[], int, int)> Shapes(int count, long seed)
    {
        PictureDataset shapes = ProceduralShapes.Create(count, 64, 1, seed);
        var pictures = new List<(float[], int, int)>();
        float[] sample = new float[shapes.SampleShape[0] * 64 * 64];
        int[] target = new int[1];
        for (int i = 0; i < count; i++)
        {
            shapes.Fill(i, sample, target);
            pictures.Add(([.. sample], 64, 64));
        }
        return pictures;
    }
}
