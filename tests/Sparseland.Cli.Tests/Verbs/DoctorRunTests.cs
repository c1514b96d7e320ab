using System.Text.Json.Nodes;
using Sparseland.Model.Formats;

namespace Sparseland.Cli.Tests.Verbs;

public sealed class DoctorRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static async Task<JsonNode> Check(params string[] arguments)
    {
        ProcessResult result = await CommandLine.RunAsync(["doctor", "run", .. arguments, "--json"]);
        Assert.True(result.ExitCode == 0, result.Error + result.Output);
        return JsonNode.Parse(result.Output)!;
    }

    private static string Verdict(JsonNode checklist, int rule) => (string)checklist["rules"]!.AsArray().Single(r => (int)r!["number"]! == rule)!["verdict"]!;

    [Fact]
    public async Task A_pruning_is_told_what_it_honours_and_runs_beside_it_fill_the_gaps()
    {
        ModelFile.Save(ConventionTests.SmallModel(), _folder["m.onnx"]);
        async Task Prune(string run, string seed, params string[] more)
        {
            ProcessResult result = await CommandLine.RunAsync(["prune", _folder["m.onnx"], "--sparsity", "80%", "--data", "shapes", "--steps", "12", "--seed", seed, "--run-dir", _folder[run], "--no-progress", .. more]);
            Assert.True(result.ExitCode == 0, result.Error);
        }
        await Prune("a", "1");
        JsonNode alone = await Check(_folder["a"]);
        Assert.Equal("gmp", (string?)alone["method"]);
        Assert.Equal(10, alone["rules"]!.AsArray().Count);
        foreach (int honoured in (int[])[2, 3, 6, 7, 10]) Assert.Equal("Honoured", Verdict(alone, honoured));
        foreach (int missing in (int[])[1, 4, 8, 9]) Assert.Equal("Missing", Verdict(alone, missing));
        Assert.True((double)alone["trainingMultiplyAdds"]! > 1e6);
        await Prune("b", "2", "--no-bench");
        await Prune("c", "3", "--no-bench");
        Assert.Equal("Missing", Verdict(await Check(_folder["b"]), 2));
        JsonNode together = await Check(_folder["a"], "--beside", _folder["b"], _folder["c"]);
        Assert.Equal("Honoured", Verdict(together, 9));
        ProcessResult gate = await CommandLine.RunAsync("doctor", "run", _folder["a"], "--gate");
        Assert.Equal(5, gate.ExitCode);
    }

    [Fact]
    public async Task A_training_with_moving_masks_records_what_it_explored()
    {
        ProcessResult result = await CommandLine.RunAsync("train", "small-cnn", "--arch-options", "channels=4,hidden=8", "--data", "shapes", "--method", "rigl", "--sparsity", "80%", "--steps", "12", "--set", "interval=3", "--run-dir", _folder["rigl"], "--no-progress");
        Assert.True(result.ExitCode == 0, result.Error);
        JsonNode run = JsonNode.Parse(File.ReadAllText(_folder["rigl/run.json"]))!;
        Assert.InRange((double)run["explored"]!["share"]!, 0.2001, 1);
        Assert.True((long)run["explored"]!["lastChange"]! > 0);
        JsonNode checklist = await Check(_folder["rigl"]);
        Assert.Equal("Honoured", Verdict(checklist, 5));
        Assert.Equal("NotApplicable", Verdict(checklist, 4));
    }

    [Fact]
    public async Task Folders_that_are_no_such_run_are_errors()
    {
        await CommandLine.FailsAsync(3, "SL1000", "doctor", "run", _folder["nothing"]);
        File.WriteAllText(_folder["run.json"], "{");
        await CommandLine.FailsAsync(3, "SL1001", "doctor", "run", _folder.Path);
        File.WriteAllText(_folder["run.json"], """{ "verb": "analyze" }""");
        await CommandLine.FailsAsync(3, "SL1001", "doctor", "run", _folder.Path);
    }
}
