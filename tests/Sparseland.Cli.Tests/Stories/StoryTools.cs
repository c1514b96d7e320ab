using System.Buffers.Binary;
using System.Text.Json.Nodes;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Services;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;
using Sparseland.Training.Data;

namespace Sparseland.Cli.Tests.Stories;

/// <summary>What the stories share: real pictures as a network's input, the command line with its JSON, the size rule of compact files.</summary>
internal static class StoryTools
{
    /// <summary>The first lossless test pictures, normalised for the pretrained networks: [count, 3, 32, 32].</summary>
    public static TensorData TestPictures(int count)
    {
        PictureDataset pictures = CifarFiles.Read([TestData.Require("cifar10", "test_batch_first1000.bin")]);
        var loader = new BatchLoader(pictures.Slice(0, count), new BatchOptions { BatchSize = count, Shuffle = false, Normalization = DataCatalog.Cifar10 });
        return loader.At(0, 0).Inputs;
    }

    /// <summary>Runs the command line with --json and reads what it printed; fails the test when it fails.</summary>
    public static async Task<JsonNode> RunAsync(params string[] arguments)
    {
        ProcessResult result = await SparselandProcess.RunAsync([.. arguments, "--json"], environment: new Dictionary<string, string?> { [DataCatalog.EnvironmentVariable] = TestData.Root });
        Assert.True(result.ExitCode == 0, $"sparseland {string.Join(' ', arguments)}: exit code {result.ExitCode}\n{result.Error}");
        return JsonNode.Parse(result.Output)!;
    }

    /// <summary>R1: bytes &lt;= 1.05 x (weights x (1 + density x 32) / 8) + header, over everything that the file stores.</summary>
    /// <returns>A line for people.</returns>
    public static string RequireCompact(string path)
    {
        ModelGraph graph = ModelFile.Load(path);
        Weight[] floats = [.. graph.Weights.Values.Where(w => w.ElementType == ElementType.Float32)];
        long weights = floats.Sum(w => (long)w.Length), nonZeros = floats.Sum(w => (long)(w.Mask?.KeptCount ?? w.Length));
        using FileStream file = File.OpenRead(path);
        Span<byte> first = stackalloc byte[8];
        file.ReadExactly(first);
        long header = 8 + BinaryPrimitives.ReadInt64LittleEndian(first);
        double density = (double)nonZeros / weights, limit = 1.05 * (weights * (1 + density * 32) / 8) + header;
        Assert.InRange(header, 8, 64 * 1024);
        Assert.True(file.Length <= limit, $"{path}: {file.Length} bytes; {weights} weights of density {density:P1} and a header of {header} bytes allow {limit:0}");
        return $"{file.Length:N0} bytes of {limit:N0} allowed ({weights:N0} weights, density {density:P1}, header {header:N0})";
    }

    /// <summary>Skips when ONNX Runtime is not installed beside the checkout.</summary>
    public static void RequireOnnxRuntime() => Skip.If(OnnxRuntimePeer.Find() is null, $"ONNX Runtime is not installed: {OnnxRuntimePeer.InstallHint}");

    /// <summary>What ONNX Runtime computes for a file.</summary>
    public static float[] OnnxRuntime(string path, string input, TensorData value, string output)
    {
        using OnnxRuntimePeer peer = OnnxRuntimePeer.Start(path, new Dictionary<string, TensorData> { [input] = value }, threads: 1);
        peer.Run();
        return peer.Outputs()[output].ToSingles();
    }
}
