using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Services;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Graph;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>
/// Whether rows that share columns are worth bringing together: weights without structure as they are multiplied today, beside tiles of four rows, of the rows as they stand and of rows in an order
/// in which neighbours share columns. A tile holds every column that any of its rows has, zeros included.
/// </summary>
internal sealed class ReorderFigure : Figure
{
    private const int Height = 4, LeastRows = 32, LeastColumns = 64;

    private static readonly (int Rows, int Columns)[] s_drawn = [(128, 1152), (1024, 256), (512, 2048), (768, 768)];

    private readonly Option<string?> _model = new("--model") { Description = $"Weights of a model file (at least {LeastRows} x {LeastColumns}), each pruned by magnitude, besides drawn ones." };
    private readonly Option<string> _densities = new("--densities") { Description = "Stored fractions of the weights, separated by commas.", DefaultValueFactory = _ => "0.3,0.2,0.1,0.05" };
    private readonly Option<int> _columns = new("--columns") { Description = "Columns of the input: pixels or tokens.", DefaultValueFactory = _ => 196 };

    protected override (string Name, string Description) Title => ("reorder", "Weights without structure in tiles of rows that were brought together, beside the product of single weights.");

    protected override void DeclareOwn(Command command)
    {
        Option[] options = [_model, _densities, _columns];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        double[] densities = SpmmFigure.Densities(arguments.GetValue(_densities)!);
        int n = arguments.GetValue(_columns);
        if (n is < 2 or > 65536) throw VerbException.Usage("--columns is 2 to 65536");
        var rows = new JsonArray();
        Table table = NewTable("weight", "density", "stored in tiles, as they stand", "rows brought together", "single ms", "tiles ms", "brought together ms", "times faster than single");
        foreach ((string name, int m, int k, float[] w) in Weights(arguments.GetValue(_model), context))
        {
            foreach (double density in densities)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                using EvenCores cores = EvenCores.For(context, options, rows);
                rows.Add(One(name, m, k, n, w, density, table, context, cores));
            }
        }
        context.Show(table);
        context.Say($"stored: values that tiles of {Height} rows hold, zeros included, for each weight that was kept");
        return rows;
    }

    private static JsonObject One(string name, int m, int k, int n, float[] w, double density, Table table, VerbContext context, EvenCores cores)
    {
        Mask mask = PatternProjection.KeepBest(SparsityPattern.Unstructured, Array.ConvertAll(w, Math.Abs), m, k, density);
        var sparse = new float[w.Length];
        for (int i = 0; i < w.Length; i++) sparse[i] = mask[i] ? w[i] : 0;
        int[] order = RowGroups.Order(mask, m, k, Height);
        var together = new float[w.Length];
        for (int r = 0; r < m; r++) Array.Copy(sparse, order[r] * k, together, r * k, k);

        ArraySegment<float> x = Aligned(Values((long)k * n, new Random(context.Settings.Seed)));
        CsrMatrix csr = CsrMatrix.FromDense(sparse, m, k);
        BlockCsrMatrix standing = BlockCsrMatrix.FromDense(sparse, m, k, Height, 1), brought = BlockCsrMatrix.FromDense(together, m, k, Height, 1);
        IReadOnlyList<Timing> t = InterleavedTimer.MeasureSelfTimed(
            [Product("single", sparse, new PreparedSpMM(csr)), Product("tiles", sparse, new PreparedSpMM(standing)), Product("together", together, new PreparedSpMM(brought))], cores.Options, null, context.Cancellation);
        double before = (double)standing.StoredCount / csr.StoredCount, after = (double)brought.StoredCount / csr.StoredCount;
        Timing speedUp = TwinBenchmark.Ratio(t[0], t[2]);
        table.AddRow(Markup.Escape($"{name}: {m} x {k} x {n}"), $"{csr.Density:0.00}", $"{before:0.00}", $"{after:0.00}", $"{t[0].Median:0.0000}", $"{t[1].Median:0.0000}", $"{t[2].Median:0.0000}", $"{speedUp.Median:0.00}");
        return new JsonObject
        {
            ["weight"] = name,
            ["rows"] = m,
            ["columns"] = k,
            ["n"] = n,
            ["density"] = Round(csr.Density),
            ["storedInTiles"] = Round(before),
            ["storedBroughtTogether"] = Round(after),
            ["variants"] = new JsonArray([.. t.Select(u => ToJson(u))]),
            ["speedUp"] = RatioJson(speedUp),
        };

        (string, Func<double>) Product(string variant, float[] weight, PreparedSpMM prepared)
        {
            var expected = new float[m * n];
            ArraySegment<float> actual = Aligned((long)m * n);
            Gemm.Multiply(false, false, m, n, k, 1, weight, k, x, n, 0, expected, n);
            prepared.Multiply(x, n, actual);
            SpmmFigure.Compare(expected, actual, k);
            return Hot(variant, () => prepared.Multiply(x, n, actual));
        }
    }

    private static IEnumerable<(string Name, int Rows, int Columns, float[] Values)> Weights(string? model, VerbContext context)
    {
        foreach ((int rows, int columns) in s_drawn) yield return ("drawn", rows, columns, Values((long)rows * columns, new Random(context.Settings.Seed)));
        if (model is null) yield break;
        ModelGraph graph = ModelAccess.LoadOrBuild(model, null, null, null, context.Settings.Seed);
        foreach (Weight weight in graph.Weights.Values.Where(w => w.Shape.Length >= 2 && w.Shape[0] >= LeastRows && w.Length / w.Shape[0] >= LeastColumns))
            yield return (weight.Name, weight.Shape[0], weight.Length / weight.Shape[0], weight.Read().ToSingles());
    }
}
