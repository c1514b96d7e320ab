using System.CommandLine;
using System.Diagnostics;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Services;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Graph;
using Sparseland.Runtime;
using Spectre.Console;

namespace Sparseland.Cli.Verbs;

/// <summary>Times a model beside its dense twin on the same engine, interleaved, and says who won.</summary>
internal sealed class BenchVerb : Verb
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string?> _architecture = SharedOptions.Architecture();
    private readonly Option<string?> _dense = new("--dense") { Description = "Another model to be the twin (the unpruned original) instead of the same model on dense kernels." };
    private readonly Option<int> _batch = SharedOptions.Batch(1);
    private readonly Option<int> _sequence = new("--sequence") { Description = "Tokens per sample for text models.", DefaultValueFactory = _ => 64 };
    private readonly Option<int> _repetitions = new("--repetitions") { Description = "At least this many per variant.", DefaultValueFactory = _ => 30 };
    private readonly Option<double> _seconds = new("--seconds") { Description = $"Measure at least this long, or {TimingOptions.MostRepetitions} repetitions.", DefaultValueFactory = _ => 10 };
    private readonly Option<string?> _against = new("--against") { Description = "Other engines as further variants: onnxruntime, pytorch, or both separated by a comma (optional; one that is missing is left out, and the command that installs it is printed)." };
    private readonly Option<bool> _plan = new("--plan") { Description = "Print the plan: which kernel each layer got and why." };

    protected override (string Name, string Description) Title => ("bench", "Time a model beside its dense twin, interleaved, with an interval.");

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_model);
        Option[] options = [_architecture, _dense, _batch, _sequence, _repetitions, _seconds, _against, _plan];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        int batch = arguments.GetValue(_batch), repetitions = arguments.GetValue(_repetitions);
        double seconds = arguments.GetValue(_seconds);
        if (batch < 1) throw VerbException.Usage($"--batch is {batch}", "use 1 or more");
        if (arguments.GetValue(_sequence) < 1) throw VerbException.Usage($"--sequence is {arguments.GetValue(_sequence)}", "use 1 or more");
        if (repetitions is < 3 or > TimingOptions.MostRepetitions) throw VerbException.Usage($"--repetitions is {repetitions}", $"use 3 to {TimingOptions.MostRepetitions}");
        if (seconds is not (>= 0 and <= 3600)) throw VerbException.Usage($"--seconds is {seconds}", "use 0 to 3600");
        (IReadOnlyList<PeerEntry> against, IReadOnlyList<(string Name, string Reason)> missing) = Peers(arguments.GetValue(_against), context);
        ModelGraph graph = ModelAccess.Load(arguments.GetValue(_model)!, arguments.GetValue(_architecture));
        ModelGraph? dense = arguments.GetValue(_dense) is { } other ? ModelAccess.Load(other, arguments.GetValue(_architecture)) : null;
        Dictionary<string, TensorData> inputs = ModelInputs.Random(graph, batch, arguments.GetValue(_sequence), context.Settings.Seed);

        context.Say(MachineInfo.Current.Describe());
        if (arguments.GetValue(_plan) || context.Settings.Verbose) context.Say(new InferenceSession(graph, MachineTable.Options()).DescribePlan(inputs));
        if (context.Settings.DryRun)
        {
            context.Say($"would time {graph.Name} at batch {batch} beside its dense twin{string.Concat(against.Select(p => $" and {p.Id}"))}, {repetitions} repetitions or {seconds} s");
            return ExitCodes.Done;
        }
        BenchmarkResult result = await context.TrackAsync("timing", 1, work =>
        {
            var peers = new List<(string Name, InferencePeer Peer)>();
            try
            {
                IReadOnlyList<(string Name, string Reason)> left = StartPeers(against, graph, inputs, peers, context);
                return TwinBenchmark.Run(graph, inputs, new TimingOptions(repetitions, seconds), dense, peers, done => work.Report(done), context.Cancellation) with { NotMeasured = [.. missing, .. left] };
            }
            finally
            {
                foreach ((string _, InferencePeer peer) in peers) peer.Dispose();
            }
        }).ConfigureAwait(false);
        result = result with { PeakMemoryBytes = Process.GetCurrentProcess().PeakWorkingSet64 };
        // Behind the timing, and behind the peak: writing is no part of either.
        result = result with { Sizes = ModelSizes.Of(graph, dense) };
        if (result.Sizes is null) context.Warn("without sizes on disk: the folder for temporary files cannot be written to, or is full");
        Show(context, result, batch);
        context.Result(result.ToJson());
        return ExitCodes.Done;
    }

    protected override bool Resumes => false;

    /// <summary>The engines that were asked for and are there, and those that are not with the reason.</summary>
    /// <exception cref="VerbException">One is unknown, or SL4050: none of them is there; the message has the commands that install what is missing.</exception>
    private static (IReadOnlyList<PeerEntry> There, IReadOnlyList<(string Name, string Reason)> Missing) Peers(string? list, VerbContext context)
    {
        var peers = new List<PeerEntry>();
        foreach (string id in (list ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            PeerEntry peer = PeerCatalog.Find(id) ?? throw VerbException.Usage($"--against has '{id}'", $"use {string.Join(" or ", PeerCatalog.All.Select(p => p.Id))}");
            if (!peers.Contains(peer)) peers.Add(peer);
        }
        var missing = new List<(PeerEntry Peer, string What, string Try)>();
        foreach (PeerEntry peer in peers)
        {
            if (peer.Missing() is { } reason) missing.Add((peer, reason.What, reason.Try));
        }
        if (peers.Count > 0 && missing.Count == peers.Count)
            throw new VerbException(ExitCodes.Usage, "SL4050", string.Join("; ", missing.Select(m => m.What))) { Try = string.Join("; ", missing.Select(m => m.Try).Distinct()) };
        foreach ((PeerEntry peer, string what, string instead) in missing) context.Warn($"without {peer.Title}: {what}; try: {instead}");
        return ([.. peers.Except(missing.Select(m => m.Peer))], [.. missing.Select(m => (m.Peer.Id, $"{m.What}; try: {m.Try}"))]);
    }

    /// <summary>Starts engines with as many threads as we use; one that cannot run the model is left out with its reason.</summary>
    internal static IReadOnlyList<(string Name, string Reason)> StartPeers(IEnumerable<PeerEntry> entries, ModelGraph graph, IReadOnlyDictionary<string, TensorData> inputs, List<(string Name, InferencePeer Peer)> peers, VerbContext context)
    {
        var left = new List<(string Name, string Reason)>();
        foreach (PeerEntry entry in entries)
        {
            try
            {
                peers.Add((entry.Id, entry.Start(graph, inputs, WorkPool.Threads)));
            }
            catch (InvalidOperationException e)
            {
                context.Warn($"without {entry.Title}: {e.Message}");
                left.Add((entry.Id, e.Message));
            }
        }
        return left;
    }

    /// <summary>The table that every timing ends with.</summary>
    internal static void Show(VerbContext context, BenchmarkResult result, int batch)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumn("variant");
        string[] columns = ["median ms", "95 % interval", "p90", "p99", "samples/s", "deviation", .. result.Sizes is null ? (string[])[] : ["MB on disk"]];
        foreach (string column in columns) table.AddColumn(new TableColumn(column).RightAligned());
        for (int i = 0; i < result.Rows.Count; i++)
        {
            BenchmarkRow row = result.Rows[i];
            (double low, double high) = row.Timing.Interval;
            string[] cells =
            [
                Markup.Escape(row.Name), $"{row.Timing.Median:0.000}", $"{low:0.000}..{high:0.000}", $"{row.Timing.Quantile(0.9):0.000}", $"{row.Timing.Quantile(0.99):0.000}",
                $"{batch * 1000 / row.Timing.Median:0.0}", row.LargestDeviation is { } d ? $"{d:0.#e+0}" : "",
            ];
            // The first two are ours; engines load the interchange file, zeros and all.
            if (result.Sizes is { } sizes) cells = [.. cells, i switch { 0 => $"{sizes.CompactBytes / 1e6:0.000}", 1 => $"{sizes.DenseBytes / 1e6:0.000}", _ => "" }];
            table.AddRow(cells);
        }
        context.Show(table);
        if (result.Sizes is { } on) context.Say($"on disk: {on.CompactBytes / 1e6:0.000} MB as a compact file, {on.DenseBytes / 1e6:0.000} MB dense, {(double)on.DenseBytes / on.CompactBytes:0.00}x smaller");
        if (result.PeakMemoryBytes is { } peak) context.Say($"peak memory of this process, sparse and dense twin together: {peak / 1e6:0} MB");
        context.Conclude($"batch {batch}: {result.Verdict}");
    }
}
