using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Passes;

/// <summary>Drops nodes and weights that no output depends on.</summary>
internal sealed class DeadNodePass : IGraphPass
{
    public string Name => "dead nodes";

    public int Apply(ModelGraph graph)
    {
        var needed = new HashSet<string>(graph.Outputs.Select(o => o.Name), StringComparer.Ordinal);
        int changes = 0;
        for (int n = graph.Nodes.Count - 1; n >= 0; n--)
        {
            Node node = graph.Nodes[n];
            if (!node.Outputs.Any(needed.Contains))
            {
                graph.Nodes.RemoveAt(n);
                changes++;
                continue;
            }
            foreach (string name in GraphOrder.Reads(node)) needed.Add(name);
        }
        foreach (string name in graph.Weights.Keys.ToArray())
        {
            if (needed.Contains(name)) continue;
            graph.Weights.Remove(name);
            changes++;
        }
        return changes;
    }
}
