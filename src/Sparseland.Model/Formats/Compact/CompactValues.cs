using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Compact;

/// <summary>Puts the weights of a model into fewer bits: bfloat16, 8-bit or 4-bit integers with scales.</summary>
public static class CompactValues
{
    /// <summary>
    /// Replaces the single-precision weights of two or more dimensions. Where integers cannot be (a value is not finite, or rows are so short that their scales
    /// would break the promise of size) the weight is held in bfloat16.
    /// </summary>
    /// <param name="graph">Changed in place; masks stay what they are.</param>
    /// <param name="kind">The type of the values; Float32 changes nothing.</param>
    /// <param name="linearOnly">Only matrices that a MatMul or Gemm reads.</param>
    /// <returns>The weights that were replaced, by name in the graph's order, with the type that each has now.</returns>
    public static IReadOnlyDictionary<string, ValueKind> Apply(ModelGraph graph, ValueKind kind, bool linearOnly = false)
    {
        ArgumentNullException.ThrowIfNull(graph);
        var replaced = new OrderedDictionary<string, ValueKind>(StringComparer.Ordinal);
        if (kind == ValueKind.Float32) return replaced;
        HashSet<string> linear = linearOnly ? LinearWeights(graph) : [];
        foreach (Weight weight in graph.Weights.Values.ToArray())
        {
            if (weight.ElementType != ElementType.Float32 || weight.Shape.Length < 2 || weight.Length == 0 || (linearOnly && !linear.Contains(weight.Name))) continue;
            int rows = weight.Shape[0], columns = weight.Length / rows;
            if (weight.Storage.Matrix?.Kind == kind) continue;
            TensorData data = weight.Read();
            Mask? kept = weight.Mask ?? PackedStorage.ZerosWorthPacking(data, kind.Bits());
            ReadOnlySpan<float> values = data.Span<float>();
            ValueKind type = kind.IsQuantized() && !(Fits(weight, kept, kind) && IsFinite(values)) ? ValueKind.BFloat16 : kind;
            CompactMatrix matrix = kept is not null ? CompactMatrix.FromMask(kept, values, rows, columns, type) : CompactMatrix.FromDense(values, rows, columns, type);
            graph.Weights[weight.Name] = new Weight(weight.Name, new CompactStorage(matrix, weight.Shape, kept), weight.Mask);
            replaced[weight.Name] = type;
        }
        return replaced;
    }

    /// <summary>Whether scales leave a weight within the promise of size.</summary>
    private static bool Fits(Weight weight, Mask? kept, ValueKind kind)
    {
        int rows = weight.Shape[0], columns = weight.Length / rows;
        double density = kept?.Density ?? 1, bits = density * kind.Bits(), left = weight.Length * ((1.05 * (1 + bits)) - bits - (kept is null ? 0 : 1)) / 8;
        // Half a byte a row is lost where 4-bit values end.
        return CompactMatrix.ScaleBytes(rows, columns, kind, CompactMatrix.GroupFor(density)) + (kind == ValueKind.Int4 ? rows / 2 : 0) <= left;
    }

    private static bool IsFinite(ReadOnlySpan<float> values)
    {
        foreach (float v in values)
        {
            if (!float.IsFinite(v)) return false;
        }
        return true;
    }

    private static HashSet<string> LinearWeights(ModelGraph graph)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        var transposed = graph.Nodes.Where(n => n.OpType == "Transpose").ToDictionary(n => n.Output(0), n => n.Input(0), StringComparer.Ordinal);
        foreach (Node node in graph.Nodes)
        {
            if (node.OpType is not ("MatMul" or "Gemm")) continue;
            names.Add(transposed.GetValueOrDefault(node.Input(1), node.Input(1)));
        }
        return names;
    }
}
