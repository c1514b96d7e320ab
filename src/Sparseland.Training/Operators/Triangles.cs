using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Trilu and CumSum.</summary>
internal static class Triangles
{
    /// <summary>Keeps the upper or lower triangle of every matrix [.., rows, columns].</summary>
    public static Tensor Trilu(Tensor x, bool upper, long diagonal)
    {
        Tensor y = Cut(x, upper, diagonal);
        return Tape.Record("Trilu", y, [x], [], flow => flow.Give(0, Cut(flow.Output(), upper, diagonal)));
    }

    /// <summary>Running sums along an axis.</summary>
    public static Tensor CumSum(Tensor x, int axis, bool exclusive, bool reverse)
    {
        Tensor y = Scan(x, axis, exclusive, reverse);
        return Tape.Record("CumSum", y, [x], [], flow => flow.Give(0, Scan(flow.Output(), axis, exclusive, !reverse)));
    }

    public static ModelValue[]? TriluFromNode(OperatorContext c) => c.AreFloat32(0)
        ? [Trilu(c.Tensor(0), c.Attributes.Int("upper", 1) != 0, c.Integers(1)?[0] ?? 0)]
        : null;

    public static ModelValue[]? CumSumFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        long axis = c.Integers(1)?[0] ?? throw c.Error("the axis is missing");
        return [CumSum(x, Views.Axis(axis, x.Rank), c.Attributes.Int("exclusive", 0) != 0, c.Attributes.Int("reverse", 0) != 0)];
    }

    private static Tensor Cut(Tensor x, bool upper, long diagonal)
    {
        if (x.Rank < 2) throw new ArgumentException($"A triangle needs a matrix; got {x}.");
        int rows = x.Shape[^2], columns = x.Shape[^1];
        Tensor y = Tensor.Zeros(x.Shape);
        float[] from = x.Array, to = y.Array;
        int total = columns == 0 ? 0 : x.Length / columns;
        Chunks.Rows(total, columns, row =>
        {
            // Upper keeps j - i >= k, lower keeps j - i <= k.
            long edge = (row % rows) + diagonal;
            int start = upper ? (int)Math.Clamp(edge, 0, columns) : 0, end = upper ? columns : (int)Math.Clamp(edge + 1, 0, columns);
            from.AsSpan((row * columns) + start, end - start).CopyTo(to.AsSpan((row * columns) + start));
        });
        return y;
    }

    private static Tensor Scan(Tensor x, int axis, bool exclusive, bool reverse)
    {
        (int outer, int inner) = AxisMap.Around(x.Shape, axis);
        int size = x.Shape[axis];
        Tensor y = Tensor.Uninitialized(x.Shape);
        float[] from = x.Array, to = y.Array;
        Chunks.Rows(outer * inner, size, line =>
        {
            int start = (line / inner * size * inner) + (line % inner);
            float sum = 0;
            for (int k = 0; k < size; k++)
            {
                int at = start + ((reverse ? size - 1 - k : k) * inner);
                float value = from[at];
                to[at] = exclusive ? sum : sum + value;
                sum += value;
            }
        });
        return y;
    }
}
