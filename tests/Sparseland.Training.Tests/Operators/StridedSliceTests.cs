using Sparseland.Training.Autograd;
using Sparseland.Training.Operators;

namespace Sparseland.Training.Tests.Operators;

public class StridedSliceTests
{
    public static TheoryData<int[], int[], int[], int[]> Selections() => new()
    {
        { [7], [1], [2], [3] },
        { [7], [6], [-3], [3] },
        { [4, 6], [0, 1], [1, 1], [4, 5] },
        { [4, 6], [1, 0], [2, 1], [2, 6] },
        { [2, 3, 6, 8], [0, 0, 0, 0], [1, 1, 2, 2], [2, 3, 3, 4] },
        { [2, 3, 6, 8], [1, 0, 5, 0], [1, 2, -1, 1], [1, 2, 6, 8] },
        { [3, 4, 5, 2], [0, 1, 0, 0], [2, 1, 1, 1], [2, 3, 5, 2] },
        { [3, 4, 5], [0, 4, 0], [1, 1, 2], [3, 0, 3] },
        { [3, 4, 5], [2, 0, 0], [1, 1, 1], [1, 4, 5] },
    };

    [Theory, MemberData(nameof(Selections))]
    public void ValuesComeFromTheirPlacesAndGradientsGoThere(int[] sizes, int[] starts, int[] steps, int[] counts)
    {
        Tensor x = Tensor.Normal(new Random(1), sizes);
        x.RequiresGrad = true;
        int[] places = Places(sizes, starts, steps, counts);
        Tensor y = StridedSlice.Apply(x, starts, steps, counts), g = Tensor.Normal(new Random(2), counts);
        Assert.Equal(counts, y.Shape.ToArray());
        Assert.Equal(places.Select(p => x.Values[p]), y.ToArray());
        (y * g).Sum().Backward();
        Assert.Equal(Scattered(x.Length, places, g), x.Grad!.ToArray());
    }

    [Theory]
    [InlineData(0, 1, 2)]
    [InlineData(0, 2, 1)]
    [InlineData(2, 0, 1)]
    [InlineData(0, 1, -1)]
    [InlineData(1, -1, -1)]
    [InlineData(3, 0, 1)]
    [InlineData(4, -1, -1)]
    [InlineData(0, 4, 3)]
    [InlineData(4, 4, 1)]
    public void GradientsOfSomeValuesAndOfAllAddUpInAnyOrder(params int[] uses)
    {
        int[] sizes = [2, 3, 4, 6], ones = [1, 1, 1, 1], zeros = [0, 0, 0, 0], ends = [1, 2, 3, 5], backward = [-1, -1, -1, -1];
        Tensor x = Tensor.Normal(new Random(1), sizes), loss = Tensor.Scalar(0f);
        x.RequiresGrad = true;
        // The value that is used several times is no leaf.
        Tensor h = x * 1f;
        var expected = new float[x.Length];
        foreach (int use in uses)
        {
            if (use < 0) continue;
            (int[] starts, int[] steps, int[] counts) = use switch
            {
                0 => (zeros, (int[])[1, 1, 2, 2], (int[])[2, 3, 2, 3]),
                1 => ((int[])[0, 1, 0, 1], [1, 1, 1, 2], [2, 2, 4, 2]),
                _ => (zeros, ones, sizes),
            };
            Tensor g = Tensor.Normal(new Random(10 + use), counts);
            // Use 3 gives a gradient that another operation holds as well, use 4 one that a slice of the same value is still to read.
            Tensor part = use < 2 ? StridedSlice.Apply(h, starts, steps, counts) : use == 2 ? h * g : use == 3 ? h + x : h + StridedSlice.Apply(h, ends, backward, sizes);
            loss += use is < 2 or 4 ? (part * g).Sum() : part.Sum();
            float[] given = use == 3 ? [.. Enumerable.Repeat(2f, x.Length)] : Scattered(x.Length, Places(sizes, starts, steps, counts), g);
            float[] reversed = use == 4 ? Scattered(x.Length, Places(sizes, ends, backward, sizes), g) : new float[x.Length];
            for (int i = 0; i < given.Length; i++) expected[i] += given[i] + reversed[i];
        }
        loss.Backward();
        Near.Equal(expected, x.Grad!.ToArray(), 1e-6, 1e-6, string.Join(' ', uses));
    }

    private static float[] Scattered(int length, int[] places, Tensor g)
    {
        var result = new float[length];
        for (int i = 0; i < places.Length; i++) result[places[i]] += g.Values[i];
        return result;
    }

    private static int[] Places(int[] sizes, int[] starts, int[] steps, int[] counts)
    {
        var places = new int[counts.Aggregate(1, (a, b) => a * b)];
        for (int i = 0; i < places.Length; i++)
        {
            int left = i, distance = 1;
            for (int axis = sizes.Length - 1; axis >= 0; axis--)
            {
                places[i] += (starts[axis] + (left % counts[axis] * steps[axis])) * distance;
                left /= counts[axis];
                distance *= sizes[axis];
            }
        }
        return places;
    }
}
