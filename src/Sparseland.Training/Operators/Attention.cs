using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;

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
        // Heads of one group are neighbours: they make one taller matrix.
        int count = batch * groups, rows = heads / groups * queries;
        Tensor probabilities = Scores(q, k, scale);
        Tensor? capped = Normalize(probabilities, mask, cap, causal, offset);
        Tensor y = Tensor.Uninitialized([batch, heads, queries, valueWidth]);
        Gemm.MultiplyBatched(count, false, false, rows, valueWidth, keys, 1, probabilities.Values, (long)rows * keys,
            v.Values, (long)keys * valueWidth, 0, y.Values, (long)rows * valueWidth);
        Tape.Record("Attention", y, [q, k, v, mask], [q, k, v, mask, probabilities, capped], flow =>
        {
            Tensor g = flow.Output();
            if (flow.Needs(2))
            {
                Tensor gv = Tensor.Uninitialized(v.Shape);
                Gemm.MultiplyBatched(count, true, false, keys, valueWidth, rows, 1, probabilities.Values, (long)rows * keys,
                    g.Values, (long)rows * valueWidth, 0, gv.Values, (long)keys * valueWidth);
                flow.Give(2, gv);
            }
            if (!flow.Needs(0) && !flow.Needs(1) && !flow.Needs(3)) return;
            Tensor gs = Tensor.Uninitialized(probabilities.Shape);
            Gemm.MultiplyBatched(count, false, true, rows, keys, valueWidth, 1, g.Values, (long)rows * valueWidth,
                v.Values, (long)keys * valueWidth, 0, gs.Values, (long)rows * keys);
            float[] slope = gs.Array, p = probabilities.Array;
            float[]? limited = capped?.Array;
            Chunks.Rows(count * rows, keys, row =>
            {
                Span<float> s = slope.AsSpan(row * keys, keys);
                ReadOnlySpan<float> probability = p.AsSpan(row * keys, keys);
                float dot = LaneMath.Dot(s, probability);
                TensorPrimitives.Subtract(s, dot, s);
                TensorPrimitives.Multiply(s, probability, s);
            });
            if (flow.Needs(3))
            {
                gs.Storage.Retain();
                flow.Give(3, Broadcasting.SumTo(new Tensor(gs.Storage, gs.ShapeArray), mask!.Shape));
            }
            if (limited is not null)
            {
                // The mask may have kept a holder of the gradient: the capped scores get one of their own.
                Tensor scaled = Tensor.Uninitialized(gs.Shape);
                float[] from = gs.Array, to = scaled.Array;
                Chunks.Ranges(scaled.Length, (start, length) =>
                {
                    for (int i = start; i < start + length; i++)
                    {
                        float t = limited[i] / cap;
                        to[i] = from[i] * (1 - (t * t));
                    }
                });
                gs.Storage.Release();
                gs = scaled;
            }
            if (flow.Needs(0))
            {
                Tensor gq = Tensor.Uninitialized(q.Shape);
                Gemm.MultiplyBatched(count, false, false, rows, width, keys, scale, gs.Values, (long)rows * keys,
                    k.Values, (long)keys * width, 0, gq.Values, (long)rows * width);
                flow.Give(0, gq);
            }
            if (flow.Needs(1))
            {
                Tensor gk = Tensor.Uninitialized(k.Shape);
                Gemm.MultiplyBatched(count, true, false, keys, width, rows, scale, gs.Values, (long)rows * keys,
                    q.Values, (long)rows * width, 0, gk.Values, (long)keys * width);
                flow.Give(1, gk);
            }
            gs.Storage.Release();
        });
        probabilities.Storage.Release();
        capped?.Storage.Release();
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

    /// <summary>[batch, heads, queries, keys] of scale q k^T.</summary>
    private static Tensor Scores(Tensor q, Tensor k, float scale)
    {
        int batch = q.Shape[0], heads = q.Shape[1], queries = q.Shape[2], width = q.Shape[3], groups = k.Shape[1], keys = k.Shape[2];
        int rows = heads / groups * queries;
        Tensor scores = Tensor.Uninitialized([batch, heads, queries, keys]);
        Gemm.MultiplyBatched(batch * groups, false, true, rows, keys, width, scale, q.Values, (long)rows * width,
            k.Values, (long)keys * width, 0, scores.Values, (long)rows * keys);
        return scores;
    }

    /// <summary>Turns scores into probabilities in place; returns the capped scores when there is a cap.</summary>
    private static Tensor? Normalize(Tensor scores, Tensor? mask, float cap, bool causal, int offset)
    {
        int queries = scores.Shape[2], keys = scores.Shape[3];
        BroadcastPlan? plan = mask is null ? null : BroadcastPlan.Of(scores.Shape, mask.Shape);
        if (plan is not null && !plan.Shape.AsSpan().SequenceEqual(scores.Shape)) throw new ArgumentException($"A mask of {mask} does not fit scores of {scores}.");
        Tensor? capped = cap == 0 ? null : Tensor.Uninitialized(scores.Shape);
        float[] s = scores.Array;
        Tensor? wide = mask is null ? null : Binary.Expand(mask, scores.Shape);
        float[]? bias = wide?.Array, limited = capped?.Array;
        Chunks.Rows(keys == 0 ? 0 : scores.Length / keys, keys, row =>
        {
            Span<float> part = s.AsSpan(row * keys, keys);
            if (limited is not null)
            {
                for (int i = 0; i < part.Length; i++) part[i] = cap * MathF.Tanh(part[i] / cap);
                part.CopyTo(limited.AsSpan(row * keys, keys));
            }
            if (bias is not null) TensorPrimitives.Add(part, bias.AsSpan(row * keys, keys), part);
            if (causal)
            {
                int seen = Math.Min(keys, (row % queries) + offset + 1);
                part[seen..].Fill(float.NegativeInfinity);
            }
            // A query that sees nothing gets zeros rather than NaN.
            if (float.IsNegativeInfinity(TensorPrimitives.Max<float>(part))) part.Clear();
            else Softmax.Row(part, part);
        });
        wide?.Storage.Release();
        return capped;
    }
}
