using System.IO.Compression;
using System.Text;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Architectures;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Compact;
using Sparseland.Model.Formats.Safetensors;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats.Compact;

public sealed class CompactValuesTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static ModelGraph Mlp(double density, SparsityPattern? pattern = null)
    {
        Architecture architecture = ArchitectureCatalog.Get("mlp");
        ModelGraph graph = architecture.Build(architecture.DefaultOptions().Parse("features=1024,width=512,depth=1,classes=64"), 3);
        var random = new Random(4);
        foreach (Weight weight in graph.Weights.Values.Where(w => w.Shape.Length >= 2))
        {
            if (density >= 1) continue;
            float[] scores = [.. Enumerable.Range(0, weight.Length).Select(_ => random.NextSingle())];
            weight.SetMask(pattern is not { } known ? Mask.FromFlags(weight.Shape, [.. scores.Select(s => s < density)]) : PatternProjection.KeepBest(known, scores, weight.Shape[0], weight.Shape[1], density));
        }
        return graph;
    }

    private string Save(ModelGraph graph, ValueKind kind)
    {
        string path = _folder.File($"{kind}.sparse.safetensors");
        CompactFile.Write(path, graph, new CompactOptions { Values = kind });
        return path;
    }

    [Theory]
    [InlineData(ValueKind.Float32, 1)]
    [InlineData(ValueKind.BFloat16, 1)]
    [InlineData(ValueKind.Int8, 1)]
    [InlineData(ValueKind.Int4, 1)]
    [InlineData(ValueKind.Float32, 0.3)]
    [InlineData(ValueKind.BFloat16, 0.3)]
    [InlineData(ValueKind.Int8, 0.3)]
    [InlineData(ValueKind.Int4, 0.3)]
    public void A_file_holds_what_the_matrix_holds_masks_included_and_is_written_the_same_again(ValueKind kind, double density)
    {
        ModelGraph graph = Mlp(density);
        string path = Save(graph, kind);
        ModelGraph loaded = CompactFile.Read(path);
        foreach (Weight weight in graph.Weights.Values)
        {
            Weight other = loaded.Weights[weight.Name];
            Assert.Equal(weight.Mask, other.Mask);
            if (weight.Shape.Length < 2) continue;
            float[] expected = new float[weight.Length];
            int rows = weight.Shape[0], columns = weight.Shape[1];
            (weight.Mask is { } mask ? CompactMatrix.FromMask(mask, weight.Read().Span<float>(), rows, columns, kind) : CompactMatrix.FromDense(weight.Read().Span<float>(), rows, columns, kind)).ToDense(expected);
            Assert.Equal(expected, other.Read().Array<float>());
            // Kernels get the form that the file has, without a copy of the values.
            if (kind != ValueKind.Float32 || density < 1) Assert.Equal(kind, other.Storage.Matrix!.Kind);
            if (kind != ValueKind.Float32 || density < 1) Assert.False(System.Runtime.InteropServices.MemoryMarshal.TryGetArray(other.Storage.Matrix!.Values, out _));
        }
        byte[] once = File.ReadAllBytes(path);
        CompactFile.Write(path, loaded, new CompactOptions { Values = kind });
        Assert.Equal(once, File.ReadAllBytes(path));
    }

    public static TheoryData<string> Patterns => ["none", "unstructured", "2:4", "4:8", "4x1", "16x1", "1x8", "row", "column"];

    [Theory, MemberData(nameof(Patterns))]
    public void Every_pattern_and_type_obeys_the_formula_of_size(string name)
    {
        foreach (double density in (double[])[0.05, 0.3, 0.9])
        {
            (SparsityPattern? pattern, double d) = name switch
            {
                "none" => (null, 1.0),
                "2:4" => (SparsityPattern.NofM(2, 4), 1.0),
                "4:8" => (SparsityPattern.NofM(4, 8), 1.0),
                "4x1" => (SparsityPattern.Block(4, 1), density),
                "16x1" => (SparsityPattern.Block(16, 1), density),
                "1x8" => (SparsityPattern.Block(1, 8), density),
                "row" => (SparsityPattern.Block(1, 64), density),
                "column" => (SparsityPattern.Column, density),
                _ => ((SparsityPattern?)null, density),
            };
            ModelGraph graph = name == "none" ? Mlp(1) : Mlp(pattern is null ? d : 0.999999 * d, pattern);
            foreach (ValueKind kind in Enum.GetValues<ValueKind>())
            {
                string path = Save(graph, kind);
                long header = 8 + BitConverter.ToInt64(File.ReadAllBytes(path)) + SafetensorsReader.Open(path).Tensors["sparseland.graph"].Shape[0];
                double bits = graph.Weights.Values.Sum(w => w.Shape.Length < 2 ? 32.0 * w.Length : w.Length * (1 + ((w.Mask?.Density ?? 1) * kind.Bits())));
                Assert.InRange(new FileInfo(path).Length, 0, (1.05 * bits / 8) + header);
                Assert.True(header < 8_000, $"header {header}");
            }
        }
    }

    [Fact]
    public void Weights_with_short_rows_or_infinities_are_held_in_16_bits()
    {
        var graph = new ModelGraph("g");
        graph.AddWeight(new Weight("short", TensorData.Wrap([.. Enumerable.Range(0, 64 * 9).Select(i => 1f + i)], 64, 9)));
        float[] infinite = new float[512];
        infinite[5] = float.PositiveInfinity;
        graph.AddWeight(new Weight("infinite", TensorData.Wrap(infinite, 1, 512)));
        graph.AddWeight(new Weight("sound", TensorData.Wrap([.. Enumerable.Range(1, 512).Select(i => (float)i)], 1, 512)));
        ModelGraph whole = graph.Clone();
        IReadOnlyDictionary<string, ValueKind> replaced = CompactValues.Apply(graph, ValueKind.Int8);
        Assert.Equal([("short", ValueKind.BFloat16), ("infinite", ValueKind.BFloat16), ("sound", ValueKind.Int8)], replaced.Select(r => (r.Key, r.Value)));
        Assert.Empty(CompactValues.Apply(graph.Clone(), ValueKind.Float32));
        Assert.Equal(ValueKind.BFloat16, graph.Weights["short"].Storage.Matrix!.Kind);
        Assert.Equal(ValueKind.BFloat16, graph.Weights["infinite"].Storage.Matrix!.Kind);
        Assert.Equal(ValueKind.Int8, graph.Weights["sound"].Storage.Matrix!.Kind);

        CompactFile.Write(_folder.File("mixed.sparse.safetensors"), whole, new CompactOptions { Values = ValueKind.Int8 });
        ModelGraph loaded = CompactFile.Read(_folder.File("mixed.sparse.safetensors"));
        foreach (Weight weight in loaded.Weights.Values)
        {
            Assert.Equal(graph.Weights[weight.Name].Storage.Matrix!.Kind, weight.Storage.Matrix!.Kind);
            Assert.Equal(graph.Weights[weight.Name].Read().Array<float>(), weight.Read().Array<float>());
        }
    }

    [Fact]
    public void A_mask_that_goes_on_removes_entries_from_integers_too()
    {
        ModelGraph loaded = CompactFile.Read(Save(Mlp(0.5), ValueKind.Int8));
        Weight weight = loaded.Weights.Values.First(w => w.Mask is not null);
        Mask less = Mask.FromFlags(weight.Shape, [.. Enumerable.Range(0, weight.Length).Select(i => weight.Mask![i] && i % 3 == 0)]);
        weight.SetMask(less);
        Assert.True(weight.Read().NonZeros().IsSubsetOf(less));
        CompactFile.Write(_folder.File("again.sparse.safetensors"), loaded);
        Assert.Equal(less, CompactFile.Read(_folder.File("again.sparse.safetensors")).Weights[weight.Name].Mask);
    }

    [Fact]
    public void Unsound_integers_are_typed_errors()
    {
        string path = Save(Mlp(0.5), ValueKind.Int8);
        Checkpoint sound = SafetensorsReader.Open(path);
        string values = sound.Tensors.Keys.First(k => k.EndsWith(":values", StringComparison.Ordinal)), scales = values.Replace(":values", ":scales", StringComparison.Ordinal);
        foreach ((string name, TensorData data) in new[]
        {
            (values, TensorData.Wrap(new sbyte[3], 3)),
            (values, TensorData.Wrap(new byte[sound.Tensors[values].Shape[0]], sound.Tensors[values].Shape[0])),
            (values, TensorData.Wrap(new sbyte[sound.Tensors[values].Shape[0] + 1], sound.Tensors[values].Shape[0] + 1)),
            (scales, TensorData.Wrap(new float[1], 1)),
        })
        {
            var tensors = new OrderedDictionary<string, WeightStorage>(sound.Tensors) { [name] = WeightStorage.InMemory(data) };
            string bad = _folder.File("bad.safetensors");
            SafetensorsWriter.Write(bad, tensors, sound.Metadata);
            Assert.Equal("SL1602", Assert.Throws<ModelFormatException>(() => CompactFile.Read(bad)).Code);
        }
    }

    [Fact]
    public void Rows_that_the_file_does_not_hold_are_refused_before_memory_is_taken_for_them()
    {
        string path = Save(Mlp(0.5), ValueKind.Int8);
        Checkpoint sound = SafetensorsReader.Open(path);
        string values = sound.Tensors.Keys.First(k => k.EndsWith(":values", StringComparison.Ordinal)), name = values.Replace(":values", "", StringComparison.Ordinal);
        using var inflate = new ZLibStream(new MemoryStream(sound.Tensors["sparseland.graph"].Read().Array<byte>()), CompressionMode.Decompress);
        string json = new StreamReader(inflate).ReadToEnd();
        string shape = $"\"shape\":[{string.Join(',', CompactFile.Read(path).Weights[name].Shape.ToArray())}]";
        Assert.Contains(shape, json, StringComparison.Ordinal);
        var packed = new MemoryStream();
        using (var deflate = new ZLibStream(packed, CompressionLevel.Fastest, leaveOpen: true)) deflate.Write(Encoding.UTF8.GetBytes(json.Replace(shape, "\"shape\":[2000000000,0]", StringComparison.Ordinal)));
        var tensors = new OrderedDictionary<string, WeightStorage>(sound.Tensors)
        {
            ["sparseland.graph"] = WeightStorage.InMemory(TensorData.Wrap(packed.ToArray(), (int)packed.Length)),
            [name + ":mask"] = WeightStorage.InMemory(TensorData.Wrap(System.Array.Empty<byte>(), 0)),
            [values] = WeightStorage.InMemory(TensorData.Wrap(System.Array.Empty<sbyte>(), 0)),
        };
        string bad = _folder.File("rows.safetensors");
        SafetensorsWriter.Write(bad, tensors, sound.Metadata);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Equal("SL1602", Assert.Throws<ModelFormatException>(() => CompactFile.Read(bad)).Code);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1L << 30);
    }
}
