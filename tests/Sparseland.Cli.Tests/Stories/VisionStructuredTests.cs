using System.Text.Json.Nodes;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;
using Sparseland.Runtime;
using Xunit.Abstractions;

namespace Sparseland.Cli.Tests.Stories;

/// <summary>Whole channels of a pretrained network: the result is an ordinary, smaller network for any engine.</summary>
public class VisionStructuredTests(ITestOutputHelper output)
{
    [SkippableFact]
    public async Task HalfTheMultiplyAddsMakeASmallerPlainFileThatOnnxRuntimeRunsToo()
    {
        string checkpoint = TestData.Require("cifar10-resnet", "resnet20-12fca82f.th");
        using var folder = new TemporaryFolder();
        JsonNode result = await StoryTools.RunAsync("prune", checkpoint, "--macs", "50%", "--run-dir", folder["run"], "--no-bench");
        JsonNode macs = result["multiplyAdds"]!, bytes = result["onnxBytes"]!, parameters = result["parameters"]!;
        output.WriteLine($"{macs["before"]} -> {macs["after"]} multiply-adds, {parameters["before"]} -> {parameters["after"]} parameters, {bytes["before"]} -> {bytes["after"]} bytes of ONNX");
        double share = (double)macs["after"]! / (double)macs["before"]!;
        Assert.InRange(share, 0.35, 0.5);
        Assert.True((long)bytes["after"]! < (long)bytes["before"]!, "the file did not become smaller");
        Assert.True((long)parameters["after"]! < (long)parameters["before"]!, "no parameters went");

        string file = (string)result["onnx"]!;
        ModelGraph pruned = ModelFile.Load(file), dense = ModelFile.Load(checkpoint);
        Assert.All(pruned.Weights.Values, w => Assert.Null(w.Mask));
        Assert.Contains(pruned.Weights.Values, w => w.Shape.Length == 4 && dense.Weights.TryGetValue(w.Name, out Weight? old) && w.Shape[0] < old.Shape[0]);
        TensorData pictures = StoryTools.TestPictures(64);
        float[] ours = new InferenceSession(pruned).Run(pictures).GetAt(0).Value.ToSingles();
        Assert.Equal(64 * 10, ours.Length);
        Assert.All(ours, v => Assert.True(float.IsFinite(v)));
        StoryTools.RequireOnnxRuntime();
        Near.Equal(ours, StoryTools.OnnxRuntime(file, pruned.Inputs[0].Name, pictures, pruned.Outputs[0].Name), 1e-4, 0, "pruned");
    }
}
