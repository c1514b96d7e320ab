using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Services;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;
using Sparseland.Runtime;
using Spectre.Console;

namespace Sparseland.Cli.Verbs;

/// <summary>Says what this machine can do and what gains on it (R27).</summary>
internal sealed class DoctorVerb : Verb
{
    protected override (string Name, string Description) Title => ("doctor", "Say what this machine can do and what gains on it.");

    private readonly Option<bool> _calibrate = new("--calibrate") { Description = "Measure at which densities sparse kernels win on this machine, and keep the result for every later plan." };

    protected override bool Resumes => false;

    protected override void Declare(Command command)
    {
        command.Options.Add(_calibrate);
        command.Subcommands.Add(new DoctorRunVerb().ToCommand());
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        MachineInfo machine = MachineInfo.Current;
        context.Say(machine.Describe());
        double gflops = MeasureGemm(), bandwidth = MeasureBandwidth();
        // A weight is 4 bytes and 2 operations in a product with one vector; above this many vectors arithmetic is the bound.
        double balance = gflops / bandwidth * 4 / 2;

        var table = new Table().Border(TableBorder.Simple).AddColumns("measured", "value");
        table.AddRow("dense product, 1024 x 1024 x 1024", $"{gflops:0} GFLOP/s");
        table.AddRow("memory read", $"{bandwidth:0.0} GB/s");
        table.AddRow("arithmetic is the bound from", $"{Math.Max(1, Math.Ceiling(balance)):0} vectors at once");
        context.Show(table);

        double? calibrated = arguments.GetValue(_calibrate) && !context.Settings.DryRun ? await CalibrateAsync(context).ConfigureAwait(false) : null;
        BreakEvenTable points = MachineTable.Table;
        context.Say($"break-even points: {points.Origin}{(File.Exists(BreakEvenTable.MachinePath) ? $", kept in {BreakEvenTable.MachinePath}" : "; --calibrate measures those of this machine in some 25 seconds")}");
        if (context.Settings.Verbose || arguments.GetValue(_calibrate)) Show(context, points);
        List<string> advice = Advice(machine);
        foreach (string line in advice) context.Say("- " + line);
        context.Result(new JsonObject
        {
            ["machine"] = machine.ToJson(),
            ["denseGflops"] = gflops,
            ["memoryGBs"] = bandwidth,
            ["breakEven"] = new JsonObject
            {
                ["origin"] = points.Origin,
                ["path"] = BreakEvenTable.MachinePath,
                ["entries"] = new JsonArray([.. points.Entries.Select(e => (JsonNode)new JsonObject { ["kernel"] = e.Kernel.ToString(), ["values"] = e.Values.ShortName(), ["size"] = e.Size, ["columns"] = e.Columns, ["weightBytes"] = e.WeightBytes, ["blockRows"] = e.BlockRows, ["images"] = e.Images, ["density"] = e.Density })]),
            },
            ["calibrationSeconds"] = calibrated is { } seconds ? Math.Round(seconds, 1) : null,
            ["advice"] = new JsonArray([.. advice.Select(a => (JsonNode)a)]),
        });
        context.Next("sparseland quickstart", "sparseland bench MODEL");
        return ExitCodes.Done;
    }

    /// <summary>Measures, again where other programs were in the way, and keeps what came of it.</summary>
    /// <returns>Seconds of the processors that it took.</returns>
    private static async Task<double> CalibrateAsync(VerbContext context)
    {
        const int Attempts = 2;
        long start = Stopwatch.GetTimestamp();
        TimeSpan used = Environment.CpuUsage.TotalTime;
        BreakEvenTable table = BreakEvenTable.BuiltIn;
        for (int attempt = 1; attempt <= Attempts; attempt++)
        {
            table = await context.TrackAsync("calibrating", 1, _ => BreakEvenTable.Measure(new Words(context.Detail), context.Cancellation)).ConfigureAwait(false);
            if (table.Disturbance is null) break;
            context.Warn(attempt < Attempts ? $"{table.Disturbance}: measuring once more" : $"{table.Disturbance}: these points may be off; calibrate again when the machine has nothing else to do");
        }
        table.SaveForThisMachine();
        context.Say($"calibrated in {Stopwatch.GetElapsedTime(start).TotalSeconds:0.0} s; every plan with {WorkPool.Threads} threads on this machine uses it from now on");
        return (Environment.CpuUsage.TotalTime - used).TotalSeconds;
    }

    /// <summary>Below which density each kernel wins, from which size on: one vector (decoding) and small images have rules of their own.</summary>
    private static void Show(VerbContext context, BreakEvenTable points)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumn("kernel").AddColumn("values").AddColumn(new TableColumn("size from").RightAligned()).AddColumn(new TableColumn("columns from").RightAligned()).AddColumn(new TableColumn("weight bytes from").RightAligned()).AddColumn(new TableColumn("block rows").RightAligned()).AddColumn(new TableColumn("images from").RightAligned()).AddColumn(new TableColumn("wins below density").RightAligned());
        foreach (BreakEven entry in points.Entries) table.AddRow(entry.Kernel.ToString(), entry.Values.ShortName(), entry.Size.ToString("N0"), entry.Columns.ToString("N0"), entry.WeightBytes.ToString("N0"), entry.BlockRows.ToString(), entry.Images.ToString(), entry.Density >= 1 ? "always" : entry.Density.ToString("P1"));
        context.Show(table);
    }

    private sealed class Words(Action<string> say) : IProgress<string>
    {
        public void Report(string value) => say(value);
    }

    private static List<string> Advice(MachineInfo machine)
    {
        var advice = new List<string>();
        switch (SimdSupport.Hardware)
        {
            case SimdLevel.Vector512:
                advice.Add("AVX-512 is used: unstructured sparsity gains in products and, with expand-load, in decoding.");
                break;
            case SimdLevel.Vector256:
                advice.Add(CompiledKernels.AreUsed ? "AVX2 with FMA is used: unstructured sparsity gains from about 40 % zeros in products and convolutions, from about 70 % in decoding."
                    : "AVX2 with FMA is used, without machine code: unstructured sparsity gains from about 80 % zeros; blocks of outputs (4x1, 8x1) gain earlier.");
                break;
            default:
                advice.Add("only 128-bit vectors: removing whole channels gains everywhere; expect little from single zeros below 90 %.");
                break;
        }
        if (SimdSupport.Level < SimdSupport.Hardware) advice.Add($"{SimdSupport.EnvironmentVariable} lowers the level to {SimdSupport.Level}: unset it for full speed.");
        if (WorkPool.Threads < machine.Cores) advice.Add($"{WorkPool.Threads} of {machine.Cores} cores are used: --threads or {WorkPool.EnvironmentVariable} sets that.");
        if (machine.Cores > 2 * 16) advice.Add("many cores share memory bandwidth: batch-1 decoding gains with the bytes saved, not with more threads.");
        advice.Add("2:4 sparsity saves bytes on a CPU but has no special instruction here: prefer unstructured or blocks at equal accuracy.");
        return advice;
    }

    private static double MeasureGemm()
    {
        const int Size = 1024;
        float[] a = Filled(Size * Size), b = Filled(Size * Size), c = new float[Size * Size];
        return Best(() => Gemm.Multiply(false, false, Size, Size, Size, 1, a, Size, b, Size, 0, c, Size), 2.0 * Size * Size * Size);
    }

    private static double MeasureBandwidth()
    {
        // Far larger than any cache; each thread sums its own part.
        float[] data = Filled(64 << 20);
        int parts = WorkPool.Threads;
        var sums = new float[parts * 16];
        return Best(() => WorkPool.For(parts, p =>
        {
            int length = data.Length / parts;
            sums[p * 16] = System.Numerics.Tensors.TensorPrimitives.Sum(data.AsSpan(p * length, length));
        }), (double)data.Length * sizeof(float));
    }

    private static double Best(Action run, double work)
    {
        double best = double.MaxValue;
        var total = Stopwatch.StartNew();
        for (int i = 0; i < 50 && (i < 3 || total.Elapsed.TotalSeconds < 1); i++)
        {
            long start = Stopwatch.GetTimestamp();
            run();
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return work / best / 1e9;
    }

    private static float[] Filled(int length)
    {
        var values = new float[length];
        for (int i = 0; i < length; i++) values[i] = (i % 31 - 15) / 16f;
        return values;
    }
}
