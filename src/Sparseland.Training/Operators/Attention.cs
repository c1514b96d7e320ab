using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;
using Geometry = Sparseland.Kernels.Dense.Attention;

namespace Sparseland.Training.Operators;

/// <summary>Scaled dot-product attention (Vaswani et al. 2017, equation 1) with masks, grouped queries (Ainslie et al. 2023), past keys and soft capping.</summary>
internal static class Attention
{
    /// <summary>softmax(cap(scale q k^T) + mask) v, per head.</summary>
    /// <param name="q">[batch, heads, queries, width].</param>
    /// <param name="k">[batch, groups, keys, width]; groups divides heads.</param>
    /// <param name="v">[batch, groups, keys, valueWidth].</param>
    /// <param name="mask">Added to the scores; broadcasts to [batch, heads, queries, keys]; or null.</param>
    /// <param name="scale">Factor of the scores.</param>
    /// <param name="cap">c of c tanh(s / c), applied before the mask, so that what is hidden stays hidden; 0 for none.</param>
    /// <param name="causal">Whether query i sees keys 0 .. i + <paramref name="offset"/> only.</param>
    /// <param name="offset">Keys that came before the first query.</param>
    public static Tensor Apply(Tensor q, Tensor k, Tensor v, Tensor? mask, float scale, float cap, bool causal, int offset)
    {
        int batch = q.Shape[0], heads = q.Shape[1], queries = q.Shape[2], width = q.Shape[3];
        int groups = k.Shape[1], keys = k.Shape[2], valueWidth = v.Shape[3];
        if (k.Shape[0] != batch || v.Shape[0] != batch || v.Shape[1] != groups || k.Shape[3] != width || v.Shape[2] != keys || groups == 0 || heads % groups != 0)
            throw new ArgumentException($"Queries {q}, keys {k} and values {v} do not fit.");
        if (mask is not null && (mask.Rank is 0 or > 4 || mask.Shape[^1] != keys || !BroadcastPlan.Of([batch, heads, queries, keys], mask.Shape).Shape.AsSpan().SequenceEqual([batch, heads, queries, keys])))
            throw new ArgumentException($"A mask of {mask} does not fit scores of [{batch}, {heads}, {queries}, {keys}].");
        Geometry geometry = new Geometry(batch, heads, groups, queries, keys, width)
        {
            ValueSize = valueWidth,
            Scale = scale,
            SoftCap = cap,
            Causal = causal,
            CausalOffset = offset,
        };
        if (mask is not null)
        {
            int[] b = [.. Enumerable.Repeat(1, 4 - mask.Rank), .. mask.Shape];
            geometry = geometry with
            {
                BiasBatchStride = b[0] == 1 ? 0 : b[1] * b[2] * keys,
                BiasHeadStride = b[1] == 1 ? 0 : b[2] * keys,
                BiasQueryStride = b[2] == 1 ? 0 : keys,
            };
        }
        Tensor y = Tensor.Uninitialized([batch, heads, queries, valueWidth]), logSums = Tensor.Uninitialized([batch, heads, queries]);
        // Both passes leave out what the mask hides; it is read once.
        AttentionPattern? pattern = mask is null ? null : AttentionPattern.FromBiasAsNeeded(geometry, mask.Values);
        geometry.Forward(q.Values, k.Values, v.Values, y.Values, default, mask is null ? default : mask.Values, logSums.Values, pattern);
        Tape.Record("Attention", y, [q, k, v, mask], [q, k, v, y, mask, logSums], flow =>
        {
            // Probabilities are computed again: what is kept grows with the length, not with its square.
            Tensor g = flow.Output(), gq = Tensor.Uninitialized(q.Shape), gk = Tensor.Uninitialized(k.Shape), gv = Tensor.Uninitialized(v.Shape);
            Tensor? gb = flow.Needs(3) ? Tensor.Uninitialized([geometry.BiasBatchStride == 0 ? Math.Min(batch, 1) : batch, geometry.BiasHeadStride == 0 ? 1 : heads, queries, keys]) : null;
            geometry.Backward(q.Values, k.Values, v.Values, y.Values, logSums.Values, g.Values, gq.Values, gk.Values, gv.Values,
                default, mask is null ? default : mask.Values, gb is null ? default : gb.Values, pattern);
            flow.Give(0, gq);
            flow.Give(1, gk);
            flow.Give(2, gv);
            if (gb is not null) flow.Give(3, Broadcasting.SumTo(gb, mask!.Shape));
        });
        logSums.Storage.Release();
        return y;
    }

    public static ModelValue[]? FromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0, 1, 2, 4, 5)) return null;
        // The scores themselves as an output, and lengths of padded keys, are left to the plain definition.
        if (c.WantsOutput(3) || c.Has(6)) return null;
        using var temporaries = new Temporaries();
        Tensor q = c.Tensor(0), k = c.Tensor(1), v = c.Tensor(2);
        bool merged = q.Rank == 3;
        if (merged)
        {
            int heads = (int)c.Attributes.Int("q_num_heads", 0), groups = (int)c.Attributes.Int("kv_num_heads", 0);
            if (heads < 1 || groups < 1) throw c.Error("three-dimensional inputs need q_num_heads and kv_num_heads");
            q = Heads(q, heads, temporaries);
            k = Heads(k, groups, temporaries);
            v = Heads(v, groups, temporaries);
        }
        int past = 0;
        bool keepsKeys = c.WantsOutput(1), keepsValues = c.WantsOutput(2);
        if (c.Has(4))
        {
            past = c.Tensor(4).Shape[2];
            k = Slicing.Concat([c.Tensor(4), k], 2);
            v = Slicing.Concat([c.Tensor(5), v], 2);
            if (!keepsKeys) temporaries.Own(k);
            if (!keepsValues) temporaries.Own(v);
        }
        Tensor? mask = c.Has(3) ? AdditiveMask(c.Inputs[3], temporaries) : null;
        if (mask is not null && mask.Shape[^1] < k.Shape[2])
        {
            // Keys that a short mask does not mention are hidden.
            int extra = k.Shape[2] - mask.Shape[^1], length = mask.Shape[^1];
            mask = temporaries.Own(AxisMap.Apply(mask, mask.Rank - 1, k.Shape[2],
                [.. Enumerable.Range(0, length + extra).Select(i => i < length ? i : -1)], fill: float.NegativeInfinity));
        }
        float scale = c.Attributes.Float("scale", 1 / MathF.Sqrt(q.Shape[3]));
        Tensor y = Apply(q, k, v, mask, scale, c.Attributes.Float("softcap", 0), c.Attributes.Int("is_causal", 0) != 0, past);
        if (merged)
        {
            temporaries.Own(y);
            Tensor moved = temporaries.Own(Transpose.Apply(y, [0, 2, 1, 3]));
            y = Views.Reshape(moved, [moved.Shape[0], moved.Shape[1], moved.Shape[2] * moved.Shape[3]]);
        }
        if (!keepsKeys && !keepsValues) return [y];
        // An output must have a holder of its own: the executor gives it up apart from the input.
        return [y, Views.Reshape(k, k.Shape), Views.Reshape(v, v.Shape)];
    }

    /// <summary>[batch, length, heads * width] to [batch, heads, length, width].</summary>
    private static Tensor Heads(Tensor x, int heads, Temporaries temporaries)
    {
        if (x.Shape[2] % heads != 0) throw new ArgumentException($"The last axis of {x} does not split into {heads} heads.");
        Tensor split = temporaries.Own(Views.Reshape(x, [x.Shape[0], x.Shape[1], heads, x.Shape[2] / heads]));
        return temporaries.Own(Transpose.Apply(split, [0, 2, 1, 3]));
    }

    private static Tensor AdditiveMask(ModelValue value, Temporaries temporaries)
    {
        if (value.ElementType != ElementType.Bool) return value.Tensor;
        Tensor mask = temporaries.Own(Tensor.Uninitialized(value.Shape));
        Span<bool> seen = value.Data.Span<bool>();
        Span<float> bias = mask.Values;
        for (int i = 0; i < bias.Length; i++) bias[i] = seen[i] ? 0 : float.NegativeInfinity;
        return mask;
    }
}
