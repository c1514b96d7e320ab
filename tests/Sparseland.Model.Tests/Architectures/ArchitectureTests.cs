using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Architectures;

public sealed class ArchitectureTests
{
    /// <summary>Trainable parameters as the papers and the well-known implementations state them.</summary>
    [Theory]
    [InlineData("lenet-300-100", 266_610)]
    [InlineData("lenet-5", 61_706)]
    [InlineData("resnet20", 269_722)]
    [InlineData("resnet32", 464_154)]
    [InlineData("resnet44", 658_586)]
    [InlineData("resnet56", 853_018)]
    [InlineData("resnet110", 1_727_962)]
    [InlineData("vgg16-bn", 14_728_266)]
    [InlineData("resnet18", 11_689_512)]
    [InlineData("resnet34", 21_797_672)]
    [InlineData("resnet50", 25_557_032)]
    [InlineData("mobilenet-v1", 4_231_976)]
    [InlineData("mobilenet-v2", 3_504_872)]
    [InlineData("vit", 5_717_416)]
    public void Parameters_are_as_many_as_published(string id, long expected)
    {
        Architecture architecture = ArchitectureCatalog.Get(id);
        ModelGraph graph = architecture.BuildStructure(architecture.DefaultOptions());
        Assert.Equal(expected, graph.Weights.Values
            .Where(w => w.Storage is GraphBuilder.UndrawnStorage && !w.Name.Contains("running_", StringComparison.Ordinal)).Sum(w => (long)w.Length));
    }

    public static TheoryData<string> Ids => [.. ArchitectureCatalog.All.Select(a => a.Id)];

    [Theory]
    [MemberData(nameof(Ids))]
    public void Every_architecture_is_described_and_has_static_shapes_behind_a_free_batch(string id)
    {
        Architecture architecture = ArchitectureCatalog.Get(id);
        Assert.NotEmpty(architecture.Title);
        Assert.NotEmpty(architecture.Paper);
        ArchitectureOptions options = architecture.DefaultOptions();
        ModelGraph graph = architecture.BuildStructure(options);
        Assert.Equal(id, graph.Metadata[ModelMetadata.Architecture]);
        Assert.Equal(options.ToString(), architecture.DefaultOptions().Parse(graph.Metadata[ModelMetadata.ArchitectureOptions]).ToString());
        Assert.Equal(architecture.InputShape(options), graph.Inputs.Single().Type.Shape);
        TensorShape output = graph.Outputs.Single().Type.Shape!;
        Assert.Equal("batch", output[0].Symbol);
        Assert.Equal(id == "llama" ? 256 : options.Int("classes"), output[output.Rank - 1].Value);
        Assert.Equal(architecture.Normalization(options)?.ToString(), ModelMetadata.FindNormalization(graph)?.ToString());
        GraphValidator.Validate(graph);
    }

    [Theory]
    [InlineData("lenet-300-100", "")]
    [InlineData("lenet-5", "")]
    [InlineData("small-cnn", "channels=4")]
    [InlineData("mlp", "features=6,depth=3,width=5,classes=2")]
    [InlineData("resnet20", "width=4,classes=3")]
    [InlineData("resnet20-wide", "width=8")]
    [InlineData("vgg16-bn", "width=4")]
    [InlineData("resnet18", "width=4,image=64,classes=5")]
    [InlineData("resnet50", "width=4,image=64,classes=5")]
    [InlineData("mobilenet-v1", "multiplier=0.25,image=64,classes=5")]
    [InlineData("mobilenet-v2", "multiplier=0.25,image=64,classes=5")]
    [InlineData("vit", "dim=12,heads=3,layers=2,mlp=24,patch=8,image=16,classes=5")]
    [InlineData("llama", "dim=16,heads=4,kvheads=2,layers=2,hidden=24,vocabulary=20,sequence=12")]
    public void Same_seed_same_model_and_batches_do_not_mix(string id, string options)
    {
        Architecture architecture = ArchitectureCatalog.Get(id);
        ModelGraph Build(int seed) => architecture.Build(architecture.DefaultOptions().Parse(options), seed);
        ModelGraph graph = Build(1), twin = Build(1), other = Build(2);
        bool differs = false;
        foreach (Weight weight in graph.Weights.Values)
        {
            Assert.True(weight.Read().Bytes().SequenceEqual(twin.Weights[weight.Name].Read().Bytes()));
            differs |= !weight.Read().Bytes().SequenceEqual(other.Weights[weight.Name].Read().Bytes());
        }
        Assert.True(differs);
        TensorData two = Input(graph, 2, 3), first = First(two);
        float[] both = GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { [graph.Inputs[0].Name] = two }).GetAt(0).Value.Array<float>();
        float[] one = GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { [graph.Inputs[0].Name] = first }).GetAt(0).Value.Array<float>();
        Assert.All(both, v => Assert.True(float.IsFinite(v)));
        Assert.Contains(both, v => Math.Abs(v) > 1e-6);
        Near.Equal(one, both.AsSpan(0, one.Length), 1e-5, 1e-4, id);
        Assert.NotEqual(both.AsSpan(0, one.Length).ToArray(), both.AsSpan(one.Length).ToArray());
    }

    [Fact]
    public void Llama_is_causal_and_its_configuration_travels_with_it()
    {
        var config = new LlamaConfig(16, 24, 2, 4, 2, 20, 12, RopeBase: 500, InterleavedRope: true, TiedHead: false, NormEpsilon: 1e-6);
        ModelGraph graph = Llama.Build(config, 3);
        Assert.Equal(config, Llama.FindConfig(graph));
        float[] Run(params long[] tokens) => GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { ["tokens"] = TensorData.Wrap(tokens, 1, tokens.Length) })["logits"].Array<float>();
        float[] shorter = Run(1, 2, 3), longer = Run(1, 2, 3, 4, 5);
        Near.Equal(shorter, longer.AsSpan(0, 60), 1e-5, 1e-5);
        Assert.NotEqual(Run(2, 1, 3).AsSpan(40).ToArray(), shorter.AsSpan(40).ToArray());
    }

    [Fact]
    public void Options_out_of_range_or_unknown_are_errors_that_say_what_is_possible()
    {
        Architecture resnet = ArchitectureCatalog.Get("resnet20");
        SparselandException unknown = Assert.Throws<SparselandException>(() => resnet.DefaultOptions().Parse("depth=3"));
        Assert.Equal("SL4101", unknown.Code);
        Assert.Contains("width", unknown.Try, StringComparison.Ordinal);
        Assert.Equal("SL4101", Assert.Throws<SparselandException>(() => resnet.DefaultOptions().Parse("width=0")).Code);
        Assert.Equal("SL4101", Assert.Throws<SparselandException>(() => resnet.DefaultOptions().Parse("width=2.5")).Code);
        Assert.Equal("SL4101", Assert.Throws<SparselandException>(() => resnet.DefaultOptions().Parse("width=NaN")).Code);
        Assert.Equal("SL4101", Assert.Throws<SparselandException>(() => resnet.DefaultOptions().Parse("width")).Code);
        Assert.Equal("SL4102", Assert.Throws<SparselandException>(() => ArchitectureCatalog.Get("resnet21")).Code);
        Architecture vit = ArchitectureCatalog.Get("vit");
        Assert.Equal("SL4101", Assert.Throws<SparselandException>(() => vit.Build(vit.DefaultOptions().Parse("heads=5"))).Code);
    }

    private static TensorData Input(ModelGraph graph, int batch, int seed)
    {
        TensorType type = graph.Inputs[0].Type;
        int[] shape = [batch, .. type.Shape!.Skip(1).Select(d => d.IsKnown ? d.Value : 6)];
        var random = new Random(seed);
        int count = TensorData.CountElements(shape);
        return type.ElementType == ElementType.Int64
            ? TensorData.Wrap(Enumerable.Range(0, count).Select(_ => (long)random.Next(20)).ToArray(), shape)
            : TensorData.Wrap(Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() * 2 - 1)).ToArray(), shape);
    }

    private static TensorData First(TensorData data)
    {
        int[] shape = [1, .. data.Shape[1..]];
        TensorData first = TensorData.Zeros(data.ElementType, shape);
        data.Bytes()[..first.Bytes().Length].CopyTo(first.Bytes());
        return first;
    }
}
