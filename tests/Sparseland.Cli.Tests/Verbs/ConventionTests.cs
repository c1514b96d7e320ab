using System.Text.Json.Nodes;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Architectures;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;

namespace Sparseland.Cli.Tests.Verbs;

public sealed class ConventionTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _model;

    public ConventionTests()
    {
        _model = _folder["m.onnx"];
        ModelFile.Save(SmallModel(), _model);
    }

    public void Dispose() => _folder.Dispose();

    internal static ModelGraph SmallModel()
    {
        Architecture architecture = ArchitectureCatalog.Find("small-cnn")!;
        ArchitectureOptions options = architecture.DefaultOptions();
        options.Parse("channels=4,hidden=8,image=16");
        return architecture.Build(options, 1);
    }

    [Fact]
    public async Task Convert_names_the_weights_that_could_not_be_integers()
    {
        string file = _folder["m.sparse.safetensors"];
        ProcessResult result = await CommandLine.RunAsync("convert", _model, "-o", file, "--values", "int8");
        Assert.Equal(0, result.ExitCode);
        Weight[] weights = [.. ModelFile.Load(file).Weights.Values.Where(w => w.Shape.Length > 1)];
        string[] short16 = [.. weights.Where(w => w.Storage.Matrix?.Kind == ValueKind.BFloat16).Select(w => w.Name).Order(StringComparer.Ordinal)];
        Assert.InRange(short16.Length, 1, weights.Length);
        Assert.Contains($"held in bf16 instead of int8, because rows are too short for scales or values are not finite: {string.Join(", ", short16)}", result.Output + result.Error, StringComparison.Ordinal);
        result = await CommandLine.RunAsync("convert", _model, "-o", file, "--values", "bf16", "--force");
        Assert.DoesNotContain("held in", result.Output + result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("SL4000", "0 % to 100 %", "--sparsity", "110%")]
    [InlineData("SL4001", "conv1", "--sparsity", "50%", "--targets", "conv9*")]
    [InlineData("SL4011", "magnitude", "--sparsity", "50%", "--method", "magnitud")]
    [InlineData("SL4000", "no duration", "--sparsity", "50%", "--time-limit", "soon")]
    [InlineData("SL4000", "no size", "--sparsity", "50%", "--memory-limit", "much")]
    public async Task Wrong_arguments_end_with_exit_2_an_advice_and_no_folder(string code, string words, params string[] arguments)
    {
        string run = _folder["run"];
        ProcessResult result = await CommandLine.FailsAsync(2, code, ["prune", _model, "--run-dir", run, .. arguments]);
        Assert.Contains(words, result.Error, StringComparison.Ordinal);
        Assert.Contains("  try ", result.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(run));
    }

    [Fact]
    public async Task What_cannot_be_reached_names_the_nearest_and_leaves_no_folder()
    {
        string run = _folder["run"];
        ProcessResult plan = await CommandLine.RunAsync("plan", _model, "--macs", "1%");
        Assert.Equal(5, plan.ExitCode);
        Assert.Contains("the nearest is", plan.Error, StringComparison.Ordinal);
        ProcessResult prune = await CommandLine.FailsAsync(5, "SL4030", "prune", _model, "--macs", "1%", "--no-bench", "--run-dir", run);
        Assert.Contains("the least is", prune.Error, StringComparison.Ordinal);
        await CommandLine.FailsAsync(5, "SL4004", "prune", _model, "--sparsity", "99.9%", "--no-bench", "--run-dir", run);
        await CommandLine.FailsAsync(4, "SL4007", "prune", _model, "--sparsity", "0%", "--no-bench", "--run-dir", run);
        Assert.False(Directory.Exists(run));
    }

    [Fact]
    public async Task A_missed_gate_is_exit_5_and_a_used_run_folder_exit_2()
    {
        string[] line = ["prune", _model, "--sparsity", "90%", "--data", "shapes", "--max-drop", "-100", "--no-bench", "--run-dir", _folder["run"]];
        ProcessResult result = await CommandLine.RunAsync(line);
        Assert.True(result.ExitCode == 5, result.Error);
        Assert.Contains("gate", result.Error, StringComparison.Ordinal);
        ProcessResult again = await CommandLine.FailsAsync(2, "SL4000", line);
        Assert.Contains("--resume", again.Error, StringComparison.Ordinal);
        Assert.Contains("--force", again.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Weights_that_are_not_numbers_are_warned_of_and_not_pruned()
    {
        ModelGraph graph = SmallModel();
        Weight weight = graph.Weights["conv1.weight"];
        float[] values = weight.Read().ToSingles();
        values[3] = float.NaN;
        weight.Set(TensorData.Wrap(values, weight.Shape));
        ModelFile.Save(graph, _folder["nan.onnx"]);
        ProcessResult inspect = await CommandLine.RunAsync("inspect", _folder["nan.onnx"]);
        Assert.Equal(0, inspect.ExitCode);
        Assert.Contains("conv1.weight", inspect.Error, StringComparison.Ordinal);
        ProcessResult prune = await CommandLine.FailsAsync(2, "SL4013", "prune", _folder["nan.onnx"], "--sparsity", "50%", "--no-bench", "--run-dir", _folder["run"]);
        Assert.Contains("conv1.weight", prune.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["run"]));
    }

    [Fact]
    public async Task Targets_that_cannot_be_written_are_left_alone()
    {
        string there = _folder["there.onnx"], inFolder = _folder["folder.onnx"];
        File.WriteAllText(there, "precious");
        Directory.CreateDirectory(inFolder);
        await CommandLine.FailsAsync(2, "SL4014", "convert", _model, "-o", there);
        await CommandLine.FailsAsync(2, "SL4014", "convert", _model, "-o", inFolder, "--force");
        Assert.Equal("precious", File.ReadAllText(there));
        Assert.Empty(Directory.GetFileSystemEntries(inFolder));
        if (OperatingSystem.IsLinux()) await CommandLine.FailsAsync(6, "SL1003", "convert", _model, "-o", "/proc/sparseland.onnx");
        Assert.Equal(0, (await CommandLine.RunAsync("convert", _model, "-o", there, "--force")).ExitCode);
    }

    [Fact]
    public async Task Data_that_does_not_fit_is_refused()
    {
        Directory.CreateDirectory(_folder["data"]);
        await CommandLine.FailsAsync(3, "SL30", "evaluate", _model, "--data", _folder["data"]);
        string text = _folder["words.txt"];
        File.WriteAllText(text, string.Concat(Enumerable.Repeat("to be or not to be ", 200)));
        ProcessResult result = await CommandLine.FailsAsync(3, "SL3008", "evaluate", _model, "--data", text);
        Assert.Contains("  try ", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_dry_run_writes_nothing_and_its_json_is_json()
    {
        string[] before = Directory.GetFileSystemEntries(_folder.Path);
        string[][] lines =
        [
            ["convert", _model, "-o", _folder["a/out.onnx"]], ["prune", _model, "--sparsity", "50%", "--run-dir", _folder["r"]],
            ["plan", _model, "--sparsity", "50%", "--save-recipe", _folder["r.yaml"]], ["train", "small-cnn", "--data", "shapes", "--run-dir", _folder["r"]],
            ["recover", _model, "--data", "shapes", "--run-dir", _folder["r"]], ["evaluate", _model, "--data", "shapes"], ["bench", _model], ["inspect", _model],
        ];
        foreach (string[] line in lines)
        {
            ProcessResult result = await CommandLine.RunAsync([.. line, "--dry-run", "--json"]);
            Assert.True(result.ExitCode == 0, $"{string.Join(' ', line)}: {result.Error}");
            Assert.True(JsonNode.Parse(result.Output) is JsonObject, result.Output);
        }
        Assert.Equal(before, Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public async Task Help_of_every_verb_and_the_version_end_with_0()
    {
        foreach (string verb in (string[])["quickstart", "inspect", "plan", "prune", "train", "recover", "evaluate", "convert", "run", "check", "bench", "list", "doctor"])
            Assert.Equal(0, (await CommandLine.RunAsync(verb, "--help")).ExitCode);
        Assert.Equal(0, (await CommandLine.RunAsync("--version")).ExitCode);
        Assert.Equal(2, (await CommandLine.RunAsync("prune", _model, "--no-such-option")).ExitCode);
    }

    [Fact]
    public async Task A_process_of_its_own_prints_plain_lines_quietly_where_asked_and_survives_a_full_log()
    {
        ProcessResult plain = await SparselandProcess.RunAsync(["evaluate", _model, "--data", "shapes", "--limit", "200"], environment: new Dictionary<string, string?> { ["NO_COLOR"] = "1" });
        Assert.Equal(0, plain.ExitCode);
        Assert.DoesNotContain('\u001b', plain.Output);
        ProcessResult quiet = await SparselandProcess.RunAsync(["evaluate", _model, "--data", "shapes", "--limit", "200", "--quiet"]);
        Assert.StartsWith("200 samples", quiet.Output, StringComparison.Ordinal);
        Assert.Single(quiet.Output.Trim().Split('\n'));
        ProcessResult tight = await SparselandProcess.RunAsync(["evaluate", _model, "--data", "shapes", "--memory-limit", "10MB"]);
        Assert.Equal(6, tight.ExitCode);
        Assert.Contains("SL5006", tight.Error, StringComparison.Ordinal);
        if (!File.Exists("/dev/full")) return;
        ProcessResult full = await SparselandProcess.RunAsync(["inspect", _model, "--log-file", "/dev/full"]);
        Assert.Equal(0, full.ExitCode);
        Assert.Contains("/dev/full", full.Error, StringComparison.Ordinal);
    }
}
