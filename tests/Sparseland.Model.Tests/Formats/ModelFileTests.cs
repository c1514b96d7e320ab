using Sparseland.Kernels.Sparse;
using Sparseland.Model.Architectures;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Formats.Safetensors;
using Sparseland.Model.Graph;
using Sparseland.Model.Tokenizers;

namespace Sparseland.Model.Tests.Formats;

public sealed class ModelFileTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static ModelGraph Network()
    {
        Architecture resnet = ArchitectureCatalog.Get("resnet20");
        ModelGraph graph = resnet.Build(resnet.DefaultOptions().Parse("width=4,classes=3"), 1);
        Weight weight = graph.Weights["layer1.0.conv1.weight"];
        weight.SetMask(Mask.FromFlags(weight.Shape, [.. Enumerable.Range(0, weight.Length).Select(i => i % 3 == 0)]));
        return graph;
    }

    private static IEnumerable<KeyValuePair<string, WeightStorage>> Parameters(ModelGraph graph) => graph.Weights.Values
        .Where(w => w.ElementType == ElementType.Float32 && w.Name.Contains('.', StringComparison.Ordinal)).Select(w => KeyValuePair.Create(w.Name, WeightStorage.InMemory(w.Read())));

    [Fact]
    public void Both_forms_that_are_saved_are_loaded_again()
    {
        ModelGraph graph = Network();
        Tokenizer.Embed(graph, ByteTokenizer.Instance);
        foreach (string name in new[] { "m.onnx", "m.sparse.safetensors", "M.SAFETENSORS" })
        {
            ModelFile.Save(graph, _folder.File(name));
            ModelGraph loaded = ModelFile.Load(_folder.File(name));
            Assert.Equal(graph.Metadata, loaded.Metadata);
            Assert.Equal(graph.Weights["layer1.0.conv1.weight"].Mask, loaded.Weights["layer1.0.conv1.weight"].Mask);
            Assert.Same(ByteTokenizer.Instance, Tokenizer.Find(loaded));
            var input = new Dictionary<string, TensorData> { ["image"] = TensorData.Wrap(Enumerable.Range(0, 3072).Select(i => i % 7 * 0.1f).ToArray(), 1, 3, 32, 32) };
            Assert.Equal(GraphEvaluator.Run(graph, input)["logits"].Array<float>(), GraphEvaluator.Run(loaded, input)["logits"].Array<float>());
        }
        Assert.True(new FileInfo(_folder.File("m.sparse.safetensors")).Length < new FileInfo(_folder.File("m.onnx")).Length);
        graph.Weights["layer1.0.conv1.weight"].Read().Span<float>().Fill(1);
        foreach (string name in new[] { "bad.onnx", "bad.safetensors" })
        {
            Assert.Equal("SL1601", Assert.Throws<SparselandException>(() => ModelFile.Save(graph, _folder.File(name))).Code);
            Assert.False(File.Exists(_folder.File(name)));
        }
    }

    [Fact]
    public void Tensors_alone_are_matched_whatever_holds_them()
    {
        ModelGraph graph = Network();
        SafetensorsWriter.Write(_folder.File("a.safetensors"), Parameters(graph));
        NpzWriter.Write(_folder.File("a.npz"), Parameters(graph).Select(p => KeyValuePair.Create(p.Key, p.Value.Read())));
        // The wrong name: contents decide.
        File.Copy(_folder.File("a.npz"), _folder.File("a.bin"));
        foreach (string name in new[] { "a.safetensors", "a.npz", "a.bin" })
        {
            ModelGraph loaded = ModelFile.Load(_folder.File(name));
            Assert.Equal("resnet20", loaded.Metadata[ModelMetadata.Architecture]);
            Assert.Equal(graph.Weights.Keys, loaded.Weights.Keys);
        }
        SafetensorsWriter.Write(_folder.File("n.safetensors"), Parameters(graph), new Dictionary<string, string> { [ModelMetadata.InputMean] = "0,0,0", ["other"] = "x" });
        ModelGraph own = ModelFile.Load(_folder.File("n.safetensors"));
        Assert.Equal("0,0,0", own.Metadata[ModelMetadata.InputMean]);
        Assert.False(own.Metadata.ContainsKey("other"));
        Assert.Equal("SL1701", Assert.Throws<ModelFormatException>(() => ModelFile.Load(_folder.File("a.npz"), new LoadOptions { Architecture = "lenet-5" })).Code);
        Assert.Equal("SL4101", Assert.Throws<SparselandException>(() => ModelFile.Load(_folder.File("a.npz"), new LoadOptions { ArchitectureOptions = "depth=9", Architecture = "resnet20" })).Code);
    }

    [Fact]
    public void Files_that_are_no_models_are_named_for_what_they_are()
    {
        ModelFormatException Fails(string name, params byte[] bytes) => Assert.Throws<ModelFormatException>(() => ModelFile.Load(_folder.Write(name, bytes)));
        Assert.Equal("SL1001", Assert.Throws<ModelFormatException>(() => ModelFile.Load(_folder.File("missing.onnx"))).Code);
        Assert.Equal("SL1002", Assert.Throws<ModelFormatException>(() => ModelFile.Load(_folder.Path)).Code);
        Assert.Equal("SL1002", Fails("empty.onnx").Code);
        Assert.Equal("SL1002", Fails("text.txt", [.. "hello, this is no model"u8]).Code);
        Assert.Contains("GGUF", Fails("m.gguf", [.. "GGUF"u8, 3, 0, 0, 0]).Because, StringComparison.Ordinal);
        Assert.Contains("HDF5", Fails("m.h5", [0x89, .. "HDF\r\n"u8, 26, 10]).Because, StringComparison.Ordinal);
        Assert.Contains("TensorFlow Lite", Fails("m.tflite", [28, 0, 0, 0, .. "TFL3"u8, 0, 0]).Because, StringComparison.Ordinal);
        NpyWriter.Write(_folder.File("x.npy"), TensorData.Vector(1f));
        Assert.Equal("SL1002", Assert.Throws<ModelFormatException>(() => ModelFile.Load(_folder.File("x.npy"))).Code);
        NpzWriter.Write(_folder.File("x.npz"), []);
        Assert.Equal("SL1701", Assert.Throws<ModelFormatException>(() => ModelFile.Load(_folder.File("x.npz"))).Code);
        Assert.Equal("SL1501", Fails("m.bin", new byte[300]).Code);
        Assert.StartsWith("SL11", Fails("m.onnx", [.. "hello, this is no model"u8]).Code, StringComparison.Ordinal);
        Assert.Equal("SL1201", Fails("m.safetensors", [1]).Code);
        Assert.Equal("SL1301", Fails("m.pt", [1, 2, 3]).Code);
        Assert.Equal("SL1007", Assert.Throws<ModelFormatException>(() => ModelFile.Save(Network(), _folder.File("m.pt"))).Code);
        Assert.Equal("SL1003", Assert.Throws<ModelFormatException>(() => ModelFile.Save(Network(), Path.Combine(_folder.Path, "none", "m.safetensors"))).Code);
    }

    [SkippableFact]
    public void Real_files_of_every_form_are_recognised()
    {
        foreach ((ModelFormat format, string[] path) in new (ModelFormat, string[])[]
        {
            (ModelFormat.TorchCheckpoint, ["cifar10-resnet", "resnet20-12fca82f.th"]),
            (ModelFormat.TorchCheckpoint, ["tensor-formats", "test.pt"]),
            (ModelFormat.TorchCheckpoint, ["motion-action-recognition", "action_recognition_model_humanact12.tar"]),
            (ModelFormat.Onnx, ["ultraface", "version-RFB-320_without_postprocessing.onnx"]),
            (ModelFormat.Safetensors, ["mnist-cnn", "mnist.safetensors"]),
            (ModelFormat.Npz, ["g2p-gru", "checkpoint20.npz"]),
            (ModelFormat.Llama2c, ["lm-stories260k", "checkpoint_legacy.bin"]),
            (ModelFormat.Llama2c, ["lm-stories260k", "checkpoint_v1.bin"]),
        })
            Assert.Equal(format, ModelFile.Identify(TestData.Require(path)));
        Assert.Equal("resnet56", ModelFile.Load(TestData.Require("cifar10-resnet", "resnet56-4bfd9763.th")).Metadata[ModelMetadata.Architecture]);
        Assert.NotNull(Tokenizer.Find(ModelFile.Load(TestData.Require("lm-stories260k", "checkpoint_v1.bin"))));
        string other = TestData.Require("ultraface", "version-RFB-320.pth");
        Assert.Equal("SL1701", Assert.Throws<ModelFormatException>(() => ModelFile.Load(other)).Code);
        string zip = TestData.Require("rl-expert", "cartpole_policy_model.zip");
        Assert.Equal("SL1002", Assert.Throws<ModelFormatException>(() => ModelFile.Load(zip)).Code);
    }
}
