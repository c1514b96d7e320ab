using System.CommandLine;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>
/// What spreading costs where memory does not: cycles that a product with one vector takes for 64 columns of a row, from the second cache, in every type and density, on one thread.
/// </summary>
internal sealed class WordsFigure : Figure
{
    // Forty rows in single precision are 640 KiB: they stay in a second cache of 1 MiB. What a call costs by itself is the same for eight, so that the difference is 32 rows.
    private const int Columns = 4096, Few = 8, Many = 40;
    private const int Word = 64;

    private static readonly double[] s_densities = [1, 0.5, 0.25, 0.1];

    protected override (string Name, string Description) Title => ("words", "Cycles of a product with one vector for 64 columns from the second cache, in every type and density, one thread.");

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        int threads = WorkPool.Threads;
        WorkPool.Threads = 1;
        try
        {
            return Words(context, options);
        }
        finally
        {
            WorkPool.Threads = threads;
        }
    }

    private static JsonArray Words(VerbContext context, TimingOptions options)
    {
        var rows = new JsonArray();
        Table table = NewTable("values", "density", "cycles a word", "95 % interval", "bytes a word");
        foreach (ValueKind kind in (ValueKind[])[ValueKind.Float32, ValueKind.BFloat16, ValueKind.Int8, ValueKind.Int4])
        {
            foreach (double density in s_densities)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                Timing cycles = Cycles(kind, density, context, options);
                (double low, double high) = cycles.Interval;
                double bytes = (kind.Bits() * density + (density < 1 ? 1 : 0)) * Word / 8;
                table.AddRow(kind.ShortName(), $"{density:0.00}", $"{cycles.Median:0.0}", $"{low:0.0}..{high:0.0}", $"{bytes:0}");
                rows.Add(new JsonObject { ["values"] = kind.ShortName(), ["density"] = density, ["cycles"] = Round(cycles.Median), ["low"] = Round(low), ["high"] = Round(high), ["bytes"] = Round(bytes) });
            }
        }
        context.Show(table);
        context.Say($"a word is 64 columns of a row; the difference of {Many} and {Few} rows of {Columns} columns; a cycle is a third of a multiplication that waits for the one before, {1 / Nanoseconds():0.00} GHz now");
        return rows;
    }

    private static Timing Cycles(ValueKind kind, double density, VerbContext context, TimingOptions options)
    {
        var random = new Random(context.Settings.Seed);
        float[] x = Values(Columns, random), y = new float[Many];
        CompactMatrix few = Matrix(Few), many = Matrix(Many);
        IReadOnlyList<Timing> t = InterleavedTimer.Measure([("few", () => Gemv.Multiply(few, x, y.AsSpan(0, Few))), ("many", () => Gemv.Multiply(many, x, y))], options, null, context.Cancellation);
        const double words = (double)(Many - Few) * Columns / Word;
        double cycle = Nanoseconds();
        return new Timing("cycles", [.. t[1].Milliseconds.Zip(t[0].Milliseconds, (m, f) => (m - f) * 1e6 / words / cycle)]);

        CompactMatrix Matrix(int height)
        {
            float[] weight = Values((long)height * Columns, random);
            for (int i = 0; i < weight.Length; i++) weight[i] = random.NextDouble() < density ? weight[i] : 0;
            return density == 1 ? CompactMatrix.FromDense(weight, height, Columns, kind) : CompactMatrix.FromMask(Mask.FromNonZeros([height, Columns], weight), weight, height, Columns, kind);
        }
    }

    /// <summary>A cycle, in nanoseconds: an integer multiplication hands its result on after three (Intel and AMD since 2008).</summary>
    private static double Nanoseconds()
    {
        const int Rounds = 20_000, Cycles = 8 * 3;
        double best = double.PositiveInfinity;
        for (int i = 0; i < 5; i++)
        {
            long start = Stopwatch.GetTimestamp();
            Chain(Rounds, (ulong)start | 1);
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalNanoseconds);
        }
        return best / Rounds / Cycles;
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static ulong Chain(int rounds, ulong factor)
    {
        ulong x = factor;
        for (int i = 0; i < rounds; i++)
        {
            x *= factor; x *= factor; x *= factor; x *= factor;
            x *= factor; x *= factor; x *= factor; x *= factor;
        }
        return x;
    }
}
