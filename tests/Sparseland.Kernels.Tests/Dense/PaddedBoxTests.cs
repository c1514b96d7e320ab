using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Threading;
using Xunit;

namespace Sparseland.Kernels.Tests.Dense;

[Collection("threads")]
public sealed class PaddedBoxTests
{
    private const float Value = 7;

    /// <summary>Input, start, step, output, where it goes, size.</summary>
    public static TheoryData<int[], int[], int[], int[], int[], int[]> Boxes => new()
    {
        // A shortcut: every second pixel, channels without any around.
        { [1, 6, 32, 32], [0, 0, 0, 0], [1, 1, 2, 2], [1, 12, 16, 16], [0, 3, 0, 0], [1, 6, 16, 16] },
        { [1, 40, 16, 16], [0, 0, 1, 1], [1, 1, 2, 2], [1, 80, 8, 8], [0, 20, 0, 0], [1, 40, 8, 8] },
        { [3, 5, 20, 22], [1, 4, 3, 2], [1, -1, 3, 2], [4, 8, 9, 30], [1, 2, 3, 4], [2, 4, 5, 9] },
        { [2, 3, 19, 35], [0, 0, 18, 34], [1, 1, -2, -3], [2, 3, 9, 12], [0, 0, 0, 0], [2, 3, 9, 12] },
        { [1, 4, 33, 17], [0, 0, 0, 0], [1, 1, 1, 1], [1, 4, 40, 17], [0, 0, 3, 0], [1, 4, 33, 17] },
        { [70, 90], [3, 1], [2, 4], [80, 60], [7, 9], [30, 22] },
        { [90], [80], [-3], [40], [5], [20] },
        { [4, 5, 6], [0, 0, 0], [1, 1, 1], [40, 15, 10], [0, 15, 0], [4, 0, 6] },
        { [], [], [], [], [], [] },
    };

    [Theory]
    [MemberData(nameof(Boxes))]
    public void Every_value_comes_from_its_place_or_lies_around(int[] input, int[] start, int[] step, int[] output, int[] to, int[] size)
    {
        var box = new PaddedBox(input, start, step, output, to, size, Value);
        float[] x = [.. Enumerable.Range(1000, Count(input)).Select(i => (float)i)];
        float[] expected = Expected(x, input, start, step, output, to, size);
        int before = WorkPool.Threads;
        try
        {
            foreach (int threads in (int[])[1, 2, 3])
            {
                WorkPool.Threads = threads;
                float[] y = new float[expected.Length];
                box.Copy(x, y);
                Assert.Equal(expected, y);
                if (input.Length >= 2) Gaps(box, x, input, output, expected);
            }
        }
        finally
        {
            WorkPool.Threads = before;
        }
        if (expected.Length > 0) Assert.Throws<ArgumentException>(() => box.Copy(x, new float[expected.Length - 1]));
    }

    [Theory]
    [MemberData(nameof(Boxes))]
    public void A_box_of_a_box_is_one(int[] input, int[] start, int[] step, int[] _1, int[] _2, int[] size)
    {
        if (size.Contains(0)) return;
        int[] zero = new int[size.Length], one = [.. size.Select(_ => 1)], every = [.. size.Select(s => s > 3 ? 2 : 1)];
        // The cut; every second value of it, from the last one backwards where there are some, with others around.
        var cut = new PaddedBox(input, start, step, size, zero, size);
        int[] from = [.. size.Select((s, i) => every[i] == 2 ? s - 1 : 0)], by = [.. every.Select(e => e == 2 ? -2 : 1)], part = [.. size.Select((s, i) => every[i] == 2 ? s / 2 : s)], wide = [.. part.Select(p => p + 3)];
        var second = new PaddedBox(size, from, by, wide, one, part, Value);
        float[] x = [.. Enumerable.Range(0, Count(input)).Select(i => i + 0.5f)], between = new float[Count(size)], expected = new float[Count(wide)], y = new float[expected.Length];
        cut.Copy(x, between);
        second.Copy(between, expected);
        PaddedBox both = Assert.IsType<PaddedBox>(second.After(cut));
        both.Copy(x, y);
        Assert.Equal(expected, y);
        // What lies around the first box would be cut as well; and another shape is no input.
        if (size.Length == 0) return;
        Assert.Null(new PaddedBox(wide, zero, one, part, zero, part).After(second));
        Assert.Null(second.After(second));
    }

    [Fact]
    public void Boxes_outside_of_their_arrays_are_refused()
    {
        Assert.Throws<ArgumentException>(() => new PaddedBox([4, 5], [0, 0], [1, 1], [4, 5], [0, 1], [4, 5]));
        Assert.Throws<ArgumentException>(() => new PaddedBox([4, 5], [1, 0], [1, 1], [4, 5], [0, 0], [4, 5]));
        Assert.Throws<ArgumentException>(() => new PaddedBox([4, 5], [0, 0], [0, 1], [4, 5], [0, 0], [4, 5]));
        Assert.Throws<ArgumentException>(() => new PaddedBox([4, 5], [0, 0], [1, 1], [4, 5], [0, 0], [4]));
        Assert.Throws<ArgumentException>(() => new PaddedBox([9], [0], [1], [9], [0], [9]).Copy(new float[16], new float[16], 16));
        Assert.Throws<ArgumentException>(() => new PaddedBox([3, 3], [0, 0], [1, 1], [3, 3], [0, 0], [3, 3]).Copy(new float[9], new float[9], 8));
    }

    private static void Gaps(PaddedBox box, float[] x, int[] input, int[] output, float[] expected)
    {
        const int Gap = 5;
        int from = input[^2] * input[^1], to = output[^2] * output[^1];
        float[] apart = new float[x.Length / from * (from + Gap)], y = new float[expected.Length / to * (to + Gap)];
        for (int p = 0; p < x.Length / from; p++) x.AsSpan(p * from, from).CopyTo(apart.AsSpan(p * (from + Gap)));
        box.Copy(apart, y, from + Gap, to + Gap);
        for (int p = 0; p < expected.Length / to; p++)
        {
            Assert.Equal(expected.AsSpan(p * to, to), y.AsSpan(p * (to + Gap), to));
            Assert.All(y.AsSpan((p * (to + Gap)) + to, Gap).ToArray(), gap => Assert.Equal(0f, gap));
        }
    }

    private static float[] Expected(float[] x, int[] input, int[] start, int[] step, int[] output, int[] to, int[] size)
    {
        var y = new float[Count(output)];
        for (int i = 0; i < y.Length; i++)
        {
            bool inside = true;
            int place = 0, rest = i;
            for (int axis = output.Length - 1, stride = 1; axis >= 0; stride *= input[axis--])
            {
                int at = rest % output[axis] - to[axis];
                rest /= output[axis];
                inside &= at >= 0 && at < size[axis];
                place += (start[axis] + at * step[axis]) * stride;
            }
            y[i] = inside ? x[place] : Value;
        }
        return y;
    }

    private static int Count(int[] shape) => shape.Aggregate(1, (a, b) => a * b);
}
