using Sparseland.Bench.Figures;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Tests;

/// <summary>Plans name what runs, whatever a layer is, and what runs gives the dense result.</summary>
public class PlannedKernelTests
{
    private const int LeastOfALinearLayer = 30_000;

    // Takes the sparse kernel of any layer that has one.
    private static BreakEvenTable Always => new(Enum.GetValues<KernelKind>().Where(k => k != KernelKind.Dense).Select(k => new BreakEven(k, 0, 1)), "always");

    private static bool HasDepthwise => new Convolution2D(1, 64, 9, 9, 64, 3, 3) { Groups = 64 }.WithPadding(1).HasDepthwiseKernel;

    private static Dictionary<string, TensorData> Inputs(ModelGraph graph) => graph.Inputs.Select((g, i) => (g.Name, Value: RandomNetworks.Input(i + 3, g.Type.Shape!.ToSizes()))).ToDictionary(i => i.Name, i => i.Value);

    private static string Plan(ModelGraph graph, BreakEvenTable table)
    {
        Dictionary<string, TensorData> inputs = Inputs(graph);
        var session = new InferenceSession(graph, new SessionOptions { BreakEven = table });
        float[] actual = session.Run(inputs).Values.First().ToSingles(), expected = new InferenceSession(graph, new SessionOptions { ForceDense = true }).Run(inputs).Values.First().ToSingles();
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-4 * (1 + Math.Abs(expected[i])));
        return session.DescribePlan(inputs);
    }

    [Theory]
    [InlineData("4x1", false), InlineData("8x1", false), InlineData("16x1", false), InlineData("4x1", true), InlineData("8x1", true), InlineData("16x1", true)]
    public void Blocks_meet_one_vector_in_a_kernel_of_their_own_with_and_without_a_residual(string pattern, bool residual)
    {
        ModelGraph graph = new LayerCase(320, 288, 1, 0.3, pattern) { Residual = residual, Activation = residual }.Build();
        int height = int.Parse(pattern.Split('x')[0]);
        var heights = new BreakEvenTable([new(KernelKind.BlockVector, 0, 0.01), new(KernelKind.BlockVector, 0, 1) { BlockRows = height }, new(KernelKind.BlockVector, 0, 0.01) { BlockRows = height + 1 }], "always");
        Assert.Contains($"{pattern} block SpMV", Plan(graph, heights), StringComparison.Ordinal);
    }

    /// <summary>The same layer alone, where caches hold it, and before one that they do not hold.</summary>
    [Theory, InlineData(1), InlineData(3)]
    public void Layers_of_a_model_that_does_not_fit_the_caches_have_the_rules_of_weights_from_memory(int rows)
    {
        KernelKind kernel = rows > 1 ? KernelKind.Csr : KernelKind.CsrVector;
        const long beyond = BreakEvenMeasurement.BeyondCaches;
        var points = new BreakEvenTable([new(kernel, rows > 1 ? 2 : 0, 0.01), rows > 1 ? new(kernel, 2, 1) { WeightBytes = beyond } : new(kernel, beyond, 1)], "test");
        int many = (int)(Math.Max(beyond, SparseCost.LastCacheBytes) / sizeof(float) / 256);
        // A table that is looked up is not read between two uses.
        foreach ((bool large, bool table) in new[] { (false, false), (false, true), (true, false) })
        {
            var b = new GraphBuilder("layers");
            Value x = b.Input("x", ElementType.Float32, rows, 256), y = b.Linear(x, "w", 256);
            if (large) y = b.Linear(y, "large", many);
            if (table) y = b.Add(y, b.Embedding(b.Input("ids", ElementType.Int64, rows), "table", many, 256));
            ModelGraph graph = b.Build(y);
            Weight w = graph.Weights["w.weight"];
            w.SetMask(PatternProjection.KeepBest(SparsityPattern.Unstructured, Array.ConvertAll(w.Read().ToSingles(), Math.Abs), 256, 256, 0.2));
            Dictionary<string, TensorData> inputs = new() { ["x"] = RandomNetworks.Input(3, [rows, 256]) };
            if (table) inputs["ids"] = TensorData.Wrap(new long[rows], rows);
            string plan = new InferenceSession(graph, new SessionOptions { BreakEven = points }).DescribePlan(inputs);
            Assert.Equal(large, plan.Contains("break-even 1.00 of weights from memory", StringComparison.Ordinal));
            Assert.Equal(!large, plan.Contains("break-even 0.01", StringComparison.Ordinal));
        }
    }

    [Theory]
    [InlineData(1, 1, 1, "unstructured", " of 1x1 convolutions"), InlineData(3, 1, 1, "unstructured", " of 3x3 convolutions"), InlineData(3, 2, 1, "unstructured", "timed: Dense ")]
    [InlineData(3, 64, 1, "unstructured", " of depthwise convolutions"), InlineData(3, 1, 9, "unstructured", " of 3x3 convolutions of 9 images"), InlineData(1, 1, 1, "8x1", "convolutions")]
    public void Convolutions_say_which_rules_they_have_and_in_what_form_they_run(int kernel, int groups, int batch, string pattern, string rules)
    {
        ModelGraph graph = new LayerCase(64, 64, batch, 0.2, pattern) { Image = 9, Kernel = kernel, Groups = groups, Residual = groups == 2 }.Build();
        string plan = Plan(graph, Always);
        // Depthwise kernels need 256 bits; without, such layers are groups of one channel.
        if (groups != 64 || HasDepthwise) Assert.Contains(rules, plan, StringComparison.Ordinal);
        bool tiles = PreparedSparseConvolution.HasTiles(new SparseConvolutionShape(64, 64, kernel, kernel));
        string form = pattern != "unstructured" && tiles ? "tiled sparse convolution"
            : groups == 64 ? "depthwise sparse convolution"
            : batch > 8 && kernel > 1 && (CompiledKernels.AreWritten || SimdSupport.Level == SimdLevel.Vector256) ? "shifted sparse convolution"
            : $"{Form(81, 64 * 64 * kernel * kernel / 5)}sparse convolution";
        // Groups are timed, whatever the table says.
        if (groups != 2 && (groups != 64 || HasDepthwise)) Assert.Contains($" {form} ", plan, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData(1, 2, 2, "timed: Dense "), InlineData(2, 1, 1, "timed: Dense "), InlineData(1, 1, 1, " of block convolutions")]
    public void Blocks_with_groups_or_strides_are_timed(int groups, int stride, int batch, string reason)
    {
        var shape = new SparseConvolutionShape(64, 64, 3, 3) { Groups = groups, StrideHeight = stride, StrideWidth = stride };
        Skip.IfNot(PreparedSparseConvolution.HasTiles(shape), "blocks of convolutions are no tiles here");
        Assert.Contains(reason, Plan(new LayerCase(64, 64, batch, 0.3, "8x1") { Image = 16, Kernel = 3, Groups = groups, Stride = stride }.Build(), Always), StringComparison.Ordinal);
    }

    [Fact]
    public void Groups_of_channels_are_timed_once_in_a_session_whatever_the_image_size()
    {
        ModelGraph graph = Grouped();
        var session = new InferenceSession(graph, new SessionOptions { BreakEven = Always });
        string[] plans = new string[6];
        Parallel.For(0, plans.Length, i => plans[i] = session.DescribePlan(Image(8 + i)));
        Assert.Single(plans, p => p.Contains(" timed: Dense ", StringComparison.Ordinal));
        Assert.Equal(plans.Length - 1, plans.Count(p => p.Contains("as timed with other shapes: Dense ", StringComparison.Ordinal)));
        Assert.Single(plans.Select(p => p.Contains("dense packed convolution", StringComparison.Ordinal)).Distinct());
        // What the table decides is not timed, and a choice for each shape is what tuning means.
        Assert.DoesNotContain("timed", new InferenceSession(graph, new SessionOptions { BreakEven = new BreakEvenTable([new(KernelKind.Grouped, 0, 0.01)], "never") }).DescribePlan(Image(9)), StringComparison.Ordinal);
        Assert.DoesNotContain("timed", new InferenceSession(graph, new SessionOptions { BreakEven = Always, ForceDense = true }).DescribePlan(Image(9)), StringComparison.Ordinal);
        var tuned = new InferenceSession(graph, new SessionOptions { BreakEven = Always, AutoTune = true });
        Assert.All(new[] { 8, 9 }, size => Assert.Contains("timed: Dense ", tuned.DescribePlan(Image(size)), StringComparison.Ordinal));
    }

    [Fact]
    public async Task Who_cancels_while_kernels_are_timed_spoils_nobody_elses_plan()
    {
        ModelGraph graph = Grouped();
        float[] expected = new InferenceSession(graph, new SessionOptions { ForceDense = true }).Run(Image(9)).Values.First().ToSingles();
        for (int round = 0; round < 8; round++)
        {
            var session = new InferenceSession(graph, new SessionOptions { BreakEven = Always });
            using var source = new CancellationTokenSource();
            if (round == 0) await source.CancelAsync();
            // The first asks for the plan; the others wait for it or make it.
            Task first = Task.Run(() => session.Run(Image(9), source.Token));
            Task<float[]>[] others = [.. Enumerable.Range(0, 3).Select(_ => Task.Run(() => session.Run(Image(9)).Values.First().ToSingles()))];
            await Task.Delay(3 * round);
            await source.CancelAsync();
            if (round == 0) await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
            else Assert.True(await Record.ExceptionAsync(() => first) is null or OperationCanceledException);
            foreach (float[] actual in await Task.WhenAll(others))
            {
                for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-4 * (1 + Math.Abs(expected[i])));
            }
        }
    }

    [Fact]
    public void Timing_stops_between_calls_when_it_is_cancelled()
    {
        using var source = new CancellationTokenSource();
        int calls = 0;
        Assert.Throws<OperationCanceledException>(() => KernelTimer.Best(10_000, source.Token, () => calls++, () =>
        {
            if (++calls >= 6) source.Cancel();
        }));
        Assert.Equal(6, calls);
    }

    private static Dictionary<string, TensorData> Image(int size) => new() { ["x"] = RandomNetworks.Input(size, 1, 64, size, size) };

    private static ModelGraph Grouped()
    {
        var b = new GraphBuilder("groups", seed: 4);
        Value x = b.Input("x", ElementType.Float32, 1, 64, Dimension.Named("height"), Dimension.Named("width"));
        ModelGraph graph = b.Build(b.Add("Conv", [x, b.Weight("w", Initializer.Uniform(1), 64, 32, 3, 3)], a => a.Set("group", 2L).Set("pads", [1L, 1, 1, 1])));
        Weight weight = graph.Weights["w"];
        float[] scores = Array.ConvertAll(weight.Read().ToSingles(), Math.Abs);
        weight.SetMask(PatternProjection.KeepBest(SparsityPattern.Unstructured, scores, 64, 288, 0.2).Reshape(weight.Shape));
        return graph;
    }

    [Fact]
    public void Kernels_are_named_by_what_runs_and_not_by_what_the_machine_could_run()
    {
        // Two stored values for a used column at least make code worth while.
        ModelGraph thin = new LayerCase(2000, 64, 24, 0.02).Build();
        Assert.Contains(" CSR SpMM ", Plan(thin, Always), StringComparison.Ordinal);
        ModelGraph thick = new LayerCase(200, 64, 24, 0.2).Build();
        Assert.Contains($" {Form(24, 2560) ?? "CSR "}SpMM ", Plan(thick, Always), StringComparison.Ordinal);
        // Long weights of networks that meet few columns.
        ModelGraph longer = new LayerCase(160, 160, 1, 0.2) { Image = 9, Kernel = 3 }.Build();
        Assert.Contains($" {Form(81, 46_080)}sparse convolution ", Plan(longer, Always), StringComparison.Ordinal);
        ModelGraph wider = new LayerCase(320, 640, 48, 0.2).Build();
        Assert.Contains($" {Form(48, 40_960, LeastOfALinearLayer) ?? "CSR "}SpMM ", Plan(wider, Always), StringComparison.Ordinal);
    }

    /// <summary>What stands before the name of a product of single weights.</summary>
    private static string? Form(int columns, int stored, int leastCounted = 10_000) =>
        !CompiledKernels.AreUsed ? null : !CompiledKernels.AreWritten || (VectorUnits.AreFullWidth && columns <= 128 && stored >= leastCounted) ? "counted " : "compiled ";

    [Theory, InlineData(1, 1, 0), InlineData(2, 1, 1), InlineData(1, 2, 3), InlineData(3, 2, 2)]
    public void Convolutions_of_one_dimension_are_planned(int stride, int dilation, int padding)
    {
        const int Channels = 32, Outputs = 24, Length = 50, Kernel = 3;
        var b = new GraphBuilder("signal", seed: 2);
        Value x = b.Input("x", ElementType.Float32, 2, Channels, Length);
        Value w = b.Weight("w", Initializer.Uniform(1), Outputs, Channels, Kernel);
        ModelGraph graph = b.Build(b.Add("Conv", [x, w], a => a.Set("strides", [(long)stride]).Set("dilations", [(long)dilation]).Set("pads", [(long)padding, padding + 1])));
        Weight weight = graph.Weights["w"];
        float[] scores = Array.ConvertAll(weight.Read().ToSingles(), Math.Abs);
        weight.SetMask(PatternProjection.KeepBest(SparsityPattern.Unstructured, scores, Outputs, Channels * Kernel, 0.2).Reshape(weight.Shape));
        string plan = Plan(graph, Always);
        Assert.Contains("convolution", plan, StringComparison.Ordinal);
        Assert.DoesNotContain("definition", plan, StringComparison.Ordinal);

        TensorData input = Inputs(graph)["x"];
        TensorData output = new InferenceSession(graph).Run(input).Values.First();
        float[] values = input.ToSingles(), weights = weight.Read().ToSingles(), actual = output.ToSingles();
        int length = (Length + (2 * padding) + 1 - ((Kernel - 1) * dilation) - 1) / stride + 1;
        Assert.Equal([2, Outputs, length], output.Shape.ToArray());
        for (int image = 0; image < 2; image++)
        {
            for (int o = 0; o < Outputs; o++)
            {
                for (int at = 0; at < length; at++)
                {
                    double sum = 0;
                    for (int c = 0; c < Channels; c++)
                    {
                        for (int k = 0; k < Kernel; k++)
                        {
                            int from = (at * stride) + (k * dilation) - padding;
                            if (from is >= 0 and < Length && weight.Mask![(((o * Channels) + c) * Kernel) + k]) sum += (double)weights[(((o * Channels) + c) * Kernel) + k] * values[(((image * Channels) + c) * Length) + from];
                        }
                    }
                    Assert.Equal(sum, actual[(((image * Outputs) + o) * length) + at], 1e-4);
                }
            }
        }
    }

    [Fact]
    public void Layers_that_are_computed_by_definition_say_why()
    {
        var b = new GraphBuilder("definitions", seed: 2);
        Value x = b.Input("x", ElementType.Float32, 3, 8);
        ModelGraph scaled = b.Build(b.Add("Gemm", [x, b.Weight("w", Initializer.Uniform(1), 8, 4)], a => a.Set("alpha", 0.5f)));
        Assert.Contains("alpha or beta is computed by definition", Plan(scaled, Always), StringComparison.Ordinal);
        b = new GraphBuilder("volume", seed: 2);
        x = b.Input("x", ElementType.Float32, 1, 2, 5, 5, 5);
        ModelGraph volume = b.Build(b.Add("Conv", [x, b.Weight("w", Initializer.Uniform(1), 4, 2, 3, 3, 3)]));
        Assert.Contains("3-D convolutions are computed by definition", Plan(volume, Always), StringComparison.Ordinal);
    }
}
