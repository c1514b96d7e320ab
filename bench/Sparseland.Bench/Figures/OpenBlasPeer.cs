using System.Text.Json.Nodes;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Threading;

namespace Sparseland.Bench.Figures;

/// <summary>OpenBLAS at its best: every set of kernels (<see cref="OpenBlasLibrary"/>) with as many threads as we use, and with one where that comes near the best, takes turns with ours; the one with the least median is the peer.</summary>
internal static class OpenBlasPeer
{
    /// <summary>How to install the peer.</summary>
    public const string InstallHint = "apt-get install libopenblas0-pthread";

    /// <summary>Its name among the variants of a figure.</summary>
    public const string Name = "openblas";

    /// <summary>Its threads look for more work for 2^26 ticks (its documented default, 26 ms here) before they sleep; nothing else is timed meanwhile.</summary>
    public const int RestMilliseconds = 30;

    private const int TrialRounds = 5;

    // Generous: beside other variants, after a rest, the order may be another one.
    private const double NearBest = 1.25;

    private static readonly Lazy<IReadOnlyList<OpenBlasLibrary>> s_libraries = new(OpenBlasLibrary.OpenAll);

    /// <summary>Whether the library and what is used of it are there.</summary>
    public static bool IsInstalled => s_libraries.Value.Count > 0;

    /// <summary>Version and kernels: those that the environment gives first.</summary>
    public static string Version => $"{s_libraries.Value[0].Version} ({string.Join(" or ", s_libraries.Value.Select(l => l.Name))})";

    /// <summary>Whether a variant is this engine's.</summary>
    public static bool Is(string variant) => variant == Name || variant.StartsWith(Name + ", ", StringComparison.Ordinal);

    /// <summary>The variants of a product with as many threads as we use, and those with one that come near the fastest, by a few rounds in turn.</summary>
    /// <remarks>A trial is short, and made without the others of the row: it only spares the row what has little hope.</remarks>
    /// <param name="product">Computes it by the given library, whose number of threads is set.</param>
    public static IReadOnlyList<(string Name, Action Run)> Contenders(Action<OpenBlasLibrary> product)
    {
        (OpenBlasLibrary Library, int Threads)[] choices = [.. s_libraries.Value.SelectMany(_ => Numbers(), (library, threads) => (library, threads))];
        (string Name, Action Run)[] all = [.. choices.Select(c => (
            $"{Name}, {c.Library.Name}, {(c.Threads == 1 ? "1 thread" : $"{c.Threads} threads")}", (Action)(() =>
            {
                c.Library.UseThreads(c.Threads);
                product(c.Library);
            })))];
        if (WorkPool.Threads == 1) return all;
        Func<double>[] runs = [.. all.Select(v => Figure.Hot(v.Name, v.Run).Run)];
        var times = new double[all.Length][];
        for (int i = 0; i < runs.Length; i++) times[i] = new double[TrialRounds];
        for (int round = -1; round < TrialRounds; round++)
        {
            for (int i = 0; i < runs.Length; i++)
            {
                double time = runs[i]();
                // The round before the first one brings everything into the caches.
                if (round >= 0) times[i][round] = time;
            }
        }
        double[] medians = [.. times.Select((t, i) => new Timing(all[i].Name, t).Median)];
        return [.. Kept([.. choices.Select(c => c.Threads)], medians, WorkPool.Threads).Select(i => all[i])];
    }

    /// <summary>The places of the variants that go on after a trial.</summary>
    /// <param name="threads">How many each one uses.</param>
    /// <param name="medians">How long each one took.</param>
    /// <param name="ours">How many threads we use.</param>
    internal static IEnumerable<int> Kept(int[] threads, double[] medians, int ours) =>
        Enumerable.Range(0, threads.Length).Where(i => threads[i] == ours || medians[i] <= NearBest * medians.Min());

    /// <summary>Timings with the fastest of this engine's variants alone, under the engine's name and in the place of the first of them; and what that variant was.</summary>
    /// <param name="timings">All variants of a row.</param>
    public static (IReadOnlyList<Timing> Timings, string? Variant) Best(IReadOnlyList<Timing> timings)
    {
        if (timings.Where(t => Is(t.Name)).MinBy(t => t.Median) is not { } best) return (timings, null);
        int first = timings.TakeWhile(t => !Is(t.Name)).Count();
        var kept = timings.Where(t => !Is(t.Name)).ToList();
        kept.Insert(first, best with { Name = Name });
        return (kept, best.Name == Name ? null : best.Name[(Name.Length + 2)..]);
    }

    /// <summary>Writes into a row which variant of the engine its times are of.</summary>
    public static void Record(JsonObject row, string? variant)
    {
        if (variant is not null) row["openblasVariant"] = variant;
    }

    private static int[] Numbers() => WorkPool.Threads == 1 ? [1] : [WorkPool.Threads, 1];
}
