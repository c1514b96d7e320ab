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

    // Of a bias per head, which is 1 GiB then.
    private const long MostBiasNumbers = 1 << 28;

    private static readonly (string Name, bool Backward)[] s_passes = [("forward", false), ("both", true)];

    private readonly Option<int[]> _tokens = new("--tokens") { Description = "Lengths of the sequence.", DefaultValueFactory = _ => [256, 512, 1024, 2048, 4096], AllowMultipleArgumentsPerToken = true };
    private readonly Option<int> _heads = new("--heads") { Description = "Heads.", DefaultValueFactory = _ => 12 };
    private readonly Option<int> _size = new("--head-size") { Description = "Width of a head.", DefaultValueFactory = _ => 64 };
    private readonly Option<double> _hidden = new("--hidden") { Description = "Share of the blocks that a mask hides, and of the tokens.", DefaultValueFactory = _ => 0.75 };
    private readonly Option<string> _forms = new("--forms") { Description = $"What is measured beside the dense pass, separated by commas: {string.Join(", ", Forms.Select(f => f.Help is null ? f.Name : $"{f.Name} ({f.Help})"))}.", DefaultValueFactory = _ => string.Join(',', Forms.Select(f => f.Name)) };
    private readonly Option<string> _passes = new("--passes") { Description = "forward, both (forward and backward), separated by commas.", DefaultValueFactory = _ => string.Join(',', s_passes.Select(p => p.Name)) };
    private readonly Option<bool> _alone = new("--alone") { Description = "Measure ours only." };

    /// <summary>What can be measured beside the dense pass.</summary>
    internal static IReadOnlyList<Form> Forms { get; } =
    [
        new("causal", null, _ => "causal", i => i.Causal(), "causal"),
        new("blocks", "per head", hidden => $"blocks per head, {hidden:P0} hidden", i => i.Blocks(), "own"),
        new("tokens", "dropped", hidden => $"tokens, {hidden:P0} dropped", i => i.Subset(), "kept"),
        new("shared-bias", "blocks that all heads share, as a bias", hidden => $"blocks as a bias, {hidden:P0} hidden", i => i.SharedBias(), "shared"),
        // A bias per head has as many numbers as there are scores: reading them is part of the time.
        new("head-bias", "blocks per head, as a bias", hidden => $"blocks per head as a bias, {hidden:P0} hidden", i => i.HeadBias(), "own", BiasPerHead: true),
    ];

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
        Form[] chosen = Selected(arguments.GetValue(_forms)!, _forms.Name, Forms, f => f.Name);
        (string Name, bool Backward)[] directions = Selected(arguments.GetValue(_passes)!, _passes.Name, s_passes, p => p.Name);
        var rows = new JsonArray();
        Table table = NewTable("tokens", "pass", "variant", "median ms", "95 % interval", "x our dense", "x PyTorch");
        foreach (int tokens in arguments.GetValue(_tokens)!)
        {
            if (tokens < 1) throw VerbException.Usage("--tokens starts at 1");
            Form[] forms = [.. chosen.Where(f => f.Fits(heads, tokens))];
            foreach (Form form in chosen.Except(forms)) context.Warn($"{tokens} tokens without {form.Name}: a bias for each of {heads} heads has more than {MostBiasNumbers} numbers; try fewer tokens or heads");
            foreach ((_, bool backward) in directions)
            {
                var random = new Random(context.Settings.Seed);
                var inputs = new Inputs(new Attention(1, heads, heads, tokens, tokens, size), hidden, backward, random);
                (string Name, Action Pass, string Same)[] passes = Passes(inputs, forms, hidden);
                using AttentionPeer? peer = arguments.GetValue(_alone) ? null : Start(heads, tokens, size, backward, inputs, context);
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

    /// <summary>What is timed, the dense pass first, and which of the peer's results it must equal.</summary>
    internal static (string Name, Action Pass, string Same)[] Passes(Inputs inputs, IEnumerable<Form> forms, double hidden) =>
        [("dense", inputs.Pass(), "dense"), .. forms.Select(f => (f.Label(hidden), f.Pass(inputs), f.Same))];

    private static Func<double> Hot(Action run)
    {
        double last = 0;
        Func<double> hot = InterleavedTimer.TimedHot(run), once = InterleavedTimer.Timed(run);
        return () => last = last < LongMilliseconds ? hot() : once();
    }

    /// <exception cref="VerbException">SL4051: PyTorch computes something else.</exception>
    private static double Compared(string name, double deviation) => deviation <= MostDeviation ? deviation
        : throw new VerbException(ExitCodes.GateNotMet, "SL4051", $"{name}: PyTorch computes something else: results differ by {deviation:g3} of their size");

    private static AttentionPeer? Start(int heads, int tokens, int size, bool backward, Inputs inputs, VerbContext context)
    {
        try
        {
            return AttentionPeer.Start(heads, tokens, size, WorkPool.Threads, backward, Block, inputs.Operands, inputs.Seen);
        }
        catch (InvalidOperationException e)
        {
            context.Warn($"{e.Message} Without the peer, and without a comparison of results: {PyTorchPeer.InstallHint}");
            return null;
        }
    }

    /// <summary>Something that is measured beside the dense pass.</summary>
    /// <param name="Name">What --forms calls it.</param>
    /// <param name="Help">What the name does not say.</param>
    /// <param name="Label">The variant's name, for a share that is hidden.</param>
    /// <param name="Pass">Prepares the pass.</param>
    /// <param name="Same">Which of the peer's results it must equal.</param>
    /// <param name="BiasPerHead">It has a bias with as many numbers as there are scores.</param>
    internal sealed record Form(string Name, string? Help, Func<double, string> Label, Func<Inputs, Action> Pass, string Same, bool BiasPerHead = false)
    {
        /// <summary>Whether its bias can be held.</summary>
        public bool Fits(int heads, int tokens) => !BiasPerHead || (long)heads * tokens * tokens <= MostBiasNumbers;
    }

    /// <summary>The operands, and passes over them with and without masks.</summary>
    internal sealed class Inputs
    {
        private readonly Attention _shape;
        private readonly bool _backward;
        private readonly float[] _q, _k, _v, _g, _y, _dq, _dk, _dv, _sums;
        private readonly bool[] _shared, _own, _kept;

        /// <summary>Draws operands and masks that hide a share of the blocks, and of the tokens.</summary>
        public Inputs(Attention shape, double hidden, bool backward, Random random)
        {
            (_shape, _backward) = (shape, backward);
            long length = (long)shape.QueryHeads * shape.Queries * shape.HeadSize;
            (_q, _k, _v, _g) = (Values(length, random), Values(length, random), Values(length, random), Values(length, random));
            (_y, _dq, _dk, _dv, _sums) = (new float[length], new float[length], new float[length], new float[length], new float[shape.QueryHeads * shape.Queries]);
            (_shared, _own) = (Draw(1, hidden, random), Draw(shape.QueryHeads, hidden, random));
            _kept = [.. Enumerable.Range(0, shape.Queries).Select(_ => random.NextDouble() >= hidden)];
        }

        public IReadOnlyList<float[]> Operands => [_q, _k, _v, _g];

        /// <summary>Which blocks each head sees, which all heads see, and which tokens are kept.</summary>
        public (bool[] Own, bool[] Shared, bool[] Kept) Seen => (_own, _shared, _kept);

        /// <summary>A copy of the last pass's result.</summary>
        public float[] Results() => [.. _y];

        /// <summary>The largest difference of the result or of a gradient from what was expected, of its size (root of the sum of squares).</summary>
        public double Deviation(Action pass, ReadOnlySpan<float> expected)
        {
            pass();
            float[][] results = _backward ? [_y, _dq, _dk, _dv] : [_y];
            if (expected.Length != results.Length * _q.Length) return double.PositiveInfinity;
            double worst = 0;
            for (int r = 0; r < results.Length; r++)
            {
                double difference = 0, size = 0;
                for (int i = 0; i < _q.Length; i++)
                {
                    double theirs = expected[(r * _q.Length) + i];
                    difference += Math.Pow(results[r][i] - theirs, 2);
                    size += theirs * theirs;
                }
                double share = Math.Sqrt(difference / size);
                worst = double.IsNaN(share) ? double.PositiveInfinity : Math.Max(worst, share);
            }
            return worst;
        }

        public Action Pass() => () => Run(_shape, []);

        public Action Causal() => () => Run(_shape with { Causal = true }, []);

        private int Side => (_shape.Queries + Block - 1) / Block;

        /// <summary>Which blocks of each head are seen: all heads hide as many.</summary>
        private bool[] Draw(int heads, double hidden, Random random)
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
        public Action Blocks()
        {
            AttentionPattern pattern = AttentionPattern.FromBlocks(_shape, Block, _shape.QueryHeads, _own);
            return () => Run(_shape, [], pattern);
        }

        /// <summary>The blocks that all heads see, as numbers that are added to the scores.</summary>
        public Action SharedBias() => BlockBias(1, _shared);

        /// <summary>The blocks that each head sees, as numbers that are added to its scores.</summary>
        public Action HeadBias() => BlockBias(_shape.QueryHeads, _own);

        private Action BlockBias(int heads, bool[] seen) => Biased(heads, (h, i, j) => seen[(((h * Side) + (i / Block)) * Side) + (j / Block)]);

        /// <summary>Keeps some of the tokens, as queries and as keys.</summary>
        public Action Subset() => Biased(1, (_, i, j) => _kept[i] && _kept[j]);

        private Action Biased(int heads, Func<int, int, int, bool> seen)
        {
            int queries = _shape.Queries, keys = _shape.Keys;
            var bias = new float[(long)heads * queries * keys];
            Parallel.For(0, heads * queries, row =>
            {
                for (int j = 0; j < keys; j++) bias[((long)row * keys) + j] = seen(row / queries, row % queries, j) ? 0 : float.NegativeInfinity;
            });
            Attention masked = _shape with { BiasHeadStride = heads == 1 ? 0 : queries * keys, BiasQueryStride = keys };
            return () => Run(masked, bias);
        }

        private void Run(Attention a, float[] bias, AttentionPattern? pattern = null)
        {
            // As in training: both passes leave out what the bias hides, which is read once.
            pattern ??= AttentionPattern.FromBiasAsNeeded(a, bias);
            a.Forward(_q, _k, _v, _y, default, bias, _sums, pattern);
            if (_backward) a.Backward(_q, _k, _v, _y, _sums, _g, _dq, _dk, _dv, default, bias, default, pattern);
        }
    }
}
