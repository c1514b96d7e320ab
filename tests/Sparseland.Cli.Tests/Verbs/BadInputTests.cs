using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Catalog;

namespace Sparseland.Cli.Tests.Verbs;

/// <summary>What cannot work is told before anything is run or written, with the way out.</summary>
public sealed class BadInputTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _model;

    public BadInputTests()
    {
        _model = _folder["m.onnx"];
        ModelFile.Save(ConventionTests.SmallModel(), _model);
    }

    public void Dispose() => _folder.Dispose();

    private async Task FailsAsync(int exitCode, string code, params string[] arguments)
    {
        string run = _folder["run"];
        string[] command = arguments[0] == "plan" ? arguments : [.. arguments, "--run-dir", run];
        ProcessResult result = await CommandLine.FailsAsync(exitCode, code, command);
        Assert.Contains("  try ", result.Error, StringComparison.Ordinal);
        // Not even the dense network was evaluated.
        Assert.DoesNotContain("evaluating", result.Error + result.Output, StringComparison.Ordinal);
        Assert.False(Directory.Exists(run));
    }

    [Theory]
    [InlineData("snip")]
    [InlineData("grasp")]
    [InlineData("force")]
    [InlineData("gmp")]
    [InlineData("imp")]
    [InlineData("soups")]
    [InlineData("node-search")]
    [InlineData("layers")]
    public Task A_method_without_the_data_that_it_needs(string method) => FailsAsync(2, "SL4005", "prune", _model, "--method", method, "--sparsity", "50%");

    [Theory]
    [InlineData("snip")]
    [InlineData("node-search")]
    public async Task Samples_without_labels(string method)
    {
        NpzWriter.Write(_folder["pictures.npz"], new Dictionary<string, TensorData> { ["images"] = TensorData.Wrap(new byte[10 * 16 * 16], 10, 16, 16) });
        ProcessResult result = await CommandLine.RunAsync("prune", _model, "--method", method, "--sparsity", "50%", "--data", _folder["pictures.npz"], "--run-dir", _folder["run"]);
        Assert.NotEqual(0, result.ExitCode);
        Assert.Contains("labels", result.Error, StringComparison.Ordinal);
        Assert.Contains("  try ", result.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["run"]));
    }

    [Theory]
    [InlineData("gmp", "start=0.9", "end=0.2")]
    [InlineData("granet", "start=0.9", "end=0.2")]
    public async Task A_schedule_that_ends_before_it_starts(string method, params string[] set)
    {
        await FailsAsync(2, "SL4002", ["plan", _model, "--method", method, "--sparsity", "80%", "--set", .. set]);
        await FailsAsync(2, "SL4002", ["prune", _model, "--method", method, "--sparsity", "80%", "--data", "shapes", "--steps", "20", "--set", .. set]);
        await FailsAsync(2, "SL4002", ["train", "small-cnn", "--method", method, "--sparsity", "80%", "--data", "shapes", "--steps", "20", "--set", .. set]);
    }

    [Theory]
    [InlineData("granet", "80%", "initial=0.9")]
    [InlineData("imp", "80%", "rewind=0.5", "reset=reinitialise")]
    [InlineData("imp", "80%", "rewind=0.5", "reset=continue")]
    [InlineData("sap", "80%", "p=2", "q=1")]
    public async Task Options_that_exclude_each_other(string method, string sparsity, params string[] set)
    {
        await FailsAsync(2, "SL4002", ["plan", _model, "--method", method, "--sparsity", sparsity, "--set", .. set]);
        await FailsAsync(2, "SL4002", ["prune", _model, "--method", method, "--sparsity", sparsity, "--data", "shapes", "--steps", "20", "--set", .. set]);
        File.WriteAllText(_folder["r.yml"], $"method: {method}\nsparsity: {sparsity}\nparameters:\n{string.Concat(set.Select(s => "  " + s.Replace("=", ": ", StringComparison.Ordinal) + "\n"))}");
        await FailsAsync(2, "SL4002", "plan", _model, "--recipe", _folder["r.yml"]);
    }

    [Theory]
    [InlineData("SL4002", "bounds.minKeep=0")]
    [InlineData("SL4010", "allocatoin=global")]
    public async Task A_layer_that_may_be_emptied_and_a_parameter_that_there_is_not(string code, string set)
    {
        ProcessResult result = await CommandLine.FailsAsync(2, code, "plan", _model, "--method", "magnitude", "--sparsity", "80%", "--set", set);
        Assert.Contains(set.Split('=')[0].Split('.')[^1], result.Error, StringComparison.Ordinal);
        await CommandLine.FailsAsync(2, code, "prune", _model, "--method", "magnitude", "--sparsity", "80%", "--set", set, "--run-dir", _folder["run"]);
        Assert.False(Directory.Exists(_folder["run"]));
    }

    [Fact]
    public Task A_sparsity_at_which_a_layer_would_be_emptied() => FailsAsync(5, "SL4004", "prune", _model, "--sparsity", "99.9%", "--no-bench");

    [Theory]
    [InlineData("plan")]
    [InlineData("prune")]
    public async Task A_filter_that_matches_nothing(string verb)
    {
        string[] more = verb == "plan" ? [] : ["--data", "shapes", "--steps", "5"];
        await FailsAsync(2, "SL4001", [verb, _model, "--method", "gmp", "--sparsity", "80%", "--targets", "conv9*", .. more]);
    }

    [Fact]
    public async Task A_method_for_untrained_networks_is_remarked_on()
    {
        ProcessResult result = await CommandLine.RunAsync("prune", _model, "--method", "synflow", "--set", "rounds=3", "--sparsity", "50%", "--no-bench", "--run-dir", _folder["run"]);
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("'synflow' acts before training", result.Error, StringComparison.Ordinal);
        ProcessResult magnitude = await CommandLine.RunAsync("prune", _model, "--method", "magnitude", "--sparsity", "50%", "--no-bench", "--run-dir", _folder["other"]);
        Assert.DoesNotContain("acts before training", magnitude.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_comes_next_repeats_the_flags_of_the_plan()
    {
        ProcessResult plan = await CommandLine.RunAsync("plan", _model, "--method", "gmp", "--sparsity", "75%", "--set", "end=0.6", "interval=5", "--ignore", "conv1*");
        Assert.Contains($"sparseland prune {_model} --method gmp --sparsity 75% --ignore 'conv1*' --set end=0.6 interval=5 --data DATA --epochs N", Flat(plan), StringComparison.Ordinal);
        plan = await CommandLine.RunAsync("plan", _model, "--macs", "60%");
        Assert.Contains($"sparseland prune {_model} --macs 60%", Flat(plan), StringComparison.Ordinal);
        plan = await CommandLine.RunAsync("plan", _model);
        Assert.Contains($"sparseland prune {_model} --sparsity 50%", Flat(plan), StringComparison.Ordinal);
    }

    private static string Flat(ProcessResult result) => string.Join(' ', (result.Output + result.Error).Split((char[])[' ', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries));

    [Fact]
    public async Task A_plan_of_a_method_that_narrows_the_graph_shows_widths()
    {
        ProcessResult plan = await CommandLine.RunAsync("plan", _model, "--method", "precrop", "--sparsity", "60%", "--json");
        Assert.Equal(0, plan.ExitCode);
        var groups = System.Text.Json.Nodes.JsonNode.Parse(plan.Output)!["groups"]!.AsArray();
        Assert.Contains(groups, g => (int)g!["kept"]! < (int)g["units"]!);
    }

    public static TheoryData<string> Trainings => new(MethodCatalog.All.Where(m => m.Stage != Pruning.PruningStage.After).Select(m => m.Id));

    /// <summary>The command on every method's page is one that the program takes.</summary>
    [Theory]
    [MemberData(nameof(Trainings))]
    public async Task The_command_of_a_methods_page_is_taken(string id)
    {
        string[] words = House.GeneratedPages.Command(MethodCatalog.Get(id)).Split(' ');
        ProcessResult result = await CommandLine.RunAsync([.. words[1..], "--dry-run", "--run-dir", _folder["run"]]);
        Assert.True(result.ExitCode == 0, result.Error);
    }
}
