using Sparseland.Kernels.Dense;
using static Sparseland.Kernels.Tests.Dense.DenseTesting;

namespace Sparseland.Kernels.Tests.Dense;

[Collection("threads")]
public sealed class ArrayKernelTests
{
    [Fact]
    public void ReductionsAgreeWithTheDefinitionOverRandomShapesAndAxes()
    {
        var random = new Random(11);
        for (int round = 0; round < 60; round++)
        {
            int rank = random.Next(1, 5);
            int[] shape = Enumerable.Range(0, rank).Select(_ => random.Next(1, rank < 3 ? 70 : 12)).ToArray();
            int[] axes = Enumerable.Range(0, rank).Where(_ => random.Next(2) == 0).ToArray();
            float[] x = Random(Count(shape), round);
            int[] kept = Enumerable.Range(0, rank).Where(a => !axes.Contains(a)).ToArray();
            int outputs = Count(kept.Select(a => shape[a]).ToArray());
            var groups = new List<float>[outputs];
            for (int i = 0; i < outputs; i++) groups[i] = [];
            for (int i = 0; i < x.Length; i++) groups[Project(i, shape, kept)].Add(x[i]);
            foreach (ReductionKind kind in Enum.GetValues<ReductionKind>())
            {
                if (kind == ReductionKind.LogSum) continue;
                float[] actual = SameEverywhere(() =>
                {
                    var y = new float[outputs];
                    Reduction.Reduce(kind, x, shape, axes, y);
                    return y;
                }, $"{kind} of [{string.Join(",", shape)}] over [{string.Join(",", axes)}]");
                Near.Equal(groups.Select(g => (float)Value(kind, g)).ToArray(), actual, 1e-4, 1e-5, $"{kind}");
            }
        }

        static double Value(ReductionKind kind, List<float> x) => kind switch
        {
            ReductionKind.Sum => x.Sum(v => (double)v),
            ReductionKind.Mean => x.Average(v => (double)v),
            ReductionKind.Max => x.Max(),
            ReductionKind.Min => x.Min(),
            ReductionKind.Product => x.Aggregate(1.0, (a, b) => a * b),
            ReductionKind.L1 => x.Sum(v => Math.Abs((double)v)),
            ReductionKind.L2 => Math.Sqrt(x.Sum(v => (double)v * v)),
            ReductionKind.SumSquare => x.Sum(v => (double)v * v),
            _ => Math.Log(x.Sum(v => Math.Exp(v))),
        };
    }

    [Fact]
    public void ReductionsOfNothingAndOfSpecialValues()
    {
        float[] y = [5f];
        float[] planes = [.. Enumerable.Range(0, 3 * 64).Select(i => i % 64 < 49 ? MathF.Sin(i) : float.NaN)], means = new float[3], apart = new float[3];
        Reduction.Reduce(ReductionKind.Mean, planes.Where(v => !float.IsNaN(v)).ToArray(), [3, 49], [1], means);
        Reduction.Means(planes, 3, 49, 64, apart);
        Assert.Equal(means, apart);
        Assert.Throws<ArgumentException>(() => Reduction.Means(planes, 4, 49, 64, new float[4]));
        Assert.Throws<ArgumentOutOfRangeException>(() => Reduction.Means(planes, 3, 49, 48, apart));
        Reduction.Reduce(ReductionKind.Sum, [], [0], [0], y);
        Assert.Equal(0f, y[0]);
        Reduction.Reduce(ReductionKind.Max, [], [0], [0], y);
        Assert.Equal(float.NegativeInfinity, y[0]);
        Reduction.Reduce(ReductionKind.Max, [1f, float.NaN, 2f], [3], [0], y);
        Assert.True(float.IsNaN(y[0]));
        Reduction.Reduce(ReductionKind.LogSumExp, [1000f, 1000f], [2], [0], y);
        Assert.Equal(1000.6931f, y[0], 1e-3f);
        Reduction.Reduce(ReductionKind.LogSumExp, [float.NegativeInfinity, float.NegativeInfinity], [2], [0], y);
        Assert.Equal(float.NegativeInfinity, y[0]);
        Reduction.Reduce(ReductionKind.LogSum, [2f, 3f], [2], [0], y);
        Assert.Equal(MathF.Log(5f), y[0], 1e-6f);
        Assert.Throws<ArgumentException>(() => Reduction.Reduce(ReductionKind.Sum, new float[4], [2, 2], [0, 0], new float[2]));
        Assert.Throws<ArgumentException>(() => Reduction.Reduce(ReductionKind.Sum, new float[3], [2, 2], [0], new float[2]));
    }

    [Fact]
    public void BroadcastingFollowsNumPyAndItsGradientSumsBack()
    {
        var random = new Random(12);
        for (int round = 0; round < 80; round++)
        {
            int rank = random.Next(0, 5);
            int[] shape = Enumerable.Range(0, rank).Select(_ => random.Next(1, round == 0 ? 200 : 9)).ToArray();
            int[] a = Stretchable(), b = Stretchable();
            int[] full = Broadcast.Shape(a, b);
            float[] x = Random(Count(a), round), y = Random(Count(b), round + 1).Select(v => Math.Abs(v) + 0.1f).ToArray();
            foreach (BinaryOperator operation in Enum.GetValues<BinaryOperator>())
            {
                if (operation == BinaryOperator.Power) x = x.Select(Math.Abs).ToArray();
                var actual = new float[Count(full)];
                Broadcast.Apply(operation, x, a, y, b, actual, full);
                for (int i = 0; i < actual.Length; i++)
                {
                    float p = x[Stretched(i, full, a)], q = y[Stretched(i, full, b)];
                    float expected = operation switch
                    {
                        BinaryOperator.Add => p + q,
                        BinaryOperator.Subtract => p - q,
                        BinaryOperator.Multiply => p * q,
                        BinaryOperator.Divide => p / q,
                        BinaryOperator.Max => MathF.Max(p, q),
                        BinaryOperator.Min => MathF.Min(p, q),
                        _ => MathF.Pow(p, q),
                    };
                    Assert.Equal(expected, actual[i]);
                }
            }
            float[] g = Random(Count(full), 5);
            var sums = new double[x.Length];
            for (int i = 0; i < g.Length; i++) sums[Stretched(i, full, a)] += g[i];
            float[] reduced = SameEverywhere(() =>
            {
                var result = new float[x.Length];
                Broadcast.ReduceTo(g, full, result, a);
                return result;
            }, "reduce to");
            Near.Equal(sums.Select(v => (float)v).ToArray(), reduced, 1e-4, 1e-5, "reduce to");

            int[] Stretchable() => shape.Skip(random.Next(0, rank + 1)).Select(s => random.Next(3) == 0 ? 1 : s).ToArray();
        }
        Assert.Throws<ArgumentException>(() => Broadcast.Shape([2, 3], [2, 4]));
    }

    [Fact]
    public void PermutationsMoveEveryElement()
    {
        var random = new Random(13);
        for (int round = 0; round < 80; round++)
        {
            int rank = random.Next(0, 6);
            int[] shape = Enumerable.Range(0, rank).Select(_ => random.Next(1, rank < 4 ? 40 : 8)).ToArray();
            int[] order = Enumerable.Range(0, rank).OrderBy(_ => random.Next()).ToArray();
            float[] x = Random(Count(shape), round), y = new float[x.Length];
            Permute.Copy(x, shape, order, y);
            int[] target = order.Select(a => shape[a]).ToArray();
            for (int i = 0; i < y.Length; i++)
            {
                int[] index = Unravel(i, target), from = new int[rank];
                for (int a = 0; a < rank; a++) from[order[a]] = index[a];
                Assert.Equal(x[Ravel(from, shape)], y[i]);
            }
        }
        Assert.Throws<ArgumentException>(() => Permute.Copy(new float[4], [2, 2], [0, 0], new float[4]));
    }

    [Fact]
    public void TopKIsExactAndOrdersEqualsByIndexAndNaNFirst()
    {
        var random = new Random(14);
        foreach (int width in (int[])[1, 7, 100, 1000])
        {
            foreach (int k in (int[])[0, 1, width / 10, width])
            {
                foreach (bool largest in (bool[])[true, false])
                {
                    float[] x = Enumerable.Range(0, 3 * width).Select(_ => random.Next(20) switch { 0 => float.NaN, 1 => -0f, 2 => 0f, 3 => float.NegativeInfinity, int n => n / 4 - 2f }).ToArray();
                    float[] values = new float[3 * k];
                    int[] indices = new int[3 * k];
                    TopK.Rows(x, 3, width, k, values, indices, largest);
                    for (int r = 0; r < 3; r++)
                    {
                        IEnumerable<int> all = Enumerable.Range(0, width);
                        double Order(int i) => float.IsNaN(x[(r * width) + i]) ? double.MaxValue : x[(r * width) + i] == 0f ? 0.0 : x[(r * width) + i];
                        int[] expected = (largest ? all.OrderByDescending(Order) : all.OrderBy(Order)).Take(k).ToArray();
                        Assert.Equal(expected, indices[(r * k)..((r + 1) * k)]);
                        Near.BitEqual(expected.Select(i => x[(r * width) + i]).ToArray(), values.AsSpan(r * k, k), "values");
                    }
                }
            }
        }
        Assert.Throws<ArgumentException>(() => TopK.Rows(new float[4], 1, 4, 5, default, new int[5]));
    }

    [Fact]
    public void ArgExtremesTakeTheFirstOrLastOfEquals()
    {
        float[] x = [1f, 5f, 5f, -2f, 5f, -2f];
        int[] at = new int[1];
        TopK.ArgExtreme(x, 1, 6, 1, at);
        Assert.Equal(1, at[0]);
        TopK.ArgExtreme(x, 1, 6, 1, at, last: true);
        Assert.Equal(4, at[0]);
        TopK.ArgExtreme(x, 1, 6, 1, at, largest: false);
        Assert.Equal(3, at[0]);
        x[2] = float.NaN;
        TopK.ArgExtreme(x, 1, 6, 1, at);
        Assert.Equal(2, at[0]);
        int[] inner = new int[2];
        TopK.ArgExtreme(x, 1, 3, 2, inner, largest: false);
        Assert.Equal([0, 1], inner);
    }

    [Fact]
    public void EmbeddingGathersAndScatters()
    {
        const int rows = 50, width = 130;
        float[] table = Random(rows * width, 1), g = Random(400 * width, 2);
        var random = new Random(3);
        int[] indices = Enumerable.Range(0, 400).Select(_ => random.Next(rows)).ToArray();
        var y = new float[400 * width];
        Embedding.Gather(table, rows, width, indices, y);
        for (int i = 0; i < y.Length; i++) Assert.Equal(table[(indices[i / width] * width) + (i % width)], y[i]);
        var expected = new float[rows * width];
        for (int i = 0; i < g.Length; i++) expected[(indices[i / width] * width) + (i % width)] += g[i];
        float[] actual = SameEverywhere(() =>
        {
            var d = new float[rows * width];
            Embedding.ScatterAdd(g, indices, d, rows, width);
            return d;
        }, "scatter");
        Near.BitEqual(expected, actual, "scatter");
        Assert.Throws<ArgumentException>(() => Embedding.Gather(table, rows, width, [50], new float[width]));
        Assert.Throws<ArgumentException>(() => Embedding.Gather(table, rows, width, [-1], new float[width]));
    }

    private static int Count(int[] shape) => shape.Aggregate(1, (a, b) => a * b);

    private static int[] Unravel(int i, int[] shape)
    {
        var index = new int[shape.Length];
        for (int a = shape.Length - 1; a >= 0; a--)
        {
            index[a] = i % shape[a];
            i /= shape[a];
        }
        return index;
    }

    private static int Ravel(int[] index, int[] shape)
    {
        int at = 0;
        for (int a = 0; a < shape.Length; a++) at = (at * shape[a]) + index[a];
        return at;
    }

    private static int Project(int i, int[] shape, int[] kept)
    {
        int[] index = Unravel(i, shape);
        return Ravel(kept.Select(a => index[a]).ToArray(), kept.Select(a => shape[a]).ToArray());
    }

    private static int Stretched(int i, int[] full, int[] shape)
    {
        int[] index = Unravel(i, full)[(full.Length - shape.Length)..];
        for (int a = 0; a < shape.Length; a++) if (shape[a] == 1) index[a] = 0;
        return Ravel(index, shape);
    }
}
