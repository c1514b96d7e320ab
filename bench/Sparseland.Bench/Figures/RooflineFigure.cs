using System.CommandLine;
using System.Diagnostics;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Threading;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>What this machine can do at most: multiply-adds from registers for each vector width, bytes read from each level of memory. Other figures are shares of these.</summary>
internal sealed class RooflineFigure : Figure
{
    private const int Line = 16;
    private const double SampleMilliseconds = 20;

    /// <summary>With a smaller share of its threads' time something else ran, and the machine can do more than was measured.</summary>
    internal const double EnoughShare = 0.95;

    private static readonly (string Name, long Bytes, string What)[] s_levels =
    [
        ("L1", 16 << 10, "16 KiB a thread"), ("L2", 512 << 10, "512 KiB a thread"), ("L3", 6L << 20, "6 MiB a thread"), ("memory", 256L << 20, "256 MiB a thread"),
    ];

    protected override (string Name, string Description) Title => ("roofline", "Peak multiply-add rate for each vector width and read bandwidth of each level of memory, for one and all threads.");

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        int all = WorkPool.Threads;
        var rows = new JsonArray();
        Table table = NewTable("what", "threads", "median", "95 % interval", "unit");
        try
        {
            foreach (int threads in all == 1 ? (int[])[1] : [1, all])
            {
                WorkPool.Threads = threads;
                foreach ((string name, Func<long, float> loop, double flopsPerRound) in Peaks()) Row(name, threads, "GFLOP/s", Rate(threads, rounds => loop(rounds), flopsPerRound, options, context));
                foreach ((string name, long bytes, string what) in s_levels)
                {
                    ReadLoop[] loops = [.. Enumerable.Range(0, threads).Select(_ => new ReadLoop(bytes))];
                    Row($"read {name}", threads, "GB/s", Rate(threads, (thread, passes) => loops[thread].RunAlone(passes), bytes, options, context), what);
                    foreach (ReadLoop loop in loops) loop.Dispose();
                }
                float[][] from = [.. Enumerable.Range(0, threads).Select(_ => Filled(32 << 20))], to = [.. Enumerable.Range(0, threads).Select(_ => Filled(32 << 20))];
                Row("copy memory", threads, "GB/s", Rate(threads, (thread, passes) => Copy(from[thread], to[thread], passes), 2.0 * sizeof(float) * (32 << 20), options, context), "128 MiB a thread, bytes read and written");
            }
        }
        finally
        {
            WorkPool.Threads = all;
        }
        context.Show(table);
        context.Say("multiply-adds from registers alone (2 FLOP each), and bytes that a loop of vector loads reads, four streams a thread");
        return rows;

        void Row(string what, int threads, string unit, (Timing Rate, double Share) measured, string note = "")
        {
            (Timing rate, double share) = measured;
            (double low, double high) = rate.Interval;
            if (share < EnoughShare) context.Warn($"{what}, threads {threads}: {share:P0} of the cores' time was this program's; beside other work the machine shows less than it can do");
            table.AddRow(what, $"{threads}", $"{rate.Median:0.0}", $"{low:0.0}..{high:0.0}", unit);
            rows.Add(new JsonObject { ["what"] = what, ["threads"] = threads, ["unit"] = unit, ["median"] = Round(rate.Median), ["low"] = Round(low), ["high"] = Round(high), ["processorShare"] = Round(share), ["note"] = note });
        }
    }

    private static IEnumerable<(string Name, Func<long, float> Loop, double FlopsPerRound)> Peaks()
    {
        if (Avx512F.IsSupported) yield return ("multiply-add, 512 bits", Fma512, 12 * 16 * 2);
        if (Fma.IsSupported)
        {
            yield return ("multiply-add, 256 bits", Fma256, 12 * 8 * 2);
            yield return ("multiply-add, 128 bits", Fma128, 12 * 4 * 2);
            yield return ("multiply-add, scalar", Fma1, 12 * 2);
        }
    }

    private static (Timing Rate, double Share) Rate(int threads, Func<long, float> loop, double workPerRound, TimingOptions options, VerbContext context) =>
        Rate(threads, (_, rounds) => loop(rounds), workPerRound, options, context);

    /// <summary>Billions of work per second over all threads together, each sample long enough to drown the call; and how much of its threads' time the cores gave to this program.</summary>
    private static (Timing Rate, double Share) Rate(int threads, Func<int, long, float> loop, double workPerRound, TimingOptions options, VerbContext context)
    {
        var sums = new float[threads * 16];
        long rounds = 1;
        while (Milliseconds(rounds) < SampleMilliseconds && rounds < 1L << 40) rounds *= 2;
        var rates = new double[Math.Max(5, options.Repetitions)];
        TimeSpan used = Environment.CpuUsage.TotalTime;
        long begun = Stopwatch.GetTimestamp();
        for (int i = 0; i < rates.Length; i++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            rates[i] = workPerRound * rounds * threads / Milliseconds(rounds) / 1e6;
        }
        return (new Timing("rate", rates), (Environment.CpuUsage.TotalTime - used) / (threads * Stopwatch.GetElapsedTime(begun)));

        double Milliseconds(long count)
        {
            long start = Stopwatch.GetTimestamp();
            WorkPool.For(threads, thread => sums[thread * 16] += loop(thread, count));
            return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }
    }

    private static float[] Filled(long length)
    {
        // Room to start at a cache line: a vector across two lines costs two loads.
        float[] values = GC.AllocateUninitializedArray<float>((int)length + Line, pinned: true);
        Array.Fill(values, 1f);
        return values;
    }

    // Twelve independent sums: two ports of four cycles' latency need eight. The factors keep the sums finite and normal.
    private static float Fma512(long rounds)
    {
        Vector512<float> x = Vector512.Create(0.9999f), y = Vector512.Create(0.5f);
        Vector512<float> a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;
        for (long r = 0; r < rounds; r++)
        {
            a = Avx512F.FusedMultiplyAdd(a, x, y); b = Avx512F.FusedMultiplyAdd(b, x, y); c = Avx512F.FusedMultiplyAdd(c, x, y); d = Avx512F.FusedMultiplyAdd(d, x, y);
            e = Avx512F.FusedMultiplyAdd(e, x, y); f = Avx512F.FusedMultiplyAdd(f, x, y); g = Avx512F.FusedMultiplyAdd(g, x, y); h = Avx512F.FusedMultiplyAdd(h, x, y);
            i = Avx512F.FusedMultiplyAdd(i, x, y); j = Avx512F.FusedMultiplyAdd(j, x, y); k = Avx512F.FusedMultiplyAdd(k, x, y); l = Avx512F.FusedMultiplyAdd(l, x, y);
        }
        return Vector512.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }

    private static float Fma256(long rounds)
    {
        Vector256<float> x = Vector256.Create(0.9999f), y = Vector256.Create(0.5f);
        Vector256<float> a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;
        for (long r = 0; r < rounds; r++)
        {
            a = Fma.MultiplyAdd(a, x, y); b = Fma.MultiplyAdd(b, x, y); c = Fma.MultiplyAdd(c, x, y); d = Fma.MultiplyAdd(d, x, y);
            e = Fma.MultiplyAdd(e, x, y); f = Fma.MultiplyAdd(f, x, y); g = Fma.MultiplyAdd(g, x, y); h = Fma.MultiplyAdd(h, x, y);
            i = Fma.MultiplyAdd(i, x, y); j = Fma.MultiplyAdd(j, x, y); k = Fma.MultiplyAdd(k, x, y); l = Fma.MultiplyAdd(l, x, y);
        }
        return Vector256.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }

    private static float Fma128(long rounds)
    {
        Vector128<float> x = Vector128.Create(0.9999f), y = Vector128.Create(0.5f);
        Vector128<float> a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;
        for (long r = 0; r < rounds; r++)
        {
            a = Fma.MultiplyAdd(a, x, y); b = Fma.MultiplyAdd(b, x, y); c = Fma.MultiplyAdd(c, x, y); d = Fma.MultiplyAdd(d, x, y);
            e = Fma.MultiplyAdd(e, x, y); f = Fma.MultiplyAdd(f, x, y); g = Fma.MultiplyAdd(g, x, y); h = Fma.MultiplyAdd(h, x, y);
            i = Fma.MultiplyAdd(i, x, y); j = Fma.MultiplyAdd(j, x, y); k = Fma.MultiplyAdd(k, x, y); l = Fma.MultiplyAdd(l, x, y);
        }
        return Vector128.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }

    private static float Fma1(long rounds)
    {
        float x = 0.9999f, y = 0.5f, a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;
        for (long r = 0; r < rounds; r++)
        {
            a = MathF.FusedMultiplyAdd(a, x, y); b = MathF.FusedMultiplyAdd(b, x, y); c = MathF.FusedMultiplyAdd(c, x, y); d = MathF.FusedMultiplyAdd(d, x, y);
            e = MathF.FusedMultiplyAdd(e, x, y); f = MathF.FusedMultiplyAdd(f, x, y); g = MathF.FusedMultiplyAdd(g, x, y); h = MathF.FusedMultiplyAdd(h, x, y);
            i = MathF.FusedMultiplyAdd(i, x, y); j = MathF.FusedMultiplyAdd(j, x, y); k = MathF.FusedMultiplyAdd(k, x, y); l = MathF.FusedMultiplyAdd(l, x, y);
        }
        return a + b + c + d + e + f + g + h + i + j + k + l;
    }

    private static float Copy(float[] from, float[] to, long passes)
    {
        for (long pass = 0; pass < passes; pass++) from.AsSpan().CopyTo(to);
        return to[^1];
    }
}
