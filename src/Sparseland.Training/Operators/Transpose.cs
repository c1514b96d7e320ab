using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Transpose, and the reorderings that are made of it (DepthToSpace, SpaceToDepth).</summary>
internal static class Transpose
{
    public static Tensor Apply(Tensor x, ReadOnlySpan<int> permutation)
    {
        int[] order = permutation.ToArray();
        if (order.Length != x.Rank || !order.Order().SequenceEqual(Enumerable.Range(0, x.Rank)))
            throw new ArgumentException($"[{string.Join(", ", order)}] is no permutation of the axes of {x}.", nameof(permutation));
        Tensor y = Permute(x, order);
        var inverse = new int[order.Length];
        for (int i = 0; i < order.Length; i++) inverse[order[i]] = i;
        return Tape.Record("Transpose", y, [x], [], flow => flow.Give(0, Permute(flow.Output(), inverse)));
    }

    public static ModelValue[]? FromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        int[] order = c.Attributes.Ints("perm") is { } perm
            ? System.Array.ConvertAll(perm, p => Views.Axis(p, x.Rank))
            : [.. Enumerable.Range(0, x.Rank).Reverse()];
        return [Apply(x, order)];
    }

    public static ModelValue[]? DepthToSpaceFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        int b = (int)c.Attributes.Int("blocksize", 0), n = x.Shape[0], ch = x.Shape[1], h = x.Shape[2], w = x.Shape[3];
        if (b < 1 || ch % (b * b) != 0) throw c.Error($"{ch} channels do not split into blocks of {b} x {b}");
        int d = ch / (b * b);
        using var temporaries = new Temporaries();
        Tensor y = temporaries.Own(c.Attributes.String("mode", "DCR") == "CRD"
            ? Apply(temporaries.Own(Views.Reshape(x, [n, d, b, b, h, w])), [0, 1, 4, 2, 5, 3])
            : Apply(temporaries.Own(Views.Reshape(x, [n, b, b, d, h, w])), [0, 3, 4, 1, 5, 2]));
        return [Views.Reshape(y, [n, d, h * b, w * b])];
    }

    public static ModelValue[]? SpaceToDepthFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        int b = (int)c.Attributes.Int("blocksize", 0), n = x.Shape[0], ch = x.Shape[1], h = x.Shape[2], w = x.Shape[3];
        if (b < 1 || h % b != 0 || w % b != 0) throw c.Error($"{h} x {w} does not split into blocks of {b} x {b}");
        using var temporaries = new Temporaries();
        Tensor y = temporaries.Own(Apply(temporaries.Own(Views.Reshape(x, [n, ch, h / b, b, w / b, b])), [0, 3, 5, 1, 2, 4]));
        return [Views.Reshape(y, [n, ch * b * b, h / b, w / b])];
    }

    private static Tensor Permute(Tensor x, int[] order)
    {
        int rank = order.Length;
        var shape = new int[rank];
        for (int i = 0; i < rank; i++) shape[i] = x.Shape[order[i]];
        Tensor y = Tensor.Uninitialized(shape);
        if (y.Length == 0) return y;

        // Merge axes that stay neighbours and drop those of size 1: most transposes become two or three axes.
        var strides = new int[rank];
        for (int i = rank - 1, step = 1; i >= 0; step *= x.Shape[i], i--) strides[i] = step;
        var sizes = new List<int>();
        var steps = new List<int>();
        for (int i = 0; i < rank; i++)
        {
            int size = shape[i], step = strides[order[i]];
            if (size == 1) continue;
            if (sizes.Count > 0 && steps[^1] == step * size)
            {
                sizes[^1] *= size;
                steps[^1] = step;
            }
            else
            {
                sizes.Add(size);
                steps.Add(step);
            }
        }
        float[] from = x.Array, to = y.Array;
        int axes = sizes.Count;
        if (axes <= 1)
        {
            from.AsSpan(0, y.Length).CopyTo(to);
            return y;
        }
        int inner = sizes[^1], innerStep = steps[^1], next = sizes[^2], nextStep = steps[^2];
        int outer = y.Length / (inner * next);
        if (innerStep == 1)
        {
            Chunks.Rows(outer * next, inner, row => from.AsSpan(Offset(row, sizes, steps), inner).CopyTo(to.AsSpan(row * inner, inner)));
            return y;
        }
        // Tiles keep both the strided reads and the writes within a few cache lines.
        const int Tile = 32;
        int bands = (next + Tile - 1) / Tile;
        Chunks.Rows(outer * bands, inner * Math.Min(Tile, next), part =>
        {
            int o = part / bands, first = part % bands * Tile, last = Math.Min(first + Tile, next);
            int source = OuterOffset(o, sizes, steps), target = o * next * inner;
            for (int j0 = 0; j0 < inner; j0 += Tile)
            {
                int j1 = Math.Min(j0 + Tile, inner);
                for (int i = first; i < last; i++)
                {
                    int s = source + (i * nextStep), t = target + (i * inner);
                    for (int j = j0; j < j1; j++) to[t + j] = from[s + (j * innerStep)];
                }
            }
        });
        return y;
    }

    private static int Offset(int row, List<int> sizes, List<int> steps)
    {
        int offset = 0;
        for (int d = sizes.Count - 2; d >= 0; d--)
        {
            offset += row % sizes[d] * steps[d];
            row /= sizes[d];
        }
        return offset;
    }

    private static int OuterOffset(int row, List<int> sizes, List<int> steps)
    {
        int offset = 0;
        for (int d = sizes.Count - 3; d >= 0; d--)
        {
            offset += row % sizes[d] * steps[d];
            row /= sizes[d];
        }
        return offset;
    }
}
