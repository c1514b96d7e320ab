using Sparseland.Model.Formats.Onnx;
using Sparseland.Model.Formats.Onnx.Proto;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats.Onnx;

/// <summary>A graph written in an older opset computes what it computed before.</summary>
public sealed class OpsetDowngradeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string> Cases() => [.. s_cases.Keys];

    internal static IEnumerable<string> Names => s_cases.Keys;

    /// <summary>The graph of a case and what to feed it.</summary>
    internal static (ModelGraph Graph, Dictionary<string, TensorData> Feeds) Build(string name)
    {
        var graph = new ModelGraph("g");
        var feeds = new Dictionary<string, TensorData>();
        s_feeds.Value = feeds;
        s_cases[name](graph);
        return (graph, feeds);
    }

    private static readonly Dictionary<string, Action<ModelGraph>> s_cases = new()
    {
        ["ReduceMean over axes"] = g => Add(g, "ReduceMean", [X(g, 2, 3, 4), Integers(g, 1, 2)]),
        ["ReduceMax over everything"] = g => Add(g, "ReduceMax", [X(g, 2, 3, 4)]).Set("keepdims", 0L),
        ["Split into equal parts"] = g => Add(g, "Split", [X(g, 2, 6)], 3).Set("axis", 1L).Set("num_outputs", 3L),
        ["Split with a smaller last part"] = g => Add(g, "Split", [X(g, 2, 7)], 3).Set("axis", -1L).Set("num_outputs", 3L),
        ["Mish"] = g => Add(g, "Mish", [X(g, 3, 5)]),
        ["Gelu"] = g => Add(g, "Gelu", [X(g, 3, 5)]),
        ["Gelu by tanh"] = g => Add(g, "Gelu", [X(g, 3, 5)]).Set("approximate", "tanh"),
        ["GroupNormalization"] = g => Add(g, "GroupNormalization", [X(g, 2, 4, 3, 3), X(g, 4), X(g, 4)]).Set("num_groups", 2L),
        ["RMSNormalization"] = g => Add(g, "RMSNormalization", [X(g, 2, 3, 8), X(g, 8)]),
        ["RMSNormalization from an axis"] = g => Add(g, "RMSNormalization", [X(g, 2, 3, 8), X(g, 3, 8)]).Set("axis", 1L).Set("epsilon", 0.1f),
        ["RotaryEmbedding of halves"] = g => Add(g, "RotaryEmbedding", [X(g, 2, 3, 5, 8), X(g, 2, 5, 4), X(g, 2, 5, 4)]),
        ["RotaryEmbedding interleaved, partly"] = g => Add(g, "RotaryEmbedding", [X(g, 2, 5, 24), X(g, 9, 2), X(g, 9, 2), Feed(g, TensorData.Wrap<long>([0, 1, 2, 3, 4, 8, 7, 6, 5, 4], 2, 5))])
            .Set("interleaved", 1L).Set("num_heads", 3L).Set("rotary_embedding_dim", 4L),
        ["Attention of four dimensions"] = g => Add(g, "Attention", [X(g, 2, 3, 4, 8), X(g, 2, 3, 6, 8), X(g, 2, 3, 6, 5)]),
        ["Attention, causal, shared heads, three dimensions"] = g => Add(g, "Attention", [X(g, 2, 4, 24), X(g, 2, 4, 12), X(g, 2, 4, 12)])
            .Set("is_causal", 1L).Set("q_num_heads", 6L).Set("kv_num_heads", 3L),
        ["Attention with past, mask, cap and scale"] = g => Add(g, "Attention", [X(g, 1, 2, 3, 4), X(g, 1, 2, 3, 4), X(g, 1, 2, 3, 4), X(g, 3, 5), X(g, 1, 2, 2, 4), X(g, 1, 2, 2, 4)], 3)
            .Set("is_causal", 1L).Set("softcap", 2f).Set("scale", 0.7f),
        ["Attention with a mask of flags"] = g => Add(g, "Attention", [X(g, 1, 2, 2, 4), X(g, 1, 2, 3, 4), X(g, 1, 2, 3, 4), Feed(g, TensorData.Wrap([true, false, true, true, true, false], 2, 3))]),
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Rewritten_operators_compute_the_same(string name)
    {
        (ModelGraph graph, Dictionary<string, TensorData> feeds) = Build(name);
        IReadOnlyDictionary<string, TensorData> expected = GraphEvaluator.Run(graph, feeds);
        foreach (int opset in (int[])[17, 18, 20, 22])
        {
            string path = _folder["m.onnx"];
            OnnxWriter.Write(graph, path, new OnnxWriteOptions { Opset = opset });
            ModelProto proto = ModelProto.Parser.ParseFrom(File.ReadAllBytes(path));
            Assert.Equal(opset, proto.OpsetImport[0].Version);
            Assert.DoesNotContain(proto.Graph.Node, n => n.OpType is "Attention" or "RMSNormalization" or "RotaryEmbedding");
            ModelGraph back = OnnxReader.Read(path);
            Assert.Empty(GraphValidator.Violations(back));
            IReadOnlyDictionary<string, TensorData> actual = GraphEvaluator.Run(back, feeds);
            foreach ((string output, TensorData value) in expected) Near.Equal(value.ToSingles(), actual[output].ToSingles(), 2e-5, 1e-5, $"{name}, opset {opset}, {output}");
        }
    }

    [Fact]
    public void The_smallest_opset_that_needs_no_rewriting_is_chosen()
    {
        Assert.Equal(17, Chosen(g => Add(g, "Relu", [X(g, 2)])));
        Assert.Equal(17, Chosen(g => Add(g, "ReduceSum", [X(g, 2), Integers(g, 0)])));
        Assert.Equal(18, Chosen(g => Add(g, "ReduceMean", [X(g, 2), Integers(g, 0)])));
        Assert.Equal(20, Chosen(g => Add(g, "Gelu", [X(g, 2)])));
        Assert.Equal(21, Chosen(g => Add(g, "GroupNormalization", [X(g, 1, 2, 2), X(g, 2), X(g, 2)]).Set("num_groups", 2L)));
        Assert.Equal(23, Chosen(g => Add(g, "RMSNormalization", [X(g, 2, 2), X(g, 2)])));
    }

    [Fact]
    public void What_has_no_older_form_is_refused_by_name()
    {
        var graph = new ModelGraph("g");
        s_feeds.Value = [];
        Add(graph, "ReduceMean", [X(graph, 2, 3), Feed(graph, TensorData.Vector(0L))]);
        var error = Assert.Throws<ModelFormatException>(() => OnnxWriter.Write(graph, _folder["m.onnx"], new OnnxWriteOptions { Opset = 17 }));
        Assert.Equal("SL1113", error.Code);
        Assert.Contains("ReduceMean", error.Message, StringComparison.Ordinal);
        Assert.Equal("SL1102", Assert.Throws<ModelFormatException>(() => OnnxWriter.Write(graph, _folder["m.onnx"], new OnnxWriteOptions { Opset = 16 })).Code);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    private long Chosen(Action<ModelGraph> build)
    {
        var graph = new ModelGraph("g");
        s_feeds.Value = [];
        build(graph);
        OnnxWriter.Write(graph, _folder["m.onnx"]);
        ModelProto proto = ModelProto.Parser.ParseFrom(File.ReadAllBytes(_folder["m.onnx"]));
        GraphAssert.Equal(graph, OnnxReader.Read(_folder["m.onnx"]));
        return proto.OpsetImport[0].Version;
    }

    private static readonly AsyncLocal<Dictionary<string, TensorData>> s_feeds = new();

    private static string X(ModelGraph graph, params int[] shape)
    {
        var random = new Random(graph.Inputs.Count + 1);
        var values = new float[TensorData.CountElements(shape)];
        for (int i = 0; i < values.Length; i++) values[i] = (random.NextSingle() * 4) - 2;
        return Feed(graph, TensorData.Wrap(values, shape));
    }

    private static string Feed(ModelGraph graph, TensorData data)
    {
        string name = $"x{graph.Inputs.Count}";
        graph.Inputs.Add(new GraphValue(name, new TensorType(data.ElementType, TensorShape.Of(data.Shape))));
        s_feeds.Value![name] = data;
        return name;
    }

    private static string Integers(ModelGraph graph, params long[] values) => graph.AddWeight(new Weight($"c{graph.Weights.Count}", TensorData.Vector(values))).Name;

    private static NodeAttributes Add(ModelGraph graph, string op, string[] inputs, int outputs = 1)
    {
        var node = new Node("node", op, inputs, Enumerable.Range(0, outputs).Select(i => $"y{i}"));
        graph.Nodes.Add(node);
        graph.Outputs.AddRange(node.Outputs.Select(o => new GraphValue(o, new TensorType(ElementType.Undefined, null))));
        return node.Attributes;
    }
}
