namespace Sparseland.Training.Operators;

/// <summary>Computes a node's outputs so that gradients can flow; null when it cannot for these inputs, so that the plain definition takes over.</summary>
internal delegate ModelValue[]? DifferentiableOperator(OperatorContext context);

/// <summary>The operators with gradients, as an explicit table.</summary>
public static class DifferentiableOperators
{
    private static readonly Dictionary<string, DifferentiableOperator> s_table = Build();

    /// <summary>The operator names of the standard domain that gradients flow through, sorted.</summary>
    public static IEnumerable<string> All => s_table.Keys.Order(StringComparer.Ordinal);

    internal static DifferentiableOperator? Find(string opType, string domain) =>
        domain is "" or "ai.onnx" ? s_table.GetValueOrDefault(opType) : null;

    private static Dictionary<string, DifferentiableOperator> Build() => new(StringComparer.Ordinal)
    {
    };
}
