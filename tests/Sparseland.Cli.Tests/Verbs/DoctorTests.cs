using System.Text.Json.Nodes;
using Sparseland.Runtime;

namespace Sparseland.Cli.Tests.Verbs;

public class DoctorTests
{
    // A machine with other things to do measures twice, and points that differ several times.
    private const int CalibrationSeconds = 900;

    [Theory]
    [InlineData("SPARSELAND_THREADS", "many", "a number from 1 to 1024"), InlineData("SPARSELAND_THREADS", "5000", "a number from 1 to 1024"), InlineData("SPARSELAND_SIMD", "1024", "scalar, 128, 256 or 512"), InlineData("SPARSELAND_SIMD", "avx2", "scalar, 128, 256 or 512")]
    public async Task AVariableThatSaysNothingIsRefused(string name, string value, string expected)
    {
        ProcessResult refused = await SparselandProcess.RunAsync(["doctor", "--verbose"], environment: new Dictionary<string, string?> { [name] = value });
        Assert.Equal(2, refused.ExitCode);
        Assert.Contains($"{name} is '{value}'; expected {expected}.", refused.Error, StringComparison.Ordinal);
        // Whoever uses the library sees the exception itself: its own words come first.
        Assert.DoesNotContain("TypeInitializationException", refused.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AKeptCalibrationIsFoundAgain()
    {
        using var folder = new TemporaryFolder();
        var environment = new Dictionary<string, string?> { [BreakEvenTable.FolderVariable] = folder.Path };
        ProcessResult measured = await SparselandProcess.RunAsync(["doctor", "--calibrate", "--threads", "1", "--json"], timeoutSeconds: CalibrationSeconds, environment: environment);
        Assert.True(measured.ExitCode == 0, measured.Error);
        JsonNode result = JsonNode.Parse(measured.Output)!, points = result["breakEven"]!;
        // Of the processor: other programs may be in the way. A second measurement, where they were, included.
        Assert.InRange((double)result["calibrationSeconds"]!, 0.5, 60);
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
