using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Rotary position embedding (Su et al. 2021, equation 34): pairs of features turn by an angle that grows with the position.</summary>
internal static class RotaryEmbedding
{
    public static ModelValue[]? FromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0, 1, 2)) return null;
        Tensor x = c.Tensor(0), cos = c.Tensor(1), sin = c.Tensor(2);
        bool merged = x.Rank == 3, interleaved = c.Attributes.Int("interleaved", 0) != 0;
        int batch = x.Shape[0], length = merged ? x.Shape[1] : x.Shape[2];
        int heads = merged ? (int)c.Attributes.Int("num_heads", 0) : x.Shape[1];
        if (heads < 1) throw c.Error("a three-dimensional input needs num_heads");
        int width = merged ? x.Shape[2] / heads : x.Shape[3];
        int turned = (int)c.Attributes.Int("rotary_embedding_dim", 0);
        if (turned == 0) turned = width;
        int half = turned / 2;
        if (turned % 2 != 0 || turned > width || cos.Shape[^1] < half || sin.Shape[^1] < half) throw c.Error($"{turned} of {width} features cannot be turned by tables of {cos}");

        // Which row of the tables a token reads: by position, or its own row of [batch, length, half].
        var rows = new int[batch * length];
        if (c.Integers(3) is { } positions)
        {
            for (int i = 0; i < rows.Length; i++) rows[i] = checked((int)positions[i]);
        }
        else
        {
            for (int i = 0; i < rows.Length; i++) rows[i] = cos.Rank == 3 && cos.Shape[0] == batch ? i : i % length;
        }
        int available = cos.Length / Math.Max(1, cos.Shape[^1]);
        if (rows.Any(r => (uint)r >= (uint)available)) throw c.Error($"a position is outside tables of {available} rows");

        float[] cosines = cos.ToArray(), sines = sin.ToArray();
        int pitch = cos.Shape[^1];
        Tensor y = Tensor.Uninitialized(x.Shape);
        Turn(x.Array, y.Array, 1);
        return [Tape.Record("RotaryEmbedding", y, [x], [], flow =>
        {
            // A rotation's transpose is the rotation back.
            Tensor gradient = flow.Take();
            Turn(gradient.Array, gradient.Array, -1);
            flow.Give(0, gradient);
        })];

        void Turn(float[] from, float[] to, float direction) => Chunks.Rows(batch * heads * length, width, row =>
        {
            int b, s;
            if (merged) (b, s) = (row / heads / length, row / heads % length);
            else (b, s) = (row / length / heads, row % length);
            int table = rows[(b * length) + s] * pitch, at = row * width;
            ReadOnlySpan<float> source = from.AsSpan(at, width);
            Span<float> target = to.AsSpan(at, width);
            for (int i = 0; i < half; i++)
            {
                (int first, int second) = interleaved ? (2 * i, (2 * i) + 1) : (i, i + half);
                float u = source[first], v = source[second], cosine = cosines[table + i], sine = direction * sines[table + i];
                target[first] = (cosine * u) - (sine * v);
                target[second] = (sine * u) + (cosine * v);
            }
            if (turned < width && !ReferenceEquals(from, to)) source[turned..].CopyTo(target[turned..]);
        });
    }
}
