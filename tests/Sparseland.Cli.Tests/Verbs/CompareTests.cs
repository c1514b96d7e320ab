using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Tests.Verbs;

public class CompareTests
{
    [Fact]
    public async Task Rows_run_in_processes_of_their_own_are_not_run_twice_and_are_timed_beside_the_dense_network()
    {
        using var folder = new TemporaryFolder();
        string[] line = ["compare", "training", "--rows", "dense,snip", "--budget", "quick", "--workers", "2", "--out", folder["results"], "--data-root", Directory.CreateDirectory(folder["no-data"]).FullName, "--json"];
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
    public async Task A_row_that_is_added_leaves_rows_of_other_commits_and_their_times_as_they_are_and_a_changed_file_loses_its_time()
    {
        using var folder = new TemporaryFolder();
        string[] line = ["compare", "training", "--budget", "quick", "--workers", "2", "--out", folder["results"], "--data-root", Directory.CreateDirectory(folder["no-data"]).FullName];
        string file = Path.Combine(folder["results"], "training.json"), parts = Path.Combine(folder["results"], "parts"), models = Path.Combine(parts, "models-quick");
        JsonNode Result() => JsonNode.Parse(File.ReadAllText(file))!;
        string[] Times() => [.. Result()["times"]!["rows"]!.AsArray().Select(t => $"{t!["row"]} {t["sparsity"]}")];
        Assert.Equal(0, (await SparselandProcess.RunAsync([.. line, "--rows", "dense,random"])).ExitCode);
        ProcessResult timed = await SparselandProcess.RunAsync([.. line, "--time", "--seconds", "0.02"]);
        Assert.True(timed.ExitCode == 0, timed.Error);

        // As if all that had been another commit's: in the parts, and in the file.
        foreach (string path in Directory.GetFiles(parts, "*.json").Append(file))
        {
            JsonNode json = JsonNode.Parse(File.ReadAllText(path))!;
            foreach (JsonNode? of in json["rows"]?.AsArray() ?? [json]) of!["commit"] = "earlier";
            File.WriteAllText(path, json.ToJsonString());
        }
        string[] before = Times();
        Assert.Equal(["dense 0", "random 0.8", "random 0.9", "random 0.95"], before);
        ProcessResult added = await SparselandProcess.RunAsync([.. line, "--rows", "static"]);
        Assert.True(added.ExitCode == 0, added.Error);
        Assert.Equal(["dense", "random", "static"], Result()["rows"]!.AsArray().Select(r => (string)r!["row"]!));
        Assert.Equal(["earlier", "earlier"], Result()["rows"]!.AsArray().Take(2).Select(r => (string)r!["commit"]!));
        Assert.NotEqual("earlier", (string)Result()["rows"]![2]!["commit"]!);
        Assert.Equal(before, Times());

        // The file alone, without parts, keeps them; parts alone give the rows again, without times.
        File.AppendAllText(Path.Combine(models, "training.random.90.sparse.safetensors"), "x");
        File.Delete(Path.Combine(parts, "training.random.quick.0.json"));
        Assert.Equal(0, (await SparselandProcess.RunAsync([.. line, "--collect"])).ExitCode);
        Assert.Equal(["dense", "random", "static"], Result()["rows"]!.AsArray().Select(r => (string)r!["row"]!));
        Assert.Equal(["dense 0", "random 0.8", "random 0.95"], Times());
        File.Delete(file);
        Assert.Equal(0, (await SparselandProcess.RunAsync([.. line, "--collect"])).ExitCode);
        Assert.Equal(["dense", "static"], Result()["rows"]!.AsArray().Select(r => (string)r!["row"]!));
        Assert.Null(Result()["times"]);
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
        await CommandLine.FailsAsync(ExitCodes.Usage, "SL4000", "compare", "training", "--time", "--collect", "--out", folder["r"]);
        await CommandLine.FailsAsync(ExitCodes.Usage, "SL4000", "compare", "training", "--rows", "snip", "--collect", "--out", folder["r"]);
        Assert.False(Directory.Exists(folder["r"]));

        // A quick look does not take the place of what took an hour.
        string standard = Path.Combine(House.Repository.Root, "reproductions", "comparisons", "training.json");
        Directory.CreateDirectory(folder["s"]);
        File.Copy(standard, Path.Combine(folder["s"], "training.json"));
        await CommandLine.FailsAsync(ExitCodes.Usage, "SL4000", "compare", "training", "--budget", "quick", "--rows", "dense", "--out", folder["s"]);
        Assert.Equal(File.ReadAllText(standard), File.ReadAllText(Path.Combine(folder["s"], "training.json")));
    }
}
