using Sparseland.Kernels.Sparse;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Graph;
using Xunit.Abstractions;

namespace Sparseland.Runtime.Tests;

/// <summary>The pretrained CIFAR-10 networks through compiled plans.</summary>
public sealed class VisionTests(ITestOutputHelper output)
{
    private const int Images = 1000;
    private const int Pixels = 32 * 32;

    [SkippableTheory]
    [InlineData("resnet20-12fca82f.th", "resnet20_logits_test_first1000.npy", 0.90)]
    [InlineData("resnet56-4bfd9763.th", "resnet56_logits_test_first1000.npy", 0.92)]
    public void Reference_logits_and_accuracy(string checkpoint, string logits, double accuracy)
    {
        var session = new InferenceSession(ModelFile.Load(TestData.Require("cifar10-resnet", checkpoint)));
        float[] expected = NpyReader.Read(TestData.Require("cifar10-resnet", logits)).Array<float>();
        (TensorData images, byte[] labels) = Read();
        float[] actual = Run(session, images);
        Near.Equal(expected, actual, 1e-4, 1e-4, checkpoint);
        double correct = Accuracy(actual, labels);
        output.WriteLine($"{checkpoint}: {correct:P2}");
        Assert.True(correct >= accuracy, $"{correct:P2}");
    }

    [SkippableFact]
    public void A_pruned_network_gives_the_same_logits_sparse_and_dense()
    {
        ModelGraph graph = ModelFile.Load(TestData.Require("cifar10-resnet", "resnet20-12fca82f.th"));
        foreach (Weight weight in graph.Weights.Values.Where(w => w.Shape.Length == 4))
        {
            float[] scores = Array.ConvertAll(weight.Read().ToSingles(), Math.Abs);
            int rows = weight.Shape[0];
            weight.SetMask(PatternProjection.KeepBest(SparsityPattern.Unstructured, scores, rows, weight.Length / rows, 0.2).Reshape(weight.Shape));
        }
        (TensorData images, _) = Read();
        float[] dense = Run(new InferenceSession(graph, new SessionOptions { ForceDense = true }), images);
        var session = new InferenceSession(graph);
        Near.Equal(dense, Run(session, images), 1e-4, 1e-4);
        string plan = session.DescribePlan(new Dictionary<string, TensorData> { [session.Inputs[0].Name] = images.Slice(0, 1) });
        Assert.Contains("sparse convolution", plan);
        output.WriteLine(plan);
    }

    private static float[] Run(InferenceSession session, TensorData images)
    {
        const int Batch = 125;
        var logits = new List<float>();
        for (int i = 0; i < Images; i += Batch) logits.AddRange(session.Run(images.Slice(i, Batch)).Values.First().Span<float>());
        return [.. logits];
    }

    private static double Accuracy(float[] logits, byte[] labels)
    {
        int correct = 0;
        for (int i = 0; i < labels.Length; i++)
        {
            float[] row = logits[(i * 10)..(i * 10 + 10)];
            if (Array.IndexOf(row, row.Max()) == labels[i]) correct++;
        }
        return (double)correct / labels.Length;
    }

    private static (TensorData Images, byte[] Labels) Read()
    {
        byte[] file = File.ReadAllBytes(TestData.Require("cifar10", "test_batch_first1000.bin"));
        float[] mean = [0.485f, 0.456f, 0.406f], deviation = [0.229f, 0.224f, 0.225f];
        var pixels = new float[Images * 3 * Pixels];
        var labels = new byte[Images];
        for (int i = 0; i < Images; i++)
        {
            int record = i * (1 + 3 * Pixels);
            labels[i] = file[record];
            for (int p = 0; p < 3 * Pixels; p++) pixels[i * 3 * Pixels + p] = (file[record + 1 + p] / 255f - mean[p / Pixels]) / deviation[p / Pixels];
        }
        return (TensorData.Wrap(pixels, Images, 3, 32, 32), labels);
    }
}

internal static class TensorDataSlices
{
    /// <summary>Rows start .. start + count - 1 along the first axis.</summary>
    public static TensorData Slice(this TensorData data, int start, int count)
    {
        int row = data.Length / data.Shape[0];
        int[] shape = data.Shape.ToArray();
        shape[0] = count;
        return TensorData.Wrap(data.Span<float>().Slice(start * row, count * row).ToArray(), shape);
    }
}
