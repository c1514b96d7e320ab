using Sparseland.Kernels.Sparse;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Analysis;

public class ModelCostTests
{
    [Fact]
    public void Convolutions_products_and_attention_are_counted_by_hand()
    {
        var g = new GraphBuilder("count");
        Value x = g.Input("x", ElementType.Float32, Dimension.Named("batch"), 4, 8, 8);
        Value h = g.Relu(g.BatchNorm(g.Conv(x, "conv", 6, 3, stride: 2, padding: 1), "bn"));   // 6 x 4 x 4 outputs, 36 taps
        h = g.Conv(h, "depthwise", 6, 3, padding: 1, groups: 6);                                 // 6 x 4 x 4 outputs, 9 taps
        h = g.ConvTranspose(h, "up", 3, 2, stride: 2);                                           // 6 x 4 x 4 inputs, 3 x 4 taps
        h = g.Transpose(g.Reshape(h, 0, 3, 64), 0, 2, 1);                                        // [batch, 64, 3]
        h = g.Linear(h, "qkv", 24);                                                              // 64 x 24 outputs, 3 terms
        Value[] parts = g.Split(h, 2, 8, 8, 8);
        h = g.Attention(parts[0], parts[1], parts[2], heads: 2);                                 // scores and sums: 64 x 64 x 8 each
        ModelCost cost = ModelCost.Of(g.Output("y", g.Linear(g.Flatten(h), "head", 5)).Build());
        long expected = (96 * 36) + (96 * 9) + (96 * 12) + (64 * 24 * 3) + (2 * 64 * 64 * 8) + (512 * 5);
        Assert.Equal(expected, cost.Macs);
        Assert.Equal(expected, cost.Nodes.Sum(n => n.Macs));
        Assert.Equal((216 + 6) + (6 + 6) + (54 + 6) + (72 + 3) + (72 + 24) + (2560 + 5), cost.Parameters);
        Assert.True(cost.PeakActivationBytes <= cost.ActivationBytes + (4 * 256));
    }

    [Fact]
    public void Batch_and_length_scale_what_depends_on_them()
    {
        var g = new GraphBuilder("tokens");
        Value x = g.Input("x", ElementType.Float32, Dimension.Named("batch"), Dimension.Named("length"), 4);
        ModelGraph graph = g.Output("y", g.Linear(x, "fc", 3)).Build();
        var types = new Dictionary<string, TensorType> { ["x"] = new(ElementType.Float32, new TensorShape(2, 5, 4)) };
        Assert.Equal(12, ModelCost.Of(graph).Macs);
        Assert.Equal(120, ModelCost.Of(graph, types).Macs);
    }

    [Fact]
    public void Masks_and_zeros_lower_what_is_effective_through_a_transposition_too()
    {
        var g = new GraphBuilder("masked");
        Value x = g.Input("x", ElementType.Float32, 1, 2, 4);
        ModelGraph graph = g.Output("y", g.Linear(x, "fc", 4, bias: false)).Build();
        Weight weight = graph.Weights["fc.weight"];
        weight.SetMask(Mask.FromFlags(weight.Shape, [.. Enumerable.Range(0, 16).Select(i => i % 4 == 0)]));
        ModelCost cost = ModelCost.Of(graph);
        Assert.Equal((16, 4, 32, 8), (cost.Parameters, cost.NonZeros, cost.Macs, cost.EffectiveMacs));
        Assert.Equal(0.75, cost.Sparsity, 1e-12);

        weight.SetMask(null);
        weight.Set(TensorData.Zeros(ElementType.Float32, 4, 4));
        Assert.Equal((0, 0), (ModelCost.Of(graph).NonZeros, ModelCost.Of(graph).EffectiveMacs));
        Assert.Equal(16, ModelCost.Of(graph, countZeros: false).NonZeros);
    }
}
