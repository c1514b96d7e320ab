using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Dropout (Srivastava et al. 2014), scaled while training so that evaluation needs nothing.</summary>
internal static class Dropout
{
    /// <summary>Drops each element with probability <paramref name="ratio"/>, decided by seed and position alone.</summary>
    public static Tensor Apply(Tensor x, double ratio, ulong seed)
    {
        uint threshold = (uint)Math.Min(ratio * 4294967296.0, 4294967295.0);
        float scale = ratio < 1 ? (float)(1 / (1 - ratio)) : 0;
        Tensor y = Tensor.Uninitialized(x.Shape);
        Mask(x.Array, y.Array, x.Length, threshold, scale, seed);
        return Tape.Record("Dropout", y, [x], [], flow =>
        {
            Tensor gradient = flow.Take();
            Mask(gradient.Array, gradient.Array, gradient.Length, threshold, scale, seed);
            flow.Give(0, gradient);
        });
    }

    public static ModelValue[]? FromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        double ratio = c.Has(1) ? c.Inputs[1].Tensor.Item() : c.Attributes.Float("ratio", 0.5f);
        // The node's own flag is how exporters freeze a model for inference; whoever trains it wants the dropout back.
        if (!c.IsTraining || ratio == 0)
        {
            if (c.Has(2) && c.Inputs[2].Data.ToInt64s()[0] != 0 && ratio != 0) return null;
            Tensor same = Views.Reshape(c.Tensor(0), c.Inputs[0].Shape);
            if (!c.WantsOutput(1)) return [same];
            var all = new bool[same.Length];
            System.Array.Fill(all, true);
            return [same, TensorData.Wrap(all, same.Shape)];
        }
        Tensor y = Apply(c.Tensor(0), ratio, c.Seed);
        if (!c.WantsOutput(1)) return [y];
        uint threshold = (uint)Math.Min(ratio * 4294967296.0, 4294967295.0);
        var kept = new bool[y.Length];
        for (int i = 0; i < kept.Length; i++) kept[i] = Bits(c.Seed, i) >= threshold;
        return [y, TensorData.Wrap(kept, y.Shape)];
    }

    private static void Mask(float[] from, float[] to, int length, uint threshold, float scale, ulong seed) => Chunks.Ranges(length, (start, count) =>
    {
        for (int i = start; i < start + count; i++) to[i] = Bits(seed, i) >= threshold ? from[i] * scale : 0;
    });

    /// <summary>32 random bits of a position (SplitMix64's finaliser): no state, so the backward pass draws the same again.</summary>
    private static uint Bits(ulong seed, int index)
    {
        ulong z = seed + ((ulong)index * 0x9E3779B97F4A7C15);
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
        z = (z ^ z >> 27) * 0x94D049BB133111EB;
        return (uint)(z >> 32);
    }
}
