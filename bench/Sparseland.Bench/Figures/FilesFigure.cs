using System.Buffers.Binary;
using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Compact;
using Sparseland.Model.Formats.Safetensors;
using Sparseland.Model.Graph;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>Files of sparse models: bytes beside the dense file and beside the bound, and how long loading takes.</summary>
internal sealed class FilesFigure : Figure
{
    private static readonly string[] s_networks = ["resnet50-90", "resnet50-95", "wide-90", "mobilenet-90", "mlp-90"];

    private static readonly (string Name, SparsityPattern Pattern, double Density)[] s_patterns =
    [
        ("unstructured, 50 %", SparsityPattern.Unstructured, 0.5), ("unstructured, 90 %", SparsityPattern.Unstructured, 0.1), ("unstructured, 95 %", SparsityPattern.Unstructured, 0.05), ("4x1 blocks, 90 %", SparsityPattern.Block(4, 1), 0.1),
        ("16x1 blocks, 90 %", SparsityPattern.Block(16, 1), 0.1), ("2:4", SparsityPattern.NofM(2, 4), 0.5), ("1:8", SparsityPattern.NofM(1, 8), 0.125), ("rows, 50 %", SparsityPattern.Row, 0.5), ("columns, 50 %", SparsityPattern.Column, 0.5),
    ];

    protected override (string Name, string Description) Title => ("files", "Compact files beside dense ones: bytes, the bound, and the time until a model is loaded.");

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        var rows = new JsonArray();
        Table table = NewTable("model", "file", "bytes", "allowed", "load ms");
        string folder = Directory.CreateTempSubdirectory("sparseland-files-").FullName;
        try
        {
            foreach (string id in s_networks)
            {
                NetworkCase network = NetworksFigure.Case(id, context.Settings.Seed)!;
                ModelGraph graph = NetworkComparison.Prune(network);
                string interchange = Path.Combine(folder, id + ".onnx"), compact = Path.Combine(folder, id + ".sparse.safetensors");
                ModelFile.Save(graph, interchange);
                ModelFile.Save(graph, compact);
                // Loaded in turn, from the system's file cache.
                IReadOnlyList<Timing> t = InterleavedTimer.Measure([("load onnx", () => ModelFile.Load(interchange)), ("load compact", () => ModelFile.Load(compact))], options, null, context.Cancellation);
                Row(network.Label, "interchange (.onnx)", interchange, null, t[0]);
                Row(network.Label, "compact (.sparse.safetensors)", compact, Allowed(graph, compact, 32), t[1]);
            }
            foreach ((string name, SparsityPattern pattern, double density) in s_patterns)
            {
                ModelGraph graph = Layer(pattern, density, context.Settings.Seed);
                foreach (ValueKind kind in Enum.GetValues<ValueKind>())
                {
                    string compact = Path.Combine(folder, "layer.sparse.safetensors");
                    ModelFile.Save(graph, compact, new CompactOptions { Values = kind });
                    Row($"1024 x 1024, {name}", $"compact, {kind.ShortName()}", compact, Allowed(graph, compact, kind.Bits()), null);
                }
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
        context.Show(table);
        return rows;

        void Row(string model, string what, string file, double? allowed, Timing? load)
        {
            long bytes = new FileInfo(file).Length;
            table.AddRow(model, what, $"{bytes:N0}", $"{allowed:N0}", load is null ? "" : $"{load.Median:0.00}");
            rows.Add(new JsonObject { ["model"] = model, ["what"] = what, ["bytes"] = bytes, ["allowed"] = allowed is { } a ? Math.Floor(a) : null, ["variants"] = load is null ? new JsonArray() : new JsonArray(ToJson(load)) });
        }
    }

    /// <summary>One linear layer without bias under a pattern.</summary>
    private static ModelGraph Layer(SparsityPattern pattern, double density, int seed)
    {
        const int Side = 1024;
        var b = new GraphBuilder("layer", seed);
        ModelGraph graph = b.Build(b.Linear(b.Input("x", ElementType.Float32, 1, Side), "w", Side, bias: false));
        Weight weight = graph.Weights["w.weight"];
        weight.SetMask(PatternProjection.KeepBest(pattern, Array.ConvertAll(weight.Read().ToSingles(), Math.Abs), Side, Side, density).Reshape(weight.Shape));
        return graph;
    }

    /// <summary>1.05 x (weights x (1 + density x bits) / 8) and the header (safetensors' own and the graph), over everything that the file stores. Scales of integers have no allowance.</summary>
    private static double Allowed(ModelGraph graph, string file, int bits)
    {
        Weight[] floats = [.. graph.Weights.Values.Where(w => w.ElementType == ElementType.Float32)];
        double stored = floats.Sum(w => w.Length + (double)(w.Mask?.KeptCount ?? w.Length) * (w.Shape.Length > 1 ? bits : 32));
        using FileStream stream = File.OpenRead(file);
        Span<byte> first = stackalloc byte[8];
        stream.ReadExactly(first);
        return 1.05 * stored / 8 + 8 + BinaryPrimitives.ReadInt64LittleEndian(first) + SafetensorsReader.Open(file).Tensors["sparseland.graph"].Shape[0];
    }
}
