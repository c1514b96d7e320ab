using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx.Downgrade;

/// <summary>Activations and normalisations in terms of simpler operators.</summary>
internal static class Decompose
{
    /// <summary>Mish: x tanh(softplus(x)).</summary>
    internal static void Mish(Node node, OpsetDowngrade to)
    {
        string x = node.Inputs[0];
        to.Op(node, "Mul", [x, to.Op(node, "Tanh", [to.Op(node, "Softplus", [x])])], output: node.Outputs[0]);
    }

    /// <summary>Gelu: x/2 (1 + erf(x / sqrt 2)), or its approximation by tanh.</summary>
    internal static void Gelu(Node node, OpsetDowngrade to)
    {
        string x = node.Inputs[0];
        ElementType type = to.Element(x);
        string inner;
        if (node.Attributes.String("approximate", "none") == "tanh")
        {
            string cube = to.Op(node, "Mul", [to.Op(node, "Mul", [x, x]), x]);
            string sum = to.Op(node, "Add", [x, to.Op(node, "Mul", [cube, to.Number(node, "cubic", 0.044715, type)])]);
            inner = to.Op(node, "Tanh", [to.Op(node, "Mul", [sum, to.Number(node, "factor", Math.Sqrt(2 / Math.PI), type)])]);
        }
        else
        {
            inner = to.Op(node, "Erf", [to.Op(node, "Mul", [x, to.Number(node, "factor", Math.Sqrt(0.5), type)])]);
        }
        string half = to.Op(node, "Mul", [x, to.Number(node, "half", 0.5, type)]);
        to.Op(node, "Mul", [half, to.Op(node, "Add", [inner, to.Number(node, "one", 1, type)])], output: node.Outputs[0]);
    }

    /// <summary>GroupNormalization with a scale per channel: instance normalisation of the groups, then scale and bias.</summary>
    internal static void GroupNormalization(Node node, OpsetDowngrade to)
    {
        string x = node.Inputs[0];
        int rank = to.Rank(node, x);
        ElementType type = to.Element(x);
        long groups = node.Attributes.Int("num_groups", 1);
        float epsilon = node.Attributes.Float("epsilon", 1e-5f);
        var ones = new float[groups];
        Array.Fill(ones, 1);
        string Per(string hint, float[] values) => to.Constant(node, hint, Convert(values, type));
        string grouped = to.Op(node, "Reshape", [x, to.Integers(node, "groups", 0, groups, -1)]);
        string normal = to.Op(node, "InstanceNormalization", [grouped, Per("ones", ones), Per("zeros", new float[groups])], a => a.Set("epsilon", epsilon));
        string back = to.Op(node, "Reshape", [normal, to.Op(node, "Shape", [x])]);
        long[] trailing = [.. Enumerable.Range(1, rank - 2).Select(i => (long)i)];
        string Channels(string value) => trailing.Length == 0 ? value : to.Op(node, "Unsqueeze", [value, to.Integers(node, "axes", trailing)]);
        to.Op(node, "Add", [to.Op(node, "Mul", [back, Channels(node.Inputs[1])]), Channels(node.Inputs[2])], output: node.Outputs[0]);
    }

    /// <summary>RMSNormalization: x / sqrt(mean(x^2) + epsilon) * scale, the mean in single precision (stash_type 1).</summary>
    internal static void RmsNormalization(Node node, OpsetDowngrade to)
    {
        string x = node.Inputs[0];
        ElementType type = to.Element(x);
        bool widen = type is ElementType.Float16 or ElementType.BFloat16 && node.Attributes.Int("stash_type", 1) == 1;
        long axis = node.Attributes.Int("axis", -1);
        if (axis >= 0) axis -= to.Rank(node, x);
        long[] axes = [.. Enumerable.Range(0, (int)-axis).Select(i => axis + i)];
        float epsilon = node.Attributes.Float("epsilon", 1e-5f);
        ElementType inner = widen ? ElementType.Float32 : type;
        string wide = widen ? to.Op(node, "Cast", [x], a => a.Set("to", (long)ElementType.Float32)) : x;
        string mean = to.Op(node, "ReduceMean", [to.Op(node, "Mul", [wide, wide]), to.Integers(node, "axes", axes)]);
        string root = to.Op(node, "Sqrt", [to.Op(node, "Add", [mean, to.Number(node, "epsilon", epsilon, inner)])]);
        string normal = to.Op(node, "Div", [wide, root]);
        if (widen) normal = to.Op(node, "Cast", [normal], a => a.Set("to", (long)type));
        to.Op(node, "Mul", [normal, node.Inputs[1]], output: node.Outputs[0]);
    }

    private static TensorData Convert(float[] values, ElementType type) => type switch
    {
        ElementType.Float64 => TensorData.Vector(Array.ConvertAll(values, v => (double)v)),
        ElementType.Float16 => TensorData.Vector(Array.ConvertAll(values, v => (Half)v)),
        ElementType.BFloat16 => TensorData.Vector(Array.ConvertAll(values, v => (BFloat16)v)),
        _ => TensorData.Vector(values),
    };
}
