using Sparseland.Kernels.Dense;
using Sparseland.Training.Operators;

namespace Sparseland.Training.Autograd;

/// <summary>Layers as functions of tensors, for networks that are written by hand; a <see cref="TrainableModel"/> computes the same.</summary>
public static class Functions
{
    /// <summary>x W^T + b.</summary>
    /// <param name="x">[..., inFeatures].</param>
    /// <param name="weight">[outFeatures, inFeatures].</param>
    /// <param name="bias">[outFeatures], or null.</param>
    /// <exception cref="ArgumentException">The shapes do not fit.</exception>
    public static Tensor Linear(Tensor x, Tensor weight, Tensor? bias = null)
    {
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(weight);
        if (x.Rank == 0 || weight.Rank != 2 || x.Shape[^1] != weight.Shape[1]) throw new ArgumentException($"A linear layer of {weight} does not fit {x}.");
        int features = x.Shape[^1], rows = features == 0 ? 0 : x.Length / features;
        Tensor y = Products.Multiply(Views.Reshape(x, [rows, features]), weight, false, true, bias: bias);
        return Views.Reshape(y, [.. x.Shape[..^1], weight.Shape[0]]);
    }

    /// <summary>2-D convolution (cross-correlation).</summary>
    /// <param name="x">[batch, inChannels, height, width].</param>
    /// <param name="weight">[outChannels, inChannels / groups, kernelHeight, kernelWidth].</param>
    /// <param name="bias">[outChannels], or null.</param>
    /// <param name="stride">At least 1.</param>
    /// <param name="padding">Zeros on every side.</param>
    /// <param name="dilation">Distance of taps, at least 1.</param>
    /// <param name="groups">Groups of channels that do not see each other.</param>
    /// <exception cref="ArgumentException">The shapes do not fit.</exception>
    public static Tensor Convolution2D(Tensor x, Tensor weight, Tensor? bias = null, int stride = 1, int padding = 0, int dilation = 1, int groups = 1)
    {
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(weight);
        if (x.Rank != 4 || weight.Rank != 4 || groups < 1 || x.Shape[1] != weight.Shape[1] * groups) throw new ArgumentException($"A kernel of {weight} with {groups} groups does not fit {x}.");
        Convolution2D geometry = new Convolution2D(x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3], weight.Shape[0], weight.Shape[2], weight.Shape[3])
        {
            DilationY = dilation,
            DilationX = dilation,
            Groups = groups,
        }.WithStride(stride).WithPadding(padding);
        return Operators.Convolution.Apply(x, weight, bias, geometry, [x.Shape[0], weight.Shape[0], geometry.OutHeight, geometry.OutWidth]);
    }

    /// <summary>Layer normalisation over the last axis (Ba et al. 2016).</summary>
    /// <param name="x">[..., features].</param>
    /// <param name="scale">[features], or null.</param>
    /// <param name="shift">[features], or null.</param>
    /// <param name="epsilon">Added to the variance.</param>
    public static Tensor LayerNormalization(Tensor x, Tensor? scale = null, Tensor? shift = null, float epsilon = 1e-5f)
    {
        ArgumentNullException.ThrowIfNull(x);
        return Normalizations.Layer(x, scale, shift, x.Rank - 1, epsilon, rms: false);
    }

    /// <summary>Root-mean-square normalisation over the last axis (Zhang and Sennrich 2019).</summary>
    /// <param name="x">[..., features].</param>
    /// <param name="scale">[features], or null.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    public static Tensor RmsNormalization(Tensor x, Tensor? scale = null, float epsilon = 1e-5f)
    {
        ArgumentNullException.ThrowIfNull(x);
        return Normalizations.Layer(x, scale, null, x.Rank - 1, epsilon, rms: true);
    }

    /// <summary>softmax(scale q k^T + mask) v per head.</summary>
    /// <param name="q">[batch, heads, queries, width].</param>
    /// <param name="k">[batch, groups, keys, width]; groups divides heads.</param>
    /// <param name="v">[batch, groups, keys, valueWidth].</param>
    /// <param name="mask">Added to the scores, broadcast to [batch, heads, queries, keys]; or null.</param>
    /// <param name="causal">Whether query i sees keys up to i + keys - queries only.</param>
    /// <param name="scale">Factor of the scores; 1 / sqrt(width) when null.</param>
    /// <exception cref="ArgumentException">The shapes do not fit.</exception>
    public static Tensor Attention(Tensor q, Tensor k, Tensor v, Tensor? mask = null, bool causal = false, float? scale = null)
    {
        ArgumentNullException.ThrowIfNull(q);
        ArgumentNullException.ThrowIfNull(k);
        ArgumentNullException.ThrowIfNull(v);
        return Operators.Attention.Apply(q, k, v, mask, scale ?? 1 / MathF.Sqrt(q.Shape[3]), 0, causal, k.Shape[2] - q.Shape[2]);
    }

    /// <summary>Rows of a table by index.</summary>
    /// <param name="table">[rows, features].</param>
    /// <param name="indices">Which rows.</param>
    /// <param name="shape">The shape of the indices; empty for one-dimensional.</param>
    /// <returns>[shape..., features].</returns>
    /// <exception cref="ArgumentException">An index is outside the table.</exception>
    public static Tensor Embedding(Tensor table, ReadOnlySpan<long> indices, params ReadOnlySpan<int> shape)
    {
        ArgumentNullException.ThrowIfNull(table);
        return Gathering.Gather(table, indices, shape.IsEmpty ? [indices.Length] : shape, 0);
    }

    /// <summary>Joins tensors along an axis.</summary>
    /// <exception cref="ArgumentException">Other axes differ.</exception>
    public static Tensor Concat(int axis, params ReadOnlySpan<Tensor> parts) => Slicing.Concat(parts, Views.Axis(axis, parts[0].Rank));

    /// <summary>Drops each element with a probability and scales the rest (Srivastava et al. 2014).</summary>
    /// <param name="x">Any shape.</param>
    /// <param name="ratio">Probability, 0 to 1.</param>
    /// <param name="seed">Decides what is dropped, together with the position.</param>
    public static Tensor Dropout(Tensor x, double ratio, ulong seed)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(ratio);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ratio, 1);
        return Operators.Dropout.Apply(x, ratio, seed);
    }
}
