using System.Text.Json.Nodes;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Graph;
using Sparseland.Runtime;
using Xunit.Abstractions;

namespace Sparseland.Cli.Tests.Stories;

/// <summary>Pretrained CIFAR-10 ResNets: what a user gets from their checkpoints before and after single weights are removed.</summary>
public class VisionUnstructuredTests(ITestOutputHelper output)
{
    [SkippableTheory]
    [InlineData("resnet20-12fca82f.th", "resnet20_logits_test_first1000.npy", 1000)]
    [InlineData("resnet56-4bfd9763.th", "resnet56_logits_test_first1000.npy", 200)]
    public void ThePretrainedCheckpointGivesItsReferenceLogits(string checkpoint, string reference, int pictures)
    {
        TensorData logits = NpyReader.Read(TestData.Require("cifar10-resnet", reference));
        ModelGraph graph = ModelFile.Load(TestData.Require("cifar10-resnet", checkpoint));
        float[] actual = new InferenceSession(graph).Run(StoryTools.TestPictures(pictures)).GetAt(0).Value.ToSingles();
        Near.Equal(logits.Span<float>()[..(pictures * 10)], actual, 1e-4, 0, checkpoint);
    }

    [SkippableFact]
    public async Task EvaluateGivesTheStatedAccuracy()
    {
        JsonNode result = await StoryTools.RunAsync("evaluate", TestData.Require("cifar10-resnet", "resnet20-12fca82f.th"), "--data", Path.GetDirectoryName(TestData.Require("cifar10", "test_batch_first1000.bin"))!);
        Assert.Equal(1000, (int)result["samples"]!);
        Assert.Equal(0.915, (double)result["top1"]!, 6);
        // A plain computation over the stored reference logits, fifteen bins.
        Assert.Equal(0.0580433, (double)result["calibrationError"]!, 1e-4);
        Assert.Equal(0.3842049, (double)result["loss"]!, 1e-4);
    }

    [SkippableTheory]
    [InlineData(80)]
    [InlineData(90)]
    public async Task APrunedFileIsAsSmallAsItsDensityAllowsAndLosesNothingOnTheWay(int sparsity)
    {
        string checkpoint = TestData.Require("cifar10-resnet", "resnet20-12fca82f.th");
        using var folder = new TemporaryFolder();
        JsonNode result = await StoryTools.RunAsync("prune", checkpoint, "--sparsity", $"{sparsity}%", "--run-dir", folder["run"], "--no-bench");
        string compact = (string)result["compact"]!, onnx = (string)result["onnx"]!;
        ModelGraph pruned = ModelFile.Load(compact), interchange = ModelFile.Load(onnx);
        long masked = 0, kept = 0;
        foreach (Weight weight in pruned.Weights.Values.Where(w => w.Mask is not null))
        {
            masked += weight.Length;
            kept += weight.Mask!.KeptCount;
        }
        Assert.InRange(1 - (double)kept / masked, sparsity / 100.0 - 1e-4, sparsity / 100.0 + 1e-4);
        output.WriteLine(StoryTools.RequireCompact(compact));

        // Both files hold the same network: same logits to the last bit on the same engine, and no zero has come back.
        TensorData pictures = StoryTools.TestPictures(32);
        var dense = new SessionOptions { ForceDense = true };
        float[] expected = new InferenceSession(pruned, dense).Run(pictures).GetAt(0).Value.ToSingles();
        Near.BitEqual(expected, new InferenceSession(interchange, dense).Run(pictures).GetAt(0).Value.ToSingles(), "onnx");
        Near.Equal(expected, new InferenceSession(pruned).Run(pictures).GetAt(0).Value.ToSingles(), 1e-4, 0, "sparse kernels");
        foreach ((string name, Weight weight) in pruned.Weights)
        {
            if (weight.Mask is not { } mask) continue;
            float[] values = interchange.Weights[name].Read().ToSingles();
            for (int i = 0; i < values.Length; i++) Assert.True(mask[i] || values[i] == 0, $"{name}[{i}] = {values[i]} came back");
        }
    }

    [SkippableTheory]
    [InlineData(0)]
    [InlineData(80)]
    public async Task OnnxRuntimeAgreesOnTheExportedFile(int sparsity)
    {
        string checkpoint = TestData.Require("cifar10-resnet", "resnet20-12fca82f.th");
        StoryTools.RequireOnnxRuntime();
        using var folder = new TemporaryFolder();
        string file = folder["model.onnx"];
        await StoryTools.RunAsync(sparsity == 0
            ? ["convert", checkpoint, "-o", file]
            : ["prune", checkpoint, "--sparsity", $"{sparsity}%", "-o", file, "--run-dir", folder["run"], "--no-bench"]);
        ModelGraph graph = ModelFile.Load(file);
        TensorData pictures = StoryTools.TestPictures(64);
        float[] ours = new InferenceSession(graph).Run(pictures).GetAt(0).Value.ToSingles();
        Near.Equal(ours, StoryTools.OnnxRuntime(file, graph.Inputs[0].Name, pictures, graph.Outputs[0].Name), 1e-4, 0, $"{sparsity} %");
    }
}
