using System.IO.Compression;
using System.Text;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats.Numpy;

public sealed class NumpyTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static byte[] Npy(string dictionary, byte[] data, byte version = 1)
    {
        byte[] text = Encoding.Latin1.GetBytes(dictionary + "\n");
        var stream = new MemoryStream();
        stream.Write([0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y', version, 0]);
        stream.Write(version == 1 ? BitConverter.GetBytes((ushort)text.Length) : BitConverter.GetBytes(text.Length));
        stream.Write(text);
        stream.Write(data);
        return stream.ToArray();
    }

    private static string CodeOf(byte[] file) => Assert.Throws<ModelFormatException>(() => NpyReader.Read(file, "test")).Code;

    [Fact]
    public void What_is_written_is_read_back_for_every_type()
    {
        string path = _folder.File("x.npy");
        foreach (TensorData tensor in SampleTensors.All.Append(TensorData.Wrap(new[] { "", "żółw", "𝄞 and more" }, 3)))
        {
            NpyWriter.Write(path, tensor);
            Assert.Equal(0, (new FileInfo(path).Length - NpyReader.Open(path).Read().ByteLength) % (tensor.ElementType == ElementType.String ? 4 : 64));
            SampleTensors.AssertSame(tensor, NpyReader.Read(path));
        }
        Assert.Single(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void Fortran_order_is_turned_into_row_major()
    {
        // [[1, 2, 3], [4, 5, 6]] stored column by column.
        byte[] data = [.. new[] { 1, 4, 2, 5, 3, 6 }.SelectMany(BitConverter.GetBytes)];
        TensorData t = NpyReader.Read(Npy("{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }", data), "test");
        Assert.Equal([1, 2, 3, 4, 5, 6], t.Array<int>());
    }

    [Fact]
    public void Fortran_order_of_three_dimensions_matches_index_arithmetic()
    {
        int[] shape = [3, 4, 5];
        var stored = new int[60];
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 4; b++)
                for (int c = 0; c < 5; c++) stored[a + 3 * (b + 4 * c)] = 100 * a + 10 * b + c;
        TensorData t = NpyReader.Read(Npy("{'descr': '<i4', 'fortran_order': True, 'shape': (3, 4, 5)}", [.. stored.SelectMany(BitConverter.GetBytes)]), "test");
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 4; b++)
                for (int c = 0; c < 5; c++) Assert.Equal(100 * a + 10 * b + c, t.Array<int>()[(a * 4 + b) * 5 + c]);
    }

    [Fact]
    public void Big_endian_and_all_versions_are_read()
    {
        Assert.Equal([258], NpyReader.Read(Npy("{'descr': '>u2', 'fortran_order': False, 'shape': (1,)}", [1, 2]), "t").Array<ushort>().Select(v => (int)v));
        foreach (byte version in new byte[] { 1, 2, 3 })
            Assert.Equal([7L], NpyReader.Read(Npy("{\"descr\": \"<i8\", \"fortran_order\": False, \"shape\": (1L,)}", BitConverter.GetBytes(7L), version), "t").Array<long>());
    }

    [Theory]
    [InlineData("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "SL1402")]
    [InlineData("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "SL1402")]
    [InlineData("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "SL1402")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "SL1401")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}", "SL1401")]
    [InlineData("{'descr': '<f4', 'fortran_order': False}", "SL1401")]
    [InlineData("{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}", "SL1401")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "SL1401")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "SL1004")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (65536, 65536)}", "SL1004")]
    [InlineData("__import__('os').system('id')", "SL1401")]
    public void Unsound_headers_are_typed_errors(string header, string code) => Assert.Equal(code, CodeOf(Npy(header, new byte[4])));

    [Fact]
    public void Truncated_files_are_typed_errors()
    {
        byte[] file = Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", new byte[12]);
        for (int length = 0; length < file.Length; length++) Assert.Equal("SL1401", CodeOf(file[..length]));
        Assert.Equal("SL1401", CodeOf([.. file, 0]));
        byte[] hugeHeader = Npy("{}", [], 2);
        BitConverter.GetBytes(uint.MaxValue).CopyTo(hugeHeader, 8);
        Assert.Equal("SL1401", CodeOf(hugeHeader));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Npz_keeps_names_types_and_values(bool compress)
    {
        string path = _folder.File("x.npz");
        var tensors = SampleTensors.All.Select((t, i) => KeyValuePair.Create($"group/{i}", t)).ToArray();
        NpzWriter.Write(path, tensors, compress);
        OrderedDictionary<string, TensorData> read = NpzReader.Read(path);
        Assert.Equal(tensors.Select(t => t.Key), read.Keys);
        foreach ((string name, TensorData tensor) in tensors) SampleTensors.AssertSame(tensor, read[name]);
        byte[] once = File.ReadAllBytes(path);
        NpzWriter.Write(path, tensors, compress);
        Assert.Equal(once, File.ReadAllBytes(path));
    }

    [Fact]
    public void Damaged_npz_files_are_typed_errors()
    {
        string path = _folder.File("x.npz");
        NpzWriter.Write(path, [KeyValuePair.Create("a", TensorData.Wrap(new float[100], 100)), KeyValuePair.Create("b", TensorData.Wrap(new float[10], 10))]);
        byte[] whole = File.ReadAllBytes(path);
        for (int length = 0; length < whole.Length; length += 7)
        {
            string cut = _folder.Write("cut.npz", whole.AsSpan(0, length));
            Assert.Equal("SL1403", Assert.Throws<ModelFormatException>(() => NpzReader.Open(cut)).Code);
        }
        byte[] flipped = [.. whole];
        flipped[300] ^= 1;
        string bad = _folder.Write("flipped.npz", flipped);
        Assert.Equal("SL1403", Assert.Throws<ModelFormatException>(() => NpzReader.Read(bad)).Code);
    }

    [Fact]
    public void Zip_bombs_are_refused_before_memory_is_taken()
    {
        string path = _folder.File("bomb.npz");
        using (var zip = new ZipArchive(File.Create(path), ZipArchiveMode.Create))
        {
            using Stream entry = zip.CreateEntry("x.npy", CompressionLevel.Optimal).Open();
            entry.Write(Npy("{'descr': '|u1', 'fortran_order': False, 'shape': (209715200,)}", []));
            for (int i = 0; i < 200; i++) entry.Write(new byte[1 << 20]);
        }
        long before = GC.GetAllocatedBytesForCurrentThread();
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => NpzReader.Open(path));
        Assert.Equal("SL1403", error.Code);
        Assert.Contains("zip bomb", error.Message, StringComparison.Ordinal);
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 10 << 20);
    }

    [Fact]
    public void Overlapping_entries_and_lying_sizes_are_refused()
    {
        string path = _folder.File("x.npz");
        NpzWriter.Write(path, [KeyValuePair.Create("a", TensorData.Wrap(new float[8], 8)), KeyValuePair.Create("b", TensorData.Wrap(new float[8], 8))]);
        byte[] bytes = File.ReadAllBytes(path);
        int first = IndexOf(bytes, [0x50, 0x4b, 1, 2], 0), second = IndexOf(bytes, [0x50, 0x4b, 1, 2], first + 1);
        byte[] overlapping = [.. bytes];
        bytes.AsSpan(first + 42, 4).CopyTo(overlapping.AsSpan(second + 42));
        Assert.Equal("SL1403", Assert.Throws<ModelFormatException>(() => NpzReader.Open(_folder.Write("o.npz", overlapping))).Code);
        byte[] lying = [.. bytes];
        BitConverter.GetBytes(1 << 30).CopyTo(lying, first + 24);
        BitConverter.GetBytes(1 << 30).CopyTo(lying, first + 20);
        Assert.Equal("SL1403", Assert.Throws<ModelFormatException>(() => NpzReader.Open(_folder.Write("l.npz", lying))).Code);
    }

    [SkippableFact]
    public void Real_files_are_read()
    {
        Assert.Equal(Enumerable.Range(0, 10).Select(i => (long)i), NpyReader.Read(TestData.Require("tensor-formats", "test.npy")).Array<long>());
        OrderedDictionary<string, TensorData> npz = NpzReader.Read(TestData.Require("tensor-formats", "test.npz"));
        Assert.Equal(["x", "x_plus_one"], npz.Keys);
        Assert.Equal(npz["x"].Array<long>().Select(v => v + 1), npz["x_plus_one"].Array<long>());
        OrderedDictionary<string, TensorData> gru = NpzReader.Read(TestData.Require("g2p-gru", "checkpoint20.npz"));
        Assert.Equal([29, 256], gru["enc_emb"].Shape.ToArray());
        Assert.Equal([74], gru["fc_b"].Shape.ToArray());
        Assert.All(gru.Values, t => Assert.All(t.ToSingles(), v => Assert.True(float.IsFinite(v))));
        // Some of its arrays are pickled objects, which are refused.
        string rollouts = TestData.Require("rl-expert", "cartpole_rollouts.npz");
        Assert.Equal("SL1402", Assert.Throws<ModelFormatException>(() => NpzReader.Open(rollouts)).Code);
    }

    private static int IndexOf(byte[] bytes, byte[] pattern, int start) => start + bytes.AsSpan(start).IndexOf(pattern);
}
