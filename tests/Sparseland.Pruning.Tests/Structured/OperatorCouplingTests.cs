using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Pruning.Structured;

namespace Sparseland.Pruning.Tests.Structured;

/// <summary>Per operator: a small network around it, pruned == zeroed, and the channels that must be free are free.</summary>
public class OperatorCouplingTests
{
    private static readonly Dimension s_batch = Dimension.Named("batch");
    private static readonly Dimension s_length = Dimension.Named("length");

    /// <summary>Name, network, and a part of the name of every group that must be found.</summary>
    private static readonly (string Name, Func<GraphBuilder, Value> Make, string[] Groups)[] s_image =
    [
        ("conv chain", g => g.Conv(g.Relu(g.Conv(Image(g), "a", 6, 3, padding: 1)), "b", 4, 3), ["a.weight"]),
        ("conv without bias", g => g.Conv(g.Relu(g.Conv(Image(g), "a", 6, 3, bias: false)), "b", 4, 1), ["a.weight"]),
        ("batch norm", g => g.Conv(g.Relu(g.BatchNorm(g.Conv(Image(g), "a", 6, 3, padding: 1), "n")), "b", 4, 3), ["a.weight"]),
        ("sigmoid in between", g => g.Conv(g.Sigmoid(g.Conv(Image(g), "a", 6, 3, padding: 1)), "b", 4, 3, padding: 1), ["a.weight"]),
        ("residual", g =>
        {
            Value x = g.Relu(g.Conv(Image(g), "a", 6, 3, padding: 1));
            Value h = g.Conv(g.Relu(g.Conv(x, "b", 5, 3, padding: 1)), "c", 6, 3, padding: 1);
            return g.Conv(g.Relu(g.Add(x, h)), "d", 4, 1);
        }, ["a.weight", "b.weight"]),
        ("depthwise", g => g.Conv(g.Relu(g.Conv(g.Relu(g.Conv(Image(g), "a", 6, 1)), "dw", 6, 3, padding: 1, groups: 6)), "b", 4, 1), ["a.weight"]),
        ("depthwise with multiplier", g => g.Conv(g.Relu(g.Conv(g.Relu(g.Conv(Image(g), "a", 6, 1)), "dw", 12, 3, padding: 1, groups: 6)), "b", 4, 1), ["a.weight"]),
        ("grouped", g => g.Conv(g.Relu(g.Conv(g.Relu(g.Conv(Image(g), "a", 8, 1)), "gc", 12, 3, padding: 1, groups: 2)), "b", 4, 1), ["a.weight", "gc.weight"]),
        ("channel shuffle", g =>
        {
            Value x = g.Relu(g.Conv(Image(g), "a", 8, 1));
            x = g.Conv(x, "g1", 12, 1, groups: 2);
            x = g.Reshape(g.Transpose(g.Reshape(x, 0, 2, 6, 6, 6), 0, 2, 1, 3, 4), 0, 12, 6, 6);
            return g.Conv(g.Conv(x, "g2", 6, 1, groups: 2), "b", 4, 1);
        }, ["a.weight", "g1.weight"]),
        ("transposed conv", g => g.Conv(g.Relu(g.ConvTranspose(g.Relu(g.Conv(Image(g), "a", 6, 1)), "t", 5, 2, stride: 2)), "b", 4, 1), ["a.weight", "t.weight"]),
        ("grouped transposed conv", g => g.Conv(g.Relu(g.ConvTranspose(g.Relu(g.Conv(Image(g), "a", 8, 1)), "t", 6, 2, stride: 2, groups: 2)), "b", 4, 1), ["a.weight", "t.weight"]),
        ("depthwise transposed conv", g => g.Conv(g.Relu(g.ConvTranspose(g.Relu(g.Conv(Image(g), "a", 6, 1)), "t", 6, 2, stride: 2, groups: 6)), "b", 4, 1), ["a.weight"]),
        ("pools", g => g.Conv(g.AveragePool(g.MaxPool(g.Conv(Image(g), "a", 6, 1), 2), 2, padding: 1), "b", 4, 1), ["a.weight"]),
        ("global pool, flatten, linear", g => g.Linear(g.Flatten(g.GlobalAveragePool(g.Relu(g.Conv(Image(g), "a", 6, 3)))), "fc", 4), ["a.weight"]),
        ("flatten with pixels", g => g.Linear(g.Flatten(g.MaxPool(g.Relu(g.Conv(Image(g), "a", 5, 3, padding: 1)), 2)), "fc", 4), ["a.weight"]),
        ("reshape with pixels", g => g.Linear(g.Reshape(g.MaxPool(g.Relu(g.Conv(Image(g), "a", 5, 3, padding: 1)), 2), 0, 45), "fc", 4), ["a.weight"]),
        ("reshape to -1", g => g.Linear(g.Reshape(g.MaxPool(g.Relu(g.Conv(Image(g), "a", 5, 3, padding: 1)), 2), -1, 45), "fc", 4), ["a.weight"]),
        ("concat", g =>
        {
            Value x = Image(g);
            return g.Conv(g.Relu(g.Concat(1, g.Conv(x, "a", 4, 1), g.Conv(x, "b", 6, 1))), "c", 4, 1);
        }, ["a.weight", "b.weight"]),
        ("dense block", g =>
        {
            Value x = g.Relu(g.Conv(Image(g), "a", 4, 1));
            x = g.Concat(1, x, g.Relu(g.BatchNorm(g.Conv(x, "b", 4, 3, padding: 1), "bn")));
            x = g.Concat(1, x, g.Relu(g.Conv(x, "c", 4, 3, padding: 1)));
            return g.Conv(x, "d", 4, 1);
        }, ["a.weight", "b.weight", "c.weight"]),
        ("split", g =>
        {
            Value[] parts = g.Split(g.Conv(Image(g), "a", 10, 1), 1, 4, 6);
            return g.Add(g.Conv(g.Relu(parts[0]), "b", 4, 1), g.Conv(parts[1], "c", 4, 1));
        }, ["a.weight", "a.weight#2"]),
        ("split in equal parts, gated", g =>
        {
            Value[] parts = g.AddMany("Split", [g.Conv(Image(g), "a", 10, 1)], 2, a => a.Set("axis", 1L).Set("num_outputs", 2L));
            return g.Conv(g.Mul(parts[0], g.Sigmoid(parts[1])), "b", 4, 1);
        }, ["a.weight"]),
        ("slice", g =>
        {
            Value x = g.Relu(g.Conv(Image(g), "a", 10, 1));
            return g.Add(g.Conv(g.Slice(x, 1, 0, 4), "b", 4, 1), g.Conv(g.Slice(x, 1, -6, 10), "c", 4, 1));
        }, ["a.weight", "a.weight#2"]),
        ("gather channels", g =>
        {
            Value x = g.Relu(g.Conv(Image(g), "a", 6, 1));
            return g.Conv(g.Gather(x, g.Integers(5, 0, 3, 1), 1), "b", 4, 1);
        }, ["a.weight"]),
        ("option A shortcut", g =>
        {
            Value x = g.Relu(g.Conv(Image(g), "a", 4, 3, padding: 1));
            Value h = g.Conv(g.Relu(g.Conv(x, "b", 8, 3, stride: 2, padding: 1)), "c", 8, 3, padding: 1);
            Value s = g.Add("Slice", [x, g.Integers(0, 0), g.Integers(long.MaxValue, long.MaxValue), g.Integers(2, 3), g.Integers(2, 2)]);
            s = g.Add("Pad", [s, g.Integers(0, 2, 0, 0, 0, 2, 0, 0)]);
            return g.Conv(g.Relu(g.Add(h, s)), "d", 4, 1);
        }, ["a.weight", "b.weight", "c.weight"]),
        ("pad pixels", g => g.Conv(g.Add("Pad", [g.Relu(g.Conv(Image(g), "a", 6, 1)), g.Integers(0, 0, 1, 1, 0, 0, 1, 1)]), "b", 4, 3), ["a.weight"]),
        ("squeeze and excite", g =>
        {
            Value x = g.Relu(g.Conv(Image(g), "a", 6, 1));
            Value s = g.Conv(g.Relu(g.Conv(g.GlobalAveragePool(x), "down", 3, 1)), "up", 6, 1);
            return g.Conv(g.Mul(x, g.Sigmoid(s)), "b", 4, 1);
        }, ["a.weight", "down.weight"]),
        ("squeeze and excite through linears", g =>
        {
            Value x = g.Relu(g.Conv(Image(g), "a", 6, 1));
            Value s = g.Linear(g.Relu(g.Linear(g.Flatten(g.GlobalAveragePool(x)), "down", 3)), "up", 6);
            return g.Conv(g.Mul(x, g.Reshape(g.Sigmoid(s), 0, 6, 1, 1)), "b", 4, 1);
        }, ["a.weight", "down.weight"]),
        ("instance norm", g => g.Conv(g.Add("InstanceNormalization", [g.Conv(Image(g), "a", 6, 3), g.Weight("s", Initializer.Normal(1), 6), g.Weight("t", Initializer.Normal(1), 6)]), "b", 4, 1), ["a.weight"]),
        ("group norm", g => g.Conv(g.Relu(g.GroupNorm(g.Conv(Image(g), "a", 12, 3), "n", 4)), "b", 4, 1), ["a.weight"]),
        ("prelu", g => g.Conv(g.Add("PRelu", [g.Conv(Image(g), "a", 6, 3), g.Weight("slope", Initializer.Normal(1), 6, 1, 1)]), "b", 4, 1), ["a.weight"]),
        ("activations", g => g.Conv(g.Gelu(g.Silu(g.Tanh(g.LeakyRelu(g.Clip(g.Conv(Image(g), "a", 6, 3), 0, 6))))), "b", 4, 1), ["a.weight"]),
        ("scale and shift constants", g =>
        {
            Value x = g.Conv(Image(g), "a", 6, 3);
            return g.Conv(g.Add(g.Mul(x, g.Weight("scale", Initializer.Normal(1), 1, 6, 1, 1)), g.Weight("shift", Initializer.Normal(1), 6, 1, 1)), "b", 4, 1);
        }, ["a.weight"]),
        ("depth to space", g => g.Conv(g.Add("DepthToSpace", [g.Conv(Image(g), "a", 16, 1)], a => a.Set("blocksize", 2L)), "b", 4, 1), ["a.weight"]),
        ("depth to space, column-row-depth", g => g.Conv(g.Add("DepthToSpace", [g.Conv(Image(g), "a", 16, 1)], a => a.Set("blocksize", 2L).Set("mode", "CRD")), "b", 4, 1), ["a.weight"]),
        ("space to depth", g => g.Conv(g.Add("SpaceToDepth", [g.Conv(Image(g), "a", 5, 1)], a => a.Set("blocksize", 2L)), "b", 4, 1), ["a.weight"]),
        ("spatial mean", g => g.Linear(g.ReduceMean(g.Relu(g.Conv(Image(g), "a", 6, 3)), [2, 3], keepDimensions: false), "fc", 4), ["a.weight"]),
        ("sum over channels", g => g.Add(g.ReduceSum(g.Relu(g.Conv(Image(g), "a", 6, 3)), [1]), g.Conv(Image(g, "second"), "b", 4, 3)), ["a.weight"]),
        ("tile", g => g.Conv(g.Add("Tile", [g.Conv(Image(g), "a", 3, 1), g.Integers(1, 2, 1, 1)]), "b", 4, 1), ["a.weight"]),
        ("where", g =>
        {
            Value x = g.Conv(Image(g), "a", 6, 1);
            return g.Conv(g.Add("Where", [g.Add("Greater", [x, g.Scalar(0)]), x, g.Mul(x, g.Scalar(0.1f))]), "b", 4, 1);
        }, ["a.weight"]),
        ("space as tokens", g =>
        {
            Value x = g.Relu(g.Conv(Image(g), "a", 6, 3));
            x = g.Transpose(g.Reshape(x, 0, 6, -1), 0, 2, 1);
            return g.Linear(x, "fc", 4);
        }, ["a.weight"]),
        ("softmax over pixels", g => g.Conv(g.Softmax(g.Conv(Image(g), "a", 6, 1), 3), "b", 4, 1), ["a.weight"]),
        ("two outputs of one trunk", g =>
        {
            Value x = g.Relu(g.Conv(Image(g), "a", 6, 3));
            g.Output("side", g.Conv(x, "s", 2, 1));
            return g.Conv(x, "b", 4, 1);
        }, ["a.weight"]),
        ("einsum", g =>
        {
            Value x = g.Conv(Image(g), "a", 6, 1);
            return g.Add("Einsum", [x, g.Weight("w", Initializer.Normal(1), 6, 5)], a => a.Set("equation", "bchw,cd->bdhw"));
        }, ["a.weight"]),
        ("dropout, identity, cast", g => g.Conv(g.Cast(g.Add("Identity", [g.Add("Dropout", [g.Conv(Image(g), "a", 6, 1)])]), ElementType.Float32), "b", 4, 1), ["a.weight"]),
    ];

    public static TheoryData<string> ImageCases() => [.. s_image.Select(c => c.Name)];

    [Theory]
    [MemberData(nameof(ImageCases))]
    public void Pruned_is_zeroed(string name)
    {
        (_, Func<GraphBuilder, Value> make, string[] groups) = s_image.Single(c => c.Name == name);
        for (int seed = 0; seed < 3; seed++)
        {
            var g = new GraphBuilder(name, seed);
            Value y = make(g);
            ModelGraph graph = Randomised(g.Output("y", y).Build(), seed);
            string[] found = [.. DependencyGraph.Build(graph).Groups.Select(x => x.Name)];
            Assert.Equal(groups.Order(), groups.Intersect(found).Order());
            SurgeryResult result = PrunedEqualsZeroed.Check(graph, seed, seed switch { 0 => 0.3, 1 => 0.5, _ => 0.9 });
            Assert.True(result.Graph.Weights.Values.Sum(w => (long)w.Length) < graph.Weights.Values.Sum(w => (long)w.Length));
        }
    }

    [Fact]
    public void Single_units_are_exact()
    {
        foreach ((string name, Func<GraphBuilder, Value> make, _) in s_image)
        {
            var g = new GraphBuilder(name, seed: 5);
            Value y = make(g);
            ModelGraph graph = Randomised(g.Output("y", y).Build(), 5);
            DependencyGraph dependencies = DependencyGraph.Build(graph);
            foreach (ChannelGroup group in dependencies.Groups)
            {
                PrunedEqualsZeroed.Check(new Removal(dependencies).Add(group, [0]), 1);
                PrunedEqualsZeroed.Check(new Removal(dependencies).Add(group, [group.UnitCount - 1]), 1);
            }
        }
    }

    [Fact]
    public void A_mask_is_cut_with_its_weight()
    {
        var g = new GraphBuilder("masked");
        Value y = g.Conv(g.Relu(g.Conv(Image(g), "a", 6, 3)), "b", 4, 1);
        ModelGraph graph = g.Output("y", y).Build();
        Weight a = graph.Weights["a.weight"];
        a.SetMask(Kernels.Sparse.Mask.FromFlags(a.Shape, [.. Enumerable.Range(0, a.Length).Select(i => i % 3 != 0)]));
        DependencyGraph dependencies = DependencyGraph.Build(graph);
        SurgeryResult result = Surgeon.Remove(new Removal(dependencies).Add(dependencies.Group("a.weight"), [1, 4]));
        Weight cut = result.Graph.Weights["a.weight"];
        Assert.Equal([4, 3, 3, 3], cut.Shape.ToArray());
        bool[] before = a.Mask!.ToFlags(), after = cut.Mask!.ToFlags();
        int[] kept = [0, 2, 3, 5];
        for (int f = 0; f < 4; f++) Assert.Equal(before.AsSpan(kept[f] * 27, 27), after.AsSpan(f * 27, 27));
        float[] moment = [.. Enumerable.Range(0, a.Length).Select(i => (float)i)];
        Assert.Equal(kept.SelectMany(f => moment.AsSpan(f * 27, 27).ToArray()), result.Slice("a.weight", moment, a.Shape));
        Assert.Equal([null, kept, null, null], result.KeptPositions["b.weight"]);
    }

    internal static Value Image(GraphBuilder g, string name = "x") => g.Input(name, ElementType.Float32, s_batch, 3, 6, 6);

    internal static Value Tokens(GraphBuilder g, int features, string name = "x") => g.Input(name, ElementType.Float32, s_batch, s_length, features);

    /// <summary>Gives every float weight random values, so that no zero bias or unit scale hides a mistake.</summary>
    internal static ModelGraph Randomised(ModelGraph graph, int seed)
    {
        foreach (Weight weight in graph.Weights.Values)
        {
            if (weight.ElementType != ElementType.Float32 || weight.Shape.Length == 0) continue;
            Random random = Initializer.RandomFor(seed, weight.Name);
            float[] values = new float[weight.Length];
            bool variance = weight.Name.EndsWith("running_var", StringComparison.Ordinal);
            for (int i = 0; i < values.Length; i++) values[i] = variance ? 0.5f + random.NextSingle() : (random.NextSingle() * 1.6f) - 0.8f;
            weight.Set(TensorData.Wrap(values, weight.Shape));
        }
        return graph;
    }
}
