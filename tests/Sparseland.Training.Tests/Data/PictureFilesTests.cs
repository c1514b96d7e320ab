using System.IO.Compression;
using Sparseland.Model;
using Sparseland.Training.Data;

namespace Sparseland.Training.Tests.Data;

public sealed class PictureFilesTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sparseland-data-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    private string Write(string name, params byte[] bytes)
    {
        string path = Path.Combine(_folder, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    private string WriteZipped(string name, byte[] bytes)
    {
        string path = Path.Combine(_folder, name);
        using var gzip = new GZipStream(File.Create(path), CompressionLevel.Fastest);
        gzip.Write(bytes);
        return path;
    }

    [Fact]
    public void Idx_pairs_plain_and_gzipped()
    {
        byte[] images = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];
        byte[] labels = [0, 0, 8, 1, 0, 0, 0, 2, 7, 3];
        foreach ((string i, string l) in new[] { (Write("i", images), Write("l", labels)), (WriteZipped("i.gz", images), WriteZipped("l.gz", labels)) })
        {
            PictureDataset data = IdxFiles.ReadPair(i, l);
            Assert.Equal([1, 1, 3], data.SampleShape.ToArray());
            Assert.Equal(2, data.Count);
            Assert.Equal(8, data.ClassCount);
            Assert.Equal([7, 3], data.Labels.ToArray());
            Assert.Equal([4, 5, 6], data.Pixels(1).ToArray());
        }
    }

    [Fact]
    public void Damaged_idx_files_are_refused_without_taking_memory()
    {
        byte[] good = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];
        for (int length = 0; length < good.Length; length++) Assert.Throws<DataException>(() => IdxFiles.Read(Write("cut", good[..length])));
        Assert.Equal("SL3001", Assert.Throws<DataException>(() => IdxFiles.Read(Write("long", [.. good, 0]))).Code);
        Assert.Equal("SL3001", Assert.Throws<DataException>(() => IdxFiles.Read(Write("type", [0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]))).Code);
        Assert.Equal("SL3002", Assert.Throws<DataException>(() => IdxFiles.Read(Write("huge", [0, 0, 8, 3, 0x7F, 255, 255, 255, 0x7F, 255, 255, 255, 0, 0, 0, 3, 1]))).Code);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<DataException>(() => IdxFiles.Read(WriteZipped("lie.gz", [0, 0, 8, 1, 0x7F, 0, 0, 0, 1, 2, 3])));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8 << 20);
        byte[] zipped = File.ReadAllBytes(WriteZipped("z.gz", good));
        zipped[^6] ^= 0x55;
        Assert.Throws<DataException>(() => IdxFiles.Read(Write("crc.gz", zipped)));
    }

    [Fact]
    public void Cifar_records()
    {
        byte[] record = new byte[3073];
        record[0] = 9;
        for (int i = 1; i < record.Length; i++) record[i] = (byte)(i % 256);
        byte[] second = [.. record];
        second[0] = 2;
        PictureDataset data = CifarFiles.Read([Write("a.bin", record), Write("b.bin", [.. second, .. record])]);
        Assert.Equal([9, 2, 9], data.Labels.ToArray());
        Assert.Equal("truck", data.ClassNames![data.Labels[0]]);
        Assert.Equal(record[1..], data.Pixels(2).ToArray());
        Assert.Throws<DataException>(() => CifarFiles.Read([Write("cut.bin", record[..3000])]));
        second[0] = 10;
        Assert.Throws<DataException>(() => CifarFiles.Read([Write("label.bin", second)]));
    }

    [SkippableFact]
    public void The_real_files()
    {
        PictureDataset mnist = IdxFiles.ReadPair(TestData.Require("mnist", "train-images-idx3-ubyte.gz"), TestData.Require("mnist", "train-labels-idx1-ubyte.gz"));
        Assert.Equal(60_000, mnist.Count);
        Assert.Equal([5, 0, 4, 1, 9, 2, 1, 3, 1, 4], mnist.Labels[..10].ToArray());
        InputNormalization measured = InputStatistics.Measure(mnist);
        Assert.InRange(measured.Mean[0], 0.128, 0.133);
        Assert.InRange(measured.Deviation[0], 0.305, 0.311);
        PictureDataset cifar = CifarFiles.Read([TestData.Require("cifar10", "test_batch_first1000.bin")]);
        Assert.Equal(1000, cifar.Count);
        Assert.Equal([3, 8, 8, 0, 6, 6, 1, 6, 3, 1], cifar.Labels[..10].ToArray());
    }
}
