using System.IO.Compression;
using System.Text;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Architectures;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Compact;
using Sparseland.Model.Formats.Safetensors;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats.Compact;

public sealed class CompactTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static Mask RandomMask(ReadOnlySpan<int> shape, double density, int seed)
    {
        var random = new Random(seed);
        return Mask.FromFlags(shape, [.. Enumerable.Range(0, TensorData.CountElements(shape)).Select(_ => random.NextDouble() < density)]);
    }

    private static ModelGraph Sparse(double density, string id = "resnet20", string options = "")
    {
        Architecture architecture = ArchitectureCatalog.Get(id);
        ModelGraph graph = architecture.Build(architecture.DefaultOptions().Parse(options), 3);
        int seed = 0;
        foreach (Weight weight in graph.Weights.Values.Where(w => w.Shape.Length >= 2 && w.ElementType == ElementType.Float32)) weight.SetMask(RandomMask(weight.Shape, density, ++seed));
        return graph;
    }

    private string Save(ModelGraph graph, CompactOptions? options = null)
    {
        string path = _folder.File("m.sparse.safetensors");
        CompactFile.Write(path, graph, options);
        return path;
    }

    [Theory]
    [InlineData("lenet-5", "", 0.3)]
    [InlineData("resnet20", "width=8", 0.1)]
    [InlineData("vit", "dim=12,heads=3,layers=2,mlp=24,patch=8,image=16,classes=5", 0.5)]
    [InlineData("llama", "dim=16,heads=4,kvheads=2,layers=2,hidden=24,vocabulary=20,sequence=12", 0.0)]
    [InlineData("mlp", "", 1.0)]
    public void What_is_saved_is_loaded_masks_included(string id, string options, double density)
    {
        ModelGraph graph = Sparse(density, id, options);
        string path = Save(graph);
        ModelGraph loaded = CompactFile.Read(path);
        GraphAssert.Equal(graph, loaded);
        byte[] once = File.ReadAllBytes(path);
        CompactFile.Write(path, loaded);
        Assert.Equal(once, File.ReadAllBytes(path));
        GraphAssert.Equal(graph, loaded);
        GraphAssert.Equal(graph, loaded.Clone());
    }

    [Fact]
    public void Every_kind_of_weight_attribute_and_nested_graph_survives()
    {
        var body = new ModelGraph("body");
        body.Inputs.Add(new GraphValue("x", new TensorType(ElementType.Float32, null)));
        body.AddWeight(new Weight("w", TensorData.Vector(1f, 2f)));
        body.Nodes.Add(new Node("add", "Add", ["x", "w"], ["y"]));
        body.Outputs.Add(new GraphValue("y", new TensorType(ElementType.Undefined, new TensorShape(Dimension.Unknown, Dimension.Named("n"), 3))));
        var graph = new ModelGraph("outer \"quoted\" ü");
        graph.CustomDomains["com.example"] = 3;
        graph.Metadata["text"] = "line\nline ü \"";
        graph.Inputs.Add(new GraphValue("x", new TensorType(ElementType.Float32, new TensorShape(Dimension.Named("batch"), 2))));
        for (int i = 0; i < SampleTensors.All.Length; i++) graph.AddWeight(new Weight($"t{i}", SampleTensors.All[i]));
        graph.AddWeight(new Weight("w", TensorData.Vector(5f)));
        graph.AddWeight(new Weight("w:mask", TensorData.Vector(6f)));
        graph.AddWeight(new Weight("strings", TensorData.Vector("a", "", "żółw")));
        graph.AddWeight(new Weight("m", TensorData.Wrap(new float[] { 1, 2, 3, 4 }, 2, 2)));
        graph.Weights["m"].SetMask(Mask.FromFlags([2, 2], [true, false, false, true]));
        graph.AddWeight(new Weight("m:mask", TensorData.Wrap(new float[] { -0f, 0, 0, 0, 0, 0, 0, 1 }, 2, 4)));
        graph.AddWeight(new Weight("d", TensorData.Wrap(new double[] { 0, 0, 0, 0, 0, 0, 0, 1e-300 }, 2, 4)));
        var node = new Node("if", "If", ["x", "", "w"], ["z"], "com.example");
        node.Attributes.Set("int", long.MinValue).Set("float", float.NaN).Set("floats", [float.PositiveInfinity, -0f, 1.1f]).Set("string", "s").Set("strings", ["a", ""])
            .Set("ints", 1L, -2L).SetValue("none", Array.Empty<long>()).Set("tensor", SampleTensors.All[0]).SetValue("tensors", new[] { SampleTensors.All[3], SampleTensors.All[12] })
            .SetValue("graph", body).SetValue("graphs", new[] { body, body });
        graph.Nodes.Add(node);
        graph.Outputs.Add(new GraphValue("z", new TensorType(ElementType.Int64, TensorShape.Scalar)));
        GraphAssert.Equal(graph, CompactFile.Read(Save(graph)));
        Assert.Null(CompactFile.Read(_folder.File("m.sparse.safetensors")).Weights["m:mask"].Mask);
    }

    [Theory]
    [InlineData(ElementType.Float32, 32)]
    [InlineData(ElementType.BFloat16, 16)]
    [InlineData(ElementType.Float16, 16)]
    public void The_size_obeys_the_formula(ElementType type, int valueBits)
    {
        foreach (double density in new[] { 0.02, 0.1, 0.2, 0.5, 0.9 })
        {
            ModelGraph graph = Sparse(density);
            string path = Save(graph, new CompactOptions { ValueType = type });
            long header = 8 + BitConverter.ToInt64(File.ReadAllBytes(path)) + SafetensorsReader.Open(path).Tensors["sparseland.graph"].Shape[0];
            double bits = graph.Weights.Values.Sum(w => w.Length * (1 + (w.Mask?.Density ?? 1) * (w.Mask is null ? w.ElementType.Size() * 8 : valueBits)));
            long size = new FileInfo(path).Length;
            Assert.True(size <= 1.05 * bits / 8 + header, $"density {density}: {size} bytes, allowed {1.05 * bits / 8 + header}");
            // The header is not where the size hides.
            Assert.True(header < 24_000, $"header {header}");
        }
    }

    [Fact]
    public void Rounded_values_keep_masks_and_come_back_as_singles()
    {
        ModelGraph graph = Sparse(0.3, "lenet-5");
        ModelGraph loaded = CompactFile.Read(Save(graph, new CompactOptions { ValueType = ElementType.BFloat16 }));
        foreach (Weight weight in graph.Weights.Values)
        {
            Weight other = loaded.Weights[weight.Name];
            Assert.Equal(weight.Mask, other.Mask);
            if (weight.ElementType == ElementType.Float32) Near.Equal(weight.Read().Array<float>(), other.Read().Array<float>(), 0, 0.005, weight.Name);
        }
    }

    [Fact]
    public void Loading_reads_no_values_and_sparse_code_can_take_them_packed()
    {
        ModelGraph graph = Sparse(0.25, "lenet-300-100");
        ModelGraph loaded = CompactFile.Read(Save(graph));
        Weight weight = loaded.Weights["fc1.weight"];
        Assert.True(weight.Storage.IsLazy);
        PackedStorage packed = Assert.IsType<PackedStorage>(weight.Storage);
        Assert.Equal(weight.Mask!.KeptCount, packed.ReadValues().Length);
        Assert.Equal(graph.Weights["fc1.weight"].Read().Array<float>().Where(v => v != 0), packed.ReadValues().Array<float>());
        // The mask can go on: fewer kept entries, then none removed.
        weight.SetMask(weight.Mask.And(RandomMask(weight.Shape, 0.5, 9)));
        Assert.Equal(weight.Mask.KeptCount, weight.Read().NonZeros().KeptCount);
        weight.SetMask(null);
        Assert.Null(weight.Mask);
    }

    [Fact]
    public void A_weight_that_was_written_past_its_mask_is_not_saved()
    {
        ModelGraph graph = Sparse(0.5, "lenet-5");
        Weight weight = graph.Weights["fc1.weight"];
        weight.Read().Span<float>().Fill(1);
        SparselandException error = Assert.Throws<SparselandException>(() => Save(graph));
        Assert.Equal("SL1601", error.Code);
        Assert.Contains("fc1.weight", error.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void Unsound_files_are_typed_errors()
    {
        string path = Save(Sparse(0.5, "mlp", "features=4,width=3,depth=1,classes=2"));
        Checkpoint sound = SafetensorsReader.Open(path);
        string json;
        using (var reader = new StreamReader(new ZLibStream(new MemoryStream(sound.Tensors["sparseland.graph"].Read().Array<byte>()), CompressionMode.Decompress))) json = reader.ReadToEnd();

        ModelFormatException Fails(Action<OrderedDictionary<string, WeightStorage>, Dictionary<string, string>> change, Func<string, string>? edit = null)
        {
            var tensors = new OrderedDictionary<string, WeightStorage>(sound.Tensors);
            var metadata = new Dictionary<string, string>(sound.Metadata);
            if (edit is not null) tensors["sparseland.graph"] = Zip(Encoding.UTF8.GetBytes(edit(json)));
            change(tensors, metadata);
            string bad = _folder.File("bad.safetensors");
            SafetensorsWriter.Write(bad, tensors, metadata);
            return Assert.Throws<ModelFormatException>(() => CompactFile.Read(bad));
        }

        void None(OrderedDictionary<string, WeightStorage> t, Dictionary<string, string> m)
        {
        }

        Assert.Equal("SL1602", Fails((t, _) => t.Remove("sparseland.graph")).Code);
        Assert.Equal("SL1603", Fails((_, m) => m["sparseland.format"] = "compact/99").Code);
        Assert.Equal("SL1602", Fails((t, _) => t.Remove("layers.0.weight:mask")).Code);
        Assert.Equal("SL1602", Fails((t, _) => t["layers.0.weight:mask"] = WeightStorage.InMemory(TensorData.Vector<byte>(255, 255))).Code);
        Assert.Equal("SL1602", Fails((t, _) => t["layers.0.weight:mask"] = WeightStorage.InMemory(TensorData.Vector<byte>(1))).Code);
        Assert.Equal("SL1602", Fails((t, _) => t["layers.0.weight:values"] = WeightStorage.InMemory(TensorData.Vector(1f))).Code);
        Assert.Equal("SL1602", Fails((t, _) => t["layers.0.weight:values"] = WeightStorage.InMemory(TensorData.Vector(1L))).Code);
        Assert.Equal("SL1602", Fails((t, _) => t["sparseland.graph"] = WeightStorage.InMemory(TensorData.Vector<byte>(1, 2, 3))).Code);
        Assert.Equal("SL1602", Fails((t, _) => t["sparseland.graph"] = WeightStorage.InMemory(TensorData.Vector(1f))).Code);
        Assert.Equal("SL1602", Fails(None, j => j[..^5]).Code);
        Assert.Equal("SL1602", Fails(None, j => "[]").Code);
        Assert.Equal("SL1602", Fails(None, j => j.Replace("\"nodes\"", "\"knots\"", StringComparison.Ordinal)).Code);
        Assert.Equal("SL1602", Fails(None, j => j.Replace("Float32", "Float33", StringComparison.Ordinal)).Code);
        Assert.Equal("SL1602", Fails(None, j => j.Replace("[3,4]", "[3,-4]", StringComparison.Ordinal)).Code);
        Assert.Equal("SL1004", Fails(None, j => j.Replace("[3,4]", "[2147483647,2147483647]", StringComparison.Ordinal)).Code);
        Assert.Equal("SL1602", Fails(None, j => j.Replace("layers.1.bias", "layers.0.bias", StringComparison.Ordinal)).Code);
        Assert.Equal("SL1602", Fails((t, _) => t["sparseland.graph"] = Zip(new byte[80 << 20])).Code);
    }

    private static WeightStorage Zip(byte[] data)
    {
        var packed = new MemoryStream();
        using (var deflate = new ZLibStream(packed, CompressionLevel.Fastest, leaveOpen: true)) deflate.Write(data);
        return WeightStorage.InMemory(TensorData.Vector(packed.ToArray()));
    }
}
