using Sparseland.Model.Formats;
using Sparseland.Pruning.Recipes;

namespace Sparseland.Cli.Tests.Verbs;

public sealed class RecipeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _model;

    public RecipeTests()
    {
        _model = _folder["m.onnx"];
        ModelFile.Save(ConventionTests.SmallModel(), _model);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_recipe_repeats_what_the_flags_did_training_and_seed_included()
    {
        string[] flags =
        [
            "--method", "gmp", "--sparsity", "75%", "--steps", "40", "--batch", "24", "--lr", "0.02", "--lr-schedule", "linear", "--momentum", "0.8", "--warm-up", "10%", "--label-smoothing", "0.1",
            "--clip", "1", "--teacher", "self", "--teacher-weight", "0.5", "--seed", "11",
        ];
        await PruneAsync("flags", [.. flags, "--save-recipe", _folder["r.yml"]]);
        Recipe saved = RecipeReader.Read(_folder["r.yml"]);
        Assert.Equal((40L, 24, 0.02, "linear", "self", 0.1), (saved.Training.Steps!.Value, saved.Training.BatchSize, saved.Training.LearningRate, saved.Training.Schedule, saved.Training.Teacher, saved.Training.WarmUp));
        await PruneAsync("recipe", ["--recipe", _folder["r.yml"]]);
        Assert.Equal(Compact("flags"), Compact("recipe"));
        // A flag, or --set, beside the recipe changes one entry.
        await PruneAsync("other", ["--recipe", _folder["r.yml"], "--set", "training.learningRate=0.03", "--seed", "12", "--save-recipe", _folder["other.yml"]]);
        Assert.NotEqual(Compact("flags"), Compact("other"));
        Recipe other = RecipeReader.Read(_folder["other.yml"]);
        Assert.Equal((0.03, 24, 12L), (other.Training.LearningRate, other.Training.BatchSize, other.Settings.Seed));
        // The recipe travels with the model.
        Assert.Equal(other.ToYaml(), ModelFile.Load(Path.Combine(_folder["other"], "model.sparse.safetensors")).Metadata["sparseland.recipe"]);
    }

    [Fact]
    public async Task Every_entry_of_a_channel_recipe_counts_in_plan_and_prune()
    {
        string[] budget = ["--macs", "60%", "--multiple", "1", "--layer-floor", "0.3", "--set", "norm=l1", "scope=producer", "spread=uniform", "--ignore", "conv1*"];
        Assert.Equal(0, (await CommandLine.RunAsync(["plan", _model, .. budget, "--save-recipe", _folder["c.yml"]])).ExitCode);
        string flags = (await CommandLine.RunAsync(["plan", _model, .. budget, "--json"])).Output, recipe = (await CommandLine.RunAsync(["plan", _model, "--recipe", _folder["c.yml"], "--json"])).Output;
        Assert.Equal(flags, recipe);
        string other = (await CommandLine.RunAsync(["plan", _model, "--recipe", _folder["c.yml"], "--set", "spread=global", "--json"])).Output;
        Assert.NotEqual(flags, other);
        ProcessResult prune = await CommandLine.RunAsync("prune", _model, "--recipe", _folder["c.yml"], "--no-bench", "--run-dir", _folder["channels"]);
        Assert.True(prune.ExitCode == 0, prune.Error);
        Assert.Equal(ModelFile.Load(_model).Weights["conv1.weight"].Shape.ToArray(), ModelFile.Load(Path.Combine(_folder["channels"], "model.onnx")).Weights["conv1.weight"].Shape.ToArray());
    }

    [Theory]
    [InlineData("SL4000", "--size", "200KB", "--pattern", "2:4")]
    [InlineData("SL4002", "--sparsity", "80%", "--pattern", "2:4")]
    [InlineData("SL4002", "--layer-floor", "0.5", "--pattern", "2:4")]
    [InlineData("SL4002", "--method", "random", "--sparsity", "80%", "--set", "power=0.5", "allocation=uniform")]
    public async Task What_another_flag_would_make_idle_is_refused_before_anything_runs(string code, params string[] flags)
    {
        await CommandLine.FailsAsync(2, code, ["prune", _model, .. flags, "--run-dir", _folder["refused"]]);
        await CommandLine.FailsAsync(2, code, ["plan", _model, .. flags]);
        Assert.False(Directory.Exists(_folder["refused"]));
    }

    [Fact]
    public async Task Training_and_recovering_read_recipes_too()
    {
        File.WriteAllText(_folder["t.yml"], "method: rigl\nsparsity: 80%\nseed: 5\ntraining:\n  steps: 30\n  batch: 16\n  learningRate: 0.02\n");
        ProcessResult file = await CommandLine.RunAsync("train", "small-cnn", "--arch-options", "channels=4,hidden=8", "--data", "shapes", "--recipe", _folder["t.yml"], "--run-dir", _folder["a"]);
        Assert.True(file.ExitCode == 0, file.Error);
        ProcessResult flags = await CommandLine.RunAsync("train", "small-cnn", "--arch-options", "channels=4,hidden=8", "--data", "shapes", "--method", "rigl", "--sparsity", "80%", "--seed", "5", "--steps", "30", "--batch", "16",
            "--lr", "0.02", "--run-dir", _folder["b"]);
        Assert.True(flags.ExitCode == 0, flags.Error);
        Assert.Equal(Compact("a"), Compact("b"));
        string pruned = Path.Combine(_folder["a"], "model.sparse.safetensors");
        Assert.Equal(0, (await CommandLine.RunAsync("recover", pruned, "--data", "shapes", "--recipe", _folder["t.yml"], "--run-dir", _folder["c"])).ExitCode);
        Assert.Equal(0, (await CommandLine.RunAsync("recover", pruned, "--data", "shapes", "--seed", "5", "--steps", "30", "--batch", "16", "--lr", "0.02", "--run-dir", _folder["d"])).ExitCode);
        Assert.Equal(Compact("c"), Compact("d"));
        await CommandLine.FailsAsync(2, "SL4000", "recover", pruned, "--data", "shapes", "--teacher", "self", "--run-dir", _folder["e"]);
        Assert.False(Directory.Exists(_folder["e"]));
    }

    [Theory]
    [InlineData("--epochs", "-1")]
    [InlineData("--optimizer", "sdg")]
    [InlineData("--warm-up", "0.6")]
    [InlineData("--batch", "many")]
    public async Task A_wrong_training_flag_is_named(string flag, string value)
    {
        ProcessResult result = await CommandLine.FailsAsync(2, "SL4000", "prune", _model, "--sparsity", "50%", "--data", "shapes", flag, value, "--run-dir", _folder["run"]);
        Assert.Contains($"{flag} is '{value}'", result.Error, StringComparison.Ordinal);
        Assert.Contains("  try ", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Blocks_are_reconstructed_from_the_dense_network_and_masks_stay()
    {
        Sparseland.Model.Architectures.Architecture llama = Sparseland.Model.Architectures.ArchitectureCatalog.Get("llama");
        ModelFile.Save(llama.Build(llama.DefaultOptions().Parse("dim=16,hidden=32,layers=2,heads=2,kvheads=2,sequence=32"), 1), _folder["dense.onnx"]);
        Assert.Equal(0, (await CommandLine.RunAsync("prune", _folder["dense.onnx"], "--sparsity", "50%", "--no-bench", "--run-dir", _folder["pruned"])).ExitCode);
        string pruned = Path.Combine(_folder["pruned"], "model.sparse.safetensors");
        File.WriteAllText(_folder["text.txt"], string.Concat(Enumerable.Repeat("the small dog ran to the red house and sat down. ", 60)));
        string[] common = ["recover", pruned, "--data", _folder["text.txt"], "--window", "16", "--reconstruct"];
        await CommandLine.FailsAsync(2, "SL4000", [.. common, "--retrain", "norms", "--run-dir", _folder["r"]]);
        await CommandLine.FailsAsync(2, "SL4000", [.. common, "--teacher", _folder["dense.onnx"], "--run-dir", _folder["r"]]);
        // What it would ignore is refused, and what it cannot do is said before the run starts, in a dry run too.
        string[] whole = [.. common, "--teacher", _folder["dense.onnx"], "--run-dir", _folder["r"]];
        await CommandLine.FailsAsync(2, "SL4000", [.. whole, "--retrain", "head"]);
        await CommandLine.FailsAsync(2, "SL4000", [.. whole, "--retrain", "norms", "--samples", "0"]);
        ProcessResult unused = await CommandLine.FailsAsync(2, "SL4000", [.. whole, "--retrain", "norms", "--epochs", "3", "--lr-schedule", "linear"]);
        Assert.Contains("--epochs, --lr-schedule", unused.Error, StringComparison.Ordinal);
        await CommandLine.FailsAsync(2, "SL4000", "recover", pruned, "--data", _folder["text.txt"], "--window", "16", "--samples", "5", "--run-dir", _folder["r"]);
        await CommandLine.FailsAsync(2, "SL4006", [.. whole, "--retrain", "biases", "--dry-run"]);
        ProcessResult dry = await CommandLine.RunAsync([.. whole, "--retrain", "norms", "--samples", "7", "--dry-run"]);
        Assert.True(dry.ExitCode == 0, dry.Error);
        Assert.Contains("2 blocks", dry.Output, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["r"]));
        ProcessResult result = await CommandLine.RunAsync([.. common, "--teacher", _folder["dense.onnx"], "--retrain", "norms,mask-lora", "--rank", "2", "--steps", "20", "--lr", "0.01", "--samples", "20", "--run-dir", _folder["r"]]);
        Assert.True(result.ExitCode == 0, result.Error);
        var blocks = System.Text.Json.Nodes.JsonNode.Parse(File.ReadAllText(Path.Combine(_folder["r"], "run.json")))!["blocks"]!.AsArray();
        Assert.Equal(2, blocks.Count);
        Assert.All(blocks, b => Assert.True((double)b!["after"]! < (double)b["before"]!));
        Sparseland.Model.Graph.ModelGraph before = ModelFile.Load(pruned), after = ModelFile.Load(Path.Combine(_folder["r"], "model.sparse.safetensors"));
        foreach (Sparseland.Model.Graph.Weight w in before.Weights.Values) Assert.Equal(w.Mask, after.Weights[w.Name].Mask);
        // A run that goes on does not do finished blocks again, and not with other options.
        byte[] written = Compact("r");
        string[] same = [.. whole, "--retrain", "norms,mask-lora", "--rank", "2", "--lr", "0.01", "--samples", "20", "--resume"];
        ProcessResult resumed = await CommandLine.RunAsync([.. same, "--steps", "20"]);
        Assert.True(resumed.ExitCode == 0, resumed.Error);
        Assert.Contains("resumed behind block 2 of 2", resumed.Output, StringComparison.Ordinal);
        Assert.Equal(written, Compact("r"));
        await CommandLine.FailsAsync(2, "SL4000", [.. same, "--steps", "21"]);
    }

    private async Task PruneAsync(string run, string[] arguments)
    {
        ProcessResult result = await CommandLine.RunAsync(["prune", _model, "--data", "shapes", "--no-bench", "--run-dir", _folder[run], .. arguments]);
        Assert.True(result.ExitCode == 0, result.Error);
    }

    // The recipe is written into the file, so equal bytes are equal recipes too.
    private byte[] Compact(string run) => File.ReadAllBytes(Path.Combine(_folder[run], "model.sparse.safetensors"));
}
