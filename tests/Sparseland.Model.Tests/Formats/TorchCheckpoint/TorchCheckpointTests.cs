using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.TorchCheckpoint;
using Sparseland.Model.Graph;
using Sparseland.Model.Tests.Formats.Safetensors;

namespace Sparseland.Model.Tests.Formats.TorchCheckpoint;

public sealed class TorchCheckpointTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private ModelFormatException Fails(byte[] bytes) => Assert.Throws<ModelFormatException>(() =>
    {
        foreach (WeightStorage s in TorchCheckpointFile.Load(_folder.Write("x.pt", bytes)).All.Tensors.Values) s.Read();
    });

    private string Zip(byte[] pickle, params (string Name, byte[] Data)[] entries)
    {
        string path = _folder.File("x.pt");
        using var zip = new ZipArchive(File.Create(path), ZipArchiveMode.Create);
        foreach ((string name, byte[] data) in entries.Prepend(("data.pkl", pickle)))
        {
            using Stream entry = zip.CreateEntry("x/" + name, CompressionLevel.NoCompression).Open();
            entry.Write(data);
        }
        return path;
    }

    [SkippableFact]
    public void Every_sample_file_holds_the_tensors_of_its_list()
    {
        string root = TestData.Require("tensor-formats"), list = TestData.Require("tensor-formats", "TENSORS.md");
        var names = new Dictionary<ElementType, string>
        {
            [ElementType.Float32] = "float",
            [ElementType.Float64] = "double",
            [ElementType.Float16] = "half",
            [ElementType.BFloat16] = "bfloat16",
            [ElementType.Int64] = "long",
            [ElementType.Int32] = "int",
            [ElementType.Int8] = "char",
            [ElementType.Bool] = "bool",
        };
        int files = 0;
        foreach (string path in Directory.EnumerateFiles(root, "*.pt*", SearchOption.AllDirectories))
        {
            Dictionary<string, string> expected = TensorList.Read(list, Path.GetRelativePath(root, path).Replace('\\', '/'));
            Checkpoint all = TorchCheckpointFile.Load(path).All;
            Assert.Equal(expected.Keys.Select(k => k.Replace('/', '.')).Order(StringComparer.Ordinal), all.Tensors.Keys.Order(StringComparer.Ordinal));
            foreach ((string name, string type) in expected)
            {
                TensorData data = all.Tensors[name.Replace('/', '.')].Read();
                Assert.Equal(type, $"{names[data.ElementType]} [{string.Join(", ", data.Shape.ToArray())}]");
            }
            files++;
        }
        Assert.True(files >= 35, $"{files} files");
    }

    [SkippableFact]
    public void Values_views_and_nesting_come_out_right()
    {
        Checkpoint Load(string name) => TorchCheckpointFile.Load(TestData.Require("tensor-formats", name)).FindStateDict();
        // 1 to 24 as [2, 3, 4], with the first axis varying fastest in memory.
        Assert.Equal(Enumerable.Range(1, 24).Select(i => (long)i), Load("fortran_tensor_3d.pth").Tensors["tensor_fortran"].Read().Array<long>());
        Assert.Equal(["test"], Load("test_with_key.pt").Tensors.Keys);
        Assert.Equal(["conv1.weight", "conv1.bias"], Load("burn/modules/top_level_key/top_level_key.pt").Tensors.Keys);
        Assert.Equal(["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"], Load("burn/reader/checkpoint.pt").Tensors.Keys);
        Assert.Equal([1.5f, -2.5f, 3.5f], Load("burn/reader/bfloat16.pt").Tensors["tensor"].Read().ToSingles());
        Checkpoint shared = Load("burn/reader/legacy_shared_storage.pt");
        Assert.Equal([10, 20, 10], shared.Tensors.Values.Select(t => t.Read().Length));
    }

    [SkippableFact]
    public void Real_legacy_checkpoints_are_read()
    {
        TorchCheckpointFile resnet = TorchCheckpointFile.Load(TestData.Require("cifar10-resnet", "resnet20-12fca82f.th"));
        Checkpoint state = resnet.FindStateDict();
        Assert.Equal(97 + 19 - 19, state.Tensors.Keys.Count(k => !k.EndsWith("num_batches_tracked", StringComparison.Ordinal)));
        Assert.Equal([16, 3, 3, 3], state.Tensors["module.conv1.weight"].Shape.ToArray());
        Assert.Contains("best_prec1", resnet.TopLevelKeys);
        Assert.All(state.Tensors.Values, t => Assert.All(t.Read().ToSingles(), v => Assert.True(float.IsFinite(v))));
        Assert.Equal(555_137, TorchCheckpointFile.Load(TestData.Require("denoiser-dncnn", "dncnn_25.pth")).FindStateDict().TotalElements);
        Assert.Equal(244, TorchCheckpointFile.Load(TestData.Require("ultraface", "version-RFB-320.pth")).FindStateDict().Tensors.Count);
        Checkpoint gru = TorchCheckpointFile.Load(TestData.Require("motion-action-recognition", "action_recognition_model_humanact12.tar")).FindStateDict();
        Assert.Contains(gru.Tensors, t => t.Value.Shape.SequenceEqual([30, 128]));
        Assert.DoesNotContain(gru.Tensors.Keys, k => k.Contains("exp_avg", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("os", "system")]
    [InlineData("posix", "system")]
    [InlineData("builtins", "eval")]
    [InlineData("__builtin__", "getattr")]
    [InlineData("torch.nn.modules.linear", "Linear")]
    [InlineData("numpy.core.multiarray", "_reconstruct")]
    [InlineData("torch.storage", "_load_from_bytes")]
    [InlineData("torch", "load")]
    public void A_pickle_that_asks_for_code_is_refused_by_name(string module, string name)
    {
        byte[] root = new PickleBuilder().Reduce(module, name, p => p.Text("echo owned > /tmp/owned")).End();
        foreach (byte[] file in new[] { root, PickleBuilder.Legacy(root), File.ReadAllBytes(Zip(root)) })
        {
            ModelFormatException error = Fails(file);
            Assert.Equal("SL1302", error.Code);
            Assert.Contains(name, error.Message, StringComparison.Ordinal);
        }
        byte[] stackGlobal = new PickleBuilder().Text(module).Text(name).Raw(0x93).End();
        Assert.Equal("SL1302", Fails(stackGlobal).Code);
        byte[] inst = [0x80, 2, (byte)'(', (byte)'i', .. Encoding.ASCII.GetBytes($"{module}\n{name}\n"), (byte)'.'];
        Assert.Equal("SL1302", Fails(inst).Code);
    }

    [Fact]
    public void Views_of_a_shared_storage_are_cut_and_strided()
    {
        byte[] root = new PickleBuilder().Dict(
            ("a", p => p.Tensor("0", "FloatStorage", 6, 0, [2, 3], [3, 1])),
            ("transposed", p => p.Tensor("0", "FloatStorage", 6, 0, [3, 2], [1, 3])),
            ("tail", p => p.Tensor("0", "FloatStorage", 6, 4, [2], [1])),
            ("expanded", p => p.Tensor("0", "FloatStorage", 6, 5, [2, 2], [0, 0])),
            ("legacyView", p => p.Tensor("0", "FloatStorage", 6, 1, [2], [1], q => q.Tuple(r => r.Text("v"), r => r.Int(2), r => r.Int(4)))),
            ("empty", p => p.Tensor("0", "FloatStorage", 6, 0, [0, 4], [4, 1])),
            ("n", p => p.Int(3))).End();
        byte[] data = PickleBuilder.Floats(0, 1, 2, 3, 4, 5);
        string legacy = _folder.Write("l.th", PickleBuilder.Legacy(root, ("0", data, 4)));
        foreach (string path in new[] { legacy, Zip(root, ("data/0", data)) })
        {
            Checkpoint c = TorchCheckpointFile.Load(path).FindStateDict();
            Assert.Equal([0f, 1, 2, 3, 4, 5], c.Tensors["a"].Read().Array<float>());
            Assert.Equal([0f, 3, 1, 4, 2, 5], c.Tensors["transposed"].Read().Array<float>());
            Assert.Equal([4f, 5], c.Tensors["tail"].Read().Array<float>());
            Assert.Equal([5f, 5, 5, 5], c.Tensors["expanded"].Read().Array<float>());
            Assert.Equal(0, c.Tensors["empty"].Read().Length);
            Assert.Equal("3", c.Metadata["n"]);
        }
        Assert.Equal([3f, 4], TorchCheckpointFile.Load(legacy).All.Tensors["legacyView"].Read().Array<float>());
    }

    [Fact]
    public void Big_endian_archives_are_turned_round()
    {
        byte[] root = new PickleBuilder().Dict(("a", p => p.Tensor("0", "ShortStorage", 2, 0, [2], [1]))).End();
        Checkpoint c = TorchCheckpointFile.Load(Zip(root, ("data/0", [1, 2, 0, 5]), ("byteorder", "big"u8.ToArray()))).All;
        Assert.Equal([258, 5], c.Tensors["a"].Read().Array<short>().Select(v => (int)v));
    }

    [Fact]
    public void The_tar_form_is_read()
    {
        var storages = new MemoryStream();
        storages.Write(new PickleBuilder().Int(1).End());
        storages.Write(new PickleBuilder().Tuple(p => p.Int(11), p => p.Text("cpu"), p => p.Global("torch", "FloatStorage")).End());
        storages.Write(BitConverter.GetBytes(6L));
        storages.Write(PickleBuilder.Floats(0, 1, 2, 3, 4, 5));
        storages.Write(new PickleBuilder().List(p => p.Ints(12, 11, 2, 4)).End());
        var tensors = new MemoryStream();
        tensors.Write(new PickleBuilder().Int(2).End());
        foreach ((long key, long storage, long offset, long[] size, long[] stride) in new[] { (21L, 11L, 0L, new long[] { 3, 2 }, new long[] { 1, 3 }), (22L, 12L, 1L, [3], [1]) })
        {
            tensors.Write(new PickleBuilder().Tuple(p => p.Int(key), p => p.Int(storage), p => p.Global("torch", "Tensor")).End());
            tensors.Write(BitConverter.GetBytes((long)size.Length));
            foreach (long v in size.Concat(stride).Append(offset)) tensors.Write(BitConverter.GetBytes(v));
        }
        byte[] root = new PickleBuilder().Dict(("a", p => p.Text("21").Raw((byte)'Q')), ("b", p => p.Text("22").Raw((byte)'Q'))).End();
        string path = _folder.File("x.tar");
        using (var tar = new TarWriter(File.Create(path), TarEntryFormat.Pax))
        {
            foreach ((string name, byte[] data) in new[] { ("storages", storages.ToArray()), ("tensors", tensors.ToArray()), ("pickle", root) })
                tar.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(data) });
        }
        Checkpoint c = TorchCheckpointFile.Load(path).FindStateDict();
        Assert.Equal([0f, 3, 1, 4, 2, 5], c.Tensors["a"].Read().Array<float>());
        Assert.Equal([3f, 4, 5], c.Tensors["b"].Read().Array<float>());
        byte[] whole = File.ReadAllBytes(path);
        for (int length = 600; length < whole.Length - 2048; length += 177)
            Assert.StartsWith("SL13", Fails(whole[..length]).Code, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_protocol_pickles_are_read()
    {
        // Protocol 0: {'a': [1, 2.5, True], u'b': None}
        byte[] pickle = Encoding.ASCII.GetBytes("(dp0\nS'a'\np1\n(lp2\nI1\naF2.5\naI01\nasVb\np3\nNs.");
        TorchCheckpointFile file = TorchCheckpointFile.Load(_folder.Write("x.pkl", pickle));
        Assert.Equal(["a", "b"], file.TopLevelKeys);
        Assert.Equal("2.5", file.All.Metadata["a.1"]);
        Assert.Equal("SL1305", Assert.Throws<ModelFormatException>(() => file.FindStateDict()).Code);
    }

    [Fact]
    public void Protocols_4_and_5_are_read()
    {
        byte[] pickle = [0x80, 5, 0x95, 19, 0, 0, 0, 0, 0, 0, 0, (byte)'}', 0x94, 0x8c, 1, (byte)'k', 0x94, 0x8e, 2, 0, 0, 0, 0, 0, 0, 0, 7, 8, (byte)'s', (byte)'.'];
        Assert.Equal(["k"], TorchCheckpointFile.Load(_folder.Write("x.pkl", pickle)).TopLevelKeys);
    }

    [Fact]
    public void Unsound_tensors_are_typed_errors()
    {
        (string Code, Action<PickleBuilder> Tensor)[] cases =
        [
            ("SL1301", p => p.Tensor("0", "FloatStorage", 4, 0, [5], [1])),
            ("SL1301", p => p.Tensor("0", "FloatStorage", 4, 3, [2], [1])),
            ("SL1301", p => p.Tensor("0", "FloatStorage", 4, -1, [1], [1])),
            ("SL1301", p => p.Tensor("0", "FloatStorage", 4, 0, [2], [-1])),
            ("SL1301", p => p.Tensor("0", "FloatStorage", 4, 0, [-1], [1])),
            ("SL1301", p => p.Tensor("0", "FloatStorage", 4, 0, [2, 2], [1])),
            ("SL1301", p => p.Tensor("0", "FloatStorage", 4, 0, [2, 2], [long.MaxValue, long.MaxValue])),
            ("SL1301", p => p.Tensor("0", "FloatStorage", 8, 0, [8], [1])),
            ("SL1301", p => p.Tensor("1", "FloatStorage", 4, 0, [4], [1])),
            ("SL1303", p => p.Tensor("0", "FloatStorage", 4, 0, [1 << 30], [0])),
            ("SL1004", p => p.Tensor("0", "FloatStorage", 4, 0, [1L << 40], [0])),
            ("SL1304", p => p.Tensor("0", "ComplexFloatStorage", 2, 0, [2], [1])),
        ];
        foreach ((string code, Action<PickleBuilder> tensor) in cases)
        {
            byte[] root = new PickleBuilder().Dict(("a", tensor)).End();
            Zip(root, ("data/0", new byte[16]));
            ModelFormatException error = Fails(File.ReadAllBytes(_folder.File("x.pt")));
            Assert.True(code == error.Code, error.Describe());
        }
    }

    [Fact]
    public void Truncated_and_damaged_files_are_typed_errors()
    {
        byte[] root = new PickleBuilder().Dict(("a", p => p.Tensor("0", "FloatStorage", 4, 0, [4], [1]))).End();
        foreach (byte[] whole in new[] { PickleBuilder.Legacy(root, ("0", new byte[16], 4)), File.ReadAllBytes(Zip(root, ("data/0", new byte[16]))) })
        {
            for (int length = 0; length < whole.Length; length++) Assert.Equal("SL1301", Fails(whole[..length]).Code);
        }
        byte[] legacy = [.. PickleBuilder.Legacy(root, ("0", new byte[16], 4)), 0];
        Assert.Equal("SL1301", Fails(legacy).Code);
        byte[] zip = File.ReadAllBytes(Zip(root, ("data/0", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])));
        int at = zip.AsSpan().IndexOf(new byte[] { 1, 2, 3, 4, 5, 6, 7, 8 });
        zip[at] ^= 0x40;
        Assert.Equal("SL1301", Fails(zip).Code);
    }

    [Fact]
    public void Hostile_pickles_stop_at_limits()
    {
        // Nested deeper than any checkpoint.
        var deep = new PickleBuilder();
        for (int i = 0; i < 500; i++) deep.Raw((byte)']');
        for (int i = 0; i < 499; i++) deep.Raw((byte)'a');
        Assert.Equal("SL1303", Fails(deep.End()).Code);
        // A list that contains itself.
        Assert.Equal("SL1303", Fails(new PickleBuilder().Raw((byte)']', (byte)'q', 0, (byte)'h', 0, (byte)'a').End()).Code);
        // Doubling: a list of two references to a list of two references ...
        var laughs = new PickleBuilder().Raw((byte)']', (byte)'q', 0);
        for (byte i = 1; i < 50; i++) laughs.Raw((byte)'0', (byte)']', (byte)'(', (byte)'h', (byte)(i - 1), (byte)'h', (byte)(i - 1), (byte)'e', (byte)'q', i);
        Assert.Equal("SL1303", Fails(laughs.End()).Code);
        // A stack that only grows, marks that only grow, lengths of 2^31 and 2^63.
        Assert.Equal("SL1303", Fails([0x80, 2, .. Enumerable.Repeat((byte)'N', 1 << 21)]).Code);
        Assert.Equal("SL1303", Fails([0x80, 2, .. Enumerable.Repeat((byte)'(', 5000)]).Code);
        Assert.Equal("SL1301", Fails([0x80, 2, (byte)'X', 0xff, 0xff, 0xff, 0x7f, (byte)'.']).Code);
        Assert.Equal("SL1301", Fails([0x80, 4, 0x8d, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, (byte)'.']).Code);
        Assert.Equal("SL1301", Fails([0x80, 4, 0x8b, 0xff, 0xff, 0xff, 0xff, (byte)'.']).Code);
    }

    [Fact]
    public void Random_damage_never_escapes_as_another_exception()
    {
        byte[] root = new PickleBuilder().Dict(("a", p => p.Tensor("0", "FloatStorage", 4, 0, [2, 2], [2, 1])), ("epoch", p => p.Int(3))).End();
        byte[] whole = PickleBuilder.Legacy(root, ("0", new byte[16], 4));
        var random = new Random(1);
        for (int trial = 0; trial < 600; trial++)
        {
            byte[] bytes = [.. whole];
            for (int k = 0; k <= trial % 4; k++) bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            try
            {
                foreach (WeightStorage s in TorchCheckpointFile.Load(_folder.Write("fuzz.th", bytes)).All.Tensors.Values) s.Read();
            }
            catch (ModelFormatException)
            {
            }
        }
    }
}
