using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Tests.Verbs;

public class CompareTests
{
    [Fact]
    public async Task Rows_run_in_processes_of_their_own_are_not_run_twice_and_are_timed_beside_the_dense_network()
    {
        using var folder = new TemporaryFolder();
        string[] line = ["compare", "training", "--rows", "dense,snip", "--budget", "quick", "--workers", "2", "--out", folder["results"], "--data-root", folder["no-data"], "--json"];
        ProcessResult result = await SparselandProcess.RunAsync(line);
        Assert.True(result.ExitCode == 0, result.Error);
        JsonNode json = JsonNode.Parse(result.Output)!["results"]![0]!;
        Assert.Equal(["dense", "snip"], json["rows"]!.AsArray().Select(r => (string)r!["row"]!));
        Assert.Null(json["times"]);
        Assert.Equal(44, (double)json["rows"]![1]!["seeds"]![0]!["values"]!["95 %: passes"]!);

        ProcessResult again = await SparselandProcess.RunAsync([.. line, "--resume"]);
        Assert.True(again.ExitCode == 0, again.Error);
        Assert.Contains("2 of them done already", again.Error, StringComparison.Ordinal);

        ProcessResult timed = await SparselandProcess.RunAsync([.. line, "--time", "--seconds", "0.02"]);
        Assert.True(timed.ExitCode == 0, timed.Error);
        JsonArray times = JsonNode.Parse(File.ReadAllText(Path.Combine(folder["results"], "training.json")))!["times"]!["rows"]!.AsArray();
        Assert.Equal([("dense", 0), ("snip", 0.8), ("snip", 0.9), ("snip", 0.95)], times.Select(t => ((string)t!["row"]!, (double)t["sparsity"]!)));
        Assert.All(times, t => Assert.True((double)t!["ms"]! > 0 && (double)t["low"]! <= (double)t["high"]!));
    }

    [Fact]
    public async Task Wrong_requests_are_told_before_anything_runs()
    {
        using var folder = new TemporaryFolder();
        await CommandLine.FailsAsync(ExitCodes.Usage, "SL4000", "compare", "--out", folder["r"]);
        await CommandLine.FailsAsync(ExitCodes.Usage, "SL4000", "compare", "training", "--rows", "snap", "--out", folder["r"]);
        await CommandLine.FailsAsync(ExitCodes.Usage, "SL4000", "compare", "training", "--time", "--seconds", "0", "--out", folder["r"]);
        ProcessResult unknown = await CommandLine.RunAsync("compare", "nothing", "--out", folder["r"]);
        Assert.NotEqual(0, unknown.ExitCode);
        Assert.Contains("SL6006", unknown.Error, StringComparison.Ordinal);
        await CommandLine.FailsAsync(ExitCodes.BadInputFile, "SL6007", "compare", "training", "--time", "--out", folder["r"]);
        Assert.False(Directory.Exists(folder["r"]));
    }
}
