using Sparseland.Kernels.Sparse;

namespace Sparseland.Kernels.Tests.Sparse;

public class CompactMatrixTests
{
    [Theory]
    [InlineData(ValueKind.Float32, 0)]
    [InlineData(ValueKind.BFloat16, 1 / 256.0)]
    [InlineData(ValueKind.Int8, 0.5 / 127)]
    // The scale with the least squared error may cut the largest value of a group down to 7/9.
    [InlineData(ValueKind.Int4, 2.01 / 9)]
    public void Values_come_back_within_half_a_step_and_zeros_and_masks_stay(ValueKind kind, double step)
    {
        var random = new Random(1);
        for (int trial = 0; trial < 60; trial++)
        {
            int rows = random.Next(1, 20), columns = random.Next(1, 400);
            double density = trial % 3 == 0 ? 1 : random.NextDouble();
            var dense = new float[rows * columns];
            var kept = new bool[dense.Length];
            float magnitude = MathF.Pow(10, random.Next(-3, 4));
            for (int i = 0; i < dense.Length; i++)
            {
                kept[i] = random.NextDouble() < density;
                // A zero that the mask keeps stays kept.
                dense[i] = random.Next(10) == 0 ? 0 : ((2 * random.NextSingle()) - 1) * magnitude;
            }
            Mask mask = Mask.FromFlags([rows, columns], kept);
            CompactMatrix w = CompactMatrix.FromMask(mask, dense, rows, columns, kind);
            Assert.Equal(mask, w.ToMask());
            Assert.Equal(mask.KeptCount, w.StoredCount);
            var back = new float[dense.Length];
            w.ToDense(back);
            for (int i = 0; i < dense.Length; i++)
            {
                if (!kept[i] || dense[i] == 0) Assert.Equal(0f, back[i]);
                else Assert.InRange(Math.Abs(back[i] - dense[i]), 0, (kind == ValueKind.BFloat16 ? Math.Abs(dense[i]) : magnitude) * step * 1.001);
            }
            // Filled up with zeros it is the same numbers, however they are rounded.
            CompactMatrix full = w.WithoutMask();
            Assert.False(full.HasMask);
            var filled = new float[dense.Length];
            full.ToDense(filled);
            Assert.Equal(back, filled);
            // Encoding what came back changes nothing more for the types without a search for scales.
            if (kind is ValueKind.Float32 or ValueKind.BFloat16)
            {
                var again = new float[dense.Length];
                CompactMatrix.FromMask(mask, back, rows, columns, kind).ToDense(again);
                Assert.Equal(back, again);
            }
        }
    }

    [Theory]
    [InlineData(ValueKind.Float32)]
    [InlineData(ValueKind.BFloat16)]
    [InlineData(ValueKind.Int8)]
    [InlineData(ValueKind.Int4)]
    public void Bytes_keep_the_promise_of_size(ValueKind kind)
    {
        const int Rows = 96, Columns = 1024;
        var random = new Random(2);
        foreach (double density in (double[])[0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1])
        {
            var dense = new float[Rows * Columns];
            for (int i = 0; i < dense.Length; i++) dense[i] = random.NextDouble() < density ? 1 + random.NextSingle() : 0;
            CompactMatrix w = CompactMatrix.FromMask(Mask.FromNonZeros([Rows, Columns], dense), dense, Rows, Columns, kind);
            double promised = 1.05 * dense.Length * (1 + (w.Density * kind.Bits())) / 8;
            Assert.InRange(w.ByteCount, 0, promised);
        }
    }

    [Fact]
    public void Four_bit_scales_are_not_worse_than_the_largest_magnitude_over_seven()
    {
        var random = new Random(5);
        double plain = 0, searched = 0;
        for (int trial = 0; trial < 50; trial++)
        {
            var dense = new float[64];
            for (int i = 0; i < 64; i++) dense[i] = (float)Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * MathF.Cos(6.2831853f * random.NextSingle());
            var back = new float[64];
            CompactMatrix.FromDense(dense, 1, 64, ValueKind.Int4).ToDense(back);
            float scale = (float)(Half)(dense.Max(Math.Abs) / 7);
            plain += dense.Sum(v => Math.Pow(v - (MathF.Round(v / scale) * scale), 2));
            double own = dense.Zip(back, (a, b) => Math.Pow(a - b, 2)).Sum();
            searched += own;
        }
        Assert.True(searched < 0.95 * plain, $"{searched} {plain}");
    }

    [Fact]
    public void Four_bit_scales_fit_large_and_tiny_groups_and_refuse_what_halves_cannot_hold()
    {
        foreach (float magnitude in (float[])[1e-7f, 1e-3f, 4e5f])
        {
            float[] dense = [magnitude, -magnitude / 2, 0, magnitude / 4], back = new float[4];
            CompactMatrix.FromDense(dense, 1, 4, ValueKind.Int4).ToDense(back);
            for (int i = 0; i < 4; i++) Assert.InRange(Math.Abs(back[i] - dense[i]), 0, Math.Max(magnitude / 8, (float)Half.Epsilon / 2));
        }
        Assert.Throws<ArgumentException>(() => CompactMatrix.FromDense([1e6f], 1, 1, ValueKind.Int4));
    }

    [Fact]
    public void Parts_that_contradict_each_other_are_refused()
    {
        byte[] bits = [3, 0, 0, 0, 0, 0, 0, 0];
        Assert.Equal(2, CompactMatrix.FromParts(1, 2, ValueKind.BFloat16, bits, new byte[4]).StoredCount);
        Assert.Throws<ArgumentException>(() => CompactMatrix.FromParts(1, 1, ValueKind.BFloat16, bits, new byte[4]));
        Assert.Throws<ArgumentException>(() => CompactMatrix.FromParts(1, 2, ValueKind.BFloat16, bits, new byte[3]));
        Assert.Throws<ArgumentException>(() => CompactMatrix.FromParts(1, 2, ValueKind.BFloat16, bits.AsMemory(1), new byte[4]));
        Assert.Throws<ArgumentException>(() => CompactMatrix.FromParts(1, 2, ValueKind.Int8, bits, new byte[2]));
        Assert.Throws<ArgumentException>(() => CompactMatrix.FromParts(1, 2, ValueKind.Int4, bits, new byte[1], new byte[2], 48));
        Assert.Equal(2, CompactMatrix.FromParts(1, 2, ValueKind.Int4, bits, new byte[1], new byte[2], 64).StoredCount);
    }

    [Fact]
    public void Too_many_columns_are_refused_before_anything_overflows()
    {
        foreach (ValueKind kind in Enum.GetValues<ValueKind>())
        {
            int group = kind == ValueKind.Int4 ? 64 : 0;
            Assert.Throws<ArgumentOutOfRangeException>(() => CompactMatrix.FromParts(1, int.MaxValue, kind, null, default, default, group));
            Assert.Throws<ArgumentOutOfRangeException>(() => CompactMatrix.FromParts(0, CompactMatrix.MostColumns + 1, kind, null, default, default, group));
        }
    }
}
