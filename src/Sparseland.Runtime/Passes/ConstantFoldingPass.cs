using Sparseland.Model.Graph;
using Sparseland.Model.Operators;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Passes;

/// <summary>Computes nodes whose inputs are all constants, once, before anything runs.</summary>
internal sealed class ConstantFoldingPass : IGraphPass
{
    /// <summary>Larger results stay computed at run time: folding them would blow up the model in memory.</summary>
    private const long LargestResult = 64L << 20;

    public string Name => "constant folding";

    public int Apply(ModelGraph graph)
    {
        int changes = 0;
        ShapeInference inference = FusedShapeInference.Run(graph);
        foreach (Node node in graph.Nodes.ToArray())
        {
            Operator? op = OperatorRegistry.Find(node.OpType, node.Domain);
            if (op is null || !op.IsDeterministic || GraphOrder.Bodies(node).Any()) continue;
            if (node.Outputs.Any(o => o.Length > 0 && graph.Outputs.Any(g => g.Name == o))) continue;

            TensorData?[]? results = Known(node, inference) ?? Compute(node, op, graph);
            if (results is null) continue;
            for (int i = 0; i < node.Outputs.Count; i++)
            {
                if (node.Outputs[i].Length > 0) graph.AddWeight(new Weight(node.Outputs[i], results[i]!));
            }
            graph.Nodes.Remove(node);
            changes++;
        }
        return changes;
    }

    /// <summary>Outputs that inference already knows, such as the shape of a value with a static shape.</summary>
    private static TensorData?[]? Known(Node node, ShapeInference inference)
    {
        var known = new TensorData?[node.Outputs.Count];
        for (int i = 0; i < known.Length; i++)
        {
            if (node.Outputs[i].Length > 0 && (known[i] = inference.ConstantOf(node.Outputs[i])) is null) return null;
        }
        return known;
    }

    private static TensorData?[]? Compute(Node node, Operator op, ModelGraph graph)
    {
        var inputs = new TensorData?[node.Inputs.Count];
        long size = 0;
        for (int i = 0; i < inputs.Length; i++)
        {
            if (node.Inputs[i].Length == 0) continue;
            if (!graph.Weights.TryGetValue(node.Inputs[i], out Weight? weight)) return null;
            size += weight.Length;
            if (size * sizeof(float) > LargestResult) return null;
            inputs[i] = weight.Read();
        }
        TensorData?[] results = op.Evaluate(new EvaluationContext(node, inputs));
        for (int i = 0; i < node.Outputs.Count; i++)
        {
            if (node.Outputs[i].Length > 0 && (i >= results.Length || results[i] is null || results[i]!.ByteLength > LargestResult)) return null;
        }
        return results;
    }
}
