using Sparseland.Model.Graph;
using Sparseland.Runtime.Passes;

namespace Sparseland.Runtime;

/// <summary>Simplifies a graph with the passes that leave plain ONNX behind.</summary>
public static class GraphSimplifier
{
    /// <summary>Removes identities, folds constants and inference batch norms, drops what nothing needs; in place.</summary>
    /// <returns>What each pass did.</returns>
    public static IReadOnlyList<PassResult> Fold(ModelGraph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        IGraphPass[] passes = [new IdentityRemovalPass(), new ConstantFoldingPass(), new BatchNormFoldingPass(), new DeadNodePass()];
        return [.. passes.Select(p => new PassResult(p.Name, p.Apply(graph)))];
    }
}
