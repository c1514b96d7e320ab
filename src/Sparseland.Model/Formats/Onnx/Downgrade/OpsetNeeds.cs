using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx.Downgrade;

/// <summary>The smallest opset, from 17 on, in which a node can be written as it is.</summary>
internal static class OpsetNeeds
{
    /// <summary>The oldest opset that is written.</summary>
    internal const int Oldest = 17;

    /// <summary>Operators that came after opset 17.</summary>
    private static readonly Dictionary<string, int> s_since = new(StringComparer.Ordinal)
    {
        ["OptionalGetElement"] = 18,
        ["OptionalHasElement"] = 18,
        ["BitwiseAnd"] = 18,
        ["BitwiseNot"] = 18,
        ["BitwiseOr"] = 18,
        ["BitwiseXor"] = 18,
        ["CenterCropPad"] = 18,
        ["Col2Im"] = 18,
        ["Mish"] = 18,
        ["DeformConv"] = 19,
        ["AffineGrid"] = 20,
        ["Gelu"] = 20,
        ["ImageDecoder"] = 20,
        ["RegexFullMatch"] = 20,
        ["StringConcat"] = 20,
        ["StringSplit"] = 20,
        ["GroupNormalization"] = 21,
        ["Attention"] = 23,
        ["RMSNormalization"] = 23,
        ["RotaryEmbedding"] = 23,
        ["Swish"] = 24,
        ["TensorScatter"] = 24,
        ["BitCast"] = 26,
        ["CumProd"] = 26,
        ["CausalConvWithState"] = 27,
        ["LinearAttention"] = 27,
        ["SwiGLU"] = 28,
    };

    /// <summary>What one node needs.</summary>
    internal static int Of(Node node)
    {
        if (node.Domain.Length > 0) return Oldest;
        int since = s_since.GetValueOrDefault(node.OpType, Oldest);
        NodeAttributes a = node.Attributes;
        return Math.Max(since, node.OpType switch
        {
            "ReduceL1" or "ReduceL2" or "ReduceLogSum" or "ReduceLogSumExp" or "ReduceMax" or "ReduceMean" or "ReduceMin" or "ReduceProd" or "ReduceSumSquare"
                => node.HasInput(1) || a.Has("noop_with_empty_axes") ? 18 : Oldest,
            "Split" => a.Has("num_outputs") ? 18 : Oldest,
            "ScatterElements" or "ScatterND" => a.String("reduction", "none") is "max" or "min" ? 18 : Oldest,
            "Resize" => a.String("coordinate_transformation_mode", "") == "half_pixel_symmetric" ? 19
                : a.Has("axes") || a.Has("antialias") || a.Has("keep_aspect_ratio_policy") ? 18 : Oldest,
            "Pad" => a.String("mode", "constant") == "wrap" ? 19 : node.HasInput(3) ? 18 : Oldest,
            "AveragePool" => a.Has("dilations") ? 19 : Oldest,
            "LpPool" => a.Has("dilations") || a.Has("ceil_mode") ? 18 : Oldest,
            "Cast" or "CastLike" => Math.Max(a.Has("round_mode") ? 24 : a.Has("saturate") ? 19 : Oldest, a.Int("to", 0) switch
            {
                >= 25 => 25,
                24 => 24,
                23 => 23,
                21 or 22 => 21,
                >= 17 and <= 20 => 19,
                _ => Oldest,
            }),
            "DFT" => 20,
            "GridSample" => a.String("mode", "linear") is "linear" or "cubic" && a.Has("mode") ? 20 : Oldest,
            "QuantizeLinear" or "DequantizeLinear" => a.Has("block_size") || a.Has("output_dtype") ? 21 : a.Has("saturate") ? 19 : Oldest,
            "Attention" => node.HasInput(6) ? 24 : 23,
            _ => Oldest,
        });
    }

    /// <summary>Operators that took up bfloat16 in opset 22.</summary>
    private static readonly HashSet<string> s_bfloat16Since22 = new(StringComparer.Ordinal)
    {
        "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "AveragePool", "Bernoulli", "Conv", "ConvTranspose", "Cos", "Cosh", "DeformConv", "Det", "Dropout",
        "Elu", "EyeLike", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GridSample", "GRU", "HardSigmoid", "HardSwish", "InstanceNormalization",
        "LpNormalization", "LpPool", "LSTM", "MaxPool", "MaxRoiPool", "MaxUnpool", "Mish", "Multinomial", "NegativeLogLikelihoodLoss", "RandomNormalLike",
        "RandomUniformLike", "RNN", "RoiAlign", "Round", "Selu", "Sin", "Sinh", "Softplus", "Softsign", "Tan", "ThresholdedRelu",
    };

    /// <summary>What one node needs because of the element types that it works on.</summary>
    /// <param name="node">The node.</param>
    /// <param name="typeOf">The element type of a value; undefined when it is not known.</param>
    internal static int ByTypes(Node node, Func<string, ElementType> typeOf)
    {
        if (node.Domain.Length > 0) return Oldest;
        bool Any(Func<ElementType, bool> test) => node.Inputs.Any(i => i.Length > 0 && test(typeOf(i)));
        return node.OpType switch
        {
            "Equal" => Any(t => t == ElementType.String) ? 19 : Oldest,
            "IsInf" or "IsNaN" => Any(t => t is ElementType.Float16 or ElementType.BFloat16) ? 20 : Oldest,
            "ReduceMax" or "ReduceMin" => Any(t => t == ElementType.Bool) ? 20 : Oldest,
            "QuantizeLinear" or "DequantizeLinear" => Any(t => t is ElementType.Int16 or ElementType.UInt16) ? 21 : Any(t => t is ElementType.Float16 or ElementType.BFloat16) ? 19 : Oldest,
            "QLinearMatMul" => Any(t => t is ElementType.Float16 or ElementType.BFloat16) ? 21 : Oldest,
            _ => s_bfloat16Since22.Contains(node.OpType) && Any(t => t == ElementType.BFloat16) ? 22 : Oldest,
        };
    }

    /// <summary>Types are inferred only for graphs with an operator whose opset depends on them.</summary>
    private static bool DependsOnTypes(ModelGraph graph)
    {
        bool narrow = graph.Weights.Values.Any(w => w.ElementType == ElementType.BFloat16) || graph.Inputs.Any(i => i.Type.ElementType == ElementType.BFloat16)
            || graph.Nodes.Any(n => n.OpType == "Cast" && n.Attributes.Int("to", 0) == (long)ElementType.BFloat16);
        return graph.Nodes.Any(n => n.OpType is "Equal" or "IsInf" or "IsNaN" or "ReduceMax" or "ReduceMin" or "QuantizeLinear" or "DequantizeLinear" or "QLinearMatMul"
            || (narrow && s_bfloat16Since22.Contains(n.OpType)) || GraphOrder.Bodies(n).Any(DependsOnTypes));
    }

    /// <summary>What a graph needs, bodies included.</summary>
    /// <exception cref="GraphException">The graph's types contradict each other.</exception>
    internal static int Of(ModelGraph graph) => Of(graph, DependsOnTypes(graph) ? ShapeInference.Run(graph) : null);

    private static int Of(ModelGraph graph, ShapeInference? types)
    {
        int needed = Oldest;
        foreach (Node node in graph.Nodes)
        {
            needed = Math.Max(needed, Math.Max(Of(node), ByTypes(node, v => types?.TypeOf(v)?.ElementType ?? ElementType.Undefined)));
            foreach (ModelGraph body in GraphOrder.Bodies(node)) needed = Math.Max(needed, Of(body, types?.Bodies.GetValueOrDefault(body)));
        }
        return needed;
    }

    /// <summary>The file version that goes with an opset.</summary>
    internal static int IrVersion(int opset) => opset switch
    {
        <= 18 => 8,
        <= 20 => 9,
        <= 22 => 10,
        23 => 11,
        24 => 12,
        _ => 13,
    };
}
