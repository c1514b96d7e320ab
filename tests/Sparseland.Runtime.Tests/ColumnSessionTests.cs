using Sparseland.Kernels.Threading;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Tests;

/// <summary>Times kernels and changes the number of threads.</summary>
[Collection(nameof(MeasuringCollection))]
public class ColumnSessionTests
{
    private static ModelGraph TwoLayers(bool rectified, int outputs = 1024, int hidden = 1100, bool pooled = false)
    {
        var g = new GraphBuilder("two", seed: 5);
        Value x = g.Input("x", ElementType.Float32, Dimension.Named("batch"), 64);
        Value h = g.Linear(x, "first", hidden);
        if (rectified) h = g.Relu(h);
        if (pooled) h = g.Flatten(g.MaxPool(g.Reshape(h, 0, hidden / 64, 8, 8), 2));
        g.Output("y", g.Relu(g.Linear(h, "second", outputs)));
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
    public void Parts_of_any_number_of_threads_give_the_same_bits()
    {
        ModelGraph graph = TwoLayers(rectified: true, outputs: 1500);
        TensorData x = RandomNetworks.Input(7, 1, 64);
        int before = WorkPool.Threads;
        try
        {
            var session = new InferenceSession(graph);
            Assert.Contains("GEMV by columns", session.DescribePlan(new Dictionary<string, TensorData> { ["x"] = x }), StringComparison.Ordinal);
            WorkPool.Threads = 1;
            float[] one = session.Run(x).Values.First().Array<float>();
            foreach (int threads in (int[])[2, 3, 19])
            {
                WorkPool.Threads = threads;
                Assert.Equal(one, session.Run(x).Values.First().Array<float>());
            }
        }
        finally
        {
            WorkPool.Threads = before;
        }
    }

    [Fact]
    public void Layers_of_few_outputs_and_behind_pooling_stay_as_they_are()
    {
        var inputs = new Dictionary<string, TensorData> { ["x"] = RandomNetworks.Input(1, 1, 64) };
        string few = new InferenceSession(TwoLayers(rectified: true, outputs: 40, hidden: 27_000)).DescribePlan(inputs);
        string pooled = new InferenceSession(TwoLayers(rectified: true, outputs: 1100, hidden: 4096, pooled: true)).DescribePlan(inputs);
        Assert.DoesNotContain("by columns", few, StringComparison.Ordinal);
        Assert.DoesNotContain("by columns", pooled, StringComparison.Ordinal);
    }

    [Fact]
    public void The_table_and_timing_decide_about_columns()
    {
        var inputs = new Dictionary<string, TensorData> { ["x"] = RandomNetworks.Input(1, 1, 64) };
        ModelGraph graph = TwoLayers(rectified: true);
        var never = new SessionOptions { BreakEven = new BreakEvenTable([new(KernelKind.Columns, 0, 0.5)], "tests") };
        Assert.DoesNotContain("by columns", new InferenceSession(graph, never).DescribePlan(inputs), StringComparison.Ordinal);
        Assert.Contains("timed: Dense", new InferenceSession(graph, new SessionOptions { AutoTune = true }).DescribePlan(inputs), StringComparison.Ordinal);
    }

    [Fact]
    public void Without_a_rectifier_the_layer_stays_as_it_is()
    {
        TensorData x = RandomNetworks.Input(1, 1, 64);
        Assert.DoesNotContain("by columns", new InferenceSession(TwoLayers(rectified: false)).DescribePlan(new Dictionary<string, TensorData> { ["x"] = x }), StringComparison.Ordinal);
    }
}
