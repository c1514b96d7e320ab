using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Einsum of one or two operands without repeated indices: sums, transposes and one batched product.</summary>
internal static class Einsum
{
    public static ModelValue[]? FromNode(OperatorContext c)
    {
        string equation = c.Attributes.String("equation", "").Replace(" ", "", StringComparison.Ordinal);
        if (equation.Contains("...", StringComparison.Ordinal) || c.Inputs.Length > 2) return null;
        for (int i = 0; i < c.Inputs.Length; i++)
        {
            if (!c.AreFloat32(i)) return null;
        }
        int arrow = equation.IndexOf("->", StringComparison.Ordinal);
        string[] terms = (arrow < 0 ? equation : equation[..arrow]).Split(',');
        if (terms.Length != c.Inputs.Length) throw c.Error($"equation '{equation}' has {terms.Length} operands, the node has {c.Inputs.Length}");
        if (terms.Any(t => t.Distinct().Count() != t.Length)) return null;
        for (int i = 0; i < terms.Length; i++)
        {
            if (terms[i].Length != c.Inputs[i].Shape.Length) throw c.Error($"term '{terms[i]}' does not fit input {i}");
        }
        string all = string.Concat(terms);
        string output = arrow >= 0 ? equation[(arrow + 2)..] : string.Concat(all.Distinct().Where(l => all.Count(m => m == l) == 1).Order());
        using var temporaries = new Temporaries();
        if (terms.Length == 1) return [Arrange(c.Tensor(0), terms[0], output, temporaries)];

        Tensor a = c.Tensor(0), b = c.Tensor(1);
        string shared = string.Concat(terms[0].Intersect(terms[1])), batch = string.Concat(shared.Where(output.Contains)), inner = string.Concat(shared.Except(batch));
        string left = string.Concat(terms[0].Except(shared).Where(output.Contains)), right = string.Concat(terms[1].Except(shared).Where(output.Contains));
        Tensor x = temporaries.Own(Arrange(a, terms[0], batch + left + inner, temporaries)), y = temporaries.Own(Arrange(b, terms[1], batch + inner + right, temporaries));
        var sizes = new Dictionary<char, int>();
        for (int i = 0; i < 2; i++)
        {
            for (int d = 0; d < terms[i].Length; d++)
            {
                int size = c.Inputs[i].Shape[d];
                if (sizes.TryGetValue(terms[i][d], out int known) && known != size) throw c.Error($"index '{terms[i][d]}' is {known} and {size}");
                sizes[terms[i][d]] = size;
            }
        }
        int Product(string labels) => labels.Aggregate(1, (p, l) => p * sizes[l]);
        Tensor xs = temporaries.Own(Views.Reshape(x, [Product(batch), Product(left), Product(inner)]));
        Tensor ys = temporaries.Own(Views.Reshape(y, [Product(batch), Product(inner), Product(right)]));
        Tensor z = temporaries.Own(Products.MatMul(xs, ys));
        string have = batch + left + right;
        Tensor open = temporaries.Own(Views.Reshape(z, [.. have.Select(l => sizes[l])]));
        return [Arrange(open, have, output, temporaries)];
    }

    /// <summary>Sums the labels that are not wanted and brings the others into order.</summary>
    private static Tensor Arrange(Tensor x, string have, string want, Temporaries temporaries)
    {
        int[] drop = [.. Enumerable.Range(0, have.Length).Where(d => !want.Contains(have[d]))];
        Tensor reduced = drop.Length == 0 ? x : temporaries.Own(Reductions.Apply(x, Reduction.Sum, drop, keepDims: false));
        string rest = string.Concat(have.Where(want.Contains));
        int[] order = [.. want.Select(l => rest.IndexOf(l))];
        if (order.Contains(-1)) throw new ArgumentException($"The output of '{have}->{want}' has an index that no operand has.");
        return order.SequenceEqual(Enumerable.Range(0, order.Length)) ? Views.Reshape(reduced, reduced.Shape) : Transpose.Apply(reduced, order);
    }
}
