using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Model.Architectures;
using Sparseland.Model.Formats;

namespace Sparseland.Cli.Tests.Verbs;

public class BenchTests
{
    [Fact]
    public async Task TheTableInJsonHasMachineVariantsAndVerdict()
    {
        using var folder = new TemporaryFolder();
        ModelFile.Save(ArchitectureCatalog.Get("lenet-300-100").Build(), folder["m.onnx"]);
        ProcessResult result = await CommandLine.RunAsync("bench", folder["m.onnx"], "--repetitions", "3", "--seconds", "0", "--json");
        Assert.True(result.ExitCode == ExitCodes.Done, result.Error);
        JsonNode json = JsonNode.Parse(result.Output)!;
        Assert.NotNull(json["machine"]!["processor"]);
        JsonArray variants = json["variants"]!.AsArray();
        Assert.Equal(["sparse", "dense twin"], variants.Select(v => (string)v!["name"]!));
        foreach (JsonNode? v in variants)
        {
            Assert.InRange((double)v!["medianMs"]!, (double)v["lowMs"]!, (double)v["highMs"]!);
            Assert.InRange((double)v["largestDeviation"]!, 0, 1e-4);
        }
        Assert.Contains("dense twin", (string)json["verdict"]!, StringComparison.Ordinal);
        // 266 610 weights of four bytes in both; a model without zeros has no reason to be smaller.
        Assert.InRange((long)json["files"]!["denseBytes"]!, 1_066_440, 1_100_000);
        Assert.InRange((long)json["files"]!["compactBytes"]!, 1_066_440, 1_100_000);
        Assert.True((long)json["peakMemoryBytes"]! > 10_000_000);
    }

    [Fact]
    public async Task ZerosAreSmallerOnDiskAndTheTableSaysSo()
    {
        using var folder = new TemporaryFolder();
        Sparseland.Model.Graph.ModelGraph graph = ArchitectureCatalog.Get("lenet-300-100").Build(), sparse = graph.Clone();
        foreach (Sparseland.Model.Graph.Weight weight in sparse.Weights.Values.Where(w => w.Shape.Length == 2))
        {
            weight.SetMask(Sparseland.Kernels.Sparse.Mask.FromFlags(weight.Shape, [.. Enumerable.Range(0, (int)weight.Length).Select(i => i % 10 == 0)]));
        }
        ModelFile.Save(graph, folder["dense.onnx"]);
        ModelFile.Save(sparse, folder["sparse.onnx"]);
        ProcessResult result = await CommandLine.RunAsync("bench", folder["sparse.onnx"], "--dense", folder["dense.onnx"], "--repetitions", "3", "--seconds", "0", "--json");
        Assert.True(result.ExitCode == ExitCodes.Done, result.Error);
        JsonNode files = JsonNode.Parse(result.Output)!["files"]!;
        Assert.Equal(new FileInfo(folder["dense.onnx"]).Length, (long)files["denseBytes"]!);
        Assert.True(5 * (long)files["compactBytes"]! < (long)files["denseBytes"]!);
        result = await CommandLine.RunAsync("bench", folder["sparse.onnx"], "--repetitions", "3", "--seconds", "0");
        Assert.Contains("MB as a compact file", result.Output, StringComparison.Ordinal);
        Assert.Contains("peak memory", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task MoreThreadsThanCoresAreWarnedOfAndNothingResumes()
    {
        using var folder = new TemporaryFolder();
        ModelFile.Save(ArchitectureCatalog.Get("lenet-300-100").Build(), folder["m.onnx"]);
        ProcessResult result = await SparselandProcess.RunAsync(["bench", folder["m.onnx"], "--threads", "999", "--dry-run"]);
        Assert.True(result.ExitCode == ExitCodes.Done, result.Error);
        Assert.Contains($"999 threads on {Environment.ProcessorCount} core", result.Error, StringComparison.Ordinal);
        ProcessResult help = await CommandLine.RunAsync("bench", "--help");
        Assert.DoesNotContain("--resume", help.Output, StringComparison.Ordinal);
        Assert.Contains("--resume", (await CommandLine.RunAsync("train", "--help")).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AMissingEngineIsNamedWithTheCommandThatInstallsIt()
    {
        using var folder = new TemporaryFolder();
        ModelFile.Save(ArchitectureCatalog.Get("lenet-300-100").Build(), folder["m.onnx"]);
        ProcessResult result = await SparselandProcess.RunAsync(["bench", folder["m.onnx"], "--against", "pytorch"], environment: new Dictionary<string, string?> { [PyTorchInferencePeer.PythonVariable] = folder["no-python"] });
        Assert.Equal(ExitCodes.Usage, result.ExitCode);
        Assert.Contains("error SL4050", result.Error, StringComparison.Ordinal);
        Assert.Contains(PyTorchInferencePeer.InstallHint, result.Error, StringComparison.Ordinal);
        await CommandLine.FailsAsync(ExitCodes.Usage, "SL4000", "bench", folder["m.onnx"], "--against", "tensorflow");
    }

    [SkippableFact]
    public async Task OneOfTwoEnginesThatIsMissingIsSaidAndTheOtherIsTimed()
    {
        Skip.If(OnnxRuntimePeer.Find() is null, $"ONNX Runtime is not installed: {OnnxRuntimePeer.InstallHint}");
        using var folder = new TemporaryFolder();
        ModelFile.Save(ArchitectureCatalog.Get("lenet-300-100").Build(), folder["m.onnx"]);
        var environment = new Dictionary<string, string?> { [PyTorchInferencePeer.PythonVariable] = folder["no-python"] };
        ProcessResult result = await SparselandProcess.RunAsync(["bench", folder["m.onnx"], "--against", "pytorch,onnxruntime", "--repetitions", "3", "--seconds", "0", "--json"], environment: environment);
        Assert.True(result.ExitCode == ExitCodes.Done, result.Error);
        string missing = $"PyTorch is not installed; try: {PyTorchInferencePeer.InstallHint}";
        Assert.Contains($"without PyTorch: {missing}", result.Error, StringComparison.Ordinal);
        JsonNode json = JsonNode.Parse(result.Output)!;
        Assert.Equal(["sparse", "dense twin", "onnxruntime"], json["variants"]!.AsArray().Select(v => (string)v!["name"]!));
        JsonNode left = Assert.Single(json["notMeasured"]!.AsArray())!;
        Assert.Equal(("pytorch", missing), ((string)left["name"]!, (string)left["reason"]!));
    }

    [Theory]
    [InlineData("--seconds", "NaN")]
    [InlineData("--seconds", "3601")]
    [InlineData("--repetitions", "2")]
    [InlineData("--repetitions", "20001")]
    [InlineData("--batch", "-1")]
    [InlineData("--sequence", "0")]
    public async Task ANumberOutOfRangeIsNamedWithItsValue(string option, string value)
    {
        ProcessResult result = await CommandLine.RunAsync("bench", "no-model.onnx", option, value);
        Assert.Equal(ExitCodes.Usage, result.ExitCode);
        Assert.Contains($"{option} is {value}", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ScriptsThatAreNotThereAreNotAnEngineThatIsNotInstalled()
    {
        using var folder = new TemporaryFolder();
        var nowhere = new PeerEntry("no-such-peer", "Nobody", () => false, "never", _ => "never", (_, _, _) => throw new InvalidOperationException());
        Assert.Contains("were not found", nowhere.Missing()!.Value.What, StringComparison.Ordinal);
        var there = new PeerEntry("pytorch", "Torch", () => false, "install it", f => $"install it in {f}", (_, _, _) => throw new InvalidOperationException());
        Assert.Equal("Torch is not installed", there.Missing()!.Value.What);
        Assert.Contains(Path.Combine("bench", "peers", "pytorch"), there.Missing()!.Value.Try, StringComparison.Ordinal);
        ModelFile.Save(ArchitectureCatalog.Get("lenet-300-100").Build(), folder["m.onnx"]);
        ProcessResult result = await CommandLine.RunAsync("bench", folder["m.onnx"], "--repetitions", "3", "--seconds", "0");
        Assert.Contains("nothing was removed from this model", result.Output.ReplaceLineEndings(" "), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task AnOperatorThatAnEngineLacksIsSaidAndTheOthersAreTimed()
    {
        Skip.If(PyTorchInferencePeer.Find() is null, $"PyTorch is not installed: {PyTorchInferencePeer.InstallHint}");
        using var folder = new TemporaryFolder();
        Sparseland.Model.Graph.ModelGraph graph = ArchitectureCatalog.Get("lenet-300-100").Build();
        graph.Nodes.First(n => n.OpType == "Relu").OpType = "Mish";
        ModelFile.Save(graph, folder["m.onnx"]);
        ProcessResult result = await SparselandProcess.RunAsync(["bench", folder["m.onnx"], "--against", "pytorch", "--repetitions", "3", "--seconds", "0", "--json"]);
        Assert.True(result.ExitCode == ExitCodes.Done, result.Error);
        Assert.Contains("Mish", result.Error, StringComparison.Ordinal);
        JsonNode json = JsonNode.Parse(result.Output)!;
        Assert.Equal(2, json["variants"]!.AsArray().Count);
        Assert.Contains("Mish", (string)json["notMeasured"]![0]!["reason"]!, StringComparison.Ordinal);
    }
}
