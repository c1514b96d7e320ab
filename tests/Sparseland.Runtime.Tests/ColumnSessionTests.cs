using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Tests;

public class ColumnSessionTests
{
    private static ModelGraph TwoLayers(bool rectified)
    {
        var g = new GraphBuilder("two", seed: 5);
        Value x = g.Input("x", ElementType.Float32, Dimension.Named("batch"), 64);
        Value h = g.Linear(x, "first", 1100);
        if (rectified) h = g.Relu(h);
        g.Output("y", g.Relu(g.Linear(h, "second", 1024)));
        return g.Build();
    }

    [Fact]
    public void A_large_layer_behind_a_rectifier_skips_columns_and_gives_the_dense_result()
    {
        ModelGraph graph = TwoLayers(rectified: true);
        foreach (int batch in (int[])[1, 3])
        {
            TensorData x = RandomNetworks.Input(batch, batch, 64);
            var session = new InferenceSession(graph);
            string plan = session.DescribePlan(new Dictionary<string, TensorData> { ["x"] = x });
            Assert.Equal(batch == 1, plan.Contains("GEMV by columns", StringComparison.Ordinal));
            ReadOnlySpan<float> actual = session.Run(x).Values.First().Span<float>(), expected = new InferenceSession(graph, new SessionOptions { ForceDense = true }).Run(x).Values.First().Span<float>();
            Assert.Contains(actual.ToArray(), v => v > 0);
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-5 * (1 + Math.Abs(expected[i])));
        }
    }

    [Fact]
    public void Without_a_rectifier_the_layer_stays_as_it_is()
    {
        TensorData x = RandomNetworks.Input(1, 1, 64);
        Assert.DoesNotContain("by columns", new InferenceSession(TwoLayers(rectified: false)).DescribePlan(new Dictionary<string, TensorData> { ["x"] = x }), StringComparison.Ordinal);
    }
}
