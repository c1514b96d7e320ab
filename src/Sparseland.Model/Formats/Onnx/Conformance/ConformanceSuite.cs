using Sparseland.Model.Graph;
using Sparseland.Model.Operators;

namespace Sparseland.Model.Formats.Onnx.Conformance;

/// <summary>Computes the outputs of a graph: the training executor, the runtime, or the reference evaluator.</summary>
/// <param name="graph">The model.</param>
/// <param name="inputs">One tensor per graph input that the case feeds, by name.</param>
/// <returns>The graph's outputs by name.</returns>
public delegate IReadOnlyDictionary<string, TensorData> ConformanceExecutor(ModelGraph graph, IReadOnlyDictionary<string, TensorData> inputs);

/// <summary>Runs cases of the ONNX backend tests through an executor.</summary>
public sealed class ConformanceSuite(ConformanceExecutor executor)
{
    /// <summary>Allowed difference relative to the expected number; the standard's own runner uses this.</summary>
    public double Relative { get; init; } = 1e-3;

    /// <summary>Allowed absolute difference on top.</summary>
    public double Absolute { get; init; } = 1e-5;

    /// <summary>Runs every case below a folder.</summary>
    /// <param name="root">The folder.</param>
    /// <param name="progress">Told of each result as it comes.</param>
    /// <param name="cancellation">Stops between cases.</param>
    /// <exception cref="SparselandException">SL1001: there is no such folder.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public ConformanceReport RunAll(string root, Action<ConformanceResult>? progress = null, CancellationToken cancellation = default)
    {
        var results = new List<ConformanceResult>();
        foreach (ConformanceCase one in ConformanceCase.Find(root))
        {
            cancellation.ThrowIfCancellationRequested();
            ConformanceResult result = Run(one);
            results.Add(result);
            progress?.Invoke(result);
        }
        return new ConformanceReport(results);
    }

    /// <summary>Runs one case; whatever goes wrong in it is its result.</summary>
    public ConformanceResult Run(ConformanceCase one)
    {
        ArgumentNullException.ThrowIfNull(one);
        try
        {
            ModelGraph graph = OnnxReader.Read(one.ModelPath);
            string[] missing = [.. GraphValidator.UnsupportedOperators(graph).Select(Name).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
            if (missing.Length > 0) return new(one.Name, ConformanceStatus.Unsupported, 0, $"operator {string.Join(", ", missing)}", missing);
            if (graph.Inputs.Concat(graph.Outputs).FirstOrDefault(v => v.ForeignType is not null) is { } foreign)
                return new(one.Name, ConformanceStatus.Unsupported, 0, $"'{foreign.Name}' is a {foreign.ForeignType}", []);

            bool drawn = DrawsNumbers(graph);
            double deviation = 0;
            foreach (string set in one.DataSets)
            {
                string? failure = RunSet(graph, set, drawn, ref deviation);
                if (failure is not null) return new(one.Name, ConformanceStatus.Failed, deviation, failure, []);
            }
            return new(one.Name, ConformanceStatus.Passed, deviation, drawn ? "values are drawn at random: types and shapes were compared" : null, []);
        }
        catch (UnsupportedOperatorException e)
        {
            return new(one.Name, ConformanceStatus.Unsupported, 0, e.Message, [Name(e)]);
        }
        catch (ModelFormatException e) when (e.Code is "SL1102" or "SL1105" or "SL1112")
        {
            return new(one.Name, ConformanceStatus.Unsupported, 0, e.Message, []);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // The suite reports on executors: a crash of one is a result, and the cases after it still run.
            string text = e is SparselandException ? e.Message : $"{e.GetType().Name}: {e.Message}";
            return new(one.Name, ConformanceStatus.Failed, double.PositiveInfinity, text, []);
        }
    }

    private string? RunSet(ModelGraph graph, string set, bool drawn, ref double deviation)
    {
        List<string> inputFiles = ConformanceCase.Files(set, "input"), outputFiles = ConformanceCase.Files(set, "output");
        if (inputFiles.Count > graph.Inputs.Count) return $"{inputFiles.Count} inputs are given, the model has {graph.Inputs.Count}";
        if (outputFiles.Count > graph.Outputs.Count) return $"{outputFiles.Count} outputs are expected, the model has {graph.Outputs.Count}";
        var inputs = new Dictionary<string, TensorData>(StringComparer.Ordinal);
        for (int i = 0; i < inputFiles.Count; i++) inputs[graph.Inputs[i].Name] = OnnxTensor.Read(inputFiles[i]);

        IReadOnlyDictionary<string, TensorData> outputs = executor(graph, inputs);
        for (int i = 0; i < outputFiles.Count; i++)
        {
            string name = graph.Outputs[i].Name;
            TensorData expected = OnnxTensor.Read(outputFiles[i]);
            if (!outputs.TryGetValue(name, out TensorData? actual)) return $"output '{name}' was not computed";
            if (drawn && actual.ElementType == expected.ElementType && actual.Shape.SequenceEqual(expected.Shape)) continue;
            string? difference = TensorComparison.Difference(expected, actual, Absolute, Relative, ref deviation);
            if (difference is not null) return $"output '{name}': {difference}";
        }
        return null;
    }

    /// <summary>Whether some value depends on a random generator; no two implementations draw the same numbers.</summary>
    private static bool DrawsNumbers(ModelGraph graph) => graph.Nodes.Any(node =>
        GraphOrder.Bodies(node).Any(DrawsNumbers) || (node.OpType == "Dropout"
            ? node.HasInput(2)
            : OperatorRegistry.Find(node.OpType, node.Domain) is { IsDeterministic: false }));

    private static string Name(UnsupportedOperatorException e) => e.Domain.Length == 0 ? e.OpType : $"{e.Domain}.{e.OpType}";
}
