using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Tests.Layers;

public class LayerTests
{
    private static ModelGraph Mixed()
    {
        var g = new GraphBuilder("mixed", 1);
        Value ids = g.Input("ids", ElementType.Int64, 1, 4);
        Value table = g.Weight("table", TensorData.Wrap(new float[60], 10, 6));
        Value h = g.Gather(table, ids);
        Value right = g.Weight("right", TensorData.Wrap(Make.Random(6 * 8, 1), 6, 8));
        h = g.MatMul(h, right, "by_matmul");
        Value turned = g.Weight("turned", TensorData.Wrap(Make.Random(8 * 6, 2), 6, 8));
        h = g.MatMul(h, g.Transpose(turned, 1, 0), "by_transpose");
        h = g.MatMul(h, g.Transpose(table, 1, 0), "head");
        return g.Output("logits", h).Build();
    }

    [Fact]
    public void Orientation_follows_from_the_operators()
    {
        IReadOnlyList<PrunableLayer> layers = LayerDiscovery.Find(Mixed());
        Assert.Equal(["table", "right", "turned"], layers.Select(l => l.Name));
        PrunableLayer right = layers[1], turned = layers[2];
        Assert.False(right.OutputsFirst);
        Assert.Equal((8, 6), (right.Rows, right.Columns));
        Assert.True(turned.OutputsFirst);
        Assert.Equal((6, 8), (turned.Rows, turned.Columns));
        Assert.Equal(LayerKind.Embedding, layers[0].Kind);
        Assert.True(layers[0].IsTied);
        Assert.True(right.IsFirst && turned.IsLast);
        float[] values = [.. Enumerable.Range(0, 48).Select(i => (float)i)];
        float[] matrix = right.ToMatrix(values);
        Assert.Equal(values[1 * 8 + 3], matrix[3 * 6 + 1]);
        Assert.Equal(values, right.FromMatrix(matrix));
    }

    [Fact]
    public void Convolutions_are_found_with_first_and_last()
    {
        IReadOnlyList<PrunableLayer> layers = LayerDiscovery.Find(Make.Network());
        Assert.Equal(["conv1.weight", "conv2.weight", "conv3.weight", "classifier.weight"], layers.Select(l => l.Name));
        Assert.Equal([true, false, false, false], layers.Select(l => l.IsFirst));
        Assert.Equal([false, false, false, true], layers.Select(l => l.IsLast));
        Assert.Equal((16, 72), (layers[1].Rows, layers[1].Columns));
        Assert.Equal(16 + 8 + 3 + 3, layers[1].DimensionSum);
    }

    [Fact]
    public void The_policy_says_what_it_leaves_alone_and_why()
    {
        IReadOnlyList<PrunableLayer> layers = LayerDiscovery.Find(Make.Network());
        Assert.Equal(4, new LayerPolicy().Apply(layers).Layers.Count);
        LayerPlan plan = new LayerPolicy { First = false, Last = false }.Apply(layers);
        Assert.Equal(["conv2.weight", "conv3.weight"], plan.Layers.Select(l => l.Name));
        Assert.Contains("first layer", plan.Decisions[0].Reason);
        Assert.Equal(["conv2.weight", "conv3.weight"], new LayerPolicy { Targets = ["conv*"], Ignore = ["re:^conv1"] }.Apply(layers).Layers.Select(l => l.Name));
        Assert.Equal(["conv1.weight"], new LayerPolicy { Targets = ["conv1"], First = false }.Apply(layers).Layers.Select(l => l.Name));
        Assert.Equal(["table", "right", "turned"], new LayerPolicy { Embeddings = true }.Apply(LayerDiscovery.Find(Mixed())).Layers.Select(l => l.Name));
    }

    [Theory]
    [InlineData("cnov2.weight", "conv2.weight")]
    [InlineData("CONV3", "conv3")]
    [InlineData("clasifier", "classifier")]
    public void A_filter_that_matches_nothing_names_near_misses(string filter, string expected)
    {
        IReadOnlyList<PrunableLayer> layers = LayerDiscovery.Find(Make.Network());
        PruningException e = Assert.Throws<PruningException>(() => new LayerPolicy { Targets = [filter] }.Apply(layers));
        Assert.Equal("SL4001", e.Code);
        Assert.Contains(expected, e.Try);
        Assert.Equal("SL4001", Assert.Throws<PruningException>(() => new LayerPolicy { Ignore = [filter] }.Apply(layers)).Code);
    }

    [Fact]
    public void A_broken_regular_expression_is_a_typed_error() =>
        Assert.Equal("SL4003", Assert.Throws<PruningException>(() => new NameFilter("re:(")).Code);
}
