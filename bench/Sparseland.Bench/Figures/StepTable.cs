using System.Diagnostics;
using System.Runtime;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Graph;
using Sparseland.Runtime;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>Each step of a network with one and with all threads: where further threads bring nothing.</summary>
internal static class StepTable
{
    private const double UntimedMilliseconds = 10;
    private const int RunsPerTurn = 3;

    // Without a new method for so long, and for so many rounds of networks that take longer, the runtime has compiled again what it wanted to; it never takes longer than the last.
    private const double QuietMilliseconds = 400, MostWarmMilliseconds = 10_000;
    private const int QuietRounds = 3;

    /// <summary>Measures, prints a table for each network, adds a row for each.</summary>
    public static void Measure(JsonArray rows, string networks, VerbContext context, TimingOptions options)
    {
        int all = WorkPool.Threads;
        if (all == 1)
        {
            context.Warn("steps with one and with all threads need more than one: leave --threads out");
            return;
        }
        foreach (string id in networks.Split(',', StringSplitOptions.TrimEntries))
        {
            NetworkCase network = NetworksFigure.Case(id, context.Settings.Seed) ?? throw VerbException.Usage($"--networks has '{id}'");
            try
            {
                using EvenCores cores = EvenCores.For(context, options, rows);
                rows.Add(Row(network, all, context, cores.Options));
            }
            finally
            {
                WorkPool.Threads = all;
            }
        }
    }

    private static JsonObject Row(NetworkCase network, int all, VerbContext context, TimingOptions options)
    {
        ModelGraph graph = NetworkComparison.Prune(network);
        Dictionary<string, TensorData> inputs = ModelInputs.Random(graph, network.Batch, 64, context.Settings.Seed);
        int[] threads = [1, all];
        var sessions = new InferenceSession[2];
        var times = new List<IReadOnlyList<StepTime>>[] { [], [] };
        for (int i = 0; i < 2; i++)
        {
            // Each session is planned with the threads that it is run with.
            WorkPool.Threads = threads[i];
            sessions[i] = new InferenceSession(graph);
            NetworkComparison.CompareWithTwin(sessions[i], graph, inputs, context.Cancellation);
            for (int warm = 0; warm < options.Repetitions; warm++) sessions[i].Run(inputs, context.Cancellation);
        }
        WarmUp(sessions, threads, inputs, context.Cancellation);
        var total = new Stopwatch();
        while (times[1].Count * RunsPerTurn < options.Repetitions || total.Elapsed.TotalSeconds < options.Seconds)
        {
            total.Stop();
            options.BeforeRound?.Invoke();
            total.Start();
            for (int i = 0; i < 2; i++)
            {
                WorkPool.Threads = threads[i];
                long turn = Stopwatch.GetTimestamp();
                do sessions[i].Run(inputs, context.Cancellation);
                while (Stopwatch.GetElapsedTime(turn).TotalMilliseconds < UntimedMilliseconds);
                times[i].Add(sessions[i].TimeSteps(inputs, RunsPerTurn, context.Cancellation));
            }
            if (total.Elapsed.TotalSeconds > options.MostSeconds) break;
        }

        Table table = Figure.NewTable($"{network.Label}", "kernel", "M multiply-adds", "1 thread us", $"{all} threads us", "speed-up", "beyond its share us");
        var steps = new JsonArray();
        var sums = new OrderedDictionary<string, (double One, double All)>();
        for (int s = 0; s < times[0][0].Count; s++)
        {
            StepTime step = times[0][0][s], other = times[1][0][s];
            double one = Median(times[0], s), many = Median(times[1], s);
            string kernel = step.Kernel == other.Kernel ? step.Kernel : $"{step.Kernel} / {other.Kernel}";
            Add(table, step.Name, kernel, step.MultiplyAdds / 1e6, one, many, all);
            (double sumOne, double sumAll) = sums.GetValueOrDefault(kernel);
            sums[kernel] = (sumOne + one, sumAll + many);
            steps.Add(new JsonObject { ["name"] = step.Name, ["operator"] = step.Operator, ["kernel"] = kernel, ["multiplyAdds"] = step.MultiplyAdds, ["oneThreadMs"] = Figure.Round(one), ["allThreadsMs"] = Figure.Round(many) });
        }
        foreach ((string kernel, (double one, double many)) in sums) Add(table, "together", kernel, null, one, many, all);
        Add(table, "all steps", "", null, sums.Values.Sum(s => s.One), sums.Values.Sum(s => s.All), all);
        context.Show(table);
        return new JsonObject { ["part"] = "steps", ["what"] = network.Label, ["threads"] = all, ["steps"] = steps, ["outputsCompared"] = true };
    }

    /// <summary>Runs until methods are no longer compiled anew: that happens in the background, 30 to 40 ms at a time, on the core of the second thread, and steps then looked as if they gained nothing from it.</summary>
    private static void WarmUp(InferenceSession[] sessions, int[] threads, Dictionary<string, TensorData> inputs, CancellationToken cancellation)
    {
        long methods = JitInfo.GetCompiledMethodCount(), begin = Stopwatch.GetTimestamp(), last = begin;
        int quiet = 0;
        while ((quiet < QuietRounds || Stopwatch.GetElapsedTime(last).TotalMilliseconds < QuietMilliseconds) && Stopwatch.GetElapsedTime(begin).TotalMilliseconds < MostWarmMilliseconds)
        {
            for (int i = 0; i < sessions.Length; i++)
            {
                WorkPool.Threads = threads[i];
                sessions[i].Run(inputs, cancellation);
            }
            long now = JitInfo.GetCompiledMethodCount();
            quiet++;
            if (now != methods) (methods, last, quiet) = (now, Stopwatch.GetTimestamp(), 0);
        }
    }

    private static double Median(List<IReadOnlyList<StepTime>> times, int step) => new Timing("", [.. times.SelectMany(t => t[step].Milliseconds)]).Median;

    private static void Add(Table table, string name, string kernel, double? multiplyAdds, double one, double many, int all) =>
        table.AddRow(Markup.Escape(name), Markup.Escape(kernel), multiplyAdds is { } m ? $"{m:0.0}" : "", $"{one * 1e3:0.0}", $"{many * 1e3:0.0}", $"{one / many:0.00}", $"{(many - one / all) * 1e3:0.0}");
}
