using Sparseland.Cli.Measuring;
using Sparseland.Cli.Verbs;
using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;

namespace Sparseland.Cli.Tests.Measuring;

public class PeerTests
{
    [SkippableFact]
    public void OnnxRuntimeComputesTheSameAndIsTimedBesideBothPlans()
    {
        Skip.If(OnnxRuntimePeer.Find() is null, $"ONNX Runtime is not installed: {OnnxRuntimePeer.InstallHint}");
        ModelGraph graph = ArchitectureCatalog.Get("lenet-300-100").Build();
        Dictionary<string, TensorData> inputs = ModelInputs.Random(graph, 2, 1, 0);
        using OnnxRuntimePeer peer = BenchVerb.StartPeer(graph, inputs);
        BenchmarkResult result = TwinBenchmark.Run(graph, inputs, new TimingOptions(5, 0), peer: peer, peerName: "onnxruntime");
        Assert.Equal(["sparse", "dense twin", "onnxruntime"], result.Rows.Select(r => r.Name));
        Assert.InRange(result.Rows[2].LargestDeviation!.Value, 0, 1e-4);
        Assert.All(result.Rows, r => Assert.True(r.Timing.Median > 0 && r.Timing.Milliseconds.Length >= 5));
        Assert.Contains("the speed of onnxruntime", result.Verdict, StringComparison.Ordinal);
    }

    [Fact]
    public void APeerThatCannotStartSaysWhatItSaid()
    {
        InvalidOperationException missing = Assert.Throws<InvalidOperationException>(() => new Broken("no-such-program-here", []));
        Assert.Contains("no-such-program-here", missing.Message, StringComparison.Ordinal);
        InvalidOperationException silent = Assert.Throws<InvalidOperationException>(() => new Broken("git", ["no-such-command-here"]));
        Assert.Contains("Broken could not start", silent.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RatiosAreOfNeighboursAndCancelDrift()
    {
        var slow = new Timing("a", [2, 4, 8, 16, 32]);
        var fast = new Timing("b", [1, 2, 4, 8, 16]);
        Timing ratio = TwinBenchmark.Ratio(slow, fast);
        Assert.Equal(2, ratio.Median);
        Assert.Equal((2, 2), ratio.Interval);
    }

    private sealed class Broken(string program, string[] arguments) : PeerProcess("Broken", program, arguments);
}
