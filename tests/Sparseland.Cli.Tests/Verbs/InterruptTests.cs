using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Model.Formats;

namespace Sparseland.Cli.Tests.Verbs;

public sealed class InterruptTests
{
    [SkippableTheory]
    [InlineData("train")]
    [InlineData("gmp")]
    [InlineData("magnitude")]
    public async Task An_interrupted_run_goes_on_to_the_bits_of_an_uninterrupted_one(string how)
    {
        Skip.IfNot(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "signals are sent with kill");
        using var folder = new TemporaryFolder();
        string model = folder["m.onnx"];
        ModelFile.Save(ConventionTests.SmallModel(), model);
        string[] line = how == "train"
            ? ["train", model, "--data", "shapes", "--steps", "1500", "--batch", "16"]
            : ["prune", model, "--method", how, "--sparsity", "70%", "--data", "shapes", "--steps", "1500", "--batch", "16", "--no-bench"];
        ProcessResult whole = await SparselandProcess.RunAsync([.. line, "--run-dir", folder["whole"], "--quiet"]);
        Assert.True(whole.ExitCode == 0, whole.Error);

        string[] cut = [.. line, "--run-dir", folder["cut"]];
        using Process process = SparselandProcess.Start(cut);
        string awaited = how switch { "train" => "training:", "gmp" => "gradual", _ => "recovering:" };
        while (await process.StandardOutput.ReadLineAsync() is { } text && !(text.StartsWith(awaited, StringComparison.Ordinal) && text.Contains("left", StringComparison.Ordinal)))
        {
        }
        using (Process kill = Process.Start("kill", ["-INT", process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)])) await kill.WaitForExitAsync();
        ProcessResult stopped = await SparselandProcess.FinishAsync(process, 60);
        Assert.True(stopped.ExitCode == 130, $"exit {stopped.ExitCode}: {stopped.Error}");
        Assert.Contains("--resume", stopped.Error, StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(folder["cut"], "checkpoints", "latest.safetensors")));
        Assert.False(File.Exists(Path.Combine(folder["cut"], "model.onnx")));

        ProcessResult resumed = await SparselandProcess.RunAsync([.. cut, "--resume"]);
        Assert.True(resumed.ExitCode == 0, resumed.Error);
        Assert.Contains("resumed at step", resumed.Output, StringComparison.Ordinal);
        Assert.Equal(File.ReadAllBytes(Path.Combine(folder["whole"], "model.sparse.safetensors")), File.ReadAllBytes(Path.Combine(folder["cut"], "model.sparse.safetensors")));
        Assert.Equal(Result(folder["whole"]), Result(folder["cut"]));
    }

    [Fact]
    public async Task A_time_limit_is_exit_6_and_another_seed_cannot_resume()
    {
        using var folder = new TemporaryFolder();
        string model = folder["m.onnx"];
        ModelFile.Save(ConventionTests.SmallModel(), model);
        string[] line = ["train", model, "--data", "shapes", "--steps", "100000", "--batch", "16", "--run-dir", folder["run"]];
        await CommandLine.FailsAsync(6, "SL5005", [.. line, "--time-limit", "1s"]);
        Assert.True(File.Exists(Path.Combine(folder["run"], "checkpoints", "latest.safetensors")));
        await CommandLine.FailsAsync(2, "SL4000", [.. line, "--resume", "--seed", "7"]);
        File.WriteAllText(Path.Combine(folder["run"], "run.json"), "{ \"verb\": ");
        await CommandLine.FailsAsync(2, "SL4000", [.. line, "--resume"]);
    }

    private static string Result(string run)
    {
        JsonNode result = JsonNode.Parse(File.ReadAllText(Path.Combine(run, "run.json")))!["result"]!;
        return (result["top1"] ?? result["evaluations"])!.ToJsonString();
    }
}
