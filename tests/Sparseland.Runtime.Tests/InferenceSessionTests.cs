using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Tests;

public class InferenceSessionTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 8)];

    [Theory, MemberData(nameof(Seeds))]
    public void Plans_agree_with_the_reference_and_with_each_other(int seed)
    {
        foreach (double density in new[] { 1, 0.2, 0 })
        {
            ModelGraph cnn = RandomNetworks.Convolutional(seed, density), transformer = RandomNetworks.Transformer(seed, density);
            // Planes of 14 x 14 and 15 x 15 pixels do not end with cache lines.
            Check(RandomNetworks.Convolutional(seed, density, 14), RandomNetworks.Input(seed, 1, 3, 14, 14), $"cnn {seed} density {density}, 14 x 14");
            Check(RandomNetworks.Convolutional(seed + 100, density, 15), RandomNetworks.Input(seed, 2, 3, 15, 15), $"cnn {seed} density {density}, 15 x 15");
            foreach (int batch in new[] { 1, 3 })
            {
                Check(cnn, RandomNetworks.Input(seed, batch, 3, 12, 12), $"cnn {seed} density {density} batch {batch}");
                Check(transformer, RandomNetworks.Input(seed, batch, 1 + seed % 7, 16), $"transformer {seed} density {density} batch {batch}");
            }
        }
    }

    [Fact]
    public void Planes_that_lie_apart_give_the_bits_of_planes_without_gaps()
    {
        foreach (int batch in (int[])[1, 2, 8])
        {
            foreach (double density in (double[])[0.2, 1])
            {
                // What leaves a plan has no gaps, and neither has what is added to it.
                ModelGraph apart = Network(false, density), whole = Network(true, density);
                TensorData x = RandomNetworks.Input(1, batch, 3, 28, 28);
                InferenceSession one = new(whole, PlannedOptions.AlwaysSparse), other = new(apart, PlannedOptions.AlwaysSparse);
                Near.BitEqual(one.Run(x).Values.First().Span<float>(), other.Run(x).Values.First().Span<float>());
                var inputs = new Dictionary<string, TensorData> { ["x"] = x };
                Assert.DoesNotContain("cache lines", one.DescribePlan(inputs), StringComparison.Ordinal);
                Assert.DoesNotContain("timed: ", one.DescribePlan(inputs) + other.DescribePlan(inputs), StringComparison.Ordinal);
                // A batch of eight is shared by images; dense convolutions write planes without gaps.
                Assert.Equal(batch < 8 && density < 1, other.DescribePlan(inputs).Contains("cache lines", StringComparison.Ordinal));
            }
        }

        static ModelGraph Network(bool outputs, double density)
        {
            var b = new GraphBuilder("apart", 5);
            Value x = b.Input("x", ElementType.Float32, Dimension.Named("batch"), 3, 28, 28);
            Value a = b.Relu(b.Conv(x, "stem", 24, 3, stride: 2, padding: 1));
            Value d = b.Relu(b.Conv(a, "depthwise", 24, 3, padding: 1, groups: 24)), p = b.Conv(d, "point", 40, 1);
            Value q = b.Relu(b.Conv(p, "wide", 24, 3, padding: 1)), r = b.Relu(b.Add(b.Conv(q, "expand", 40, 1), p));
            Value s = b.Relu(b.Conv(r, "far", 24, 3, padding: 2, dilation: 2)), h = b.Conv(s, "half", 24, 1, stride: 2), t = b.Conv(h, "third", 24, 3, stride: 2, padding: 1);
            Value y = b.Add(b.Linear(b.Flatten(b.GlobalAveragePool(r)), "head", 5), b.Linear(b.Flatten(b.GlobalAveragePool(t)), "other", 5));
            ModelGraph graph = outputs ? b.Build(y, a, d, p, q, r, s, h, t) : b.Build(y);
            RandomNetworks.Prune(graph, 5, density);
            return graph;
        }
    }

    [Fact]
    public void Planes_a_power_of_two_apart_lie_a_line_further_and_give_the_same_bits()
    {
        foreach (int batch in (int[])[1, 2])
        {
            // What leaves a plan has no gaps.
            TensorData x = RandomNetworks.Input(1, batch, 3, 32, 32);
            InferenceSession one = new(Network(true), PlannedOptions.AlwaysSparse), other = new(Network(false), PlannedOptions.AlwaysSparse);
            Near.BitEqual(one.Run(x).Values.First().Span<float>(), other.Run(x).Values.First().Span<float>());
            var inputs = new Dictionary<string, TensorData> { ["x"] = x };
            Assert.DoesNotContain("cache lines", one.DescribePlan(inputs), StringComparison.Ordinal);
            Assert.DoesNotContain("timed: ", one.DescribePlan(inputs) + other.DescribePlan(inputs), StringComparison.Ordinal);
            // All between the input and the mean: six convolutions, and two cuts with what is put around them, which are one step.
            Assert.Contains("planes of 7 values begin with cache lines", other.DescribePlan(inputs), StringComparison.Ordinal);
        }

        static ModelGraph Network(bool outputs)
        {
            var b = new GraphBuilder("crowded", 5);
            Value x = b.Input("x", ElementType.Float32, Dimension.Named("batch"), 3, 32, 32);
            Value a = b.Relu(b.Conv(x, "stem", 16, 3, padding: 1)), q = b.Relu(b.Conv(a, "first", 16, 3, padding: 1)), r = b.Relu(b.Add(b.Conv(q, "second", 16, 3, padding: 1), a));
            Value rows = b.Slice(r, 2, 0, 32, 2), cut = b.Slice(rows, 3, 0, 32, 2), padded = b.Add("Pad", [cut, b.Integers(0, 4, 0, 0, 0, 4, 0, 0)]);
            Value s = b.Relu(b.Conv(r, "half", 24, 3, stride: 2, padding: 1)), t = b.Relu(b.Add(b.Conv(s, "third", 24, 3, padding: 1), padded)), u = b.Relu(b.Conv(t, "last", 24, 3, padding: 1));
            Value y = b.Linear(b.Flatten(b.GlobalAveragePool(u)), "head", 5);
            ModelGraph graph = outputs ? b.Build(y, a, q, r, rows, cut, padded, s, t, u) : b.Build(y);
            RandomNetworks.Prune(graph, 5, 0.2);
            return graph;
        }
    }

    [SkippableFact]
    public void Windows_are_taken_whether_neighbouring_rows_share_inputs_or_not()
    {
        Skip.IfNot(PreparedSpMV.IsFast(ValueKind.Float32), "windows need AVX2, or 512-bit registers and permutations of bytes");
        const int Side = 512, Block = 32, Places = 8;
        var random = new Random(2);
        float[] blocks = new float[Side * Side], scattered = new float[Side * Side];
        for (int r = 0; r < Side; r++)
        {
            // Of 16 rows that lie together two use the same inputs; rows are sorted anew in every window.
            for (int c = 0; c < Block; c++) blocks[(r * Side) + (r % Places * Block) + c] = 1;
            for (int c = 0; c < Side; c++) scattered[(r * Side) + c] = random.Next(16) == 0 ? 1 : 0;
        }
        Assert.Contains("windowed", Plan(blocks), StringComparison.Ordinal);
        Assert.Contains("windowed", Plan(scattered), StringComparison.Ordinal);

        static string Plan(float[] values)
        {
            var b = new GraphBuilder("g");
            Value x = b.Input("x", ElementType.Float32, 1, Side);
            ModelGraph graph = b.Build(b.Linear(x, "w", Side));
            graph.Weights["w.weight"].Set(TensorData.Wrap(values, Side, Side));
            graph.Weights["w.weight"].SetMask(Mask.FromNonZeros([Side, Side], values));
            return new InferenceSession(graph).DescribePlan(new Dictionary<string, TensorData> { ["x"] = TensorData.Wrap(new float[Side], 1, Side) });
        }
    }

    [Fact]
    public void Outputs_have_memory_of_their_own_whatever_else_they_are_used_for()
    {
        var b = new GraphBuilder("g");
        Value x = b.Input("x", ElementType.Float32, 2, 8), y = b.Relu(x), view = b.Reshape(y, 4, 4), next = b.Relu(b.Linear(y, "w", 8)), last = b.Reshape(b.Add(next, y), 16);
        // One that is read further, one that is the same memory under another shape, one and one that only a view of it leaves.
        var session = new InferenceSession(b.Build(y, view, next, last));
        float[] values = [.. Enumerable.Range(0, 16).Select(i => i - 7f)];
        OrderedDictionary<string, TensorData> one = session.Run(TensorData.Wrap(values, 2, 8)), two = session.Run(TensorData.Wrap([.. values.Select(v => -v)], 2, 8)), again = session.Run(TensorData.Wrap(values, 2, 8));
        float[][] first = [.. one.Values.Select(v => v.Array<float>())], second = [.. two.Values.Select(v => v.Array<float>())], third = [.. again.Values.Select(v => v.Array<float>())];
        Assert.Equal(first.Length + second.Length + third.Length, first.Concat(second).Concat(third).Distinct().Count());
        Assert.Equal(values.Select(v => Math.Max(v, 0)), first[0]);
        Assert.Equal(first[0], first[1]);
        Assert.Equal(first[2].Zip(first[0], (p, q) => p + q), first[3]);
        Assert.Equal(values.Select(v => Math.Max(-v, 0)), second[1]);
        for (int i = 0; i < first.Length; i++) Assert.Equal(first[i], third[i]);
        Assert.Equal([4, 4], one.Values.ElementAt(1).Shape.ToArray());
    }

    [Fact]
    public void Inputs_constants_and_values_listed_twice_are_copied_into_outputs()
    {
        var b = new GraphBuilder("g");
        Value x = b.Input("x", ElementType.Float32, 2, 3), y = b.Relu(x), twice = b.Add("Identity", [y]), shaped = b.Reshape(x, 6), same = b.Add("Identity", [x]);
        Value w = b.Weight("w", Initializer.Uniform(1), 2, 3), reshaped = b.Reshape(w, 3, 2), sum = b.Add(x, w);
        ModelGraph graph = b.Build(x, y, twice, shaped, same, w, reshaped, sum);
        float[] weights = [.. graph.Weights["w"].Read().Span<float>()];
        var session = new InferenceSession(graph);
        float[] given = [-1, 2, -3, 4, -5, 6];
        float[][] expected = [given, [0, 2, 0, 4, 0, 6], [0, 2, 0, 4, 0, 6], given, given, weights, weights, [.. given.Zip(weights, (p, q) => p + q)]];
        var seen = new List<float[]>();
        for (int run = 0; run < 2; run++)
        {
            float[] input = [.. given];
            seen.Add(input);
            float[][] outputs = [.. session.Run(TensorData.Wrap(input, 2, 3)).Values.Select(v => v.Array<float>())];
            Assert.Equal(expected, outputs);
            seen.AddRange(outputs);
            Assert.Equal(seen.Count, seen.Distinct().Count());
            // What the caller does with one reaches no other, nor the model.
            foreach (float[] output in outputs) Array.Fill(output, run + 7);
            Assert.Equal(given, input);
        }
        Assert.Equal(weights, graph.Weights["w"].Read().Span<float>().ToArray());
    }

    [Fact]
    public void Large_outputs_are_written_where_they_stay()
    {
        var b = new GraphBuilder("g");
        ModelGraph graph = b.Build(b.Relu(b.Input("x", ElementType.Float32, 1, 3 << 20)));
        var session = new InferenceSession(graph);
        float[] values = Enumerable.Range(0, 3 << 20).Select(i => (i & 1) == 0 ? i : -1f).ToArray();
        TensorData input = TensorData.Wrap(values, 1, values.Length);
        Assert.Contains("intermediate memory 0.00 MB", session.DescribePlan(new Dictionary<string, TensorData> { ["x"] = input }), StringComparison.Ordinal);
        session.Run(input);
        long before = GC.GetAllocatedBytesForCurrentThread();
        float[] output = session.Run(input).Values.Single().Array<float>();
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 4L * values.Length, 4L * values.Length + 20_000);
        Assert.True(output.AsSpan().SequenceEqual([.. values.Select(v => Math.Max(v, 0))]), "an output is wrong");
    }

    [Fact]
    public void Steps_are_timed_run_by_run_in_the_order_of_the_plan()
    {
        ModelGraph graph = RandomNetworks.Convolutional(3, 0.2);
        var inputs = new Dictionary<string, TensorData> { ["x"] = RandomNetworks.Input(1, 2, 3, 12, 12) };
        var session = new InferenceSession(graph);
        IReadOnlyList<StepTime> steps = session.TimeSteps(inputs, 3);
        string[] lines = [.. session.DescribePlan(inputs).Split('\n').Where(l => l.StartsWith("  ", StringComparison.Ordinal))];
        Assert.Equal(lines.Length, steps.Count);
        for (int i = 0; i < lines.Length; i++)
        {
            Assert.Contains(steps[i].Name, lines[i], StringComparison.Ordinal);
            Assert.Contains(steps[i].Kernel, lines[i], StringComparison.Ordinal);
            Assert.Equal(3, steps[i].Milliseconds.Count);
            Assert.All(steps[i].Milliseconds, t => Assert.True(t >= 0));
        }
        Assert.Contains(steps, s => s.MultiplyAdds > 0 && s.Milliseconds.Sum() > 0);
        Assert.Throws<ArgumentOutOfRangeException>(() => session.TimeSteps(inputs, 0));
    }

    [Fact]
    public void Calls_at_the_same_time_do_not_meet()
    {
        var session = new InferenceSession(RandomNetworks.Convolutional(5, 0.2));
        TensorData[] inputs = [.. Enumerable.Range(0, 8).Select(i => RandomNetworks.Input(i, 1 + i % 3, 3, 12, 12))];
        float[][] alone = [.. inputs.Select(i => session.Run(i).Values.First().Array<float>())];
        Parallel.For(0, 32, i => Near.BitEqual(alone[i % 8], session.Run(inputs[i % 8]).Values.First().Span<float>()));
    }

    [Fact]
    public void A_pruned_network_is_planned_with_sparse_kernels_and_says_why()
    {
        var b = new GraphBuilder("wide");
        Value x = b.Input("x", ElementType.Float32, 1, 16, 32, 32);
        ModelGraph graph = b.Build(b.Relu(b.Conv(x, "conv", 32, 3, padding: 1)));
        Weight weight = graph.Weights["conv.weight"];
        float[] scores = Array.ConvertAll(weight.Read().ToSingles(), Math.Abs);
        weight.SetMask(Kernels.Sparse.PatternProjection.KeepBest(Kernels.Sparse.SparsityPattern.Unstructured, scores, 32, 144, 0.05).Reshape(weight.Shape));
        var inputs = new Dictionary<string, TensorData> { ["x"] = RandomNetworks.Input(1, 1, 16, 32, 32) };

        string sparse = new InferenceSession(graph, new SessionOptions { BreakEven = BreakEvenTable.BuiltIn }).DescribePlan(inputs);
        Assert.Contains("sparse convolution", sparse);
        Assert.Matches(@"density 0\.050, cost 0\.\d{3} below break-even 0\.\d\d of 3x3 convolutions \(built in\)", sparse);
        string dense = new InferenceSession(graph, new SessionOptions { ForceDense = true }).DescribePlan(inputs);
        Assert.Contains("dense packed convolution", dense);
        Assert.Contains("dense was asked for", dense);
        string timed = new InferenceSession(graph, new SessionOptions { AutoTune = true }).DescribePlan(inputs);
        Assert.Contains("timed: Dense", timed);

        // A table that says sparse never wins keeps it dense.
        string never = new InferenceSession(graph, new SessionOptions { BreakEven = new BreakEvenTable([], "nothing") }).DescribePlan(inputs);
        Assert.Contains("dense packed convolution", never);
    }

    [Fact]
    public void Fusion_leaves_one_step_per_layer()
    {
        var b = new GraphBuilder("residual");
        Value x = b.Input("x", ElementType.Float32, 2, 4, 8, 8);
        Value y = b.Relu(b.BatchNorm(b.Conv(x, "a", 4, 3, padding: 1, bias: false), "bn"));
        ModelGraph graph = b.Build(b.Relu(b.Add(b.BatchNorm(b.Conv(y, "b", 4, 3, padding: 1, bias: false), "bn2"), x)));
        string plan = new InferenceSession(graph).DescribePlan(new Dictionary<string, TensorData> { ["x"] = RandomNetworks.Input(1, 2, 4, 8, 8) });
        Assert.Contains("steps: 2,", plan);
        Assert.Contains("batch-norm folding 2", plan);
        Assert.Contains("fusion 3", plan);
    }

    [Fact]
    public void Inputs_that_do_not_fit_are_named()
    {
        var session = new InferenceSession(RandomNetworks.Convolutional(1, 1));
        Assert.Contains("no input 'y'", Assert.Throws<GraphException>(() => session.Run(new Dictionary<string, TensorData> { ["y"] = TensorData.Scalar(1f) })).Message);
        Assert.Contains("'x' was not given", Assert.Throws<GraphException>(() => session.Run(new Dictionary<string, TensorData>())).Message);
        Assert.Contains("'x' must be", Assert.Throws<GraphException>(() => session.Run(RandomNetworks.Input(1, 1, 4, 12, 12))).Message);
        Assert.Contains("'x' must be", Assert.Throws<GraphException>(() => session.Run(TensorData.Zeros(ElementType.Int64, 1, 3, 12, 12))).Message);
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.Throws<OperationCanceledException>(() => session.Run(RandomNetworks.Input(1, 1, 3, 12, 12), cancelled.Token));
        // The session goes on after an error.
        Assert.Equal(5, session.Run(RandomNetworks.Input(1, 1, 3, 12, 12)).Values.First().Length);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_constant_mask_of_attention_hides_what_it_says(bool additive)
    {
        const int tokens = 150, heads = 2;
        var random = new Random(3);
        // Blocks of 64 x 64 of each head; the diagonal stays.
        bool[] seen = [.. Enumerable.Range(0, heads * 9).Select(i => i % 9 % 4 == 0 || random.Next(3) == 0)];
        bool[] mask = [.. Enumerable.Range(0, heads * tokens * tokens).Select(i => seen[(i / (tokens * tokens) * 9) + (i / tokens % tokens / 64 * 3) + (i % tokens / 64)])];
        var b = new GraphBuilder("masked", 1);
        Value x = b.Input("x", ElementType.Float32, Dimension.Named("batch"), tokens, 8);
        TensorData constant = additive
            ? TensorData.Wrap(Array.ConvertAll(mask, m => m ? 0f : float.NegativeInfinity), 1, heads, tokens, tokens)
            : TensorData.Wrap(mask, 1, heads, tokens, tokens);
        Value weight = b.Weight("mask", constant), first = b.Attention(x, x, x, weight, heads: heads);
        ModelGraph graph = b.Build(b.Attention(first, x, first, weight, heads: heads));
        Check(graph, RandomNetworks.Input(4, 1, tokens, 8), "constant mask");
        // Layers and plans share what was read from the mask.
        var session = new InferenceSession(graph);
        foreach (int batch in (int[])[2, 1, 3])
        {
            TensorData input = RandomNetworks.Input(batch, batch, tokens, 8);
            float[] expected = GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { ["x"] = input }).Values.First().ToSingles();
            Near.Equal(expected, session.Run(input).Values.First().Span<float>(), 1e-4, 1e-4, $"batch {batch}");
        }
    }

    [Fact]
    public void Later_edits_of_the_graph_do_not_reach_the_session()
    {
        ModelGraph graph = RandomNetworks.Convolutional(2, 1);
        TensorData x = RandomNetworks.Input(1, 1, 3, 12, 12);
        var session = new InferenceSession(graph);
        graph.Nodes.Clear();
        Assert.Equal(5, session.Run(x).Values.First().Length);
    }

    private static void Check(ModelGraph graph, TensorData x, string what)
    {
        float[] expected = GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { ["x"] = x }).Values.First().ToSingles();
        foreach ((string name, SessionOptions options) in new[]
        {
            ("default", SessionOptions.Default), ("sparse", PlannedOptions.AlwaysSparse), ("dense", new SessionOptions { ForceDense = true }),
            ("unfused", PlannedOptions.AlwaysSparse with { Fuse = false }),
        })
        {
            Near.Equal(expected, new InferenceSession(graph, options).Run(x).Values.First().Span<float>(), 1e-4, 1e-4, $"{what} {name}");
        }
    }
}
