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

    private readonly Option<int[]> _tokens = new("--tokens") { Description = "Lengths of the sequence.", DefaultValueFactory = _ => [256, 512, 1024, 2048, 4096], AllowMultipleArgumentsPerToken = true };
    private readonly Option<int> _heads = new("--heads") { Description = "Heads.", DefaultValueFactory = _ => 12 };
    private readonly Option<int> _size = new("--head-size") { Description = "Width of a head.", DefaultValueFactory = _ => 64 };
    private readonly Option<double> _hidden = new("--hidden") { Description = "Share of the blocks that a mask hides, and of the tokens.", DefaultValueFactory = _ => 0.75 };
    private readonly Option<bool> _alone = new("--alone") { Description = "Measure ours only." };

    protected override (string Name, string Description) Title => ("attention", "Attention, dense and with masks, forward and backward, beside PyTorch.");

    protected override void DeclareOwn(Command command)
    {
        Option[] options = [_tokens, _heads, _size, _hidden, _alone];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        int heads = arguments.GetValue(_heads), size = arguments.GetValue(_size);
        double hidden = arguments.GetValue(_hidden);
        if (heads < 1 || size < 1 || hidden is not (>= 0 and < 1)) throw VerbException.Usage("--heads and --head-size start at 1, --hidden lies between 0 and 1");
        var rows = new JsonArray();
        Table table = NewTable("tokens", "pass", "variant", "median ms", "95 % interval", "x our dense", "x PyTorch");
        foreach (int tokens in arguments.GetValue(_tokens)!)
        {
            if (tokens < 1) throw VerbException.Usage("--tokens starts at 1");
            foreach (bool backward in (bool[])[false, true])
            {
                var random = new Random(context.Settings.Seed);
                long length = (long)heads * tokens * size;
                var inputs = new Inputs(new Attention(1, heads, heads, tokens, tokens, size), Values(length, random), Values(length, random), Values(length, random), Values(length, random), backward);
                bool[] shared = inputs.Draw(1, hidden, random), own = inputs.Draw(heads, hidden, random);
                var variants = new List<(string Name, Func<double> Run)>
                {
                    ("dense", Hot(inputs.Pass())),
                    ("causal", Hot(inputs.Causal())),
                    ($"blocks per head, {hidden:P0} hidden", Hot(inputs.Blocks(heads, own))),
                    ($"tokens, {hidden:P0} dropped", Hot(inputs.Subset(hidden, random))),
                    ($"blocks as a bias, {hidden:P0} hidden", Hot(inputs.BlockBias(1, shared))),
                };
                // A bias per head has as many numbers as there are scores: reading them is part of the time.
                if ((long)heads * tokens * tokens <= 1 << 28) variants.Add(($"blocks per head as a bias, {hidden:P0} hidden", Hot(inputs.BlockBias(heads, own))));
                using AttentionPeer? peer = arguments.GetValue(_alone) ? null : Start(heads, tokens, size, backward, context);
                if (peer is not null) variants.Add((peer.Ready, Beside(peer.Run, PyTorchPeer.RestMilliseconds)));
                using EvenCores cores = EvenCores.For(context, options, rows);
                IReadOnlyList<Timing> t = InterleavedTimer.MeasureSelfTimed(variants, cores.Options, null, context.Cancellation);
                var json = new JsonArray();
                foreach (Timing timing in t)
                {
                    double ours = TwinBenchmark.Ratio(t[0], timing).Median, theirs = peer is null ? double.NaN : TwinBenchmark.Ratio(t[^1], timing).Median;
                    table.AddRow($"{tokens}", backward ? "forward + backward" : "forward", Markup.Escape(timing.Name), $"{timing.Median:0.00}", $"{timing.Interval.Low:0.00}..{timing.Interval.High:0.00}", $"{ours:0.00}", peer is null ? "" : $"{theirs:0.00}");
                    JsonObject variant = ToJson(timing);
                    variant["speedOfDense"] = Round(ours);
                    if (peer is not null) variant["speedOfPeer"] = Round(theirs);
                    json.Add(variant);
                }
                rows.Add(new JsonObject { ["tokens"] = tokens, ["heads"] = heads, ["headSize"] = size, ["backward"] = backward, ["variants"] = json });
            }
        }
        context.Show(table);
        return rows;
    }

    private static Func<double> Hot(Action run)
    {
        double last = 0;
        Func<double> hot = InterleavedTimer.TimedHot(run), once = InterleavedTimer.Timed(run);
        return () => last = last < LongMilliseconds ? hot() : once();
    }

    private static AttentionPeer? Start(int heads, int tokens, int size, bool backward, VerbContext context)
    {
        try
        {
            return AttentionPeer.Start(heads, tokens, size, backward, WorkPool.Threads);
        }
        catch (InvalidOperationException e)
        {
            context.Warn($"{e.Message} Without the peer: {PyTorchPeer.InstallHint}");
            return null;
        }
    }

    /// <summary>The operands, and passes over them with and without masks.</summary>
    private sealed class Inputs(Attention shape, float[] q, float[] k, float[] v, float[] g, bool backward)
    {
        private readonly float[] _y = new float[q.Length], _dq = new float[q.Length], _dk = new float[q.Length], _dv = new float[q.Length], _sums = new float[shape.QueryHeads * shape.Queries];

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

        /// <summary>Keeps a share of the tokens, as queries and as keys.</summary>
        public Action Subset(double hidden, Random random)
        {
            bool[] kept = [.. Enumerable.Range(0, shape.Queries).Select(_ => random.NextDouble() >= hidden)];
            return Biased(1, (_, i, j) => kept[i] && kept[j]);
        }

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
