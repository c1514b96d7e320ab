using System.Diagnostics;
using System.Text.Json;
using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Architectures;
using Sparseland.Model.Formats.Llama2c;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Graph;
using Xunit.Abstractions;

namespace Sparseland.Runtime.Tests;

public class TextGeneratorTests(ITestOutputHelper output)
{
    private static readonly LlamaConfig s_small = new(32, 48, 2, 4, 2, 40, 24);

    [Theory]
    [InlineData(false, 4)]
    [InlineData(true, 2)]
    [InlineData(true, 1)]
    public void Cached_logits_equal_those_of_the_whole_sequence(bool interleaved, int keyValueHeads)
    {
        ModelGraph graph = Llama.Build(s_small with { InterleavedRope = interleaved, KeyValueHeads = keyValueHeads }, seed: 3);
        Sharpen(graph);
        var generator = new TextGenerator(graph);
        Assert.True(generator.UsesCache, generator.CacheNote);
        Assert.Equal(24, generator.ContextLength);

        int[] prompt = [3, 17, 5];
        List<int> made = [.. generator.Generate(prompt, new GenerationOptions { MaxTokens = 15 })];
        Assert.Equal(15, made.Count);
        // Greedy by the reference evaluator, whole sequence each time.
        var sequence = new List<int>(prompt);
        foreach (int token in made)
        {
            float[] logits = Reference(graph, sequence);
            float[] last = logits[^40..];
            Assert.Equal(Array.IndexOf(last, last.Max()), token);
            sequence.Add(token);
        }
        Near.Equal(Reference(graph, sequence), generator.Logits(sequence).Span<float>(), 1e-4, 1e-4);
    }

    [Fact]
    public void The_context_is_a_limit()
    {
        var generator = new TextGenerator(Llama.Build(s_small, seed: 1));
        // The last position can still be read, so one token more than the context is known in the end.
        Assert.Equal(22, generator.Generate([1, 2, 3], new GenerationOptions { MaxTokens = 1000 }).Count());
        Assert.Equal("SL4061", Assert.Throws<SparselandException>(() => generator.Generate([.. Enumerable.Repeat(1, 25)])).Code);
        Assert.Equal("SL4061", Assert.Throws<SparselandException>(() => generator.Generate([])).Code);
        Assert.Contains("index 99", Assert.Throws<GraphException>(() => generator.Generate([99]).First()).Message);
    }

    [Fact]
    public void A_seed_repeats_its_text_and_limits_narrow_the_choice()
    {
        ModelGraph graph = Llama.Build(s_small, seed: 2);
        var generator = new TextGenerator(graph);
        int[] Draw(GenerationOptions o) => [.. generator.Generate([1], o with { MaxTokens = 12 })];
        var hot = new GenerationOptions { Temperature = 2, Seed = 5 };
        Assert.Equal(Draw(hot), Draw(hot));
        Assert.NotEqual(Draw(hot), Draw(hot with { Seed = 6 }));
        int[] greedy = Draw(new GenerationOptions());
        Assert.Equal(greedy, Draw(hot with { TopK = 1 }));
        Assert.Equal(greedy, Draw(hot with { TopP = 1e-6 }));
        Assert.Empty(Draw(new GenerationOptions { StopTokens = new HashSet<int> { greedy[0] } }));
        foreach (GenerationOptions bad in new[] { hot with { Temperature = -1 }, hot with { Temperature = double.NaN }, hot with { TopP = 0 }, hot with { TopK = -1 }, hot with { MaxTokens = -1 } })
            Assert.Equal("SL4060", Assert.Throws<SparselandException>(() => generator.Generate([1], bad)).Code);
    }

    [Fact]
    public void Draws_follow_the_probabilities()
    {
        float[] logits = [MathF.Log(0.5f), MathF.Log(0.2f), MathF.Log(0.3f), float.NegativeInfinity, float.NaN];
        int[] Count(GenerationOptions options)
        {
            var sampler = new TokenSampler(options);
            var counts = new int[5];
            for (int i = 0; i < 20000; i++) counts[sampler.Next(logits)]++;
            return counts;
        }
        int[] all = Count(new GenerationOptions { Temperature = 1 });
        Assert.InRange(all[0], 9700, 10300);
        Assert.InRange(all[1], 3750, 4250);
        Assert.Equal(0, all[3] + all[4]);
        int[] two = Count(new GenerationOptions { Temperature = 1, TopK = 2 });
        Assert.Equal(0, two[1]);
        Assert.InRange(two[0], 12200, 12800);
        int[] nucleus = Count(new GenerationOptions { Temperature = 1, TopP = 0.7 });
        Assert.Equal(0, nucleus[1]);
        Assert.Equal([20000, 0, 0, 0, 0], Count(new GenerationOptions { Temperature = 1, TopP = 0.4 }));
    }

    [Fact]
    public async Task Tokens_stream_and_stop_when_cancelled()
    {
        var generator = new TextGenerator(Llama.Build(s_small, seed: 4));
        var streamed = new List<int>();
        await foreach (int token in generator.GenerateAsync([1, 2], new GenerationOptions { MaxTokens = 6 })) streamed.Add(token);
        Assert.Equal(generator.Generate([1, 2], new GenerationOptions { MaxTokens = 6 }), streamed);
        using var source = new CancellationTokenSource();
        using IEnumerator<int> tokens = generator.Generate([1], null, source.Token).GetEnumerator();
        Assert.True(tokens.MoveNext());
        source.Cancel();
        Assert.Throws<OperationCanceledException>(() => tokens.MoveNext());
    }

    [Fact]
    public void A_model_that_looks_along_the_sequence_otherwise_runs_whole()
    {
        // The mean over the sequence makes every token depend on the later ones: no cache can be right.
        var b = new GraphBuilder("mean");
        Value tokens = b.Input("tokens", ElementType.Int64, Dimension.Named("batch"), Dimension.Named("sequence"));
        Value h = b.Embedding(tokens, "embedding", 10, 8, Initializer.Normal(1));
        h = b.Add(b.Attention(h, h, h, causal: true, heads: 2), b.ReduceMean(h, [1]));
        ModelGraph graph = b.Build(b.Linear(h, "head", 10));
        var generator = new TextGenerator(graph);
        Assert.False(generator.UsesCache);
        Assert.Contains("other logits step by step", generator.CacheNote);
        Assert.Equal(5, generator.Generate([1, 2], new GenerationOptions { MaxTokens = 5 }).Count());

        var c = new GraphBuilder("bidirectional");
        tokens = c.Input("tokens", ElementType.Int64, Dimension.Named("batch"), Dimension.Named("sequence"));
        h = c.Embedding(tokens, "embedding", 10, 8);
        generator = new TextGenerator(c.Build(c.Linear(c.Attention(h, h, h, heads: 2, name: "both_ways"), "head", 10)));
        Assert.Contains("attention 'both_ways' is not causal", generator.CacheNote);

        Assert.Equal("SL2009", Assert.Throws<GraphException>(() => new TextGenerator(RandomNetworks.Convolutional(1, 1))).Code);
    }

    [Fact]
    public void Integers_do_not_hide_that_a_graph_looks_along_the_sequence_otherwise()
    {
        // A little of the mean: less than what rounded inputs may change.
        var b = new GraphBuilder("mean");
        Value tokens = b.Input("tokens", ElementType.Int64, Dimension.Named("batch"), Dimension.Named("sequence"));
        Value h = b.Embedding(tokens, "embedding", 10, 512, Initializer.Normal(1));
        h = b.Add(b.Attention(h, h, h, causal: true, heads: 2), b.Mul(b.ReduceMean(h, [1]), b.Scalar(0.02f)));
        ModelGraph graph = b.Build(b.Linear(h, "head", 10));
        var generator = new TextGenerator(graph, new SessionOptions { Values = ValueKind.Int8 });
        Assert.Contains("int8", generator.DescribePlan(), StringComparison.Ordinal);
        Assert.False(generator.UsesCache);
        Assert.Contains("other logits step by step", generator.CacheNote);
        Assert.False(new TextGenerator(graph).UsesCache);
    }

    [Fact]
    public void A_weight_with_a_mask_stays_sparse_through_a_transposed_product()
    {
        // Large enough for zeros to be worth a thought.
        ModelGraph graph = Llama.Build(s_small with { Dim = 256, Hidden = 512 }, seed: 5);
        foreach (Weight weight in graph.Weights.Values.Where(w => w.Name.Contains("mlp")))
        {
            float[] scores = Array.ConvertAll(weight.Read().ToSingles(), Math.Abs);
            weight.SetMask(PatternProjection.KeepBest(SparsityPattern.NofM(2, 4), scores, weight.Shape[0], weight.Shape[1], 1));
        }
        var always = new SessionOptions { BreakEven = new BreakEvenTable([new(KernelKind.BitmaskVector, 0, 1)], "tests") };
        var sparse = new TextGenerator(graph, always);
        Assert.Contains("bit-mask SpMV", sparse.DescribePlan());
        Assert.Contains("2:4 pattern", sparse.DescribePlan());
        var dense = new TextGenerator(graph, new SessionOptions { ForceDense = true });
        Assert.Equal(dense.Generate([1, 2, 3], new GenerationOptions { MaxTokens = 20 }), sparse.Generate([1, 2, 3], new GenerationOptions { MaxTokens = 20 }));
    }

    [SkippableFact]
    public void Stories_260K_gives_its_reference_logits_and_text()
    {
        string folder = TestData.Require("lm-stories260k");
        using JsonDocument reference = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "reference.json")));
        int[] Ids(string name) => [.. reference.RootElement.GetProperty(name).EnumerateArray().Select(e => e.GetInt32())];
        foreach (string file in new[] { "checkpoint_legacy.bin", "checkpoint_v1.bin" })
        {
            var generator = new TextGenerator(Llama2cReader.Load(Path.Combine(folder, file)));
            Assert.True(generator.UsesCache, generator.CacheNote);
            TensorData logits = NpyReader.Read(Path.Combine(folder, "reference_logits.npy"));
            Near.Equal(logits.Span<float>(), generator.Logits(Ids("logits_input_ids")).Span<float>(), 1e-4, 1e-4, file);
            int[] prompt = Ids("prompt_ids"), expected = Ids("greedy_ids");
            long start = Stopwatch.GetTimestamp();
            Assert.Equal(expected[prompt.Length..], generator.Generate(prompt, new GenerationOptions { MaxTokens = expected.Length - prompt.Length }));
            output.WriteLine($"{file}: {(expected.Length - prompt.Length) / Stopwatch.GetElapsedTime(start).TotalSeconds:0} tokens/s, first plans included");
            start = Stopwatch.GetTimestamp();
            int made = generator.Generate(prompt, new GenerationOptions { MaxTokens = 400 }).Count();
            output.WriteLine($"{file}: {made / Stopwatch.GetElapsedTime(start).TotalSeconds:0} tokens/s");
        }
    }

    /// <summary>New weights are small: larger ones make greedy choices clear.</summary>
    private static void Sharpen(ModelGraph graph)
    {
        foreach (Weight weight in graph.Weights.Values.Where(w => w.ElementType == ElementType.Float32 && w.Shape.Length == 2 && !w.Name.Contains("rotary")))
            weight.Set(TensorData.Wrap(Array.ConvertAll(weight.Read().ToSingles(), v => v * 8), weight.Shape));
    }

    private static float[] Reference(ModelGraph graph, IReadOnlyList<int> tokens) => GraphEvaluator.Run(graph, new Dictionary<string, TensorData>
    {
        ["tokens"] = TensorData.Wrap(tokens.Select(t => (long)t).ToArray(), 1, tokens.Count),
    }).Values.First().Array<float>();
}
