using Sparseland.Model.Graph;

namespace Sparseland.Model.Analysis;

/// <summary>Multiply-accumulates of one node, from shapes alone.</summary>
internal static class MacCount
{
    /// <summary>The count, and the share of it that remains when zero weights are skipped.</summary>
    public static (long Macs, double Share) Of(Node node, Func<string, TensorShape?> shapeOf, Func<string, double> density)
    {
        TensorShape? In(int i) => node.HasInput(i) ? shapeOf(node.Input(i)) : null;
        TensorShape? y = shapeOf(node.Output(0));
        switch (node.OpType)
        {
            case "Conv" or "ConvInteger" when In(1) is { Rank: >= 2 } w && y is not null:
                return (ModelCost.Elements(y) * From(w, 1), density(node.Input(1)));
            case "QLinearConv" when In(3) is { Rank: >= 2 } w && y is not null:
                return (ModelCost.Elements(y) * From(w, 1), density(node.Input(3)));
            case "ConvTranspose" or "DeformConv" when In(1) is { Rank: >= 2 } w && In(0) is { } x:
                return (ModelCost.Elements(node.OpType == "DeformConv" ? y : x) * From(w, 1), density(node.Input(1)));
            case "Gemm" when In(0) is { Rank: 2 } a && y is not null:
                return (ModelCost.Elements(y) * Size(a[node.Attributes.Int("transA", 0) != 0 ? 0 : 1]), density(node.Input(0)) * density(node.Input(1)));
            case "MatMul" or "MatMulInteger" or "FusedMatMul" when In(0) is { Rank: >= 1 } a && y is not null:
                return (ModelCost.Elements(y) * Size(a[a.Rank - 1]), density(node.Input(0)) * density(node.Input(1)));
            case "Attention" when In(0) is { } q && In(1) is { } k && y is not null:
                // Scores cost queries x keys x width, and so does the sum over values: the widths are what differs.
                long keys = Size(k[k.Rank - 2]) + (In(4) is { Rank: 4 } past ? Size(past[2]) : 0);
                return ((ModelCost.Elements(q) + ModelCost.Elements(y)) * keys, 1);
            case "RNN" or "LSTM" or "GRU" when In(0) is { Rank: 3 } x && In(1) is { } w && In(2) is { } r:
                return (Size(x[0]) * Size(x[1]) * (ModelCost.Elements(w) + ModelCost.Elements(r)), density(node.Input(1)));
            case "Einsum" when y is not null:
                return (Einsum(node, shapeOf), density(node.Input(0)) * density(node.Input(1)));
            default:
                return (0, 1);
        }
    }

    // The product of the sizes of all letters of a two-operand equation; an ellipsis counts once.
    private static long Einsum(Node node, Func<string, TensorShape?> shapeOf)
    {
        string equation = node.Attributes.String("equation", "").Replace(" ", "", StringComparison.Ordinal);
        if (node.Inputs.Count < 2 || equation.Contains('.', StringComparison.Ordinal)) return 0;
        string[] terms = equation.Split("->")[0].Split(',');
        var sizes = new Dictionary<char, long>();
        for (int i = 0; i < terms.Length && i < node.Inputs.Count; i++)
        {
            if (shapeOf(node.Input(i)) is not { } shape || shape.Rank != terms[i].Length) return 0;
            for (int axis = 0; axis < shape.Rank; axis++) sizes[terms[i][axis]] = Size(shape[axis]);
        }
        return sizes.Values.Aggregate(1L, (a, b) => a * b);
    }

    private static long Size(Dimension d) => d.IsKnown ? d.Value : 1;

    private static long From(TensorShape shape, int axis)
    {
        long n = 1;
        for (int i = axis; i < shape.Rank; i++) n *= Size(shape[i]);
        return n;
    }
}
