namespace Sparseland.Model.Graph;

/// <content>One method per operator that architectures use often; everything else goes through <see cref="Add(string, ReadOnlySpan{Value}, Action{NodeAttributes}?, string?, string)"/>.</content>
public sealed partial class GraphBuilder
{
    /// <summary>alpha * op(a) op(b) + beta * c for matrices.</summary>
    public Value Gemm(Value a, Value b, Value? c = null, bool transposeA = false, bool transposeB = false, float alpha = 1, float beta = 1, string? name = null) =>
        Add("Gemm", [a, b, c ?? Value.None], t => t
            .Set("transA", transposeA ? 1L : 0L).Set("transB", transposeB ? 1L : 0L)
            .Set("alpha", alpha).Set("beta", beta), name);

    /// <summary>Product of the last two axes, the others broadcast.</summary>
    public Value MatMul(Value a, Value b, string? name = null) => Add("MatMul", [a, b], null, name);

    /// <summary>a + b, broadcast.</summary>
    public Value Add(Value a, Value b, string? name = null) => Add("Add", [a, b], null, name);

    /// <summary>a - b, broadcast.</summary>
    public Value Sub(Value a, Value b, string? name = null) => Add("Sub", [a, b], null, name);

    /// <summary>a * b, broadcast.</summary>
    public Value Mul(Value a, Value b, string? name = null) => Add("Mul", [a, b], null, name);

    /// <summary>a / b, broadcast.</summary>
    public Value Div(Value a, Value b, string? name = null) => Add("Div", [a, b], null, name);

    /// <summary>a to the power b, broadcast.</summary>
    public Value Pow(Value a, Value b, string? name = null) => Add("Pow", [a, b], null, name);

    /// <summary>Square root.</summary>
    public Value Sqrt(Value x, string? name = null) => Add("Sqrt", [x], null, name);

    /// <summary>max(x, 0).</summary>
    public Value Relu(Value x, string? name = null) => Add("Relu", [x], null, name);

    /// <summary>x for x >= 0, slope * x below.</summary>
    public Value LeakyRelu(Value x, float slope = 0.01f, string? name = null) => Add("LeakyRelu", [x], a => a.Set("alpha", slope), name);

    /// <summary>min(max(x, low), high).</summary>
    public Value Clip(Value x, float low, float high, string? name = null) => Add("Clip", [x, Scalar(low), Scalar(high)], null, name);

    /// <summary>1 / (1 + exp(-x)).</summary>
    public Value Sigmoid(Value x, string? name = null) => Add("Sigmoid", [x], null, name);

    /// <summary>Hyperbolic tangent.</summary>
    public Value Tanh(Value x, string? name = null) => Add("Tanh", [x], null, name);

    /// <summary>x * Phi(x); with <paramref name="tanh"/> the usual approximation.</summary>
    public Value Gelu(Value x, bool tanh = false, string? name = null) => Add("Gelu", [x], a => a.Set("approximate", tanh ? "tanh" : "none"), name);

    /// <summary>x * sigmoid(x), also called Swish, written with standard operators.</summary>
    public Value Silu(Value x, string? name = null) => Add("Mul", [x, Add("Sigmoid", [x], null, name is null ? null : name + ".sigmoid")], null, name);

    /// <summary>Exponentials normalised along an axis.</summary>
    public Value Softmax(Value x, int axis = -1, string? name = null) => Add("Softmax", [x], a => a.Set("axis", (long)axis), name);

    /// <summary>Logarithm of <see cref="Softmax"/>.</summary>
    public Value LogSoftmax(Value x, int axis = -1, string? name = null) => Add("LogSoftmax", [x], a => a.Set("axis", (long)axis), name);

    /// <summary>Largest value of each 2-D window.</summary>
    public Value MaxPool(Value x, int kernel, int? stride = null, int padding = 0, string? name = null) => Add("MaxPool", [x], a => a
        .Set("kernel_shape", kernel, kernel).Set("strides", stride ?? kernel, stride ?? kernel).Set("pads", padding, padding, padding, padding), name);

    /// <summary>Mean of each 2-D window.</summary>
    public Value AveragePool(Value x, int kernel, int? stride = null, int padding = 0, bool countPadding = true, string? name = null) => Add("AveragePool", [x], a => a
        .Set("kernel_shape", kernel, kernel).Set("strides", stride ?? kernel, stride ?? kernel).Set("pads", padding, padding, padding, padding)
        .Set("count_include_pad", countPadding ? 1L : 0L), name);

    /// <summary>Mean over all spatial axes, which keep size 1.</summary>
    public Value GlobalAveragePool(Value x, string? name = null) => Add("GlobalAveragePool", [x], null, name);

    /// <summary>Axes before <paramref name="axis"/> become one, those from it on another.</summary>
    public Value Flatten(Value x, int axis = 1, string? name = null) => Add("Flatten", [x], a => a.Set("axis", (long)axis), name);

    /// <summary>The same elements in another shape; 0 keeps a size, -1 (once) is what is left.</summary>
    public Value Reshape(Value x, params long[] shape) => Add("Reshape", [x, Integers(shape)]);

    /// <summary>Axes in another order; none given reverses them.</summary>
    public Value Transpose(Value x, params long[] permutation) => Add("Transpose", [x], a =>
    {
        if (permutation.Length > 0) a.Set("perm", permutation);
    });

    /// <summary>Inserts axes of size 1.</summary>
    public Value Unsqueeze(Value x, params long[] axes) => Add("Unsqueeze", [x, Integers(axes)]);

    /// <summary>Removes axes of size 1.</summary>
    public Value Squeeze(Value x, params long[] axes) => Add("Squeeze", [x, Integers(axes)]);

    /// <summary>Joins along an axis.</summary>
    public Value Concat(int axis, params ReadOnlySpan<Value> values) => Add("Concat", values, a => a.Set("axis", (long)axis));

    /// <summary>Cuts an axis into pieces of given sizes.</summary>
    public Value[] Split(Value x, int axis, params long[] sizes) => AddMany("Split", [x, Integers(sizes)], sizes.Length, a => a.Set("axis", (long)axis));

    /// <summary>Positions start, start + step ... before end of one axis.</summary>
    public Value Slice(Value x, int axis, long start, long end, long step = 1) =>
        Add("Slice", [x, Integers(start), Integers(end), Integers(axis), Integers(step)]);

    /// <summary>Picks positions of an axis.</summary>
    public Value Gather(Value x, Value indices, int axis = 0, string? name = null) => Add("Gather", [x, indices], a => a.Set("axis", (long)axis), name);

    /// <summary>Means over axes.</summary>
    public Value ReduceMean(Value x, long[] axes, bool keepDimensions = true, string? name = null) =>
        Add("ReduceMean", [x, Integers(axes)], a => a.Set("keepdims", keepDimensions ? 1L : 0L), name);

    /// <summary>Sums over axes.</summary>
    public Value ReduceSum(Value x, long[] axes, bool keepDimensions = true, string? name = null) =>
        Add("ReduceSum", [x, Integers(axes)], a => a.Set("keepdims", keepDimensions ? 1L : 0L), name);

    /// <summary>Another element type.</summary>
    public Value Cast(Value x, ElementType type, string? name = null) => Add("Cast", [x], a => a.Set("to", (long)type), name);

    /// <summary>
    /// Scaled dot-product attention: softmax(scale * q k^T + mask) v.
    /// Shapes [batch, heads, length, headSize], or [batch, length, heads * headSize] together with the numbers of heads.
    /// </summary>
    /// <param name="q">Queries.</param>
    /// <param name="k">Keys.</param>
    /// <param name="v">Values.</param>
    /// <param name="mask">Boolean (true = attend) or additive mask that broadcasts to [batch, heads, queries, keys]; null for none.</param>
    /// <param name="causal">Whether a query sees only keys at its own place and before.</param>
    /// <param name="heads">Query heads, for three-dimensional inputs.</param>
    /// <param name="keyValueHeads">Key and value heads, for three-dimensional inputs; divides <paramref name="heads"/>.</param>
    /// <param name="scale">Factor; 1 / sqrt(headSize) when null.</param>
    /// <param name="name">The node's name.</param>
    public Value Attention(Value q, Value k, Value v, Value? mask = null, bool causal = false, int? heads = null, int? keyValueHeads = null, float? scale = null, string? name = null) =>
        Add("Attention", [q, k, v, mask ?? Value.None], a =>
        {
            if (causal) a.Set("is_causal", 1L);
            if (heads is { } h) a.Set("q_num_heads", (long)h).Set("kv_num_heads", (long)(keyValueHeads ?? h));
            if (scale is { } s) a.Set("scale", s);
        }, name);

    /// <summary>Rotates pairs of features by angles that grow with the position. Su et al., "RoFormer", eq. 34.</summary>
    /// <param name="x">[batch, heads, length, headSize], or [batch, length, heads * headSize] together with <paramref name="heads"/>.</param>
    /// <param name="cos">[positions, headSize / 2] with <paramref name="positionIds"/>, else [batch, length, headSize / 2].</param>
    /// <param name="sin">As <paramref name="cos"/>.</param>
    /// <param name="positionIds">[batch, length] or null.</param>
    /// <param name="interleaved">Pairs are neighbours (true) or halves (false).</param>
    /// <param name="heads">Heads, for three-dimensional inputs.</param>
    /// <param name="name">The node's name.</param>
    public Value RotaryEmbedding(Value x, Value cos, Value sin, Value? positionIds = null, bool interleaved = false, int? heads = null, string? name = null) =>
        Add("RotaryEmbedding", [x, cos, sin, positionIds ?? Value.None], a =>
        {
            if (interleaved) a.Set("interleaved", 1L);
            if (heads is { } h) a.Set("num_heads", (long)h);
        }, name);
}
