using System.Text;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Safetensors;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats.Safetensors;

public sealed class SafetensorsTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Make(string json, int dataBytes, long? declared = null)
    {
        byte[] header = Encoding.UTF8.GetBytes(json);
        return _folder.Write("x.safetensors", [.. BitConverter.GetBytes(declared ?? header.Length), .. header, .. new byte[dataBytes]]);
    }

    private static ModelFormatException Fails(string path) => Assert.Throws<ModelFormatException>(() => SafetensorsReader.Open(path));

    [Fact]
    public void What_is_written_is_read_back_for_every_type()
    {
        string path = _folder.File("x.safetensors");
        var tensors = SampleTensors.All.Select((t, i) => KeyValuePair.Create($"t\"{i}\n", WeightStorage.InMemory(t))).ToArray();
        SafetensorsWriter.Write(path, tensors, new Dictionary<string, string> { ["b"] = "ü", ["a"] = "{}" });
        Checkpoint read = SafetensorsReader.Open(path);
        Assert.Equal(tensors.Length, read.Tensors.Count);
        foreach ((string name, WeightStorage storage) in tensors) SampleTensors.AssertSame(storage.Read(), read.Tensors[name].Read());
        Assert.Equal(new Dictionary<string, string> { ["a"] = "{}", ["b"] = "ü" }, read.Metadata);
        byte[] once = File.ReadAllBytes(path);
        SafetensorsWriter.Write(path, tensors.Reverse(), read.Metadata);
        Assert.Equal(once, File.ReadAllBytes(path));
    }

    [Fact]
    public void A_file_can_be_saved_over_itself()
    {
        string path = _folder.File("x.safetensors");
        SafetensorsWriter.Write(path, [KeyValuePair.Create("w", WeightStorage.InMemory(TensorData.Vector(1f, 2f)))]);
        Checkpoint open = SafetensorsReader.Open(path);
        SafetensorsWriter.Write(path, [KeyValuePair.Create("again", open.Tensors["w"])]);
        Assert.Equal([1f, 2f], SafetensorsReader.Open(path).Tensors["again"].Read().Array<float>());
        Assert.Equal([1f, 2f], open.Tensors["w"].Read().Array<float>());
    }

    [Fact]
    public void A_failing_write_leaves_nothing_and_keeps_the_old_file()
    {
        string path = _folder.Write("x.safetensors", [1, 2, 3]);
        Assert.Throws<InvalidOperationException>(() => SafetensorsWriter.Write(path, [KeyValuePair.Create<string, WeightStorage>("w", new Broken())]));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
        Assert.Equal([1, 2, 3], File.ReadAllBytes(path));
        Assert.Equal("SL1003", Assert.Throws<ModelFormatException>(() => SafetensorsWriter.Write(Path.Combine(_folder.Path, "no", "x"), [])).Code);
        Assert.Equal("SL1003", Assert.Throws<ModelFormatException>(() => SafetensorsWriter.Write(_folder.Path, [])).Code);
        Assert.Equal("SL1003", Assert.Throws<ModelFormatException>(() => SafetensorsWriter.Write("/dev/full/x", [])).Code);
    }

    [Theory]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", 8, "SL1202")] // no end
    [InlineData("[]", 0, "SL1202")]
    [InlineData(" {}", 0, "SL1202")]
    [InlineData("{} x", 0, "SL1202")]
    [InlineData("{\"a\":1}", 0, "SL1202")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "SL1202")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "SL1202")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,8]}}", 8, "SL1202")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "SL1202")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"extra\":0}}", 8, "SL1202")]
    [InlineData("{\"__metadata__\":{\"a\":1}}", 0, "SL1202")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "SL1203")]
    [InlineData("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, "SL1204")]
    [InlineData("{\"a\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "SL1205")] // dtype larger than range
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, "SL1205")] // overlap
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "SL1205")] // hole
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 8, "SL1205")] // beyond the end
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "SL1205")] // rest not covered
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0, "SL1004")] // product overflows to 0
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,0]}}", 0, "SL1205")]
    public void Unsound_files_are_typed_errors(string json, int dataBytes, string code) => Assert.Equal(code, Fails(Make(json, dataBytes)).Code);

    [Theory]
    [InlineData(1L << 60)]
    [InlineData(-1L)]
    [InlineData(100_000_001L)]
    [InlineData(50_000_000L)]
    public void A_hostile_header_length_takes_no_memory(long length)
    {
        string path = Make("{}", 0, length);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Equal("SL1201", Fails(path).Code);
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1 << 20);
    }

    [Fact]
    public void Deep_json_is_refused()
    {
        Assert.Equal("SL1202", Fails(Make("{\"a\":" + new string('[', 100000) + new string(']', 100000) + "}", 0)).Code);
    }

    [Fact]
    public void Every_truncation_is_a_typed_error()
    {
        string path = _folder.File("x.safetensors");
        SafetensorsWriter.Write(path, [KeyValuePair.Create("w", WeightStorage.InMemory(TensorData.Vector(1f, 2f, 3f)))]);
        byte[] whole = File.ReadAllBytes(path);
        for (int length = 0; length < whole.Length; length++)
            Assert.StartsWith("SL120", Fails(_folder.Write("cut", whole.AsSpan(0, length))).Code, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void Real_files_match_their_lists()
    {
        foreach ((string file, string section) in new[] { ("jfk-codes.safetensors", ""), ("voices.safetensors", ""), ("burn/safetensors/multi_layer/multi_layer.safetensors", "") })
        {
            Checkpoint checkpoint = SafetensorsReader.Open(TestData.Require("tensor-formats", file));
            Dictionary<string, string> expected = TensorList.Read(TestData.Require("tensor-formats", "TENSORS.md"), file);
            Assert.Equal(expected.Keys.Order(StringComparer.Ordinal), checkpoint.Tensors.Keys.Order(StringComparer.Ordinal));
            foreach ((string name, WeightStorage storage) in checkpoint.Tensors)
                Assert.Equal(expected[name], $"{SafetensorsTypes.Name(storage.ElementType)} [{string.Join(", ", storage.Shape.ToArray())}]");
            Assert.All(checkpoint.Tensors.Values, t => Assert.Equal(t.Shape.ToArray(), t.Read().Shape.ToArray()));
        }
        Assert.Equal([32, 11616], SafetensorsReader.Open(TestData.Require("mnist-cnn", "mnist.safetensors")).Tensors["fc1.weight"].Shape.ToArray());
    }

    private sealed class Broken : WeightStorage
    {
        public override ElementType ElementType => ElementType.Float32;

        public override ReadOnlySpan<int> Shape => new[] { 4 };

        public override TensorData Read() => throw new InvalidOperationException("no values");
    }
}

/// <summary>The lists of tensors in the data folders' TENSORS.md.</summary>
internal static class TensorList
{
    internal static Dictionary<string, string> Read(string path, string file)
    {
        var list = new Dictionary<string, string>(StringComparer.Ordinal);
        bool here = false;
        foreach (string line in File.ReadLines(path))
        {
            if (line.StartsWith("## ", StringComparison.Ordinal)) here = line[3..].Trim() == file;
            else if (here && line.StartsWith("- `", StringComparison.Ordinal))
            {
                int end = line.IndexOf('`', 3);
                list[line[3..end]] = line[(end + 1)..].Trim();
            }
        }
        Assert.NotEmpty(list);
        return list;
    }
}
