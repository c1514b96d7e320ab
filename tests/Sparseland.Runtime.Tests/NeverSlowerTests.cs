using System.Diagnostics;
using System.Text.RegularExpressions;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;
using Xunit.Abstractions;

namespace Sparseland.Runtime.Tests;

/// <summary>Runs what measures time by itself, after all tests that share the machine and change the number of threads.</summary>
[CollectionDefinition(nameof(MeasuringCollection), DisableParallelization = true)]
public sealed class MeasuringCollection;

/// <summary>R3: with this machine's table a plan is within noise of the best candidate, the dense twin among them, over shape x density x batch x pattern.</summary>
/// <remarks>
/// A miss counts only when nobody else had the processors just before and just after it; a table that may have been measured beside other work is measured again.
/// Where three misses of that kind cannot be had the case is skipped: a busy machine says nothing about plans. With two threads the cores must be near as well: where a host has moved them apart, an
/// exchange takes six times as long for seconds, which no table of this moment knows; a case that is skipped for that says so.
/// </remarks>
[Collection(nameof(MeasuringCollection))]
public sealed class NeverSlowerTests(ITestOutputHelper output) : IDisposable
{
    private readonly int _threads = WorkPool.Threads;

    public void Dispose() => WorkPool.Threads = _threads;

    private const double Noise = 1.25;
    private const int Attempts = 12, MissesThatCount = 3, MostMeasurements = 4;

    // What a call costs by itself: smaller differences are none.
    private const double CallMicroseconds = 2;

    // By the number of threads.
    private static readonly Measured[] s_measured = [new(), new(), new()];

    public static TheoryData<string, double, int, string, int> Cases
    {
        get
        {
            var data = new TheoryData<string, double, int, string, int>();
            foreach (int threads in new[] { 1, 2 })
            {
                foreach (string layer in new[] { "conv3 16 32", "conv3 128 8", "conv3 64 4", "conv1 256 14", "conv1 32 1", "depthwise 128 28", "linear 256", "linear 768" })
                {
                    foreach (double density in threads == 1 ? new[] { 0.7, 0.5, 0.15, 0.04 } : [0.5, 0.04])
                    {
                        foreach (int batch in threads == 1 ? new[] { 1, 5, 24 } : [1, 24])
                        {
                            data.Add(layer, density, batch, "unstructured", threads);
                            if (batch == 24 && layer.StartsWith("linear", StringComparison.Ordinal)) data.Add(layer, density, batch, "4x1 blocks", threads);
                            if (density == 0.5 && layer.StartsWith("linear", StringComparison.Ordinal)) data.Add(layer, density, batch, "2:4", threads);
                        }
                    }
                }
                // Half of what a rectifier leaves is zero.
                data.Add("rectified 1024 2048", 1, 1, "unstructured", threads);
            }
            // Values of few bits, in matrices that fit the caches.
            foreach (string type in new[] { "bf16", "int8", "int4" })
            {
                foreach (double density in new[] { 0.7, 0.5, 0.3, 0.1 }) data.Add($"{type} 768", density, 1, "unstructured", 1);
                data.Add($"{type} 2048", 0.3, 1, "unstructured", 1);
            }
            return data;
        }
    }

    [SkippableTheory, MemberData(nameof(Cases))]
    public void Plans_are_within_noise_of_the_best_candidate(string layer, double density, int batch, string pattern, int threads)
    {
        Skip.If(Environment.ProcessorCount < threads, $"{threads} threads on {Environment.ProcessorCount} processor");
        WorkPool.Threads = threads;
        Measured measured = s_measured[threads];
        string[] words = layer.Split(' ');
        var b = new GraphBuilder(layer);
        int width = int.Parse(words[1]);
        ValueKind values = Enum.GetValues<ValueKind>().FirstOrDefault(v => v.ShortName() == words[0]);
        bool isLinear = words[0] is "linear" or "rectified" || values != ValueKind.Float32;
        Value x = isLinear ? b.Input("x", ElementType.Float32, batch, width) : b.Input("x", ElementType.Float32, batch, width, int.Parse(words[2]), int.Parse(words[2]));
        ModelGraph graph = b.Build(words[0] switch { "conv3" => b.Conv(x, "w", width, 3, padding: 1), "conv1" => b.Conv(x, "w", width, 1), "depthwise" => b.Conv(x, "w", width, 3, padding: 1, groups: width), "rectified" => b.Linear(b.Relu(x), "w", int.Parse(words[2])), _ => b.Linear(x, "w", width) });
        Weight weight = graph.Weights["w.weight"];
        if (density < 1) Prune(weight, pattern, density);
        if (measured.Table is null) measured.Again();
        InferenceSession Planned() => new(graph, new SessionOptions { BreakEven = measured.Table!, Values = values });
        // Times every candidate and keeps the fastest.
        InferenceSession Tuned() => new(graph, new SessionOptions { AutoTune = true, Values = values });
        InferenceSession session = Planned(), tuned = Tuned();
        var twin = new InferenceSession(graph, new SessionOptions { ForceDense = true, Values = values });
        TensorData input = RandomNetworks.Input(1, x.Shape!.ToSizes());

        double ratio = 0;
        int misses = 0;
        string? before = "not looked yet", disturbed = null;
        for (int attempt = 0; attempt < Attempts && misses < MissesThatCount; attempt++)
        {
            double[] times = KernelTimer.Best(20, () => twin.Run(input), () => tuned.Run(input), () => session.Run(input));
            ratio = times[2] / (Math.Min(times[0], times[1]) + CallMicroseconds);
            if (attempt == 0) output.WriteLine($"{layer} density {density} batch {batch} {pattern} threads {threads}: {times[0] / times[2]:0.00}x the dense twin, {times[1] / times[2]:0.00}x the best candidate");
            if (ratio <= Noise) return;
            string? after = Disturbance();
            disturbed = after ?? disturbed;
            if (!measured.InQuiet && measured.Count < MostMeasurements)
            {
                measured.Again();
                (session, tuned) = (Planned(), Tuned());
            }
            else if (before is null && after is null && measured.InQuiet)
            {
                misses++;
            }
            before = after;
        }
        Skip.If(misses < MissesThatCount, $"{ratio:0.00} times the best candidate's time, but {disturbed ?? "the break-even table was measured beside other work"}");
        var inputs = new Dictionary<string, TensorData> { ["x"] = input };
        string planned = session.DescribePlan(inputs), best = tuned.DescribePlan(inputs);
        // Both run the same kernel: whatever made one of them slow, a better choice there is not.
        Skip.If(Kernels(planned) == Kernels(best), $"{ratio:0.00} times the best candidate's time, with the same kernel");
        Assert.Fail($"{layer} density {density} batch {batch} {pattern} threads {threads}: {ratio:0.00} times the best candidate's time{Environment.NewLine}{planned}{best}");
    }

    /// <summary>The lines of a plan up to the kernel that a step got, without counts and reasons.</summary>
    private static string Kernels(string plan) => string.Join('\n', plan.Split('\n').Select(line => Regex.Match(line, @"^  \S.*?(?=\s+[\d.]+ [kMG] )").Value));

    private static void Prune(Weight weight, string pattern, double density)
    {
        int rows = weight.Shape[0];
        SparsityPattern kept = pattern switch { "4x1 blocks" => SparsityPattern.Block(4, 1), "2:4" => SparsityPattern.NofM(2, 4), _ => SparsityPattern.Unstructured };
        float[] scores = Array.ConvertAll(weight.Read().ToSingles(), Math.Abs);
        weight.SetMask(PatternProjection.KeepBest(kept, scores, rows, weight.Length / rows, density).Reshape(weight.Shape));
    }

    /// <summary>Why a time of this moment would say nothing about plans; null when it would.</summary>
    private static string? Disturbance()
    {
        if (!IsQuiet()) return "other programs use the processors";
        if (WorkPool.Threads == 1) return null;
        double nanoseconds = CoreDistance.Nanoseconds();
        return nanoseconds > CoreDistance.NearNanoseconds ? $"the cores are far from each other ({nanoseconds:0} ns there and back)" : null;
    }

    /// <summary>Whether as many threads as kernels use get a processor each, for some milliseconds.</summary>
    private static bool IsQuiet()
    {
        const int Milliseconds = 30;
        int threads = Math.Min(WorkPool.Threads, Environment.ProcessorCount);
        // Threads of the pool that still wait awake would count as others do.
        Thread.Sleep(Milliseconds);
        TimeSpan used = Environment.CpuUsage.TotalTime;
        long start = Stopwatch.GetTimestamp();
        Thread[] spinners = [.. Enumerable.Range(0, threads).Select(_ => new Thread(() =>
        {
            while (Stopwatch.GetElapsedTime(start).TotalMilliseconds < Milliseconds) Thread.SpinWait(20);
        }))];
        foreach (Thread spinner in spinners) spinner.Start();
        foreach (Thread spinner in spinners) spinner.Join();
        return Environment.CpuUsage.TotalTime - used > 0.9 * threads * Stopwatch.GetElapsedTime(start);
    }

    /// <summary>The break-even table of a number of threads.</summary>
    private sealed class Measured
    {
        public BreakEvenTable? Table { get; private set; }

        public bool InQuiet { get; private set; }

        public int Count { get; private set; }

        public void Again()
        {
            Count++;
            bool before = Disturbance() is null;
            Table = BreakEvenTable.Measure();
            InQuiet = before && Disturbance() is null;
        }
    }
}
