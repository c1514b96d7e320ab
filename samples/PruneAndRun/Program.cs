// Builds a network, removes weights, then whole channels, saves both, and runs them. Offline, a few seconds.
// With a model of your own, the first statement becomes: ModelGraph model = ModelFile.Load("model.onnx");

using System.Globalization;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Architectures;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Structured;
using Sparseland.Runtime;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
ModelGraph model = ArchitectureCatalog.Get("resnet20").Build(seed: 1);
string folder = Path.Combine(Path.GetTempPath(), "sparseland-sample-" + Environment.ProcessId);
Directory.CreateDirectory(folder);
try
{
    // 1. Masks: 80 % of the weights go, every shape stays.
    ModelGraph masked = model.Clone();
    var weights = (OneShotSparsifier)MethodCatalog.Get("magnitude").Build(new PruningSettings { Sparsity = 0.8, Pattern = SparsityPattern.Unstructured });
    PruningResult result = weights.Apply(PruningTarget.Of(masked));
    Console.WriteLine($"magnitude removed {result.Removed:N0} of {result.Total:N0} weights ({result.Achieved:P1})");

    // 2. Structure: half of the multiply-adds go, the graph itself becomes smaller.
    var channels = (ChannelPruning)MethodCatalog.Get("channels").Build(new PruningSettings { Sparsity = 0.5 });
    StructuredResult structured = channels.Prune(model);
    ModelGraph slim = structured.Graph;
    Console.WriteLine($"channels took {structured.RemovedUnits} units: multiply-adds {structured.Before.Macs / 1e6:0.0} M to {structured.After.Macs / 1e6:0.0} M");

    // 3. The extension says the format: .onnx opens elsewhere, .sparse.safetensors is small.
    foreach ((string name, ModelGraph graph) in new[] { ("dense", model), ("masked", masked), ("slim", slim) })
    {
        string onnx = Path.Combine(folder, name + ".onnx"), compact = Path.Combine(folder, name + ".sparse.safetensors");
        ModelFile.Save(graph, onnx);
        ModelFile.Save(graph, compact);
        Console.WriteLine($"{name,-7} onnx {new FileInfo(onnx).Length,9:N0} bytes, compact {new FileInfo(compact).Length,9:N0} bytes");
    }

    // 4. Run what was saved. The session decides per layer whether a sparse kernel pays; the plan says what it chose and why.
    var session = new InferenceSession(ModelFile.Load(Path.Combine(folder, "masked.sparse.safetensors")));
    TensorData pictures = TensorData.Wrap(new float[1 * 3 * 32 * 32], 1, 3, 32, 32); // [batch, channels, height, width]
    OrderedDictionary<string, TensorData> outputs = session.Run(pictures);
    foreach ((string name, TensorData value) in outputs) Console.WriteLine($"output {name} [{string.Join(", ", value.Shape.ToArray())}]");
    Console.WriteLine(session.DescribePlan(new Dictionary<string, TensorData> { [session.Inputs[0].Name] = pictures }));
}
finally
{
    Directory.Delete(folder, recursive: true);
}
