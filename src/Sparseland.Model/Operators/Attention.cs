using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>
/// Attention (opset 23): softmax(scale q k^T + mask) v with grouped key/value heads, past keys and values, causal mask,
/// soft cap. Vaswani et al., "Attention Is All You Need", eq. 1; Ainslie et al., "GQA", section 2.2.
/// </summary>
internal sealed class Attention() : Operator("Attention", minInputs: 3, maxInputs: 7, maxOutputs: 4)
{
    public override void Infer(InferenceContext context)
    {
        ElementType type = context.Element(0);
        if (context.Shape(0) is not { } q || context.Shape(1) is not { } k || context.Shape(2) is not { } v)
        {
            for (int i = 0; i < 4; i++) context.SetOutput(i, type, null);
            return;
        }
        if (q.Rank is not (3 or 4) || k.Rank is not (3 or 4)) throw context.Error("queries, keys and values must have 3 or 4 axes");
        int heads = (int)context.Node.Attributes.Int("q_num_heads", 0), shared = (int)context.Node.Attributes.Int("kv_num_heads", 0);
        if (q.Rank == 3 && (heads < 1 || shared < 1)) throw context.Error("three-dimensional inputs need q_num_heads and kv_num_heads");
        Dimension queryHeads = q.Rank == 4 ? q[1] : heads, keyHeads = k.Rank == 4 ? k[1] : shared;
        Dimension length = q.Rank == 4 ? q[2] : q[1], keys = k.Rank == 4 ? k[2] : k[1];
        Dimension keySize = k.Rank == 4 ? k[3] : DepthToSpace.Divide(k[2], shared), valueSize = v.Rank == 4 ? v[3] : DepthToSpace.Divide(v[2], shared);
        Dimension total = keys;
        if (context.Node.HasInput(4))
            total = context.Shape(4) is { Rank: 4 } past && past[2].IsKnown && keys.IsKnown ? past[2].Value + keys.Value : Dimension.Unknown;
        context.SetOutput(0, type, q.Rank == 4
            ? new TensorShape(q[0], queryHeads, length, valueSize)
            : new TensorShape(q[0], length, valueSize.IsKnown ? valueSize.Value * heads : Dimension.Unknown));
        context.SetOutput(1, context.Element(1), new TensorShape(q[0], keyHeads, total, keySize));
        context.SetOutput(2, context.Element(2), new TensorShape(q[0], keyHeads, total, valueSize));
        context.SetOutput(3, type, new TensorShape(q[0], queryHeads, length, total));
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port q = Port.In(0), k = Port.In(1), v = Port.In(2), y = Port.Out();
        int heads = HeadCount(q, "q_num_heads"), shared = HeadCount(k, "kv_num_heads");
        if (heads < 1 || shared < 1 || heads % shared != 0)
        {
            coupling.FreezeAll(RefusalReason.DynamicShape, "the numbers of heads are not known");
            return;
        }
        // With one key/value head for all, each query head may leave on its own; the single head may not.
        bool single = shared == 1 && heads > 1;
        Port hub = single ? q : k;
        int units = single ? heads : shared;
        foreach (Port port in coupling.Ports())
        {
            int axis = HeadAxis(port);
            if (axis < 0) continue;
            int size = coupling.Size(port, axis);
            bool keyValue = port == k || port == v || (!port.IsOutput && port.Index is 4 or 5) || (port.IsOutput && port.Index is 1 or 2);
            if (size == 1 && port == Port.In(3)) coupling.Free(port, axis);
            else if (single && keyValue) coupling.Freeze(port, axis, RefusalReason.HeadArithmetic, "the only key and value head serves all query heads");
            else if (size < 0 || size % units != 0) coupling.Freeze(port, axis, RefusalReason.DynamicShape, "the number of heads is not known");
            else LinkHeads(coupling, hub, HeadAxis(hub), port, axis, units);
            if (port != Port.In(3)) coupling.MarkHeads(port, axis);
            if (keyValue && port != k && port != v) coupling.MayResizeInterface(port, axis);
        }
        foreach (Port port in (Port[])[k, v, y, Port.In(4), Port.In(5), Port.Out(1), Port.Out(2), Port.Out(3)]) coupling.Link(q, 0, port, 0);
        coupling.Link(q, coupling.Rank(q) - 2, y, coupling.Rank(y) - 2);
        if (coupling.Rank(q) == 4)
        {
            foreach (Port port in (Port[])[q, k]) coupling.Freeze(port, 3, RefusalReason.HeadArithmetic, "the scale of the scores follows the head size");
            foreach (Port port in (Port[])[y, Port.In(5), Port.Out(2)]) coupling.Link(v, 3, port, 3);
            coupling.SetZero(y, 3, coupling.IsZero(v, 3));
        }
        if (!single) coupling.SetZero(y, HeadAxis(y), coupling.IsZero(v, HeadAxis(v)));

        int HeadCount(Port port, string attribute) => coupling.Rank(port) == 4 ? coupling.Size(port, 1) : (int)coupling.Node.Attributes.Int(attribute, 0);

        int HeadAxis(Port port) => (port.IsOutput, port.Index) switch
        {
            (false, 3) => coupling.Rank(port) - 3,
            (false, 6) => -1,
            _ => coupling.Rank(port) == 4 ? 1 : 2,
        };
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        Adjust(Port.In(0), "q_num_heads");
        Adjust(Port.In(1), "kv_num_heads");

        void Adjust(Port port, string attribute)
        {
            int rank = removal.OldShape(port).Rank;
            long heads = removal.Node.Attributes.Int(attribute, 0);
            if (heads < 1 || removal.Kept(port, rank == 4 ? 1 : 2) is not { } kept) return;
            removal.Node.Attributes.Set(attribute, rank == 4 ? kept.Count : kept.Count * heads / removal.OldShape(port)[2].Value);
        }
    }

    /// <summary>Unit i of one axis is unit i of the other, each unit being an equal share of the axis.</summary>
    internal static void LinkHeads(AxisCoupling coupling, Port a, int axisA, Port b, int axisB, int units)
    {
        int widthA = coupling.Size(a, axisA) / units, widthB = coupling.Size(b, axisB) / units;
        for (int i = 0; i < widthA; i++) coupling.LinkRange(a, axisA, 0, a, axisA, i, units, widthA, widthA);
        for (int i = 0; i < widthB; i++) coupling.LinkRange(a, axisA, 0, b, axisB, i, units, widthA, widthB);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        NodeAttributes a = context.Node.Attributes;
        TensorData q = context.Input(0), k = context.Input(1), v = context.Input(2);
        bool flat = q.Rank == 3;
        ElementType type = q.ElementType;
        q = Heads(q, (int)a.Int("q_num_heads", 0));
        k = Heads(k, (int)a.Int("kv_num_heads", 0));
        v = Heads(v, (int)a.Int("kv_num_heads", 0));
        int past = 0;
        if (context.Has(4))
        {
            past = context.Input(4).Shape[2];
            k = Join(context.Input(4), k);
            v = Join(context.Input(5), v);
        }
        int batch = q.Shape[0], heads = q.Shape[1], shared = k.Shape[1], length = q.Shape[2], total = k.Shape[2], size = q.Shape[3], valueSize = v.Shape[3];
        if (shared == 0 || heads % shared != 0) throw context.Error($"{heads} query heads cannot share {shared} key and value heads");
        double scale = a.Has("scale") ? a.Float("scale", 1) : 1 / Math.Sqrt(size);
        double cap = a.Float("softcap", 0);
        bool causal = a.Int("is_causal", 0) == 1;
        long stage = a.Int("qk_matmul_output_mode", 0);
        long[]? valid = context.Has(6) ? context.Input(6).ToInt64s() : null;
        Mask mask = Mask.Of(context, batch, heads, length, total);

        double[] queries = q.ToDoubles(), keys = k.ToDoubles(), values = v.ToDoubles();
        var y = new double[batch * heads * length * valueSize];
        double[] seen = context.Node.Output(3).Length > 0 ? new double[batch * heads * length * total] : [];
        var row = new double[total];
        for (int b = 0; b < batch; b++)
        {
            for (int h = 0; h < heads; h++)
            {
                int keyHead = (b * shared) + (h / (heads / shared));
                for (int i = 0; i < length; i++)
                {
                    int query = (((b * heads) + h) * length) + i;
                    // With padded caches the queries stand at the end of the valid keys.
                    int last = causal ? i + (valid is not null && past == 0 ? (int)valid[b] - length : past) : total;
                    for (int j = 0; j < total; j++)
                    {
                        double dot = 0;
                        for (int d = 0; d < size; d++) dot += queries[(query * size) + d] * keys[(((keyHead * total) + j) * size) + d];
                        dot *= scale;
                        Keep(0, j, dot);
                        bool hidden = j > last || (valid is not null && j >= valid[b]);
                        double bias = hidden ? double.NegativeInfinity : mask.At(b, h, i, j);
                        double capped = cap > 0 ? cap * Math.Tanh(dot / cap) : dot;
                        Keep(CapStage, j, capped);
                        row[j] = capped + bias;
                        Keep(MaskStage, j, row[j]);
                    }
                    Normalise(row);
                    for (int j = 0; j < total; j++)
                    {
                        Keep(3, j, row[j]);
                        if (row[j] == 0) continue;
                        for (int d = 0; d < valueSize; d++) y[(query * valueSize) + d] += row[j] * values[(((keyHead * total) + j) * valueSize) + d];
                    }

                    void Keep(int at, int j, double value)
                    {
                        if (seen.Length > 0 && stage == at) seen[(query * total) + j] = value;
                    }
                }
            }
        }
        TensorData output = TensorData.Wrap(y, batch, heads, length, valueSize);
        if (flat) output = Moving.Transpose(output, [0, 2, 1, 3]).Reshape(batch, length, heads * valueSize);
        return [output.To(type), k, v, seen.Length > 0 ? TensorData.Wrap(seen, batch, heads, length, total).To(type) : null];
    }

    private const int CapStage = 1;
    private const int MaskStage = 2;

    private static void Normalise(double[] row)
    {
        double max = double.NegativeInfinity, sum = 0;
        foreach (double v in row) max = Math.Max(max, v);
        if (double.IsNegativeInfinity(max))
        {
            // A query that sees no key attends to nothing.
            Array.Clear(row);
            return;
        }
        for (int j = 0; j < row.Length; j++) sum += row[j] = Math.Exp(row[j] - max);
        for (int j = 0; j < row.Length; j++) row[j] /= sum;
    }

    private static TensorData Heads(TensorData x, int heads)
    {
        if (x.Rank == 4) return x;
        if (heads < 1 || x.Shape[2] % heads != 0) throw new ArgumentException($"{x.Shape[2]} features cannot be cut into {heads} heads");
        return Moving.Transpose(x.Reshape(x.Shape[0], x.Shape[1], heads, x.Shape[2] / heads), [0, 2, 1, 3]);
    }

    /// <summary>Past and new keys (or values) one after the other along the sequence.</summary>
    private static TensorData Join(TensorData past, TensorData next)
    {
        int planes = next.Shape[0] * next.Shape[1], size = next.Shape[3], before = past.Shape[2] * size, now = next.Shape[2] * size;
        TensorData y = TensorData.Zeros(next.ElementType, next.Shape[0], next.Shape[1], past.Shape[2] + next.Shape[2], size);
        for (int p = 0; p < planes; p++)
        {
            Moving.Block(past, p * before, y, p * (before + now), before);
            Moving.Block(next, p * now, y, (p * (before + now)) + before, now);
        }
        return y;
    }

    /// <summary>A boolean (true = attend) or additive mask, broadcast to [batch, heads, queries, keys]; keys beyond its end are hidden.</summary>
    private readonly struct Mask(double[] values, int[] strides, int keys)
    {
        public static Mask Of(EvaluationContext context, int batch, int heads, int length, int total)
        {
            if (!context.Has(3)) return new([], [], total);
            TensorData mask = context.Input(3);
            double[] values = mask.ElementType == ElementType.Bool
                ? Array.ConvertAll(mask.Array<bool>(), v => v ? 0 : double.NegativeInfinity)
                : mask.ToDoubles();
            int keys = mask.Shape[^1] == 1 ? total : Math.Min(mask.Shape[^1], total);
            int[] target = [batch, heads, length, mask.Shape[^1]];
            return new(values, Axes.BroadcastStrides(mask.Shape, target), keys);
        }

        public double At(int b, int h, int i, int j) => strides.Length == 0 ? 0
            : j >= keys ? double.NegativeInfinity
            : values[(b * strides[0]) + (h * strides[1]) + (i * strides[2]) + (j * strides[3])];
    }
}

/// <summary>RotaryEmbedding: pairs of features turned by angles that grow with the position. Su et al., "RoFormer", eq. 34.</summary>
internal sealed class RotaryEmbedding() : Operator("RotaryEmbedding", minInputs: 3, maxInputs: 4)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), y = Port.Out();
        bool flat = coupling.Rank(x) == 3;
        int axis = flat ? 2 : 1, heads = flat ? (int)coupling.Node.Attributes.Int("num_heads", 0) : coupling.Size(x, 1);
        coupling.SameExcept(x, y, flat ? [2] : [1, 3]);
        if (heads < 1 || coupling.Size(x, axis) < 0) return;
        Attention.LinkHeads(coupling, x, axis, y, axis, heads);
        coupling.MarkHeads(x, axis);
        coupling.SetZero(y, axis, coupling.IsZero(x, axis));
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        long heads = removal.Node.Attributes.Int("num_heads", 0);
        bool flat = removal.OldShape(Port.In(0)).Rank == 3;
        if (heads < 1 || removal.Kept(Port.In(0), flat ? 2 : 1) is not { } kept) return;
        removal.Node.Attributes.Set("num_heads", flat ? kept.Count * heads / removal.OldShape(Port.In(0))[2].Value : kept.Count);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0), cosines = context.Input(1);
        int heads = (int)context.Node.Attributes.Int("num_heads", 0);
        bool interleaved = context.Node.Attributes.Int("interleaved", 0) == 1, flat = x.Rank == 3;
        // [batch, length, heads, size] whatever the input's form.
        TensorData rows = flat ? x.Reshape(x.Shape[0], x.Shape[1], heads < 1 ? throw context.Error("three-dimensional inputs need num_heads") : heads, x.Shape[2] / heads)
            : Moving.Transpose(x, [0, 2, 1, 3]);
        int batch = rows.Shape[0], length = rows.Shape[1], size = rows.Shape[3];
        heads = rows.Shape[2];
        int turned = (int)context.Node.Attributes.Int("rotary_embedding_dim", 0);
        if (turned == 0) turned = size;
        int half = turned / 2;
        if (cosines.Shape[^1] != half) throw context.Error($"the angle table has {cosines.Shape[^1]} columns, {half} are needed");
        long[]? positions = context.Has(3) ? context.Input(3).ToInt64s() : null;
        double[] v = rows.ToDoubles(), cos = cosines.ToDoubles(), sin = context.Input(2).ToDoubles(), y = (double[])v.Clone();
        for (int token = 0; token < batch * length; token++)
        {
            int table = (int)(positions?[token] ?? token) * half;
            for (int h = 0; h < heads; h++)
            {
                int start = ((token * heads) + h) * size;
                for (int i = 0; i < half; i++)
                {
                    int a = start + (interleaved ? 2 * i : i), b = interleaved ? a + 1 : a + half;
                    (y[a], y[b]) = ((v[a] * cos[table + i]) - (v[b] * sin[table + i]), (v[a] * sin[table + i]) + (v[b] * cos[table + i]));
                }
            }
        }
        TensorData result = TensorData.Wrap(y, rows.Shape).To(x.ElementType);
        return [flat ? result.Reshape(x.Shape) : Moving.Transpose(result, [0, 2, 1, 3])];
    }
}
