using Sparseland.Training.Data;
using Sparseland.Training.Data.Pictures;

namespace Sparseland.Training.Tests.Data;

public sealed class PictureFolderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sparseland-pictures-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    private void Put(string label, string name, int width, int height, int channels, ushort value)
    {
        Directory.CreateDirectory(Path.Combine(_folder, label));
        File.WriteAllBytes(Path.Combine(_folder, label, name), PngWriter.Encode(new Picture(width, height, channels, 255, [.. Enumerable.Repeat(value, width * height * channels)])));
    }

    [Fact]
    public void Folders_are_classes_in_order()
    {
        Put("zebra", "b.png", 4, 3, 1, 10);
        Put("zebra", "a.png", 4, 3, 1, 20);
        Put("ant", "c.png", 4, 3, 3, 30);
        Directory.CreateDirectory(Path.Combine(_folder, "empty"));
        PictureDataset data = PictureFolder.Read(_folder);
        Assert.Equal(["ant", "zebra"], data.ClassNames);
        Assert.Equal([3, 3, 4], data.SampleShape.ToArray());
        Assert.Equal([0, 1, 1], data.Labels.ToArray());
        Assert.Equal([30, 20, 10], Enumerable.Range(0, 3).Select(i => (int)data.Pixels(i)[0]));
        Assert.Equal(1, PictureFolder.Read(_folder, channels: 1).SampleShape[0]);
    }

    [Fact]
    public void Sizes_must_agree_or_be_given()
    {
        Put("a", "1.png", 4, 3, 1, 10);
        Put("b", "1.png", 9, 5, 1, 10);
        DataException e = Assert.Throws<DataException>(() => PictureFolder.Read(_folder));
        Assert.Equal("SL3005", e.Code);
        Assert.NotNull(e.Try);
        PictureDataset data = PictureFolder.Read(_folder, (6, 6));
        Assert.Equal([1, 6, 6], data.SampleShape.ToArray());
        Assert.All(data.Pixels(1).ToArray(), b => Assert.Equal(10, b));
    }

    [Fact]
    public void Errors_name_what_is_wrong()
    {
        Assert.Equal("SL3003", Assert.Throws<DataException>(() => PictureFolder.Read(_folder)).Code);
        Put("known", "1.png", 2, 2, 1, 0);
        Put("stranger", "1.png", 2, 2, 1, 0);
        Assert.Equal("SL3004", Assert.Throws<DataException>(() => PictureFolder.Read(_folder, classes: ["known", "other"])).Code);
        File.WriteAllBytes(Path.Combine(_folder, "known", "2.png"), [1, 2, 3]);
        Assert.Equal("SL3001", Assert.Throws<DataException>(() => PictureFolder.Read(_folder)).Code);
    }
}
