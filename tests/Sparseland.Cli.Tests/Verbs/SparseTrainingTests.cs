using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;

namespace Sparseland.Cli.Tests.Verbs;

/// <summary><c>train</c> with a method that acts before or during training.</summary>
public class SparseTrainingTests
{
    [Theory]
    [InlineData("snip", "batches=2")]
    [InlineData("rigl", "interval=5")]
    [InlineData("gmp", "end=0.5")]
    public async Task TheTrainedNetworkHasTheSparsityThatWasAskedFor(string method, string parameter)
    {
        using var folder = new TemporaryFolder();
        ProcessResult result = await SparselandProcess.RunAsync(
        [
            "train", "small-cnn", "--data", "shapes", "--arch-options", "channels=8,hidden=32", "--method", method, "--set", parameter, "--sparsity", "90%",
            "--steps", "20", "--batch", "32", "--run-dir", folder["run"], "--json",
        ]);
        Assert.True(result.ExitCode == 0, result.Error);
        JsonNode json = JsonNode.Parse(result.Output)!;
        Assert.Equal(method, (string)json["method"]!);
        Assert.InRange((double)json["sparsity"]!, 0.899, 0.901);
        ModelGraph graph = ModelFile.Load((string)json["compact"]!);
        Weight[] masked = [.. graph.Weights.Values.Where(w => w.Mask is not null)];
        Assert.InRange(1 - masked.Sum(w => (double)w.Mask!.KeptCount) / masked.Sum(w => (double)w.Length), 0.899, 0.901);
        Assert.InRange((long)json["nonZeros"]!, 1, (long)json["parameters"]! / 5);
    }

    [Theory]
    [InlineData("--sparsity", "90%")]
    [InlineData("--method", "wanda")]
    [InlineData("--method", "channels")]
    [InlineData("--set", "interval=5")]
    public async Task FlagsThatMakeNoSenseAreUsageErrors(string flag, string value)
    {
        using var folder = new TemporaryFolder();
        ProcessResult result = await SparselandProcess.RunAsync(["train", "small-cnn", "--data", "shapes", flag, value, "--run-dir", folder["run"], "--steps", "1"]);
        Assert.Equal(ExitCodes.Usage, result.ExitCode);
        Assert.Contains("--method", result.Error + result.Output);
        Assert.False(Directory.Exists(folder["run"]));
    }
}
