using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;
using Sparseland.Runtime;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>
/// Tokens per second of a Llama model with drawn weights, in every type, dense and with zeros, beside llama.cpp on a model of the same shape in the type of the same size.
/// Every engine decodes one token untimed, then one timed, in turn.
/// </summary>
internal sealed class DecodeFigure : Figure
{
    private const int TokensOfARun = 48;

    private static readonly string[] s_kernels = ["bit-mask GEMV", "bit-mask SpMV", "windowed SpMV", "CSR SpMV", "dense GEMV", "dense packed GEMM"];

    private readonly Option<string> _model = new("--model") { Description = "Sizes: dim,hidden,layers,heads,vocabulary.", DefaultValueFactory = _ => "768,2048,12,12,8192" };
    private readonly Option<string> _kinds = new("--values") { Description = "Types of the values, separated by commas: f32, bf16, int8, int4.", DefaultValueFactory = _ => "f32,bf16,int8,int4" };
    private readonly Option<string> _densities = new("--densities") { Description = "Kept fractions of the linear layers, separated by commas, beside 1.", DefaultValueFactory = _ => "0.5,0.3,0.1" };
    private readonly Option<bool> _noPeer = new("--no-peer") { Description = "Leaves llama.cpp out." };

    protected override (string Name, string Description) Title => ("decode", "Tokens per second of a Llama model, dense and sparse, in every type, beside llama.cpp.");

    protected override void DeclareOwn(Command command)
    {
        command.Options.Add(_model);
        command.Options.Add(_kinds);
        command.Options.Add(_densities);
        command.Options.Add(_noPeer);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        int[] sizes = [.. arguments.GetValue(_model)!.Split(',').Select(int.Parse)];
        if (sizes.Length != 5) throw VerbException.Usage("--model takes five sizes: dim,hidden,layers,heads,vocabulary");
        var config = new LlamaConfig(sizes[0], sizes[1], sizes[2], sizes[3], sizes[3], sizes[4], 256, TiedHead: false);
        double[] densities = [1, .. arguments.GetValue(_densities)!.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(d => double.Parse(d, System.Globalization.CultureInfo.InvariantCulture))];
        bool peers = !arguments.GetValue(_noPeer);
        if (peers && LlamaCppPeer.Find() is null)
        {
            context.Say($"llama.cpp is left out: {LlamaCppPeer.InstallHint}");
            peers = false;
        }
        ModelGraph dense = Llama.Build(config, context.Settings.Seed);
        (ModelGraph Graph, float[] Logits)[] models = [.. densities.Select(d => WithLogits(Pruned(dense, d, context.Settings.Seed)))];
        double parameters = Linear(dense).Sum(w => (double)w.Length);
        var rows = new JsonArray();
        Table table = NewTable("values", "density", "kernel", "MB a token", "ms a token", "tokens/s", "GB/s", "speed-up", "of llama.cpp's speed", "deviation");
        foreach (string name in arguments.GetValue(_kinds)!.Split(','))
        {
            ValueKind kind = Enum.GetValues<ValueKind>().FirstOrDefault(v => v.ShortName() == name, (ValueKind)(-1));
            if ((int)kind < 0) throw VerbException.Usage($"'{name}' is no type of values: f32, bf16, int8, int4");
            using LlamaCppPeer? peer = peers ? LlamaCppPeer.Start(config, kind, WorkPool.Threads) : null;
            Decoder[] decoders = [.. models.Select(m => new Decoder(m.Graph, kind, m.Logits))];
            int rest = peer is not null && WorkPool.Threads > 1 ? LlamaCppPeer.RestMilliseconds : 0;
            var variants = new List<(string, Func<double>)>();
            for (int i = 0; i < decoders.Length; i++) variants.Add(($"{densities[i]}", InterleavedTimer.TimedHot(decoders[i].Step)));
            if (peer is not null)
            {
                Func<double> run = () =>
                {
                    peer.Run();
                    return peer.Run();
                };
                variants.Add(("llama.cpp " + LlamaCppPeer.TypeFor(kind), rest > 0 ? Beside(run, rest) : run));
            }
            using EvenCores cores = EvenCores.For(context, options, rows);
            IReadOnlyList<Timing> t = InterleavedTimer.MeasureSelfTimed(variants, cores.Options, null, context.Cancellation);
            for (int i = 0; i < t.Count; i++)
            {
                bool ours = i < decoders.Length;
                double megabytes = (ours ? decoders[i].BytesPerToken : peer!.BytesPerToken) / 1e6, speedUp = ours ? TwinBenchmark.Ratio(t[0], t[i]).Median : double.NaN;
                double ofPeer = ours && peer is not null ? TwinBenchmark.Ratio(t[^1], t[i]).Median : double.NaN;
                table.AddRow(ours ? kind.ShortName() : t[i].Name, ours ? $"{densities[i]:0.00}" : "", ours ? decoders[i].Kernel : "", $"{megabytes:0.0}", $"{t[i].Median:0.00}", $"{1000 / t[i].Median:0.0}", $"{megabytes / t[i].Median:0.0}",
                    ours ? $"{speedUp:0.00}" : "", double.IsNaN(ofPeer) ? "" : $"{ofPeer:0.00}", ours ? $"{decoders[i].Deviation:0.0000}" : "");
                var row = new JsonObject
                {
                    ["engine"] = ours ? "sparseland" : "llama.cpp",
                    ["values"] = ours ? kind.ShortName() : LlamaCppPeer.TypeFor(kind),
                    ["model"] = arguments.GetValue(_model),
                    ["parameters"] = parameters,
                    ["bytes"] = Math.Round(megabytes * 1e6),
                    ["time"] = ToJson(t[i]),
                    ["tokensPerSecond"] = Round(1000 / t[i].Median),
                };
                if (ours)
                {
                    row["density"] = densities[i];
                    row["kernel"] = decoders[i].Kernel;
                    row["speedUp"] = Round(speedUp);
                    row["deviation"] = Round(decoders[i].Deviation);
                    if (!double.IsNaN(ofPeer)) row["speedOfPeer"] = Round(ofPeer);
                }
                rows.Add(row);
            }
        }
        context.Show(table);
        return rows;
    }

    private static IEnumerable<Weight> Linear(ModelGraph graph) => graph.Weights.Values.Where(w => w.Shape.Length == 2 && w.Name.EndsWith("_proj.weight", StringComparison.Ordinal) || w.Name == "lm_head.weight");

    private static ModelGraph Pruned(ModelGraph dense, double density, int seed)
    {
        if (density >= 1) return dense;
        ModelGraph graph = dense.Clone();
        var random = new Random(seed);
        // The last layer is left full, as is usual.
        foreach (Weight weight in Linear(graph).Where(w => w.Name != "lm_head.weight"))
        {
            var words = new ulong[(weight.Length + 63) / 64];
            for (int i = 0; i < weight.Length; i++)
            {
                if (random.NextDouble() < density) words[i >> 6] |= 1UL << (i & 63);
            }
            weight.SetMask(Mask.FromWords(weight.Shape, words));
        }
        return graph;
    }

    private static readonly int[] s_prompt = [1, 5, 9];

    private static (ModelGraph, float[]) WithLogits(ModelGraph graph) => (graph, new TextGenerator(graph, new SessionOptions { ForceDense = true }).Logits(s_prompt).Array<float>());

    /// <summary>A model of ours that decodes one token after the other.</summary>
    private sealed class Decoder
    {
        private readonly TextGenerator _generator;
        private IEnumerator<int>? _tokens;

        public Decoder(ModelGraph graph, ValueKind kind, float[] expected)
        {
            _generator = new TextGenerator(graph, new SessionOptions { Values = kind == ValueKind.Float32 ? null : kind });
            if (!_generator.UsesCache) throw new InvalidOperationException(_generator.CacheNote);
            // As the steps compute it: the kernels that are timed.
            float[] logits = _generator.Logits(s_prompt).Array<float>();
            double difference = 0, size = 0;
            for (int i = 0; i < logits.Length; i++)
            {
                difference += Math.Pow(logits[i] - expected[i], 2);
                size += Math.Pow(expected[i], 2);
            }
            Deviation = Math.Sqrt(difference / size);
            if (!(Deviation < 0.5)) throw new InvalidOperationException($"{kind}: logits deviate by {Deviation:0.00} of their size from dense single precision");
            string line = _generator.DescribePlan().Split('\n').First(l => l.Contains("down_proj", StringComparison.Ordinal));
            Kernel = s_kernels.FirstOrDefault(k => line.Contains(k, StringComparison.Ordinal)) ?? throw new InvalidOperationException($"the bytes of this kernel are not known: {line}");
            BytesPerToken = Linear(graph).Sum(w => Bytes(w, kind));
        }

        // The last layer has no mask and stays dense.
        private double Bytes(Weight weight, ValueKind kind)
        {
            int rows = weight.Shape[0], columns = weight.Length / rows;
            if (weight.Mask is { } mask && Kernel is ("windowed SpMV" or "CSR SpMV"))
            {
                ReadOnlySpan<float> values = weight.Read().Span<float>();
                return Kernel == "windowed SpMV" ? new PreparedSpMV(CompactMatrix.FromMask(mask, values, rows, columns, kind)).Bytes : ((double)mask.KeptCount * (sizeof(float) + sizeof(int))) + ((rows + 1) * sizeof(int));
            }
            bool masked = weight.Mask is not null && Kernel.StartsWith("bit-mask", StringComparison.Ordinal);
            double density = masked ? weight.Mask!.Density : 1;
            return (((masked ? 1 : 0) + (density * kind.Bits())) * weight.Length / 8) + CompactMatrix.ScaleBytes(rows, columns, kind, CompactMatrix.GroupFor(density));
        }

        /// <summary>The kernel of a feed-forward layer.</summary>
        public string Kernel { get; }

        /// <summary>Root of the mean squared difference of the logits from dense single precision, of their size.</summary>
        public double Deviation { get; }

        /// <summary>Bytes of the matrices that one token reads.</summary>
        public double BytesPerToken { get; }

        public void Step()
        {
            while (_tokens is null || !_tokens.MoveNext()) _tokens = _generator.Generate(s_prompt, new GenerationOptions { MaxTokens = TokensOfARun, Temperature = 0 }).GetEnumerator();
        }
    }
}
