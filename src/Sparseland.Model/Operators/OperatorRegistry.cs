namespace Sparseland.Model.Operators;

/// <summary>All operators that are known, as an explicit list.</summary>
public static class OperatorRegistry
{
    private static readonly Dictionary<(string Domain, string OpType), Operator> s_operators = Build();

    /// <summary>Every operator, sorted by domain and name.</summary>
    public static IEnumerable<Operator> All => s_operators.Values.OrderBy(o => o.Domain, StringComparer.Ordinal).ThenBy(o => o.OpType, StringComparer.Ordinal);

    /// <summary>The operator of that name, or null.</summary>
    public static Operator? Find(string opType, string domain = "") =>
        s_operators.GetValueOrDefault((domain == "ai.onnx" ? "" : domain, opType));

    private static Dictionary<(string, string), Operator> Build()
    {
        Operator[] list =
        [
        ];
        return list.ToDictionary(o => (o.Domain, o.OpType));
    }
}
