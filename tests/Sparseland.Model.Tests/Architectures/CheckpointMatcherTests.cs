using Sparseland.Model.Architectures;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Formats.TorchCheckpoint;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Architectures;

public sealed class CheckpointMatcherTests
{
    private static Checkpoint ToCheckpoint(ModelGraph graph, string prefix = "")
    {
        var checkpoint = new Checkpoint("memory", "test");
        foreach (Weight weight in graph.Weights.Values.Where(w => w.ElementType == ElementType.Float32 && w.Name.Contains('.', StringComparison.Ordinal) && !w.Name.StartsWith("rotary", StringComparison.Ordinal) && !w.Name.Contains("scalar", StringComparison.Ordinal)))
            checkpoint.Tensors[prefix + weight.Name] = weight.Storage;
        return checkpoint;
    }

    private static ModelGraph Build(string id, string options)
    {
        Architecture architecture = ArchitectureCatalog.Get(id);
        return architecture.Build(architecture.DefaultOptions().Parse(options), 5);
    }

    [Theory]
    [InlineData("lenet-300-100", "hidden1=30,classes=7")]
    [InlineData("lenet-5", "channels1=4")]
    [InlineData("small-cnn", "channels=4,image=32,inputs=3,hidden=9")]
    [InlineData("mlp", "features=6,depth=3,width=5,classes=2")]
    [InlineData("resnet20", "width=4,classes=3")]
    [InlineData("resnet56", "width=4")]
    [InlineData("vgg16-bn", "width=4")]
    [InlineData("resnet18", "width=4,classes=5")]
    [InlineData("mobilenet-v1", "multiplier=0.25,classes=5")]
    [InlineData("mobilenet-v2", "multiplier=0.35,classes=5")]
    [InlineData("llama", "dim=128,heads=2,kvheads=1,layers=2,hidden=24,vocabulary=20,sequence=2048")]
    public void A_network_is_recognised_with_its_options_behind_any_prefix(string id, string options)
    {
        ModelGraph graph = Build(id, options);
        foreach (string prefix in new[] { "", "module.", "_orig_mod.module." })
        {
            Checkpoint checkpoint = ToCheckpoint(graph, prefix);
            checkpoint.Tensors[prefix + "x.num_batches_tracked"] = WeightStorage.InMemory(TensorData.Scalar(3L));
            Assert.True(CheckpointMatcher.Compare(checkpoint)[0].IsExact, string.Join("\n", CheckpointMatcher.Compare(checkpoint).Select(c => c.Describe() + c.Options)));
            ModelGraph match = CheckpointMatcher.Match(checkpoint);
            Assert.Equal(id, match.Metadata[ModelMetadata.Architecture]);
            Assert.Equal(graph.Metadata[ModelMetadata.ArchitectureOptions], match.Metadata[ModelMetadata.ArchitectureOptions]);
            Assert.Equal(graph.Weights.Keys, match.Weights.Keys);
            foreach (Weight weight in graph.Weights.Values) Assert.True(weight.Read().Bytes().SequenceEqual(match.Weights[weight.Name].Read().Bytes()), weight.Name);
        }
    }

    [Fact]
    public void Half_precision_becomes_single_and_pruning_pairs_become_masks()
    {
        ModelGraph graph = Build("mlp", "features=6,depth=1,width=5,classes=2");
        Checkpoint checkpoint = ToCheckpoint(graph);
        float[] values = graph.Weights["layers.0.weight"].Read().Array<float>();
        checkpoint.Tensors.Remove("layers.0.weight");
        checkpoint.Tensors["layers.0.weight_orig"] = WeightStorage.InMemory(TensorData.Wrap(values, 5, 6));
        checkpoint.Tensors["layers.0.weight_mask"] = WeightStorage.InMemory(TensorData.Wrap(Enumerable.Range(0, 30).Select(i => i % 3 == 0 ? 1f : 0f).ToArray(), 5, 6));
        checkpoint.Tensors["layers.1.bias"] = WeightStorage.InMemory(TensorData.Vector((Half)1.5f, (Half)(-2f)));
        ModelGraph match = CheckpointMatcher.Match(checkpoint);
        Assert.Equal([1.5f, -2f], match.Weights["layers.1.bias"].Read().Array<float>());
        Weight weight = match.Weights["layers.0.weight"];
        Assert.Equal(10, weight.Mask!.KeptCount);
        Assert.Equal(values.Select((v, i) => i % 3 == 0 ? v : 0f), weight.Read().Array<float>());
    }

    [Fact]
    public void No_match_names_the_nearest_and_what_differs()
    {
        Checkpoint checkpoint = ToCheckpoint(Build("resnet20", "width=4"));
        checkpoint.Tensors.Remove("layer3.2.bn2.bias");
        checkpoint.Tensors["extra.weight"] = WeightStorage.InMemory(TensorData.Vector(1f));
        checkpoint.Tensors["bn1.weight"] = WeightStorage.InMemory(TensorData.Vector(1f, 2f));
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => CheckpointMatcher.Match(checkpoint));
        Assert.Equal("SL1701", error.Code);
        Assert.StartsWith("nearest: resnet20:", error.Because, StringComparison.Ordinal);
        foreach (string part in new[] { "layer3.2.bn2.bias", "extra.weight", "bn1.weight [4] here, [2] in the file" }) Assert.Contains(part, error.Because, StringComparison.Ordinal);
        ModelFormatException byHand = Assert.Throws<ModelFormatException>(() => CheckpointMatcher.Match(checkpoint, "lenet-5"));
        Assert.Contains("lenet-5", byHand.Message, StringComparison.Ordinal);
        Assert.Equal("SL1701", Assert.Throws<ModelFormatException>(() => CheckpointMatcher.Match(new Checkpoint("memory", "test"))).Code);
        Assert.Equal("SL4102", Assert.Throws<SparselandException>(() => CheckpointMatcher.Match(checkpoint, "nonsense")).Code);
    }

    [Fact]
    public void Absurd_shapes_are_no_match_and_take_no_memory()
    {
        var checkpoint = new Checkpoint("memory", "test");
        checkpoint.Tensors["conv1.weight"] = new Huge([100_000, 3, 3, 3]);
        checkpoint.Tensors["linear.weight"] = new Huge([20_000_000, 10]);
        checkpoint.Tensors["model.embed_tokens.weight"] = new Huge([1 << 20, 2000]);
        Assert.Equal("SL1701", Assert.Throws<ModelFormatException>(() => CheckpointMatcher.Match(checkpoint)).Code);
    }

    [SkippableTheory]
    [InlineData("resnet20", "resnet20-12fca82f.th", "resnet20_logits_test_first1000.npy", 24)]
    [InlineData("resnet56", "resnet56-4bfd9763.th", "resnet56_logits_test_first1000.npy", 10)]
    public void Pretrained_networks_give_the_reference_logits(string id, string file, string logits, int images)
    {
        Checkpoint checkpoint = TorchCheckpointFile.Load(TestData.Require("cifar10-resnet", file)).FindStateDict();
        byte[] pictures = File.ReadAllBytes(TestData.Require("cifar10", "test_batch_first1000.bin"));
        float[] expected = NpyReader.Read(TestData.Require("cifar10-resnet", logits)).Array<float>();
        ModelGraph graph = CheckpointMatcher.Match(checkpoint);
        Assert.Equal(id, graph.Metadata[ModelMetadata.Architecture]);
        InputNormalization n = ModelMetadata.FindNormalization(graph)!;
        var input = new float[images * 3072];
        for (int i = 0; i < input.Length; i++)
        {
            int channel = i % 3072 / 1024;
            input[i] = (pictures[i / 3072 * 3073 + 1 + i % 3072] / 255f - n.Mean[channel]) / n.Deviation[channel];
        }
        TensorData output = GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { ["image"] = TensorData.Wrap(input, images, 3, 32, 32) })["logits"];
        Near.Equal(expected.AsSpan(0, images * 10), output.Array<float>(), 1e-4, 1e-5, id);
    }

    private sealed class Huge(int[] shape) : WeightStorage
    {
        public override ElementType ElementType => ElementType.Float32;

        public override ReadOnlySpan<int> Shape => shape;

        public override TensorData Read() => throw new InvalidOperationException("must not be read");
    }
}
