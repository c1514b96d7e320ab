using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Tests.Verbs;

public class ReproduceTests
{
    [Fact]
    public async Task Seeds_run_in_processes_of_their_own_and_are_not_run_twice()
    {
        using var folder = new TemporaryFolder();
        string[] line = ["reproduce", "gmp", "--budget", "quick", "--seeds", "2", "--workers", "2", "--out", folder["results"], "--json"];
        ProcessResult result = await SparselandProcess.RunAsync(line);
        Assert.True(result.ExitCode == 0, result.Error);
        JsonNode json = JsonNode.Parse(result.Output)!["results"]![0]!;
        Assert.Equal([0, 1], json["seeds"]!.AsArray().Select(s => (int)s!["seed"]!));
        // A quick run says nothing about the claim, whatever it measured.
        Assert.Equal("inconclusive", (string)json["verdict"]!);
        Assert.Equal(json.ToJsonString(), JsonNode.Parse(File.ReadAllText(Path.Combine(folder["results"], "gmp.json")))!.ToJsonString());
        ProcessResult again = await SparselandProcess.RunAsync([.. line, "--resume"]);
        Assert.True(again.ExitCode == 0, again.Error);
        Assert.Contains("2 of them done already", again.Error, StringComparison.Ordinal);
        Assert.Equal(json["seeds"]!.ToJsonString(), JsonNode.Parse(again.Output)!["results"]![0]!["seeds"]!.ToJsonString());
    }

    [Fact]
    public async Task Parts_of_other_data_are_not_mixed_and_missing_data_is_said()
    {
        using var folder = new TemporaryFolder();
        string empty = Directory.CreateDirectory(folder["empty"]).FullName;
        string[] line = ["reproduce", "gmp", "--budget", "quick", "--seeds", "1", "--out", folder["results"]];
        var none = new Dictionary<string, string?> { ["SPARSELAND_DATA"] = null };
        ProcessResult first = await SparselandProcess.RunAsync(line, environment: none);
        Assert.True(first.ExitCode == 0, first.Error);
        Assert.Contains("the built-in shapes took its place", first.Error, StringComparison.Ordinal);
        ProcessResult other = await SparselandProcess.RunAsync([.. line, "--resume", "--dry-run", "--data-root", empty], environment: none);
        Assert.Contains("0 of them done already", other.Error + other.Output, StringComparison.Ordinal);
        ProcessResult same = await SparselandProcess.RunAsync([.. line, "--resume", "--dry-run"], environment: none);
        Assert.Contains("1 of them done already", same.Error + same.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Wrong_requests_are_told_before_anything_runs()
    {
        using var folder = new TemporaryFolder();
        await CommandLine.FailsAsync(ExitCodes.Usage, "SL4000", "reproduce", "--out", folder["r"]);
        await CommandLine.FailsAsync(ExitCodes.Usage, "SL4000", "reproduce", "gmp", "--workers", "0", "--out", folder["r"]);
        await CommandLine.FailsAsync(ExitCodes.Usage, "SL6001", "reproduce", "nothing", "--out", folder["r"]);
        await CommandLine.FailsAsync(ExitCodes.Usage, "SL4000", "reproduce", "gmp", "--data-root", folder["nowhere"], "--out", folder["r"]);
        Assert.False(Directory.Exists(folder["r"]));
    }
}
