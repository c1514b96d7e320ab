using System.Security.Cryptography;
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
    [InlineData("granet", "interval=5")]
    [InlineData("synflow", "rounds=5")]
    [InlineData("random", "allocation=snip-ratio")]
    [InlineData("imp", "rounds=2")]
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
    [InlineData("snip")]
    [InlineData("rigl")]
    [InlineData("imp")]
    public async Task AnInterruptedRunGoesOnToTheSameWeights(string method)
    {
        using var folder = new TemporaryFolder();
        string[] common =
        [
            "train", "small-cnn", "--data", "shapes", "--arch-options", "channels=4,hidden=16", "--method", method, "--sparsity", "90%",
            "--steps", "120", "--batch", "32", "--augment", "none", "--json", "--no-progress",
            .. method == "imp" ? (string[])["--set", "rounds=1"] : [],
        ];
        ProcessResult whole = await SparselandProcess.RunAsync([.. common, "--run-dir", folder["whole"]]);
        Assert.True(whole.ExitCode == 0, whole.Error);
        // Wherever the limit strikes - even after the end on a fast machine - the weights must come out the same.
        ProcessResult first = await SparselandProcess.RunAsync([.. common, "--run-dir", folder["parts"], "--time-limit", "1s"]);
        Assert.True(first.ExitCode is ExitCodes.Done or ExitCodes.OverLimit, first.Error);
        ProcessResult second = await SparselandProcess.RunAsync([.. common, "--run-dir", folder["parts"], "--resume"]);
        Assert.True(second.ExitCode == 0, second.Error);
        string[] hashes = [.. new[] { "whole", "parts" }.Select(f => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(Path.Combine(folder[f], "model.sparse.safetensors")))))];
        Assert.Equal(hashes[0], hashes[1]);
    }

    [Fact]
    public async Task AScheduleThatWouldComeToNothingIsSaidOnceBeforeTheRun()
    {
        using var folder = new TemporaryFolder();
        string[] common = ["train", "small-cnn", "--data", "shapes", "--arch-options", "channels=4,hidden=8", "--method", "rigl", "--sparsity", "80%", "--steps", "4", "--set", "interval=100", "--run-dir", folder["run"], "--no-progress"];
        ProcessResult plan = await SparselandProcess.RunAsync([.. common, "--dry-run"]);
        Assert.Contains("warning: no weight is exchanged", plan.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder["run"]));
        ProcessResult run = await SparselandProcess.RunAsync(common);
        Assert.True(run.ExitCode == 0, run.Error);
        Assert.Equal(2, run.Error.Split("warning: no weight is exchanged").Length);
        ProcessResult prune = await SparselandProcess.RunAsync(["prune", Path.Combine(folder["run"], "model.sparse.safetensors"), "--data", "shapes", "--method", "gmp", "--sparsity", "90%", "--steps", "20", "--set", "interval=19", "--no-bench", "--run-dir", folder["pruned"], "--no-progress"]);
        Assert.True(prune.ExitCode == 0, prune.Error + prune.Output);
        Assert.Equal(2, prune.Error.Split("warning: the sparsity rises in one cut").Length);
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
