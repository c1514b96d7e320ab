using System.Text;
using Sparseland.Model;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Graph;
using Sparseland.Training.Data;
using Sparseland.Training.Data.BuiltIn;
using Sparseland.Training.Data.Pictures;

namespace Sparseland.Training.Tests.Data;

public sealed class DataSourceTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sparseland-source-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    private string At(params string[] parts)
    {
        string path = Path.Combine([_folder, .. parts]);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        return path;
    }

    [Fact]
    public void Built_in_sets_are_the_same_every_time_and_balanced()
    {
        DataSource a = DataSource.Open("shapes"), b = DataSource.Open("shapes");
        Assert.Equal((6000, 2000), (a.ForTraining.Count, a.ForEvaluation.Count));
        Assert.Equal(((PictureDataset)a.Train!).Pixels(4321).ToArray(), ((PictureDataset)b.Train!).Pixels(4321).ToArray());
        Assert.NotEqual(((PictureDataset)a.Train!).Pixels(1).ToArray(), ((PictureDataset)a.Test!).Pixels(1).ToArray());
        Assert.Equal(10, ((PictureDataset)a.Test!).Labels.ToArray().CountBy(l => l).Count(c => c.Value == 200));
        string text = ProceduralText.Create();
        Assert.Equal(text, ProceduralText.Create());
        Assert.NotEqual(text, ProceduralText.Create(seed: 2));
        Assert.True(text.Length is >= 160_000 and < 170_000 && text.All(char.IsAscii));
    }

    [Fact]
    public void Text_files_become_bytes_or_tokens()
    {
        File.WriteAllText(At("a.txt"), string.Concat(Enumerable.Repeat("ab ab\n--\ncd", 40)));
        DataSource bytes = DataSource.Open(At("a.txt"), new DataSourceOptions { Window = 16 });
        Assert.Equal(256, bytes.ForTraining.ClassCount);
        Assert.True(bytes.Train!.Count > bytes.Test!.Count);
        var encoder = new TextEncoder(3, t => [0, .. t.Split(' ').Select(w => w.Contains('a') ? 1 : 2)], "--");
        TokenDataset whole = DataSource.Open(At("a.txt"), new DataSourceOptions { Window = 16, Encoder = encoder }).WholeText!;
        Assert.Equal(41, whole.Count);
        int[] targets = new int[16];
        whole.Fill(0, new float[16], targets);
        Assert.Equal([1, 1], targets.Where(t => t != IDataset.IgnoredTarget));
    }

    [Fact]
    public void Npz_archives_in_the_common_forms()
    {
        byte[] pixels = [.. Enumerable.Range(0, 2 * 2 * 2 * 3).Select(i => (byte)i)];
        NpzWriter.Write(At("keras.npz"), new Dictionary<string, TensorData>
        {
            ["x_train"] = TensorData.Wrap(pixels, 2, 2, 2, 3),
            ["y_train"] = TensorData.Vector(4L, 1L),
            ["x_test"] = TensorData.Wrap(pixels, 2, 2, 2, 3),
            ["y_test"] = TensorData.Vector<byte>(0, 1),
        });
        DataSource keras = DataSource.Open(At("keras.npz"));
        Assert.Equal([3, 2, 2], keras.Train!.SampleShape.ToArray());
        Assert.Equal((5, 5), (keras.Train.ClassCount, keras.Test!.ClassCount));
        Assert.Equal([12, 15, 18, 21, 13], ((PictureDataset)keras.Train).Pixels(1)[..5].ToArray().Select(b => (int)b));
        NpzWriter.Write(At("single.npz"), new Dictionary<string, TensorData> { ["images"] = TensorData.Wrap(new float[12], 3, 4), ["labels"] = TensorData.Vector(0, 1, 2) });
        Assert.Equal(SampleKind.Features, DataSource.Open(At("single.npz")).ForEvaluation.Kind);
        NpzWriter.Write(At("bad.npz"), new Dictionary<string, TensorData> { ["x"] = TensorData.Wrap(new float[12], 3, 4), ["y"] = TensorData.Vector(0, 1) });
        Assert.Equal("SL3001", Assert.Throws<DataException>(() => DataSource.Open(At("bad.npz"))).Code);
        NpzWriter.Write(At("none.npz"), new Dictionary<string, TensorData> { ["w"] = TensorData.Wrap(new float[12], 3, 4) });
        Assert.Equal("SL3003", Assert.Throws<DataException>(() => DataSource.Open(At("none.npz"))).Code);
    }

    [Fact]
    public void Folders_of_pictures_with_two_parts()
    {
        foreach ((string part, int n) in new[] { ("train", 3), ("val", 1) })
        {
            foreach (string label in (string[])["cat", "dog"])
            {
                for (int i = 0; i < n; i++) File.WriteAllBytes(At("set", part, label, i + ".png"), PngWriter.Encode(new Picture(3, 2, 3, 255, new ushort[18])));
            }
        }
        DataSource source = DataSource.Open(Path.Combine(_folder, "set"));
        Assert.Equal((6, 2), (source.Train!.Count, source.Test!.Count));
        Assert.Equal(["cat", "dog"], source.Test.ClassNames);
    }

    [Fact]
    public void Nothing_found_names_what_is_near()
    {
        DataException e = Assert.Throws<DataException>(() => DataSource.Open("mnsit"));
        Assert.Equal("SL3003", e.Code);
        Assert.Contains("mnist", e.Try);
        Assert.Contains("cs.toronto.edu", Assert.Throws<DataException>(() => DataSource.Open("cifar10", new DataSourceOptions { DataRoot = _folder })).Try);
        File.WriteAllText(At("x.weird"), "?");
        Assert.Equal("SL3014", Assert.Throws<DataException>(() => DataSource.Open(At("x.weird"))).Code);
        Assert.Equal("SL3003", Assert.Throws<DataException>(() => DataSource.Open(_folder)).Code);
        Assert.Contains("model", Assert.Throws<DataException>(() => DataSource.Open("cifar10-resnet", new DataSourceOptions { DataRoot = _folder })).Message);
    }

    [SkippableFact]
    public void Named_sets_open_and_hashes_agree()
    {
        string root = Path.GetDirectoryName(TestData.Require("cifar10"))!;
        var options = new DataSourceOptions { DataRoot = root };
        DataSource cifar = DataSource.Open("cifar10", options);
        Assert.Equal((4000, 1000), (cifar.Train!.Count, cifar.Test!.Count));
        Assert.Equal(InputNormalization.ImageNet, cifar.Normalization);
        Assert.Equal((6000, 5000), (DataSource.Open("cifar10-jpeg", options).Train!.Count, DataSource.Open("cifar10-jpeg", options).Test!.Count));
        DataSource fashion = DataSource.Open("fashion-mnist", options);
        Assert.Equal((60_000, 10_000), (fashion.Train!.Count, fashion.Test!.Count));
        Assert.Equal("ankle boot", fashion.Train.ClassNames![9]);
        Assert.Equal(0.3530, InputStatistics.Measure(fashion.Train).Deviation[0], 2);
        Assert.Equal(1_115_394, DataSource.Open("tinyshakespeare", options).WholeText!.ByteCount);
        Assert.NotNull(DataSource.Open("wikitext-2", options).Test);
        foreach (CatalogEntry entry in DataCatalog.All)
        {
            Assert.True(entry.IsPresent(root), entry.Name);
            Assert.Empty(entry.Mismatches(root));
        }
    }

    [Fact]
    public void The_catalogue_is_complete()
    {
        Assert.Equal(DataCatalog.All.Count, DataCatalog.All.Select(e => e.Name).Distinct().Count());
        foreach (CatalogEntry entry in DataCatalog.All)
        {
            Assert.NotEmpty(entry.Description);
            Assert.NotEmpty(entry.Licence);
            Assert.True(Uri.TryCreate(entry.Source, UriKind.Absolute, out _));
            Assert.All(entry.Files, f => Assert.True(f.Sha256 is null || Encoding.ASCII.GetByteCount(f.Sha256) == 64));
            Assert.False(entry.IsPresent(null));
        }
    }
}
