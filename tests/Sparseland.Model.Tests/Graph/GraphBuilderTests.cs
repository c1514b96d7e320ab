using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Graph;

public sealed class GraphBuilderTests
{
    private static readonly Dimension s_batch = Dimension.Named("batch");

    [Fact]
    public void SymbolicBatchTravelsThroughAConvolutionalNetwork()
    {
        var g = new GraphBuilder("net", seed: 3);
        Value x = g.Input("image", ElementType.Float32, s_batch, 1, 28, 28);
        Value h = g.MaxPool(g.Relu(g.BatchNorm(g.Conv(x, "conv1", 6, 5, padding: 2), "bn1")), 2);
        h = g.Reshape(h, 0, -1);
        ModelGraph graph = g.Output("logits", g.Linear(h, "classifier", 10)).Build();

        Assert.Equal(new TensorShape(s_batch, 10), graph.Outputs[0].Type.Shape);
        Assert.Equal("logits", graph.Outputs[0].Name);
        Assert.Equal([10, 6 * 14 * 14], graph.Weights["classifier.weight"].Shape.ToArray());
        TensorData y = GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { ["image"] = TensorData.Zeros(ElementType.Float32, 3, 1, 28, 28) })["logits"];
        Assert.Equal([3, 10], y.Shape.ToArray());
    }

    [Fact]
    public void ScopesPrefixNamesAndEndWhenDisposed()
    {
        var g = new GraphBuilder("net");
        Value x = g.Input("x", ElementType.Float32, 2, 4);
        using (g.Scope("encoder"))
        using (g.Scope("0"))
        {
            x = g.Linear(x, "proj", 3);
        }
        x = g.Linear(x, "head", 2);
        ModelGraph graph = g.Build(x);
        Assert.Equal(["encoder.0.proj.weight", "encoder.0.proj.bias", "head.weight", "head.bias"], graph.Weights.Keys);
        Assert.Equal(["encoder.0.proj", "head"], graph.Nodes.Select(n => n.Name));
    }

    [Fact]
    public void AWrongShapeFailsWhereItIsWrittenAndNamesNodeAndShapes()
    {
        var g = new GraphBuilder("net");
        Value x = g.Input("x", ElementType.Float32, 2, 4);
        Value w = g.Weight("w", Initializer.Ones, 5, 3);
        GraphException e = Assert.Throws<GraphException>(() => g.MatMul(x, w, name: "product"));
        Assert.Contains("product", e.Message, StringComparison.Ordinal);
        Assert.Contains("[2, 4]", e.Where, StringComparison.Ordinal);
        Assert.Contains("[5, 3]", e.Where, StringComparison.Ordinal);
    }

    [Fact]
    public void NamesAreUnique()
    {
        var g = new GraphBuilder("net");
        Value x = g.Input("x", ElementType.Float32, 2);
        g.Weight("w", Initializer.Ones, 2);
        Assert.Throws<GraphException>(() => g.Weight("w", Initializer.Ones, 2));
        Assert.Throws<GraphException>(() => g.Input("x", ElementType.Float32, 2));
        g.Relu(x, name: "r");
        Assert.Throws<GraphException>(() => g.Relu(x, name: "r"));
    }

    [Fact]
    public void OneValueCanBeTwoOutputsAndAnInputCanBeOne()
    {
        var g = new GraphBuilder("net");
        Value x = g.Input("x", ElementType.Float32, 2);
        Value y = g.Relu(x);
        ModelGraph graph = g.Output("a", y).Output("b", y).Output("c", x).Build();
        OrderedDictionary<string, TensorData> results = GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { ["x"] = TensorData.Vector(-1f, 2f) });
        Assert.Equal([0f, 2f], results["a"].Span<float>().ToArray());
        Assert.Equal([0f, 2f], results["b"].Span<float>().ToArray());
        Assert.Equal([-1f, 2f], results["c"].Span<float>().ToArray());
    }

    [Fact]
    public void WeightsDependOnSeedAndNameOnly()
    {
        static float[] Draw(int seed, bool other)
        {
            var g = new GraphBuilder("net", seed);
            if (other) g.Weight("before", Initializer.Normal(1), 7);
            g.Weight("w", Initializer.KaimingNormal(), 8, 4, 3, 3);
            Value x = g.Input("x", ElementType.Float32, 1);
            return g.Build(g.Relu(x)).Weights["w"].Read().Array<float>();
        }

        Near.BitEqual(Draw(1, false), Draw(1, true));
        Assert.NotEqual(Draw(1, false), Draw(2, false));
    }

    [Theory]
    [InlineData("kaiming-normal", 2.0 / 36)]
    [InlineData("kaiming-uniform", 2.0 / 36)]
    [InlineData("xavier-normal", 2.0 / (36 + 576))]
    [InlineData("xavier-uniform", 2.0 / (36 + 576))]
    public void InitializersHaveTheirVariance(string kind, double variance)
    {
        Initializer initializer = kind switch
        {
            "kaiming-normal" => Initializer.KaimingNormal(),
            "kaiming-uniform" => Initializer.KaimingUniform(),
            "xavier-normal" => Initializer.XavierNormal(),
            _ => Initializer.XavierUniform(),
        };
        float[] values = initializer.Create(new Random(5), 64, 4, 3, 3).Array<float>();
        double measured = values.Average(v => (double)v * v);
        Assert.InRange(measured / variance, 0.9, 1.1);
        Assert.InRange(values.Average() / Math.Sqrt(variance), -0.1, 0.1);
    }
}
