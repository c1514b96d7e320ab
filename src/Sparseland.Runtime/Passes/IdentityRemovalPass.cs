using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Passes;

/// <summary>Takes out nodes that pass their input on: Identity, Dropout outside training.</summary>
internal sealed class IdentityRemovalPass : IGraphPass
{
    public string Name => "identity removal";

    public int Apply(ModelGraph graph)
    {
        int changes = 0;
        var index = new GraphIndex(graph);
        foreach (Node node in graph.Nodes.ToArray())
        {
            if (!PassesThrough(node, index) || index.IsOutput(node.Outputs[0])) continue;
            GraphIndex.ReplaceReads(graph, node.Outputs[0], node.Inputs[0]);
            graph.Nodes.Remove(node);
            changes++;
        }
        return changes;
    }

    private static bool PassesThrough(Node node, GraphIndex index)
    {
        if (node.Domain.Length > 0) return false;
        if (node.OpType == "Identity") return true;
        if (node.OpType != "Dropout" || node.Output(1).Length > 0) return false;
        if (!node.HasInput(2)) return true;
        return index.Constant(node.Input(2)) is { } training && training.Length == 1 && training.ToSingles()[0] == 0;
    }
}
