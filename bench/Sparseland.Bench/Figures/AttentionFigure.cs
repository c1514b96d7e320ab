using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Threading;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>Attention of one sequence, forward and with its gradients: dense, with blocks of 64 x 64 scores hidden at random, with a subset of the tokens, and PyTorch's dense.</summary>
internal sealed class AttentionFigure : Figure
{
    private const int Block = 64;

    // A longer pass wakes threads and fills caches by itself.
    private const double LongMilliseconds = 100;

    // Of a result's or a gradient's size; sums of as many terms as there are tokens, in another order.
    private const double MostDeviation = 1e-4;

    private static readonly string[] s_forms = ["causal", "blocks", "tokens", "shared-bias", "head-bias"], s_passes = ["forward", "both"];

    private readonly Option<int[]> _tokens = new("--tokens") { Description = "Lengths of the sequence.", DefaultValueFactory = _ => [256, 512, 1024, 2048, 4096], AllowMultipleArgumentsPerToken = true };
    private readonly Option<int> _heads = new("--heads") { Description = "Heads.", DefaultValueFactory = _ => 12 };
    private readonly Option<int> _size = new("--head-size") { Description = "Width of a head.", DefaultValueFactory = _ => 64 };
    private readonly Option<double> _hidden = new("--hidden") { Description = "Share of the blocks that a mask hides, and of the tokens.", DefaultValueFactory = _ => 0.75 };
    private readonly Option<string> _forms = new("--forms") { Description = $"What is measured beside the dense pass, separated by commas: {string.Join(", ", s_forms)} (blocks per head; tokens dropped; blocks that all heads share as a bias; blocks per head as a bias).", DefaultValueFactory = _ => string.Join(',', s_forms) };
    private readonly Option<string> _passes = new("--passes") { Description = "forward, both (forward and backward), separated by commas.", DefaultValueFactory = _ => string.Join(',', s_passes) };
    private readonly Option<bool> _alone = new("--alone") { Description = "Measure ours only." };

    protected override (string Name, string Description) Title => ("attention", "Attention, dense and with masks, forward and backward, beside PyTorch.");

    protected override void DeclareOwn(Command command)
    {
        Option[] options = [_tokens, _heads, _size, _hidden, _forms, _passes, _alone];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        int heads = arguments.GetValue(_heads), size = arguments.GetValue(_size);
        double hidden = arguments.GetValue(_hidden);
        if (heads < 1 || size < 1 || hidden is not (>= 0 and < 1)) throw VerbException.Usage("--heads and --head-size start at 1, --hidden lies between 0 and 1");
        string[] forms = Chosen(arguments.GetValue(_forms)!, s_forms, _forms.Name), directions = Chosen(arguments.GetValue(_passes)!, s_passes, _passes.Name);
        var rows = new JsonArray();
        Table table = NewTable("tokens", "pass", "variant", "median ms", "95 % interval", "x our dense", "x PyTorch");
        foreach (int tokens in arguments.GetValue(_tokens)!)
        {
            if (tokens < 1) throw VerbException.Usage("--tokens starts at 1");
            foreach (bool backward in directions.Select(d => d == "both"))
            {
                var random = new Random(context.Settings.Seed);
                long length = (long)heads * tokens * size;
                var inputs = new Inputs(new Attention(1, heads, heads, tokens, tokens, size), Values(length, random), Values(length, random), Values(length, random), Values(length, random), backward);
                bool[] shared = inputs.Draw(1, hidden, random), own = inputs.Draw(heads, hidden, random);
                bool[] kept = [.. Enumerable.Range(0, tokens).Select(_ => random.NextDouble() >= hidden)];
                // What is timed, and which of the peer's results it must equal.
                var passes = new List<(string Name, Action Pass, string Same)> { ("dense", inputs.Pass(), "dense") };
                if (forms.Contains("causal")) passes.Add(("causal", inputs.Causal(), "causal"));
                if (forms.Contains("blocks")) passes.Add(($"blocks per head, {hidden:P0} hidden", inputs.Blocks(heads, own), "own"));
                if (forms.Contains("tokens")) passes.Add(($"tokens, {hidden:P0} dropped", inputs.Subset(kept), "kept"));
                if (forms.Contains("shared-bias")) passes.Add(($"blocks as a bias, {hidden:P0} hidden", inputs.BlockBias(1, shared), "shared"));
                // A bias per head has as many numbers as there are scores: reading them is part of the time.
                if (forms.Contains("head-bias") && (long)heads * tokens * tokens <= 1 << 28) passes.Add(($"blocks per head as a bias, {hidden:P0} hidden", inputs.BlockBias(heads, own), "own"));
                using AttentionPeer? peer = arguments.GetValue(_alone) ? null : Start(heads, tokens, size, backward, inputs, (own, shared, kept), context);
                List<(string Name, Func<double> Run)> variants = [.. passes.Select(p => (p.Name, Hot(p.Pass)))];
                double[] deviations = peer is null ? [] : [.. passes.Select(p => Compared(p.Name, inputs.Deviation(p.Pass, peer.Results(p.Same))))];
                if (peer is not null) context.Say($"{tokens} tokens{(backward ? ", with gradients" : "")}: results differ from PyTorch's by {deviations.Max():0.#e+0} of their size at most");
                for (int i = 0; i < peer?.Variants.Count; i++)
                {
                    int variant = i;
                    variants.Add((peer.Variants[i], Beside(() => peer.Run(variant), PyTorchPeer.RestMilliseconds)));
                }
                using EvenCores cores = EvenCores.For(context, options, rows);
                IReadOnlyList<Timing> t = InterleavedTimer.MeasureSelfTimed(variants, cores.Options, null, context.Cancellation);
                Timing? other = peer?.Fastest(t);
                var json = new JsonArray();
                for (int i = 0; i < t.Count; i++)
                {
                    Timing timing = t[i], ofDense = TwinBenchmark.Ratio(t[0], timing);
                    Timing? ofPeer = other is null ? null : TwinBenchmark.Ratio(other, timing);
                    table.AddRow($"{tokens}", backward ? "forward + backward" : "forward", Markup.Escape(timing.Name), $"{timing.Median:0.00}", $"{timing.Interval.Low:0.00}..{timing.Interval.High:0.00}", $"{ofDense.Median:0.00}", ofPeer is null ? "" : $"{ofPeer.Median:0.00}");
                    JsonObject variant = ToJson(timing, i < deviations.Length ? Round(deviations[i]) : null);
                    variant["speedOfDense"] = RatioJson(ofDense);
                    if (ofPeer is not null) variant["speedOfPeer"] = RatioJson(ofPeer);
                    json.Add(variant);
                }
                rows.Add(new JsonObject { ["tokens"] = tokens, ["heads"] = heads, ["headSize"] = size, ["backward"] = backward, ["peer"] = other?.Name, ["variants"] = json });
            }
        }
        context.Show(table);
        return rows;
    }

    /// <summary>The words of a list that is separated by commas, in the order of all.</summary>
    /// <exception cref="VerbException">A word is not one of them.</exception>
    internal static string[] Chosen(string list, string[] all, string option)
    {
        string[] words = list.Split(',', StringSplitOptions.TrimEntries);
        if (words.FirstOrDefault(w => !all.Contains(w)) is { } unknown) throw VerbException.Usage($"{option} has '{unknown}'", $"use {string.Join(", ", all)}");
        return [.. all.Intersect(words)];
    }

    private static Func<double> Hot(Action run)
    {
        double last = 0;
        Func<double> hot = InterleavedTimer.TimedHot(run), once = InterleavedTimer.Timed(run);
        return () => last = last < LongMilliseconds ? hot() : once();
    }

    /// <exception cref="VerbException">SL4051: PyTorch computes something else.</exception>
    private static double Compared(string name, double deviation) => deviation <= MostDeviation ? deviation
        : throw new VerbException(ExitCodes.GateNotMet, "SL4051", $"{name}: PyTorch computes something else: results differ by {deviation:g3} of their size");

    private static AttentionPeer? Start(int heads, int tokens, int size, bool backward, Inputs inputs, (bool[] Own, bool[] Shared, bool[] Kept) seen, VerbContext context)
    {
        try
        {
            return AttentionPeer.Start(heads, tokens, size, WorkPool.Threads, backward, Block, inputs.Operands, seen);
        }
        catch (InvalidOperationException e)
        {
            context.Warn($"{e.Message} Without the peer, and without a comparison of results: {PyTorchPeer.InstallHint}");
            return null;
        }
    }

    /// <summary>The operands, and passes over them with and without masks.</summary>
    private sealed class Inputs(Attention shape, float[] q, float[] k, float[] v, float[] g, bool backward)
    {
        private readonly float[] _y = new float[q.Length], _dq = new float[q.Length], _dk = new float[q.Length], _dv = new float[q.Length], _sums = new float[shape.QueryHeads * shape.Queries];

        public IReadOnlyList<float[]> Operands => [q, k, v, g];

        /// <summary>The largest difference of the result or of a gradient from what was expected, of its size (root of the sum of squares).</summary>
        public double Deviation(Action pass, ReadOnlySpan<float> expected)
        {
            pass();
            float[][] results = backward ? [_y, _dq, _dk, _dv] : [_y];
            if (expected.Length != results.Length * q.Length) return double.PositiveInfinity;
            double worst = 0;
            for (int r = 0; r < results.Length; r++)
            {
                double difference = 0, size = 0;
                for (int i = 0; i < q.Length; i++)
                {
                    double theirs = expected[(r * q.Length) + i];
                    difference += Math.Pow(results[r][i] - theirs, 2);
                    size += theirs * theirs;
                }
                double share = Math.Sqrt(difference / size);
                worst = double.IsNaN(share) ? double.PositiveInfinity : Math.Max(worst, share);
            }
            return worst;
        }

        public Action Pass() => () => Run(shape, []);

        public Action Causal() => () => Run(shape with { Causal = true }, []);

        private int Side => (shape.Queries + Block - 1) / Block;

        /// <summary>Which blocks of each head are seen: all heads hide as many.</summary>
        public bool[] Draw(int heads, double hidden, Random random)
        {
            int count = Side * Side;
            var seen = new bool[heads * count];
            for (int h = 0; h < heads; h++)
            {
                Span<bool> head = seen.AsSpan(h * count, count);
                head[(int)Math.Round(hidden * count)..].Fill(true);
                random.Shuffle(head);
            }
            return seen;
        }

        /// <summary>Blocks given as such.</summary>
        public Action Blocks(int heads, bool[] seen)
        {
            AttentionPattern pattern = AttentionPattern.FromBlocks(shape, Block, heads, seen);
            return () => Run(shape, [], pattern);
        }

        /// <summary>Blocks as numbers that are added to the scores.</summary>
        public Action BlockBias(int heads, bool[] seen) => Biased(heads, (h, i, j) => seen[(((h * Side) + (i / Block)) * Side) + (j / Block)]);

        /// <summary>Keeps some of the tokens, as queries and as keys.</summary>
        public Action Subset(bool[] kept) => Biased(1, (_, i, j) => kept[i] && kept[j]);

        private Action Biased(int heads, Func<int, int, int, bool> seen)
        {
            int queries = shape.Queries, keys = shape.Keys;
            var bias = new float[(long)heads * queries * keys];
            Parallel.For(0, heads * queries, row =>
            {
                for (int j = 0; j < keys; j++) bias[((long)row * keys) + j] = seen(row / queries, row % queries, j) ? 0 : float.NegativeInfinity;
            });
            Attention masked = shape with { BiasHeadStride = heads == 1 ? 0 : queries * keys, BiasQueryStride = keys };
            return () => Run(masked, bias);
        }

        private void Run(Attention a, float[] bias, AttentionPattern? pattern = null)
        {
            // As in training: both passes leave out what the bias hides, which is read once.
            pattern ??= AttentionPattern.FromBiasAsNeeded(a, bias);
            a.Forward(q, k, v, _y, default, bias, _sums, pattern);
            if (backward) a.Backward(q, k, v, _y, _sums, g, _dq, _dk, _dv, default, bias, default, pattern);
        }
    }
}
