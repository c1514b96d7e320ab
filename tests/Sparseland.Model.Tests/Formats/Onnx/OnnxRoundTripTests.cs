using Sparseland.Kernels.Sparse;
using Sparseland.Model.Formats.Onnx;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats.Onnx;

/// <summary>What is written is read back equal: random graphs with everything in them, and real files.</summary>
public sealed class OnnxRoundTripTests
{
    [SkippableFact]
    public void Real_files_written_again_are_read_equal()
    {
        string root = TestData.Require("onnx-conformance");
        using var folder = new TemporaryFolder();
        string copy = folder["copy.onnx"];
        int compared = 0;
        IEnumerable<string> files = Directory.EnumerateFiles(root, "*.onnx", SearchOption.AllDirectories)
            .Append(TestData.Require("ultraface", "version-RFB-320_without_postprocessing.onnx"))
            .Append(TestData.Require("silero-vad", "silero_vad_16k_op15.onnx"));
        foreach (string path in files)
        {
            ModelGraph graph;
            try
            {
                graph = OnnxReader.Read(path);
            }
            catch (ModelFormatException e) when (e.Code is "SL1102" or "SL1105")
            {
                continue; // OnnxRealFileTests holds the list of refusals
            }
            OnnxWriter.Write(graph, copy);
            GraphAssert.Equal(graph, OnnxReader.Read(copy), path);
            compared++;
        }
        Assert.True(compared > 950, $"{compared} files");
    }

    [Theory]
    [InlineData(null)]
    [InlineData(true)]
    public void Random_graphs_are_read_back_equal(bool? external)
    {
        using var folder = new TemporaryFolder();
        for (int seed = 0; seed < 60; seed++)
        {
            ModelGraph graph = RandomGraph.Make(seed);
            string path = folder[$"g{seed}.onnx"];
            OnnxWriter.Write(graph, path, new OnnxWriteOptions { ExternalData = external, ExternalDataThreshold = 16 });
            GraphAssert.Equal(graph, OnnxReader.Read(path), $"seed {seed}");
            Assert.Equal(external == true, File.Exists(path + ".data"));
        }
    }

    [Fact]
    public void The_same_graph_gives_the_same_bytes()
    {
        using var folder = new TemporaryFolder();
        OnnxWriter.Write(RandomGraph.Make(7), folder["a.onnx"]);
        OnnxWriter.Write(RandomGraph.Make(7), folder["b.onnx"]);
        Assert.Equal(File.ReadAllBytes(folder["a.onnx"]), File.ReadAllBytes(folder["b.onnx"]));
        Assert.Equal(2, Directory.GetFiles(folder.Path).Length);
    }

    [Fact]
    public void Saving_over_the_file_that_weights_are_read_from_keeps_them()
    {
        using var folder = new TemporaryFolder();
        string path = folder["m.onnx"];
        var graph = new ModelGraph("big");
        var values = new float[100_000];
        for (int i = 0; i < values.Length; i++) values[i] = i;
        graph.AddWeight(new Weight("w", TensorData.Wrap(values, 1000, 100)));
        graph.Outputs.Add(new GraphValue("w", new TensorType(ElementType.Float32, TensorShape.Of([1000, 100]))));
        OnnxWriter.Write(graph, path);
        ModelGraph lazy = OnnxReader.Read(path);
        Assert.True(lazy.Weights["w"].Storage.IsLazy);
        OnnxWriter.Write(lazy, path);
        OnnxWriter.Write(lazy, path, new OnnxWriteOptions { ExternalData = true });
        ModelGraph external = OnnxReader.Read(path);
        Assert.True(new FileInfo(path).Length < 1000);
        OnnxWriter.Write(external, path, new OnnxWriteOptions { ExternalData = true });
        GraphAssert.Equal(graph, OnnxReader.Read(path));
        GraphAssert.Equal(graph, lazy);
    }

    [Theory]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float64)]
    [InlineData(ElementType.Int8)]
    public void Masks_come_back_with_kept_zeros(ElementType type)
    {
        using var folder = new TemporaryFolder();
        var random = new Random(5);
        var graph = new ModelGraph("masked");
        TensorData data = TensorData.Zeros(type, 40, 33);
        random.NextBytes(data.Bytes());
        if (type.IsFloat()) for (int i = 0; i < data.Length; i += 5) data.Bytes().Slice(i * type.Size(), type.Size()).Clear();
        var flags = new bool[data.Length];
        for (int i = 0; i < flags.Length; i++) flags[i] = random.Next(10) < 3;
        var weight = new Weight("w", data);
        weight.SetMask(Mask.FromFlags([40, 33], flags));
        graph.AddWeight(weight);
        graph.AddWeight(new Weight("free", TensorData.Vector(0f, 1f)));
        graph.Outputs.Add(new GraphValue("w", weight.Type));
        OnnxWriter.Write(graph, folder["m.onnx"]);
        ModelGraph back = OnnxReader.Read(folder["m.onnx"]);
        GraphAssert.Equal(graph, back);
        Assert.Equal(weight.Mask!.KeptCount, back.Weights["w"].Mask!.KeptCount);
        Assert.DoesNotContain(back.Metadata.Keys, k => k.Contains("mask", StringComparison.Ordinal));

        OnnxWriter.Write(graph, folder["plain.onnx"], new OnnxWriteOptions { IncludeMaskMetadata = false });
        Assert.Null(OnnxReader.Read(folder["plain.onnx"]).Weights["w"].Mask);
    }

    [Fact]
    public void A_failed_write_leaves_the_old_file_and_nothing_else()
    {
        using var folder = new TemporaryFolder();
        string path = folder["m.onnx"];
        var graph = new ModelGraph("words");
        graph.Inputs.Add(new GraphValue("text", new TensorType(ElementType.String, TensorShape.Of([3]))));
        graph.AddWeight(new Weight("w", TensorData.Zeros(ElementType.Float32, 100, 100)));
        graph.Outputs.Add(new GraphValue("w", graph.Weights["w"].Type));
        OnnxWriter.Write(graph, path);
        byte[] before = File.ReadAllBytes(path);
        graph.Nodes.Add(new Node("new", "RegexFullMatch", [graph.Inputs[0].Name], ["matched"]));
        var error = Assert.Throws<ModelFormatException>(() => OnnxWriter.Write(graph, path, new OnnxWriteOptions { Opset = 17, ExternalData = true }));
        Assert.Equal("SL1113", error.Code);
        Assert.Contains("'new'", error.Message, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(path));
        Assert.Single(Directory.GetFiles(folder.Path));
        Assert.Equal("SL1003", Assert.Throws<ModelFormatException>(() => OnnxWriter.Write(graph, folder["missing/m.onnx"])).Code);
    }
}
