using System.Text.Json.Nodes;
using Sparseland.Cli.Services;
using Sparseland.Kernels.Simd;

namespace Sparseland.Cli.Tests.Verbs;

public class DoctorTests
{
    [Fact]
    public void ACalibrationIsKeptPerProcessorLevelAndThreads()
    {
        Assert.Equal("break-even-amd-epyc-9r14-vector512-2.json", MachineTable.FileName("AMD EPYC  9R14", SimdLevel.Vector512, 2));
        string[] names = [MachineTable.FileName("A", SimdLevel.Vector512, 1), MachineTable.FileName("A", SimdLevel.Vector512, 2), MachineTable.FileName("A", SimdLevel.Vector256, 1), MachineTable.FileName("B", SimdLevel.Vector512, 1)];
        Assert.Equal(4, names.Distinct().Count());
        Assert.All(names, n => Assert.Equal(-1, n.IndexOfAny(Path.GetInvalidFileNameChars())));
    }

    [Fact]
    public async Task AKeptCalibrationIsFoundAgain()
    {
        using var folder = new TemporaryFolder();
        var environment = new Dictionary<string, string?> { [MachineTable.EnvironmentVariable] = folder.Path };
        ProcessResult measured = await SparselandProcess.RunAsync(["doctor", "--calibrate", "--threads", "1", "--json"], environment: environment);
        Assert.True(measured.ExitCode == 0, measured.Error);
        JsonNode points = JsonNode.Parse(measured.Output)!["breakEven"]!;
        Assert.Contains("measured with", (string)points["origin"]!, StringComparison.Ordinal);
        string kept = Assert.Single(Directory.GetFiles(folder.Path));
        Assert.Equal(kept, (string)points["path"]!);
        // Decoding is a vector, small images are few pixels: both have rules of their own.
        Assert.Contains(points["entries"]!.AsArray(), e => ((string)e!["kernel"]!).Contains("Vector", StringComparison.Ordinal));
        Assert.Contains(points["entries"]!.AsArray(), e => (string)e!["kernel"]! == "Convolution" && (long)e["size"]! < 50);

        ProcessResult same = await SparselandProcess.RunAsync(["doctor", "--threads", "1", "--json"], environment: environment);
        Assert.True(JsonNode.DeepEquals(points, JsonNode.Parse(same.Output)!["breakEven"]), same.Output);
    }
}
