using System.Buffers.Binary;
using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>Files of sparse models: bytes beside the dense file and beside the bound, and how long loading takes.</summary>
internal sealed class FilesFigure : Figure
{
    private static readonly string[] s_networks = ["resnet50-90", "resnet50-95", "wide-90", "mobilenet-90", "mlp-90"];

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
                Row(network.Label, "compact (.sparse.safetensors)", compact, Allowed(graph, compact), t[1]);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
        context.Show(table);
        return rows;

        void Row(string model, string what, string file, double? allowed, Timing load)
        {
            long bytes = new FileInfo(file).Length;
            table.AddRow(model, what, $"{bytes:N0}", $"{allowed:N0}", $"{load.Median:0.00}");
            rows.Add(new JsonObject { ["model"] = model, ["what"] = what, ["bytes"] = bytes, ["allowed"] = allowed is { } a ? Math.Floor(a) : null, ["variants"] = new JsonArray(ToJson(load)) });
        }
    }

    /// <summary>1.05 x (weights x (1 + density x 32) / 8) and the header, over everything that the file stores.</summary>
    private static double Allowed(ModelGraph graph, string file)
    {
        Weight[] floats = [.. graph.Weights.Values.Where(w => w.ElementType == ElementType.Float32)];
        double weights = floats.Sum(w => (double)w.Length), kept = floats.Sum(w => (double)(w.Mask?.KeptCount ?? w.Length));
        using FileStream stream = File.OpenRead(file);
        Span<byte> first = stackalloc byte[8];
        stream.ReadExactly(first);
        return 1.05 * ((weights + kept * 32) / 8) + 8 + BinaryPrimitives.ReadInt64LittleEndian(first);
    }
}
