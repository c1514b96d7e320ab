using Sparseland.Model;
using Sparseland.Training.Data;

namespace Sparseland.Training.Tests.Data;

public class BatchLoaderTests
{
    private static PictureDataset Numbered(int count, int channels = 1, int side = 4)
    {
        byte[] pixels = new byte[count * channels * side * side];
        for (int i = 0; i < pixels.Length; i++) pixels[i] = (byte)(i * 37 + i / 251);
        return new PictureDataset(pixels, [.. Enumerable.Range(0, count).Select(i => i % 7)], [channels, side, side], 7);
    }

    [Fact]
    public void Every_sample_comes_once_per_epoch_in_an_order_of_its_own()
    {
        var loader = new BatchLoader(Numbered(53), new BatchOptions { BatchSize = 8, Seed = 5 });
        Assert.Equal(7, loader.BatchesPerEpoch);
        int[] first = loader.OrderOf(0).ToArray(), second = loader.OrderOf(1).ToArray();
        Assert.Equal(Enumerable.Range(0, 53), first.Order());
        Assert.Equal(Enumerable.Range(0, 53), second.Order());
        Assert.NotEqual(first, second);
        Assert.Equal(first, loader.OrderOf(0).ToArray());
        Assert.Equal(5, loader.At(0, 6).Count);
        Assert.NotEqual(first, new BatchLoader(Numbered(53), new BatchOptions { Seed = 6 }).OrderOf(0).ToArray());
    }

    [Fact]
    public void A_batch_depends_on_its_position_alone()
    {
        var options = new BatchOptions
        {
            BatchSize = 8,
            Seed = 11,
            Augmentations = [new RandomCrop(2), new HorizontalFlip(), new Cutout(2)],
            Normalization = new InputNormalization([0.5f, 0.4f], [0.2f, 0.3f]),
        };
        var loader = new BatchLoader(Numbered(40, 2, 6), options);
        var straight = Enumerable.Range(0, 15).Select(t => loader.At(t)).ToArray();
        foreach (int t in new[] { 14, 3, 9, 0, 7 })
        {
            Batch again = new BatchLoader(Numbered(40, 2, 6), options).At(t);
            Assert.Equal(straight[t].Targets, again.Targets);
            Near.BitEqual(straight[t].Inputs.Span<float>(), again.Inputs.Span<float>());
        }
        Assert.False(straight[0].Inputs.Span<float>().SequenceEqual(straight[5].Inputs.Span<float>()));
    }

    [Fact]
    public void Normalisation_and_order_without_shuffling()
    {
        var loader = new BatchLoader(Numbered(10), new BatchOptions { BatchSize = 4, Shuffle = false, DropLast = true, Normalization = new InputNormalization([0.5f], [0.25f]) });
        Assert.Equal(2, loader.BatchesPerEpoch);
        Batch batch = loader.At(1, 1);
        Assert.Equal([4, 1, 4, 4], batch.Inputs.Shape.ToArray());
        Assert.Equal([4, 5, 6, 0], batch.Targets);
        Assert.Equal((Numbered(10).Pixels(4)[3] / 255f - 0.5f) / 0.25f, batch.Inputs.Span<float>()[3]);
    }

    [Fact]
    public void Crop_moves_content_and_pads_with_black()
    {
        float[] picture = [.. Enumerable.Range(1, 25).Select(i => (float)i)];
        var seen = new HashSet<string>();
        for (int seed = 0; seed < 200; seed++)
        {
            float[] copy = [.. picture];
            var random = SeededRandom.Of(seed);
            new RandomCrop(1).Apply(copy, [1, 5, 5], ref random);
            // Whatever is left must be a shifted part of the picture: the same distances between neighbours.
            int center = (int)copy[12];
            int dy = (center - 1) / 5 - 2, dx = (center - 1) % 5 - 2;
            Assert.InRange(dy, -1, 1);
            Assert.InRange(dx, -1, 1);
            for (int y = 0; y < 5; y++)
            {
                for (int x = 0; x < 5; x++)
                {
                    bool inside = y + dy is >= 0 and < 5 && x + dx is >= 0 and < 5;
                    Assert.Equal(inside ? picture[(y + dy) * 5 + x + dx] : 0, copy[y * 5 + x]);
                }
            }
            seen.Add($"{dy},{dx}");
        }
        Assert.Equal(9, seen.Count);
    }

    [Fact]
    public void Flip_mirrors_about_half_of_the_time()
    {
        int flipped = 0;
        for (int seed = 0; seed < 400; seed++)
        {
            float[] row = [1, 2, 3];
            var random = SeededRandom.Of(seed, 3);
            new HorizontalFlip().Apply(row, [1, 1, 3], ref random);
            Assert.True(row.SequenceEqual([1f, 2, 3]) || row.SequenceEqual([3f, 2, 1]));
            if (row[0] == 3) flipped++;
        }
        Assert.InRange(flipped, 150, 250);
    }

    [Fact]
    public void Windows_of_tokens_predict_every_token_once()
    {
        foreach ((int length, int window) in new[] { (2, 5), (6, 5), (11, 5), (12, 5), (13, 4), (100, 7) })
        {
            int[] tokens = [.. Enumerable.Range(0, length)];
            var data = new TokenDataset(tokens, length, window, byteCount: length);
            var predicted = new List<int>();
            float[] sample = new float[window];
            int[] targets = new int[window];
            for (int i = 0; i < data.Count; i++)
            {
                data.Fill(i, sample, targets);
                for (int k = 0; k < window; k++)
                {
                    if (targets[k] == IDataset.IgnoredTarget) continue;
                    Assert.Equal(sample[k] + 1, targets[k]);
                    predicted.Add(targets[k]);
                }
            }
            Assert.Equal(Enumerable.Range(1, length - 1), predicted);
        }
    }

    [Fact]
    public void Overlapping_windows_are_all_full_and_batches_are_integers()
    {
        var data = new TokenDataset([.. Enumerable.Range(0, 40)], 40, 8, stride: 3);
        var loader = new BatchLoader(data, new BatchOptions { BatchSize = 4, Shuffle = false });
        Assert.Equal(12, data.Count);
        for (int t = 0; t < loader.BatchesPerEpoch; t++)
        {
            Batch batch = loader.At(t);
            Assert.Equal(batch.Inputs.Span<long>().ToArray().Select(v => (int)v + 1), batch.Targets);
        }
        Assert.Equal(39, loader.At(2).Targets[^1]);
    }

    [Fact]
    public void Split_is_disjoint_complete_and_repeatable()
    {
        PictureDataset data = Numbered(100);
        (IDataset a, IDataset b) = data.Split(0.25, 3);
        Assert.Equal((75, 25), (a.Count, b.Count));
        Assert.Equal(Keys(data).Order(), Keys(a).Concat(Keys(b)).Order());
        Assert.Equal(Keys(b), Keys(data.Split(0.25, 3).Second));
        Assert.Equal(Keys(data), Keys(Datasets.Concat(data.Slice(0, 30), data.Slice(30, 70))));

        static IEnumerable<string> Keys(IDataset d) => Enumerable.Range(0, d.Count).Select(i =>
        {
            float[] sample = new float[16];
            int[] target = new int[1];
            d.Fill(i, sample, target);
            return string.Join(",", sample) + target[0];
        });
    }

    [Fact]
    public void The_generator_is_even_and_continues_from_its_state()
    {
        var random = SeededRandom.Of(1, 2, 3);
        int[] histogram = new int[6];
        for (int i = 0; i < 60_000; i++) histogram[random.NextInt(6)]++;
        Assert.All(histogram, n => Assert.InRange(n, 9_600, 10_400));
        var copy = new SeededRandom(random.State);
        Assert.Equal(random.NextUInt64(), copy.NextUInt64());
        double sum = 0, squares = 0;
        for (int i = 0; i < 20_000; i++)
        {
            double x = random.NextNormal();
            sum += x;
            squares += x * x;
        }
        Assert.InRange(sum / 20_000, -0.03, 0.03);
        Assert.InRange(squares / 20_000, 0.96, 1.04);
        Assert.NotEqual(SeededRandom.Of(1, 2).State, SeededRandom.Of(2, 1).State);
    }

    [Fact]
    public void Normalisation_is_measured_and_parsed()
    {
        var measured = InputStatistics.Measure(new ArrayDataset([0, 2, 4, 6, 1, 1, 3, 3], [0, 1], [2, 1, 2], 2));
        Assert.Equal([1f, 4f], measured.Mean.ToArray());
        Assert.Equal(1 / MathF.Sqrt(2), InputStatistics.Measure(new ArrayDataset([0, 2, 1, 1], [0, 1], [1, 1, 2], 2)).Deviation[0], 1e-6);
        InputNormalization parsed = InputNormalization.Parse("0.485,0.456,0.406/0.229,0.224,0.225");
        Assert.Equal(InputNormalization.ImageNet.ToString(), parsed.ToString());
        Assert.Throws<FormatException>(() => InputNormalization.Parse("0.5"));
        Assert.Throws<FormatException>(() => InputNormalization.Parse("0.5/0"));
    }
}
