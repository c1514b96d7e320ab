using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;
using Xunit.Abstractions;

namespace Sparseland.Runtime.Tests;

/// <summary>R3: a plan is not slower than its dense twin beyond noise, over shapes, densities and batches.</summary>
public sealed class NeverSlowerTests(ITestOutputHelper output)
{
    private const double Noise = 1.25;
    private const int Attempts = 6;

    public static TheoryData<string, double, int> Cases
    {
        get
        {
            var data = new TheoryData<string, double, int>();
            foreach (string layer in new[] { "conv 32 32", "conv 128 8", "conv 64 4", "linear 256", "linear 768" })
            {
                foreach (double density in new[] { 0.5, 0.15, 0.04 })
                {
                    foreach (int batch in new[] { 1, 12 }) data.Add(layer, density, batch);
                }
            }
            return data;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void Plans_are_not_slower_than_their_dense_twins(string layer, double density, int batch)
    {
        string[] words = layer.Split(' ');
        var b = new GraphBuilder(layer);
        int width = int.Parse(words[1]);
        Value x = words[0] == "conv" ? b.Input("x", ElementType.Float32, batch, width, int.Parse(words[2]), int.Parse(words[2])) : b.Input("x", ElementType.Float32, batch, width);
        ModelGraph graph = b.Build(words[0] == "conv" ? b.Conv(x, "w", width, 3, padding: 1) : b.Linear(x, "w", width));
        Weight weight = graph.Weights["w.weight"];
        float[] scores = Array.ConvertAll(weight.Read().ToSingles(), Math.Abs);
        weight.SetMask(PatternProjection.KeepBest(SparsityPattern.Unstructured, scores, width, weight.Length / width, density).Reshape(weight.Shape));
        var session = new InferenceSession(graph);
        var twin = new InferenceSession(graph, new SessionOptions { ForceDense = true });
        TensorData input = RandomNetworks.Input(1, x.Shape!.ToSizes());

        double ratio = 0;
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            double[] times = KernelTimer.Best(20, () => twin.Run(input), () => session.Run(input));
            ratio = times[1] / times[0];
            if (ratio <= Noise) break;
        }
        output.WriteLine($"{layer} density {density} batch {batch}: {1 / ratio:0.00}x");
        Assert.True(ratio <= Noise, $"{layer} density {density} batch {batch}: {ratio:0.00} times the dense twin's time{Environment.NewLine}{session.DescribePlan(new Dictionary<string, TensorData> { ["x"] = input })}");
    }
}
