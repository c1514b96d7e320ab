using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Tests;

/// <summary>Infinities and NaN in the inputs of sessions: kept weights follow IEEE 754, removed ones take no part where zeros are skipped, and give NaN where they are not.</summary>
public sealed class NonFiniteInputTests
{
    [Theory]
    [InlineData(1, float.PositiveInfinity)]
    [InlineData(1, float.NaN)]
    [InlineData(12, float.NegativeInfinity)]
    [InlineData(12, float.NaN)]
    public void A_removed_weight_does_not_see_its_input_in_a_sparse_plan_and_makes_NaN_in_a_dense_one(int rows, float special)
    {
        const int Inputs = 512, Outputs = 256, Place = 77;
        var b = new GraphBuilder("g");
        Value x = b.Input("x", ElementType.Float32, rows, Inputs);
        ModelGraph graph = b.Build(b.Linear(x, "layer", Outputs, bias: false));
        Mask kept = Prune(graph.Weights["layer.weight"], Outputs);
        TensorData finite = RandomNetworks.Input(3, rows, Inputs), input = finite.Clone();
        // One input of the last row.
        int row = rows - 1;
        input.Span<float>()[(row * Inputs) + Place] = special;

        var session = new InferenceSession(graph, PlannedOptions.AlwaysSparse);
        Assert.Contains("Sp", session.DescribePlan(new Dictionary<string, TensorData> { ["x"] = input }), StringComparison.Ordinal);
        float[] sparse = session.Run(input).Values.First().Array<float>(), calm = session.Run(finite).Values.First().Array<float>();
        float[] dense = new InferenceSession(graph, new SessionOptions { ForceDense = true }).Run(input).Values.First().Array<float>();
        float[] weights = graph.Weights["layer.weight"].Read().Array<float>();
        for (int i = 0; i < sparse.Length; i++)
        {
            int output = i % Outputs, at = (output * Inputs) + Place;
            if (i / Outputs != row) Near.Equal([calm[i]], [sparse[i]], 1e-4, 1e-4, $"row {i / Outputs}");
            else if (kept[at]) Assert.Equal(special * weights[at], sparse[i]);
            else
            {
                // The order of the sum may change with the kernel's path, its value does not: the input takes no part.
                float without = calm[i];
                Assert.True(float.IsFinite(sparse[i]) && Math.Abs(sparse[i] - without) < 1e-3, $"[{i}] {sparse[i]} beside {without}");
                Assert.True(float.IsNaN(dense[i]), $"[{i}] zero times {special} is {dense[i]} in the dense twin");
                continue;
            }
            if (i / Outputs == row) Assert.Equal(dense[i], sparse[i]);
        }
    }

    [Theory]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NaN)]
    public void A_pixel_reaches_the_outputs_of_kept_taps_alone_in_a_sparse_plan(float special)
    {
        const int Channels = 16, Size = 20, Row = 7, Column = 9, Channel = 5;
        var b = new GraphBuilder("g");
        Value x = b.Input("x", ElementType.Float32, 1, Channels, Size, Size);
        ModelGraph graph = b.Build(b.Conv(x, "conv", Channels, 3, padding: 1, bias: false));
        Mask kept = Prune(graph.Weights["conv.weight"], Channels);
        TensorData input = RandomNetworks.Input(4, 1, Channels, Size, Size);
        input.Span<float>()[(((Channel * Size) + Row) * Size) + Column] = special;

        var session = new InferenceSession(graph, PlannedOptions.AlwaysSparse);
        Assert.Contains("sparse convolution", session.DescribePlan(new Dictionary<string, TensorData> { ["x"] = input }), StringComparison.Ordinal);
        float[] sparse = session.Run(input).Values.First().Array<float>();
        float[] dense = new InferenceSession(graph, new SessionOptions { ForceDense = true }).Run(input).Values.First().Array<float>();
        for (int o = 0; o < Channels; o++)
        {
            for (int y = 0; y < Size; y++)
            {
                for (int c = 0; c < Size; c++)
                {
                    // The tap with which this output meets the pixel.
                    int down = Row - y + 1, right = Column - c + 1, i = (((o * Size) + y) * Size) + c;
                    bool meets = down is >= 0 and < 3 && right is >= 0 and < 3;
                    bool stored = meets && kept[(((((o * Channels) + Channel) * 3) + down) * 3) + right];
                    Assert.True(float.IsFinite(sparse[i]) != stored, $"[{o}, {y}, {c}] {sparse[i]}");
                    if (meets && !stored) Assert.True(float.IsNaN(dense[i]), $"[{o}, {y}, {c}] {dense[i]} in the dense twin");
                    if (!meets) Assert.True(float.IsFinite(dense[i]));
                }
            }
        }
    }

    private static Mask Prune(Weight weight, int rows)
    {
        float[] scores = Array.ConvertAll(weight.Read().ToSingles(), Math.Abs);
        Mask kept = PatternProjection.KeepBest(SparsityPattern.Unstructured, scores, rows, weight.Length / rows, 0.2).Reshape(weight.Shape);
        weight.SetMask(kept);
        return kept;
    }
}
