namespace Sparseland.Model.Graph;

/// <content>Layers: nodes together with their weights, named as PyTorch names them ("conv1.weight", "conv1.bias").</content>
public sealed partial class GraphBuilder
{
    /// <summary>2-D convolution with new weights: [batch, channels, height, width] to [batch, outChannels, height', width'].</summary>
    /// <param name="x">The input; its channels must be known.</param>
    /// <param name="name">Name of the layer: weights <c>name.weight</c> [outChannels, channels / groups, kernel, kernel] and <c>name.bias</c>.</param>
    /// <param name="outChannels">Number of filters.</param>
    /// <param name="kernel">Height and width of the window.</param>
    /// <param name="stride">Step in both directions.</param>
    /// <param name="padding">Zeros on all four sides.</param>
    /// <param name="dilation">Distance of window cells.</param>
    /// <param name="groups">Groups that do not mix; equal to the channels for depthwise.</param>
    /// <param name="bias">Whether there is a bias.</param>
    /// <param name="initializer">How weights are drawn; He normal (fan-out) when null.</param>
    public Value Conv(Value x, string name, int outChannels, int kernel, int stride = 1, int padding = 0, int dilation = 1, int groups = 1, bool bias = true, Initializer? initializer = null)
    {
        Value w = Weight(name + ".weight", initializer ?? Initializer.KaimingNormal(fanOut: true), outChannels, x.Size(1) / groups, kernel, kernel);
        Value b = bias ? Weight(name + ".bias", Initializer.Zeros, outChannels) : Value.None;
        return Conv(x, w, b, stride, padding, dilation, groups, name);
    }

    /// <summary>2-D convolution with given weights [outChannels, channels / groups, height, width] and bias [outChannels] or none.</summary>
    public Value Conv(Value x, Value weight, Value bias, int stride = 1, int padding = 0, int dilation = 1, int groups = 1, string? name = null) =>
        Add("Conv", [x, weight, bias], a => a
            .Set("kernel_shape", weight.Size(2), weight.Size(3))
            .Set("strides", stride, stride)
            .Set("pads", padding, padding, padding, padding)
            .Set("dilations", dilation, dilation)
            .Set("group", (long)groups), name);

    /// <summary>Transposed 2-D convolution with new weights <c>name.weight</c> [channels, outChannels / groups, kernel, kernel] and <c>name.bias</c>.</summary>
    public Value ConvTranspose(Value x, string name, int outChannels, int kernel, int stride = 1, int padding = 0, int outputPadding = 0, int groups = 1, bool bias = true)
    {
        Value w = Weight(name + ".weight", Initializer.KaimingUniform(Math.Sqrt(1.0 / 3)), x.Size(1), outChannels / groups, kernel, kernel);
        Value b = bias ? Weight(name + ".bias", Initializer.Zeros, outChannels) : Value.None;
        return Add("ConvTranspose", [x, w, b], a => a
            .Set("kernel_shape", kernel, kernel)
            .Set("strides", stride, stride)
            .Set("pads", padding, padding, padding, padding)
            .Set("output_padding", outputPadding, outputPadding)
            .Set("group", (long)groups), name);
    }

    /// <summary>Batch normalisation with new parameters <c>name.weight</c>, <c>.bias</c>, <c>.running_mean</c>, <c>.running_var</c>, each [channels].</summary>
    public Value BatchNorm(Value x, string name, float epsilon = 1e-5f, float momentum = 0.9f)
    {
        int channels = x.Size(1);
        return Add("BatchNormalization",
            [
                x, Weight(name + ".weight", Initializer.Ones, channels), Weight(name + ".bias", Initializer.Zeros, channels),
                Weight(name + ".running_mean", Initializer.Zeros, channels), Weight(name + ".running_var", Initializer.Ones, channels),
            ],
            a => a.Set("epsilon", epsilon).Set("momentum", momentum), name);
    }

    /// <summary>
    /// Linear layer y = x W^T + b with new weights <c>name.weight</c> [outFeatures, inFeatures] and <c>name.bias</c>.
    /// Matrices become one Gemm; inputs of higher rank a MatMul with the transposed weight, and an Add.
    /// </summary>
    public Value Linear(Value x, string name, int outFeatures, bool bias = true, Initializer? initializer = null)
    {
        Value w = Weight(name + ".weight", initializer ?? Initializer.KaimingUniform(Math.Sqrt(1.0 / 3)), outFeatures, x.Size(-1));
        Value b = bias ? Weight(name + ".bias", Initializer.Zeros, outFeatures) : Value.None;
        return Linear(x, w, b, name);
    }

    /// <summary>Linear layer with given weight [outFeatures, inFeatures] and bias [outFeatures] or none.</summary>
    public Value Linear(Value x, Value weight, Value bias, string? name = null)
    {
        if (x.Shape?.Rank == 2) return Gemm(x, weight, bias, transposeB: true, name: name);
        Value y = Add("MatMul", [x, Add("Transpose", [weight], a => a.Set("perm", 1L, 0L), name is null ? null : name + ".transpose")], null, name);
        return bias.Name.Length == 0 ? y : Add("Add", [y, bias], null, name is null ? null : name + ".add");
    }

    /// <summary>Rows of a new table <c>name.weight</c> [count, features], picked by integer ids of any shape.</summary>
    public Value Embedding(Value ids, string name, int count, int features, Initializer? initializer = null) =>
        Gather(Weight(name + ".weight", initializer ?? Initializer.Normal(0.02), count, features), ids, 0);

    /// <summary>Layer normalisation over the last axis with new <c>name.weight</c> and <c>name.bias</c>.</summary>
    public Value LayerNorm(Value x, string name, float epsilon = 1e-5f) =>
        LayerNorm(x, Weight(name + ".weight", Initializer.Ones, x.Size(-1)), Weight(name + ".bias", Initializer.Zeros, x.Size(-1)), epsilon, name);

    /// <summary>Layer normalisation over the last axis.</summary>
    public Value LayerNorm(Value x, Value scale, Value bias, float epsilon = 1e-5f, string? name = null) =>
        Add("LayerNormalization", [x, scale, bias], a => a.Set("axis", -1L).Set("epsilon", epsilon), name);

    /// <summary>Root-mean-square normalisation over the last axis with a new <c>name.weight</c>.</summary>
    public Value RmsNorm(Value x, string name, float epsilon = 1e-5f) =>
        RmsNorm(x, Weight(name + ".weight", Initializer.Ones, x.Size(-1)), epsilon, name);

    /// <summary>Root-mean-square normalisation over the last axis.</summary>
    public Value RmsNorm(Value x, Value scale, float epsilon = 1e-5f, string? name = null) =>
        Add("RMSNormalization", [x, scale], a => a.Set("axis", -1L).Set("epsilon", epsilon), name);

    /// <summary>Group normalisation with new <c>name.weight</c> and <c>name.bias</c> per channel.</summary>
    public Value GroupNorm(Value x, string name, int groups, float epsilon = 1e-5f) =>
        Add("GroupNormalization", [x, Weight(name + ".weight", Initializer.Ones, x.Size(1)), Weight(name + ".bias", Initializer.Zeros, x.Size(1))],
            a => a.Set("num_groups", (long)groups).Set("epsilon", epsilon), name);
}
