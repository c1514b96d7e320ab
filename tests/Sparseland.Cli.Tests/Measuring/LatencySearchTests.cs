using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Tests.Verbs;
using Sparseland.Model.Architectures;
using Sparseland.Model.Formats;

namespace Sparseland.Cli.Tests.Measuring;

public class LatencySearchTests
{
    [Theory]
    [InlineData(5.0, 0.2, 0.49)]
    [InlineData(9.9, 0.2, 0.98)]
    [InlineData(2.0, 0.2, 0.2)]
    public void The_largest_share_within_the_target_is_found(double target, double least, double expected)
    {
        int looks = 0;
        (double keep, double time) = LatencySearch.Find(share => { looks++; return 10 * share; }, least, target);
        Assert.True(time <= target);
        Assert.InRange(keep, expected - 0.01, target / 10);
        Assert.InRange(looks, 1, 8);
    }

    [Fact]
    public void A_target_out_of_reach_gives_the_least_share_and_its_time_after_one_look()
    {
        int looks = 0;
        Assert.Equal((0.3, 3.0), LatencySearch.Find(share => { looks++; return 10 * share; }, 0.3, 2.9));
        Assert.Equal(1, looks);
    }

    [Theory]
    [InlineData("12ms", 12)]
    [InlineData("0.5 ms", 0.5)]
    [InlineData("800us", 0.8)]
    [InlineData("1.5s", 1500)]
    public void Times_are_read(string text, double milliseconds) => Assert.Equal(milliseconds, CommonOptions.ParseMilliseconds(text), 9);

    [Fact]
    public async Task A_latency_is_met_or_the_nearest_named()
    {
        using var folder = new TemporaryFolder();
        string model = folder["m.onnx"];
        Architecture architecture = ArchitectureCatalog.Get("small-cnn");
        ModelFile.Save(architecture.Build(architecture.DefaultOptions().Parse("channels=64,hidden=64,image=32"), 1), model);
        ProcessResult never = await CommandLine.FailsAsync(5, "SL5103", "prune", model, "--latency", "1us", "--no-bench", "--run-dir", folder["run"]);
        Assert.Contains("the fastest is", never.Error, StringComparison.Ordinal);
        Assert.Contains("--latency", never.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder["run"]));
        await CommandLine.FailsAsync(4, "SL4007", "prune", model, "--latency", "100s", "--no-bench", "--run-dir", folder["run"]);
        await CommandLine.FailsAsync(2, "SL4000", "prune", model, "--latency", "12", "--run-dir", folder["run"]);
        await CommandLine.FailsAsync(2, "SL4000", "prune", model, "--latency", "12ms", "--macs", "50%", "--run-dir", folder["run"]);

        // Four times the time of the smallest cut can be reached on any machine, however busy it is.
        double fastest = double.Parse(never.Error[(never.Error.IndexOf("the fastest is ", StringComparison.Ordinal) + 15)..].Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);
        ProcessResult met = await CommandLine.RunAsync("plan", model, "--latency", $"{(4 * fastest).ToString(System.Globalization.CultureInfo.InvariantCulture)}ms", "--json", "--save-recipe", folder["r.yml"]);
        Assert.True(met.ExitCode is 0 or 4, met.Error);
        Assert.InRange((double)JsonNode.Parse(met.Output)!["achieved"]!, 0, 1);
        Assert.Contains("budget: macs", File.ReadAllText(folder["r.yml"]), StringComparison.Ordinal);
    }
}
