using Sparseland.Model.Graph;

namespace Sparseland.Training.Execution;

/// <summary>Decides from the operators that use a weight whether it is trained, and as what.</summary>
internal static class WeightRoles
{
    // Operators that pass a weight on unchanged in value; its role is decided by who reads the result.
    private static readonly HashSet<string> s_views = ["Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Slice", "Split"];

    /// <summary>The role of every f32 weight that takes part in training.</summary>
    public static Dictionary<string, ParameterKind> Parameters(ModelGraph graph, Dictionary<string, List<Node>> consumers, HashSet<string> buffers)
    {
        var roles = new Dictionary<string, ParameterKind>(StringComparer.Ordinal);
        foreach (Weight weight in graph.Weights.Values)
        {
            if (weight.ElementType != ElementType.Float32 || buffers.Contains(weight.Name)) continue;
            if (Role(weight, weight.Name, consumers, 0) is { } kind) roles[weight.Name] = kind;
        }
        return roles;
    }

    /// <summary>The weights that are running statistics.</summary>
    public static HashSet<string> Buffers(ModelGraph graph)
    {
        var buffers = new HashSet<string>(StringComparer.Ordinal);
        foreach (Node node in graph.Nodes.Where(n => n.OpType == "BatchNormalization" && n.Domain is "" or "ai.onnx"))
        {
            foreach (int index in (ReadOnlySpan<int>)[3, 4])
            {
                if (graph.Weights.TryGetValue(node.Input(index), out Weight? weight) && weight.ElementType == ElementType.Float32) buffers.Add(weight.Name);
            }
        }
        return buffers;
    }

    private static ParameterKind? Role(Weight weight, string value, Dictionary<string, List<Node>> consumers, int depth)
    {
        if (depth > 16 || !consumers.TryGetValue(value, out List<Node>? readers)) return null;
        ParameterKind? best = null;
        foreach (Node node in readers)
        {
            if (node.Domain is not ("" or "ai.onnx")) continue;
            for (int i = 0; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i] != value) continue;
                ParameterKind? role = s_views.Contains(node.OpType)
                    ? i == 0 ? node.Outputs.Where(o => o.Length > 0).Select(o => Role(weight, o, consumers, depth + 1)).FirstOrDefault(r => r is not null) : null
                    : RoleIn(weight, node, i);
                // A table that is also the output matrix (tied) counts as what it is first: the lower kind wins.
                if (role is not null && (best is null || Rank(role.Value) < Rank(best.Value))) best = role;
            }
        }
        return best;
    }

    private static int Rank(ParameterKind kind) => kind switch
    {
        ParameterKind.Embedding => 0,
        ParameterKind.Weight => 1,
        ParameterKind.Norm => 2,
        ParameterKind.Bias => 3,
        _ => 4,
    };

    private static ParameterKind? RoleIn(Weight weight, Node node, int input) => (node.OpType, input) switch
    {
        ("Conv" or "ConvTranspose", 1) => ParameterKind.Weight,
        ("Conv" or "ConvTranspose", 2) => ParameterKind.Bias,
        ("Gemm", 0 or 1) => ParameterKind.Weight,
        ("Gemm", 2) => ParameterKind.Bias,
        ("MatMul", _) => weight.Shape.Length >= 1 ? ParameterKind.Weight : null,
        ("Einsum", _) => ParameterKind.Weight,
        ("BatchNormalization" or "LayerNormalization" or "InstanceNormalization" or "GroupNormalization", 1 or 2) => ParameterKind.Norm,
        ("RMSNormalization", 1) => ParameterKind.Norm,
        ("PRelu", 1) => ParameterKind.Other,
        ("Gather", 0) => weight.Shape.Length >= 2 ? ParameterKind.Embedding : null,
        ("Concat", _) => weight.Length > 1 ? ParameterKind.Embedding : null,
        ("Add" or "Sub", _) => IsLearned(weight) ? weight.Shape.Length >= 2 && LargeDimensions(weight) >= 2 ? ParameterKind.Embedding : ParameterKind.Bias : null,
        // RMS norms are often written out: the scale that ends them is a Mul by a vector.
        ("Mul", _) => IsLearned(weight) ? ParameterKind.Norm : null,
        _ => null,
    };

    private static int LargeDimensions(Weight weight)
    {
        int count = 0;
        foreach (int d in weight.Shape)
        {
            if (d > 1) count++;
        }
        return count;
    }

    /// <summary>A constant of an expression has one element, or is a mask with infinities or enormous numbers: neither is learned.</summary>
    private static bool IsLearned(Weight weight)
    {
        if (weight.Length <= 1) return false;
        foreach (float v in weight.Read().Span<float>())
        {
            if (!(Math.Abs(v) < 1e9f)) return false;
        }
        return true;
    }
}
