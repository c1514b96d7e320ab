using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Architectures;
using Sparseland.Model.Formats.Compact;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Tests;

public sealed class CompactSessionTests : IDisposable
{
    // Points at which masks of every type win in these small models.
    private static readonly BreakEvenTable s_masksWin = new([.. Enum.GetValues<ValueKind>().Select(v => new BreakEven(KernelKind.BitmaskVector, 0, 0.9) { Values = v })], "tests");

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("sparseland-");

    public void Dispose() => _folder.Delete(recursive: true);

    // Rows of 512: shorter ones with few values stay in single precision, because their scales would break the promise of size.
    private static ModelGraph Model(double density)
    {
        ModelGraph graph = Llama.Build(new LlamaConfig(512, 1024, 1, 8, 4, 96, 32), seed: 3);
        var random = new Random(1);
        foreach (Weight weight in graph.Weights.Values.Where(w => w.Shape.Length == 2 && density < 1))
            weight.SetMask(Mask.FromFlags(weight.Shape, [.. Enumerable.Range(0, weight.Length).Select(_ => random.NextDouble() < density)]));
        return graph;
    }

    [Theory]
    [InlineData(ValueKind.BFloat16, 1)]
    [InlineData(ValueKind.Int8, 1)]
    [InlineData(ValueKind.Int4, 1)]
    [InlineData(ValueKind.BFloat16, 0.15)]
    [InlineData(ValueKind.Int8, 0.15)]
    [InlineData(ValueKind.Int4, 0.15)]
    public void A_file_and_an_option_hold_weights_in_few_bits_and_the_plan_says_so(ValueKind kind, double density)
    {
        ModelGraph graph = Model(density);
        string path = Path.Combine(_folder.FullName, "m.sparse.safetensors");
        CompactFile.Write(path, graph, new CompactOptions { Values = kind });
        var fromFile = new TextGenerator(CompactFile.Read(path), new SessionOptions { BreakEven = s_masksWin });
        var fromOption = new TextGenerator(graph, new SessionOptions { Values = kind });
        Assert.True(fromFile.UsesCache, fromFile.CacheNote);
        Assert.True(fromOption.UsesCache, fromOption.CacheNote);
        int[] prompt = [3, 17, 5];
        int[] made = [.. fromFile.Generate(prompt, new GenerationOptions { MaxTokens = 10 })];
        Assert.Equal(10, made.Length);
        string plan = fromFile.DescribePlan();
        Assert.Contains($"{kind.ShortName()} {(density < 1 ? "bit-mask" : "dense")} GEMV", plan, StringComparison.Ordinal);
        Assert.Equal(density < 1, plan.Contains($"below break-even 0.90 of {kind.ShortName()} in rows of 512, ", StringComparison.Ordinal));
        if (density < 1) Assert.Contains("timed: Dense", new TextGenerator(CompactFile.Read(path), new SessionOptions { AutoTune = true }).DescribePlan(), StringComparison.Ordinal);
        Assert.Contains($"{kind.ShortName()} ", fromOption.DescribePlan(), StringComparison.Ordinal);

        // The logits are those of the same numbers in single precision, up to the rounding of the inputs of integers.
        ModelGraph singles = CompactFile.Read(path);
        foreach (Weight weight in singles.Weights.Values.ToArray())
        {
            if (weight.Storage is CompactStorage) singles.Weights[weight.Name] = new Weight(weight.Name, weight.Read());
        }
        ReadOnlySpan<float> expected = new TextGenerator(singles).Logits([1, .. made]).Span<float>(), actual = fromFile.Logits([1, .. made]).Span<float>();
        double difference = 0, size = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Pow(expected[i] - actual[i], 2);
            size += expected[i] * expected[i];
        }
        Assert.InRange(Math.Sqrt(difference / size), 0, kind == ValueKind.BFloat16 ? 1e-5 : 0.03);
        Assert.NotEqual(0, size);
    }

    [Theory]
    [InlineData(ValueKind.BFloat16)]
    [InlineData(ValueKind.Int8)]
    [InlineData(ValueKind.Int4)]
    public void Values_of_few_bits_are_taken_in_windows_where_their_rules_say_so(ValueKind kind)
    {
        string path = Path.Combine(_folder.FullName, "m.sparse.safetensors");
        CompactFile.Write(path, Model(0.15), new CompactOptions { Values = kind });
        ModelGraph graph = CompactFile.Read(path);
        var rules = new BreakEvenTable([new BreakEven(KernelKind.BitmaskVector, 0, 0.5) { Values = kind }, new BreakEven(KernelKind.CsrVector, 0, 0.9) { Values = kind }], "tests");
        var windows = new TextGenerator(graph, new SessionOptions { BreakEven = rules });
        string plan = windows.DescribePlan();
        Assert.Equal(PreparedSpMV.IsFast(kind), plan.Contains($"{kind.ShortName()} windowed SpMV", StringComparison.Ordinal));
        Assert.Equal(PreparedSpMV.IsFast(kind), plan.Contains($"below break-even 0.90 of {kind.ShortName()} in rows of 512, ", StringComparison.Ordinal));
        // A sequence gives the same numbers whole and token by token, and those of the dense twin up to the order of sums.
        var dense = new TextGenerator(graph, new SessionOptions { ForceDense = true });
        Near.Equal(dense.Logits([1, 2, 3]).Array<float>(), windows.Logits([1, 2, 3]).Array<float>(), 2e-3, 2e-3, $"{kind}");
        Assert.Equal(5, windows.Generate([1, 2, 3], new GenerationOptions { MaxTokens = 5 }).Count());
    }

    [Fact]
    public void The_dense_twin_of_a_sparse_file_has_the_same_type_of_values()
    {
        string path = Path.Combine(_folder.FullName, "m.sparse.safetensors");
        CompactFile.Write(path, Model(0.1), new CompactOptions { Values = ValueKind.Int8 });
        ModelGraph graph = CompactFile.Read(path);
        var sparse = new TextGenerator(graph, new SessionOptions { BreakEven = s_masksWin });
        Assert.Contains("int8 bit-mask GEMV", sparse.DescribePlan(), StringComparison.Ordinal);
        var dense = new TextGenerator(graph, new SessionOptions { ForceDense = true });
        Assert.Contains("int8 dense GEMV", dense.DescribePlan(), StringComparison.Ordinal);
        Assert.DoesNotContain("bit-mask", dense.DescribePlan(), StringComparison.Ordinal);
        // Zeros add nothing to integer sums: the same bits.
        Assert.Equal(sparse.Logits([1, 2, 3]).Array<float>(), dense.Logits([1, 2, 3]).Array<float>());
    }

    [Fact]
    public void Masks_over_few_bits_are_chosen_by_type_rows_and_what_the_whole_model_takes()
    {
        string path = Path.Combine(_folder.FullName, "m.sparse.safetensors");
        CompactFile.Write(path, Model(0.3), new CompactOptions { Values = ValueKind.Int8 });
        ModelGraph graph = CompactFile.Read(path);
        // Tables that are only looked up, as those of the rotation, do not count; that of the tokens is the last product's weight as well, and products read their weights turned.
        HashSet<string> read = [.. graph.Nodes.Where(n => n.OpType is "Transpose" or "MatMul" or "Gemm").SelectMany(n => n.Inputs)];
        long bytes = graph.Weights.Values.Where(w => read.Contains(w.Name)).Sum(w => w.Storage.Matrix is { } m && m.Kind != ValueKind.Float32 ? (long)m.Rows * m.Columns * m.Kind.Bits() / 8 : 0);
        BreakEven rule(ValueKind values, long size, int columns) => new(KernelKind.BitmaskVector, size, 0.9) { Values = values, Columns = columns };
        int masked(params BreakEven[] rules) => new TextGenerator(graph, new SessionOptions { BreakEven = new BreakEvenTable(rules, "tests") }).DescribePlan().Split("int8 bit-mask GEMV").Length - 1;
        int all = masked(rule(ValueKind.Int8, bytes, 0));
        // Only the second product of the feed-forward part has rows of 1024.
        Assert.True(all > 2, $"{all}");
        Assert.Equal(1, masked(rule(ValueKind.Int8, 0, 1024)));
        Assert.Equal(0, masked(rule(ValueKind.Int8, bytes + 1, 0)));
        Assert.Equal(0, masked(rule(ValueKind.Int4, 0, 0), rule(ValueKind.BFloat16, 0, 0), new BreakEven(KernelKind.BitmaskVector, 0, 0.9)));
        Assert.Equal(0, masked(new BreakEven(KernelKind.BitmaskVector, 0, 0.5) { Values = ValueKind.Int8 }));
    }

    [Fact]
    public void The_plan_names_weights_that_could_not_be_integers()
    {
        var builder = new GraphBuilder("g");
        Value x = builder.Input("x", ElementType.Float32, 1, 512);
        ModelGraph graph = builder.Build(builder.Linear(builder.Linear(x, "long", 9), "short", 16));
        var inputs = new Dictionary<string, TensorData> { ["x"] = TensorData.Zeros(ElementType.Float32, 1, 512) };
        Assert.Contains("held in bf16 instead of int8: short.weight", new InferenceSession(graph, new SessionOptions { Values = ValueKind.Int8 }).DescribePlan(inputs), StringComparison.Ordinal);
        Assert.DoesNotContain("held in", new InferenceSession(graph, new SessionOptions { Values = ValueKind.BFloat16 }).DescribePlan(inputs), StringComparison.Ordinal);

        ModelGraph language = Llama.Build(new LlamaConfig(512, 16, 1, 8, 4, 96, 32), seed: 3);
        string plan = new TextGenerator(language, new SessionOptions { Values = ValueKind.Int8 }).DescribePlan();
        string line = Assert.Single(plan.Split('\n'), l => l.StartsWith("held in bf16 instead of int8: ", StringComparison.Ordinal));
        Assert.Equal(language.Weights.Values.Where(w => w.Shape.Length == 2 && w.Shape[1] == 16).Select(w => w.Name), line.Trim()["held in bf16 instead of int8: ".Length..].Split(", "));
    }

    [Fact]
    public void A_weight_that_is_stored_by_inputs_is_turned_when_the_plan_is_made()
    {
        var random = new Random(6);
        foreach (double density in (double[])[0.1, 1])
        {
            float[] values = [.. Enumerable.Range(0, 256 * 512).Select(_ => random.NextDouble() < density ? random.NextSingle() - 0.5f : 0f)];
            var builder = new GraphBuilder("g");
            Value x = builder.Input("x", ElementType.Float32, 1, 256);
            ModelGraph graph = builder.Build(builder.MatMul(x, builder.Weight("w", TensorData.Wrap(values, 256, 512))));
            if (density < 1) graph.Weights["w"].SetMask(Mask.FromNonZeros([256, 512], values));
            TensorData input = TensorData.Wrap([.. Enumerable.Range(0, 256).Select(_ => random.NextSingle() - 0.5f)], 1, 256);
            float[] expected = new InferenceSession(graph).Run(input).Values.First().Array<float>();
            var session = new InferenceSession(graph, new SessionOptions { Values = ValueKind.Int8, BreakEven = s_masksWin });
            Near.Equal(expected, session.Run(input).Values.First().Array<float>(), 0.03, 0, $"density {density}");
            Assert.Contains(density < 1 ? "int8 bit-mask GEMV" : "int8 dense GEMV", session.DescribePlan(new Dictionary<string, TensorData> { ["x"] = input }), StringComparison.Ordinal);
        }
    }
}
