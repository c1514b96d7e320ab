using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx.Downgrade;

/// <summary>Attention and rotary embedding in terms of simpler operators.</summary>
internal static class DecomposeAttention
{
    /// <summary>
    /// softmax(scale q k^T + mask) v with past keys and values, shared key heads, causal mask and soft cap. A query that may
    /// see no key at all gives NaN here, as in other runtimes, where the operator itself gives zeros.
    /// </summary>
    internal static void Attention(Node node, OpsetDowngrade to)
    {
        if (node.Output(3).Length > 0) throw to.Cannot(node, "its fourth output (the scores) is used");
        if (node.HasInput(6)) throw to.Cannot(node, "it takes lengths of padded caches");
        NodeAttributes a = node.Attributes;
        ElementType type = to.Element(node.Inputs[0]);
        bool flat = to.Rank(node, node.Inputs[0]) == 3;
        string q = Heads(node, to, 0, a.Int("q_num_heads", 0)), k = Heads(node, to, 1, a.Int("kv_num_heads", 0)), v = Heads(node, to, 2, a.Int("kv_num_heads", 0));
        if (node.HasInput(4)) k = to.Op(node, "Concat", [node.Inputs[4], k], x => x.Set("axis", 2L));
        if (node.HasInput(5)) v = to.Op(node, "Concat", [node.Inputs[5], v], x => x.Set("axis", 2L));
        if (node.Output(1).Length > 0) to.Op(node, "Identity", [k], output: node.Output(1));
        if (node.Output(2).Length > 0) to.Op(node, "Identity", [v], output: node.Output(2));
        long heads = Count(node, to, 0, a.Int("q_num_heads", 0)), shared = Count(node, to, 1, a.Int("kv_num_heads", 0));
        if (heads != shared) (k, v) = (Repeat(node, to, k, heads, shared), Repeat(node, to, v, heads, shared));

        double scale = a.Has("scale") ? a.Float("scale", 1) : 1 / Math.Sqrt(HeadSize(node, to, heads));
        string scores = to.Op(node, "MatMul", [q, to.Op(node, "Transpose", [k], x => x.Set("perm", 0L, 1L, 3L, 2L))]);
        scores = to.Op(node, "Mul", [scores, to.Number(node, "scale", scale, type)]);
        float cap = a.Float("softcap", 0);
        if (cap > 0)
        {
            string limit = to.Number(node, "softcap", cap, type);
            scores = to.Op(node, "Mul", [to.Op(node, "Tanh", [to.Op(node, "Div", [scores, limit])]), limit]);
        }
        if (node.HasInput(3)) scores = to.Op(node, "Add", [scores, Mask(node, to, type)]);
        if (a.Int("is_causal", 0) == 1) scores = to.Op(node, "Add", [scores, Causal(node, to, scores, type)]);
        string odds = to.Op(node, "Softmax", [scores], x => x.Set("axis", -1L));
        if (!flat)
        {
            to.Op(node, "MatMul", [odds, v], output: node.Outputs[0]);
            return;
        }
        string rows = to.Op(node, "Transpose", [to.Op(node, "MatMul", [odds, v])], x => x.Set("perm", 0L, 2L, 1L, 3L));
        to.Op(node, "Reshape", [rows, to.Integers(node, "merged", 0, 0, -1)], output: node.Outputs[0]);
    }

    private static string Heads(Node node, OpsetDowngrade to, int index, long heads)
    {
        string x = node.Inputs[index];
        if (to.Rank(node, x) == 4) return x;
        string cut = to.Op(node, "Reshape", [x, to.Integers(node, "heads", 0, 0, heads, -1)]);
        return to.Op(node, "Transpose", [cut], a => a.Set("perm", 0L, 2L, 1L, 3L));
    }

    private static long Count(Node node, OpsetDowngrade to, int index, long declared)
    {
        TensorShape? shape = to.Shape(node.Inputs[index]);
        if (shape is not { Rank: 4 }) return declared;
        return shape[1].IsKnown ? shape[1].Value : throw to.Cannot(node, "the number of heads is not known");
    }

    private static int HeadSize(Node node, OpsetDowngrade to, long heads)
    {
        TensorShape shape = to.Shape(node.Inputs[0])!;
        Dimension last = shape[shape.Rank - 1];
        if (!last.IsKnown) throw to.Cannot(node, "the size of a head is not known, and with it the scale");
        return shape.Rank == 4 ? last.Value : last.Value / (int)heads;
    }

    /// <summary>[batch, shared, length, size] to [batch, heads, length, size], each shared head heads / shared times in a row.</summary>
    private static string Repeat(Node node, OpsetDowngrade to, string x, long heads, long shared)
    {
        string shape = to.Op(node, "Shape", [x]);
        string Part(long start, long end) => to.Op(node, "Slice", [shape, to.Integers(node, "start", start), to.Integers(node, "end", end)]);
        string batch = Part(0, 1), rest = Part(2, 4);
        string apart = to.Op(node, "Unsqueeze", [x, to.Integers(node, "axis", 2)]);
        string wide = to.Op(node, "Concat", [batch, to.Integers(node, "shared", shared), to.Integers(node, "repeats", heads / shared), rest], a => a.Set("axis", 0L));
        string all = to.Op(node, "Concat", [batch, to.Integers(node, "all", heads), rest], a => a.Set("axis", 0L));
        return to.Op(node, "Reshape", [to.Op(node, "Expand", [apart, wide]), all]);
    }

    private static string Mask(Node node, OpsetDowngrade to, ElementType type)
    {
        string mask = node.Inputs[3];
        return to.Element(mask) == ElementType.Bool
            ? to.Op(node, "Where", [mask, to.Number(node, "seen", 0, type), to.Number(node, "hidden", double.NegativeInfinity, type)])
            : mask;
    }

    /// <summary>Minus infinity where a key stands behind the query, past keys counted; zero elsewhere.</summary>
    private static string Causal(Node node, OpsetDowngrade to, string scores, ElementType type)
    {
        string plane = to.Op(node, "Slice", [to.Op(node, "Shape", [scores]), to.Integers(node, "start", 2), to.Integers(node, "end", 4)]);
        string hidden = to.Op(node, "Expand", [to.Number(node, "hidden", double.NegativeInfinity, type), plane]);
        string diagonal = to.Constant(node, "diagonal", TensorData.Scalar(1L));
        if (node.HasInput(4))
        {
            string length = to.Op(node, "Gather", [to.Op(node, "Shape", [node.Inputs[4]]), to.Constant(node, "two", TensorData.Scalar(2L))], a => a.Set("axis", 0L));
            diagonal = to.Op(node, "Add", [length, diagonal]);
        }
        return to.Op(node, "Trilu", [hidden, diagonal], a => a.Set("upper", 1L));
    }

    /// <summary>Pairs (a, b) of each head become (a cos - b sin, a sin + b cos).</summary>
    internal static void RotaryEmbedding(Node node, OpsetDowngrade to)
    {
        NodeAttributes a = node.Attributes;
        string x = node.Inputs[0];
        bool flat = to.Rank(node, x) == 3, interleaved = a.Int("interleaved", 0) == 1;
        // [batch, length, heads, size]
        string rows = flat
            ? to.Op(node, "Reshape", [x, to.Integers(node, "heads", 0, 0, a.Int("num_heads", 0), -1)])
            : to.Op(node, "Transpose", [x], t => t.Set("perm", 0L, 2L, 1L, 3L));
        long turned = a.Int("rotary_embedding_dim", 0), half = turned / 2;
        if (turned == 0)
        {
            TensorShape table = to.Shape(node.Inputs[1]) ?? throw to.Cannot(node, "the size of the angle table is not known");
            if (!table[table.Rank - 1].IsKnown) throw to.Cannot(node, "the size of the angle table is not known");
            half = table[table.Rank - 1].Value;
        }
        string Cut(string value, long start, long end, long step = 1) => to.Op(node, "Slice",
            [value, to.Integers(node, "start", start), to.Integers(node, "end", end), to.Integers(node, "last", -1), to.Integers(node, "step", step)]);
        string? kept = turned == 0 ? null : Cut(rows, turned, long.MaxValue);
        string part = turned == 0 ? rows : Cut(rows, 0, turned);
        string first = interleaved ? Cut(part, 0, 2 * half, 2) : Cut(part, 0, half);
        string second = interleaved ? Cut(part, 1, 2 * half, 2) : Cut(part, half, 2 * half);
        string Angles(int index)
        {
            string table = node.Inputs[index];
            if (node.HasInput(3)) table = to.Op(node, "Gather", [table, node.Inputs[3]], g => g.Set("axis", 0L));
            return to.Op(node, "Unsqueeze", [table, to.Integers(node, "axis", 2)]);
        }
        string cos = Angles(1), sin = Angles(2);
        string Product(string l, string r) => to.Op(node, "Mul", [l, r]);
        string real = to.Op(node, "Sub", [Product(first, cos), Product(second, sin)]);
        string imaginary = to.Op(node, "Add", [Product(first, sin), Product(second, cos)]);
        string joined;
        if (interleaved)
        {
            string axis = to.Integers(node, "pair", -1);
            string pairs = to.Op(node, "Concat", [to.Op(node, "Unsqueeze", [real, axis]), to.Op(node, "Unsqueeze", [imaginary, axis])], c => c.Set("axis", -1L));
            joined = to.Op(node, "Reshape", [pairs, to.Integers(node, "paired", 0, 0, 0, -1)]);
        }
        else
        {
            joined = to.Op(node, "Concat", [real, imaginary], c => c.Set("axis", -1L));
        }
        if (kept is not null) joined = to.Op(node, "Concat", [joined, kept], c => c.Set("axis", -1L));
        if (flat) to.Op(node, "Reshape", [joined, to.Op(node, "Shape", [x])], output: node.Outputs[0]);
        else to.Op(node, "Transpose", [joined], t => t.Set("perm", 0L, 2L, 1L, 3L), output: node.Outputs[0]);
    }
}
