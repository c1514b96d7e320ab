using System.Text.Json;
using System.Text.Json.Nodes;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Graph;
using Sparseland.Model.Tokenizers;
using Sparseland.Runtime;
using Xunit.Abstractions;

namespace Sparseland.Cli.Tests.Stories;

/// <summary>A pretrained language model: its reference figures through the command line, and pruned without training.</summary>
public class LanguageTests(ITestOutputHelper output)
{
    [SkippableFact]
    public void EveryFormatOfTheModelGivesTheReferenceLogits()
    {
        string folder = TestData.Require("lm-stories260k");
        using JsonDocument reference = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "reference.json")));
        long[] ids = [.. reference.RootElement.GetProperty("logits_input_ids").EnumerateArray().Select(e => e.GetInt64())];
        TensorData tokens = TensorData.Wrap(ids, 1, ids.Length), logits = NpyReader.Read(Path.Combine(folder, "reference_logits.npy"));
        using var files = new TemporaryFolder();
        ModelGraph graph = ModelFile.Load(Path.Combine(folder, "checkpoint_v1.bin"));
        ModelFile.Save(graph, files["m.onnx"]);
        ModelFile.Save(graph, files["m.sparse.safetensors"]);
        foreach (string path in new[] { Path.Combine(folder, "checkpoint_v1.bin"), Path.Combine(folder, "checkpoint_legacy.bin"), files["m.onnx"], files["m.sparse.safetensors"] })
        {
            float[] actual = new InferenceSession(ModelFile.Load(path)).Run(tokens).GetAt(0).Value.ToSingles();
            Near.Equal(logits.Span<float>(), actual, 1e-4, 0, Path.GetFileName(path));
        }
    }

    [SkippableFact]
    public async Task GreedyTextIsTheReferenceText()
    {
        string folder = TestData.Require("lm-stories260k");
        using JsonDocument reference = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "reference.json")));
        string prompt = reference.RootElement.GetProperty("prompt").GetString()!;
        JsonElement all = reference.RootElement.GetProperty("greedy_ids");
        int count = all.GetArrayLength() - reference.RootElement.GetProperty("prompt_ids").GetArrayLength();
        JsonNode result = await StoryTools.RunAsync("run", Path.Combine(folder, "checkpoint_v1.bin"), "--prompt", prompt, "--tokens", count.ToString());
        Assert.Equal(reference.RootElement.GetProperty("greedy_text").GetString(), prompt + (string)result["text"]!);
        Assert.Equal(all.EnumerateArray().Take(5).Select(e => e.GetInt32()), Tokenizer.Find(ModelFile.Load(Path.Combine(folder, "checkpoint_v1.bin")))!.Encode(prompt));
    }

    [SkippableFact]
    public async Task PerplexityIsThePublishedOneOfEachStoryOnItsOwn()
    {
        string model = TestData.Require("lm-stories260k", "checkpoint_v1.bin"), text = TestData.Require("text", "tinystories_sample_3stories.txt");
        JsonNode result = await StoryTools.RunAsync("evaluate", model, "--data", text);
        Assert.Equal(924, (int)result["tokens"]!);
        Assert.Equal(3.3235, (double)result["perplexity"]!, 4);
        Assert.Equal(0.8391, (double)result["bitsPerByte"]!, 4);
        // The set of that name is for evaluation alone, so nothing of it is held back.
        JsonNode named = await StoryTools.RunAsync("evaluate", model, "--data", "tinystories-sample");
        Assert.Equal((double)result["perplexity"]!, (double)named["perplexity"]!, 9);
        JsonNode part = await StoryTools.RunAsync("evaluate", model, "--data", text, "--part", "held-out");
        Assert.InRange((int)part["tokens"]!, 80, 100);
    }

    [SkippableFact]
    public async Task ATextForEvaluationAloneIsMeasuredOnButNeverCalibratedOn()
    {
        string model = TestData.Require("lm-stories260k", "checkpoint_v1.bin");
        _ = TestData.Require("text", "tinystories_sample_3stories.txt");
        using var folder = new TemporaryFolder();
        JsonNode result = await StoryTools.RunAsync("prune", model, "--method", "magnitude", "--sparsity", "20%", "--data", "tinystories-sample", "--run-dir", folder["magnitude"], "--no-bench");
        Assert.Equal(924, (int)result["evaluations"]!["dense"]!["tokens"]!);
        Assert.True((double)result["evaluations"]!["pruned"]!["perplexity"]! > (double)result["evaluations"]!["dense"]!["perplexity"]!);
        ProcessResult wanda = await SparselandProcess.RunAsync(["prune", model, "--method", "wanda", "--data", "tinystories-sample", "--data-root", TestData.Root!, "--run-dir", folder["wanda"], "--no-bench"]);
        Assert.NotEqual(0, wanda.ExitCode);
        Assert.Contains("SL3007", wanda.Error + wanda.Output);
    }

    [SkippableFact]
    public async Task WandaLosesLessThanMagnitude()
    {
        string model = TestData.Require("lm-stories260k", "checkpoint_v1.bin"), text = TestData.Require("text", "tinystories_sample_3stories.txt");
        using var folder = new TemporaryFolder();
        var perplexity = new Dictionary<string, double>();
        (string Name, string[] Flags)[] variants =
        [
            ("magnitude 50 %", ["--method", "magnitude", "--sparsity", "50%", "--keep-last"]),
            ("magnitude 2:4", ["--method", "magnitude", "--pattern", "2:4", "--keep-last"]),
            // Calibration never sees the text that is measured.
            ("wanda 50 %", ["--method", "wanda", "--sparsity", "50%", "--data", "stories", "--epochs", "0"]),
            ("wanda 2:4", ["--method", "wanda", "--pattern", "2:4", "--data", "stories", "--epochs", "0"]),
        ];
        foreach ((string name, string[] flags) in variants)
        {
            JsonNode pruned = await StoryTools.RunAsync(["prune", model, .. flags, "--run-dir", folder[name.Replace(':', '-')], "--no-bench"]);
            string compact = (string)pruned["compact"]!;
            Assert.Equal(0.5, Sparsity(compact), 2);
            perplexity[name] = (double)(await StoryTools.RunAsync("evaluate", compact, "--data", text))["perplexity"]!;
            output.WriteLine($"{name}: perplexity {perplexity[name]:0.000}, {StoryTools.RequireCompact(compact)}");
            if (name.StartsWith("wanda", StringComparison.Ordinal)) output.WriteLine($"{name}: {Speed(compact)}");
        }
        Assert.InRange(perplexity["wanda 50 %"], 3.3236, perplexity["magnitude 50 %"]);
        Assert.InRange(perplexity["wanda 2:4"], perplexity["wanda 50 %"], perplexity["magnitude 2:4"]);
        output.WriteLine($"dense: {Speed(model)}");
    }

    private static double Sparsity(string path)
    {
        Weight[] masked = [.. ModelFile.Load(path).Weights.Values.Where(w => w.Mask is not null)];
        Assert.NotEmpty(masked);
        return 1 - masked.Sum(w => (double)w.Mask!.KeptCount) / masked.Sum(w => (double)w.Length);
    }

    /// <summary>Tokens per second on sparse and on dense kernels; both must write the same text.</summary>
    private static string Speed(string path)
    {
        ModelGraph graph = ModelFile.Load(path);
        var options = new GenerationOptions { MaxTokens = 60 };
        var texts = new List<int[]>();
        var speeds = new List<double>();
        foreach (bool dense in new[] { false, true })
        {
            var generator = new TextGenerator(graph, new SessionOptions { ForceDense = dense });
            _ = generator.Generate([1, 403], options).Count();
            long start = System.Diagnostics.Stopwatch.GetTimestamp();
            texts.Add([.. generator.Generate([1, 403], options)]);
            speeds.Add(texts[^1].Length / System.Diagnostics.Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        Assert.Equal(texts[0], texts[1]);
        return $"{speeds[0]:0} tokens/s as planned, {speeds[1]:0} on dense kernels";
    }
}
