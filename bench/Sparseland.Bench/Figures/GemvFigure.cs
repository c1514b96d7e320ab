using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>
/// Matrix times vector from memory, in every type, dense, under a bit-mask and in windows: the speed-up over the dense product of the same type beside the ceiling in bytes of the bit-mask, and the
/// dense rate beside a loop that only reads. Every product takes the next of several copies of the matrix, so that none is found in a cache.
/// </summary>
internal sealed class GemvFigure : Figure
{
    private static readonly double[] s_densities = [0.5, 0.4, 0.3, 0.2, 0.1];

    private readonly Option<string> _shapes = new("--shapes") { Description = "Rows x columns, separated by commas.", DefaultValueFactory = _ => "4096x4096,11008x4096" };
    private readonly Option<string> _kinds = new("--values") { Description = "Types of the values, separated by commas: f32, bf16, int8, int4.", DefaultValueFactory = _ => "f32,bf16,int8,int4" };
    private readonly Option<string> _parts = new("--parts") { Description = "What is measured, separated by commas: masks (zeros in the matrix), columns (zeros in the vector).", DefaultValueFactory = _ => "masks,columns" };
    private readonly Option<string> _columnShapes = new("--column-shapes") { Description = "The same for the part columns.", DefaultValueFactory = _ => "4096x4096,11008x4096,1000x4096,4096x1000" };
    private readonly Option<int> _megabytes = new("--megabytes") { Description = "Copies of a matrix together have at least this size.", DefaultValueFactory = _ => 160 };

    protected override (string Name, string Description) Title => ("gemv", "Matrix times vector in every type and density: speed-up over dense beside the ceiling in bytes.");

    protected override void DeclareOwn(Command command)
    {
        command.Options.Add(_shapes);
        command.Options.Add(_columnShapes);
        command.Options.Add(_kinds);
        command.Options.Add(_megabytes);
        command.Options.Add(_parts);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        var rows = new JsonArray();
        (string Name, Action Measure)[] parts =
        [
            ("columns", () => Columns(arguments, context, options, rows)),
            ("masks", () => Masks(arguments, context, options, rows)),
        ];
        foreach ((_, Action measure) in Selected(arguments.GetValue(_parts)!, _parts.Name, parts, p => p.Name)) measure();
        return rows;
    }

    /// <summary>Every type, dense, under a bit-mask and in windows, beside a loop that only reads.</summary>
    private void Masks(ParseResult arguments, VerbContext context, TimingOptions options, JsonArray rows)
    {
        Table table = NewTable("rows x columns", "values", "form", "density", "MB", "ms", "GB/s", "of reading", "speed-up", "ceiling", "reached");
        long bytes = (long)arguments.GetValue(_megabytes) << 20;
        using var read = new ReadLoop(bytes);
        foreach (string shape in arguments.GetValue(_shapes)!.Split(','))
        {
            int m = int.Parse(shape.Split('x')[0]), k = int.Parse(shape.Split('x')[1]);
            foreach (string name in arguments.GetValue(_kinds)!.Split(','))
            {
                ValueKind kind = Enum.GetValues<ValueKind>().First(v => v.ShortName() == name);
                Row(m, k, kind);
            }
        }
        context.Show(table);

        void Row(int m, int k, ValueKind kind)
        {
            var random = new Random(context.Settings.Seed);
            float[] weight = Values((long)m * k, random), x = Values(k, random), y = new float[m];
            CompactMatrix[] full = Copies(CompactMatrix.FromDense(weight, m, k, kind), bytes);
            Check(full[0], x, y);
            int at = 0;
            var sets = new List<(string Form, CompactMatrix Matrix, long Bytes, Action Product)> { ("dense", full[0], full[0].ByteCount, () => Gemv.Multiply(full[at = (at + 1) % full.Length], x, y)) };
            foreach (double density in s_densities)
            {
                // Each density removes more of the same weights.
                float[] pruned = Pruned(weight, density, random);
                CompactMatrix[] masked = Copies(CompactMatrix.FromMask(Mask.FromNonZeros([m, k], pruned), pruned, m, k, kind), bytes);
                Check(masked[0], x, y);
                int next = 0;
                sets.Add(("bit-mask", masked[0], masked[0].ByteCount, () => Gemv.Multiply(masked[next = (next + 1) % masked.Length], x, y)));
                if (!PreparedSpMV.Fits(masked[0])) continue;
                var first = new PreparedSpMV(masked[0]);
                PreparedSpMV[] windows = [first, .. Enumerable.Range(1, (int)Math.Max(1, bytes / first.Bytes)).Select(_ => new PreparedSpMV(masked[0]))];
                var expected = new float[m];
                Gemv.Multiply(masked[0], x, expected);
                first.Multiply(x, y, default, Clamp.None);
                double difference = expected.Zip(y, (p, q) => Math.Abs((double)p - q)).Max();
                if (!(difference < 1e-5 * Math.Sqrt(k) * 4)) throw new InvalidOperationException($"{masked[0]}: windows and bit-mask differ by {difference}");
                int turn = 0;
                sets.Add(("windows", masked[0], first.Bytes, () => windows[turn = (turn + 1) % windows.Length].Multiply(x, y, default, Clamp.None)));
            }
            var variants = new List<(string, Action)> { ("read", read.Run) };
            foreach ((string form, CompactMatrix matrix, _, Action product) in sets) variants.Add(($"{form} {matrix.Density:0.00}", product));
            using EvenCores cores = EvenCores.For(context, options, rows);
            IReadOnlyList<Timing> t = InterleavedTimer.Measure(variants, cores.Options, null, context.Cancellation);
            double reading = read.Length / t[0].Median / 1e6;
            for (int i = 0; i < sets.Count; i++)
            {
                (string form, CompactMatrix w, long size, _) = sets[i];
                Timing time = t[i + 1];
                double speedUp = i == 0 ? 1 : TwinBenchmark.Ratio(t[1], time).Median;
                double ceiling = i == 0 ? 1 : kind.Bits() / (1 + (w.Density * kind.Bits())), rate = size / time.Median / 1e6;
                table.AddRow($"{m} x {k}", kind.ShortName(), form, $"{w.Density:0.00}", $"{size / 1e6:0.0}", $"{time.Median:0.000}", $"{rate:0.0}", $"{rate / reading:P0}", $"{speedUp:0.00}", $"{ceiling:0.00}", i == 0 ? "" : $"{speedUp / ceiling:P0}");
                rows.Add(new JsonObject
                {
                    ["part"] = "masks",
                    ["rows"] = m,
                    ["columns"] = k,
                    ["values"] = kind.ShortName(),
                    ["form"] = form,
                    ["density"] = Round(w.Density),
                    ["bytes"] = size,
                    ["time"] = ToJson(time),
                    ["gigabytesPerSecond"] = Round(rate),
                    ["readingGigabytesPerSecond"] = Round(reading),
                    ["speedUp"] = Round(speedUp),
                    ["ceiling"] = Round(ceiling),
                });
            }
        }
    }

    /// <summary>Single precision, stored by columns, those beside zeros of the input skipped: beside the faster of two dense products (by rows, and in panels as plans take it) and beside 1 / density of the input.</summary>
    private void Columns(ParseResult arguments, VerbContext context, TimingOptions options, JsonArray rows)
    {
        Table table = NewTable("rows x columns", "zeros in x", "by rows ms", "in panels ms", "by columns ms", "speed-up", "1 / density", "reached");
        foreach (string shape in arguments.GetValue(_columnShapes)!.Split(','))
        {
            int m = int.Parse(shape.Split('x')[0]), k = int.Parse(shape.Split('x')[1]);
            var random = new Random(context.Settings.Seed);
            float[] weight = Values((long)m * k, random), y = new float[m];
            CompactMatrix[] dense = Copies(CompactMatrix.FromDense(weight, m, k, ValueKind.Float32), (long)arguments.GetValue(_megabytes) << 20);
            PreparedColumns[] byColumns = [.. dense.Select(_ => PreparedColumns.FromRows(weight, m, k))];
            PackedMatrix[] packed = [.. dense.Select(_ => PackedMatrix.Right(true, k, m, weight, k))];
            double[] densities = [1, 0.5, 0.3, 0.1];
            int next = 0;
            float[][] inputs = [.. densities.Select(d => Pruned(Values(k, random), d, random))];
            var variants = new List<(string, Action)>
            {
                ("dense by rows", () => Gemv.Multiply(dense[next = (next + 1) % dense.Length], inputs[0], y)),
                ("dense in panels", () => Gemm.Multiply(false, 1, inputs[0], k, packed[next = (next + 1) % packed.Length], 0, y, m, default, default, Clamp.None)),
            };
            foreach (float[] x in inputs)
            {
                var expected = new float[m];
                Gemv.Multiply(dense[0], x, expected);
                byColumns[0].Multiply(x, 0, y);
                double difference = expected.Zip(y, (a, b) => Math.Abs((double)a - b)).Max();
                if (!(difference < 1e-5 * Math.Sqrt(k) * 4)) throw new InvalidOperationException($"{shape}: products by columns and by rows differ by {difference}");
                variants.Add(($"{(double)x.Count(v => v == 0) / k:0.00} zeros", () => byColumns[next = (next + 1) % byColumns.Length].Multiply(x, 0, y)));
            }
            using EvenCores cores = EvenCores.For(context, options, rows);
            IReadOnlyList<Timing> t = InterleavedTimer.Measure(variants, cores.Options, null, context.Cancellation);
            Timing fastest = t[0].Median < t[1].Median ? t[0] : t[1];
            for (int i = 0; i < inputs.Length; i++)
            {
                double density = (double)inputs[i].Count(v => v != 0) / k, speedUp = TwinBenchmark.Ratio(fastest, t[i + 2]).Median;
                table.AddRow($"{m} x {k}", $"{1 - density:0.00}", $"{t[0].Median:0.000}", $"{t[1].Median:0.000}", $"{t[i + 2].Median:0.000}", $"{speedUp:0.00}", $"{1 / density:0.00}", $"{speedUp * density:P0}");
                rows.Add(new JsonObject
                {
                    ["part"] = "columns",
                    ["rows"] = m,
                    ["columns"] = k,
                    ["inputDensity"] = Round(density),
                    ["dense"] = ToJson(fastest),
                    ["byRows"] = ToJson(t[0]),
                    ["inPanels"] = ToJson(t[1]),
                    ["time"] = ToJson(t[i + 2]),
                    ["speedUp"] = Round(speedUp),
                    ["reached"] = Round(speedUp * density),
                });
            }
        }
        context.Show(table);
    }

    /// <summary>Copies with memory of their own, together of at least so many bytes.</summary>
    internal static CompactMatrix[] Copies(CompactMatrix w, long bytes)
    {
        var copies = new CompactMatrix[Math.Max(2, (bytes + w.ByteCount - 1) / w.ByteCount)];
        copies[0] = w;
        for (int i = 1; i < copies.Length; i++)
        {
            Memory<byte> values = LineMemory.Allocate<byte>(w.Values.Length + CompactMatrix.Slack);
            w.Values.CopyTo(values);
            copies[i] = CompactMatrix.FromParts(w.Rows, w.Columns, w.Kind, w.HasMask ? w.Bits.ToArray() : default(ReadOnlyMemory<byte>?), values, w.Scales.ToArray(), w.Kind == ValueKind.Int4 ? w.GroupColumns : 0);
        }
        return copies;
    }

    private static float[] Pruned(float[] weight, double density, Random random)
    {
        var pruned = new float[weight.Length];
        for (int i = 0; i < pruned.Length; i++) pruned[i] = random.NextDouble() < density ? weight[i] : 0;
        return pruned;
    }

    /// <summary>A figure of a wrong kernel is worth nothing: beside the dense form in double precision, within what the input's rounding explains.</summary>
    private static void Check(CompactMatrix w, float[] x, float[] y)
    {
        Gemv.Multiply(w, x, y);
        var row = new float[w.Columns];
        var dense = new float[w.Rows * w.Columns];
        w.ToDense(dense);
        for (int r = 0; r < w.Rows; r += Math.Max(1, w.Rows / 50))
        {
            double sum = 0, squares = 0;
            for (int c = 0; c < w.Columns; c++)
            {
                double v = dense[(r * w.Columns) + c];
                sum += v * x[c];
                squares += v * v;
            }
            double tolerance = 1e-4 + (w.Kind.IsQuantized() ? 6 * Math.Sqrt(squares) / 127 / Math.Sqrt(12) : 1e-5 * Math.Sqrt(squares));
            if (!(Math.Abs(y[r] - sum) <= tolerance)) throw new InvalidOperationException($"{w}: row {r} is {y[r]}, expected {sum}");
        }
    }
}
