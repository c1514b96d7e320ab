using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>Einsum: sums of products named by index letters; "..." broadcasts.</summary>
internal sealed class Einsum() : Operator("Einsum", minInputs: 1, maxInputs: int.MaxValue)
{
    public override void Infer(InferenceContext context)
    {
        int count = context.Node.Inputs.Count;
        var shapes = new TensorShape?[count];
        for (int i = 0; i < count; i++)
        {
            if ((shapes[i] = context.Shape(i)) is null)
            {
                context.SetOutput(0, context.Element(0), null);
                return;
            }
        }
        Equation equation = Equation.Parse(context.Node.Attributes.String("equation", ""), [.. shapes.Select(s => s!.Rank)]);
        var sizes = new Dictionary<int, Dimension>();
        for (int i = 0; i < count; i++)
        {
            for (int d = 0; d < equation.Inputs[i].Length; d++)
            {
                int letter = equation.Inputs[i][d];
                Dimension size = shapes[i]![d];
                if (!sizes.TryGetValue(letter, out Dimension known) || known is { Value: 1 }) sizes[letter] = size;
                else if (size.IsKnown && size.Value != 1 && known.IsKnown && known != size) throw context.Error("an index has two sizes");
                else if (size.Value != 1) sizes[letter] = Inference.Either(known, size);
            }
        }
        context.SetOutput(0, context.Element(0), new TensorShape([.. equation.Output.Select(l => sizes[l])]));
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port y = Port.Out();
        Port[] inputs = [.. coupling.Ports().Where(p => !p.IsOutput)];
        Equation equation = Equation.Parse(coupling.Node.Attributes.String("equation", ""), [.. inputs.Select(coupling.Rank)]);
        var places = new Dictionary<int, List<(Port Port, int Axis)>>();
        for (int i = 0; i < inputs.Length; i++)
        {
            for (int d = 0; d < equation.Inputs[i].Length; d++)
            {
                int letter = equation.Inputs[i][d];
                // A letter twice in one term takes a diagonal: the axis stays unspoken, and with it whole.
                if (equation.Inputs[i].Count(l => l == letter) > 1) return;
                if (!places.TryGetValue(letter, out List<(Port, int)>? list)) places[letter] = list = [];
                if (coupling.Size(inputs[i], d) == 1) coupling.Free(inputs[i], d);
                else list.Add((inputs[i], d));
            }
        }
        foreach ((int letter, List<(Port Port, int Axis)> list) in places)
        {
            if (list.Count == 0) continue;
            bool zero = list.Any(p => coupling.IsZero(p.Port, p.Axis));
            for (int k = 1; k < list.Count; k++) coupling.Link(list[0].Port, list[0].Axis, list[k].Port, list[k].Axis);
            int to = Array.IndexOf(equation.Output, letter);
            if (to >= 0)
            {
                coupling.Link(list[0].Port, list[0].Axis, y, to);
                coupling.SetZero(y, to, zero);
            }
            else if (zero) coupling.Free(list[0].Port, list[0].Axis);
            else coupling.Freeze(list[0].Port, list[0].Axis, RefusalReason.NonZeroSum, "products of entries that need not be zero are summed over it");
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData[] inputs = [.. Enumerable.Range(0, context.Inputs.Count).Select(context.Input)];
        Equation equation = Equation.Parse(context.Node.Attributes.String("equation", ""), [.. inputs.Select(x => x.Rank)]);
        // Letters of the output first, summed letters behind: the result is a walk over all of them.
        int[] summed = [.. equation.Inputs.SelectMany(l => l).Distinct().Where(l => !equation.Output.Contains(l))];
        int[] letters = [.. equation.Output, .. summed];
        var sizes = new int[letters.Length];
        Array.Fill(sizes, 1);
        var strides = new int[inputs.Length][];
        for (int i = 0; i < inputs.Length; i++)
        {
            int[] own = Axes.Strides(inputs[i].Shape);
            strides[i] = new int[letters.Length];
            for (int d = 0; d < own.Length; d++)
            {
                int at = Array.IndexOf(letters, equation.Inputs[i][d]), size = inputs[i].Shape[d];
                if (size != 1 && sizes[at] != 1 && sizes[at] != size) throw context.Error("an index has two sizes");
                sizes[at] = Math.Max(sizes[at], size);
                if (size != 1) strides[i][at] += own[d];
            }
        }
        double[][] values = Array.ConvertAll(inputs, x => x.ToDoubles());
        int[] shape = sizes[..equation.Output.Length], inner = sizes[equation.Output.Length..];
        var y = new double[Axes.Product(shape)];
        int[] outer = new int[shape.Length], walk = new int[inner.Length], offsets = new int[inputs.Length];
        int terms = Axes.Product(inner);
        for (int o = 0; o < y.Length; o++)
        {
            double sum = 0;
            for (int t = 0; t < terms; t++)
            {
                double product = 1;
                for (int i = 0; i < inputs.Length; i++)
                {
                    int at = 0;
                    for (int d = 0; d < outer.Length; d++) at += outer[d] * strides[i][d];
                    for (int d = 0; d < walk.Length; d++) at += walk[d] * strides[i][outer.Length + d];
                    product *= values[i][at];
                }
                sum += product;
                Axes.Next(walk, inner);
            }
            y[o] = sum;
            Axes.Next(outer, shape);
        }
        return [TensorData.Wrap(y, shape).To(inputs[0].ElementType)];
    }

    /// <summary>An equation with a number per letter; the places of "..." have negative numbers, the last place -1.</summary>
    private sealed record Equation(int[][] Inputs, int[] Output)
    {
        public static Equation Parse(string text, int[] ranks)
        {
            text = text.Replace(" ", "", StringComparison.Ordinal);
            string[] sides = text.Split("->");
            string[] terms = sides[0].Split(',');
            if (terms.Length != ranks.Length) throw new ArgumentException($"equation '{text}' has {terms.Length} terms for {ranks.Length} inputs");
            int hidden = 0;
            var inputs = new int[terms.Length][];
            for (int i = 0; i < terms.Length; i++)
            {
                int named = terms[i].Replace("...", "", StringComparison.Ordinal).Length;
                int dots = terms[i].Contains("...", StringComparison.Ordinal) ? ranks[i] - named : 0;
                if (named + dots != ranks[i]) throw new ArgumentException($"term '{terms[i]}' of equation '{text}' does not fit rank {ranks[i]}");
                hidden = Math.Max(hidden, dots);
                inputs[i] = Letters(terms[i], dots);
            }
            int[] output = sides.Length > 1
                ? Letters(sides[1], hidden)
                : [.. Letters("...", hidden), .. inputs.SelectMany(l => l).Where(l => l >= 0).GroupBy(l => l).Where(g => g.Count() == 1).Select(g => g.Key).Order()];
            return new Equation(inputs, output);
        }

        private static int[] Letters(string term, int dots)
        {
            var letters = new List<int>();
            for (int i = 0; i < term.Length; i++)
            {
                if (term[i] != '.')
                {
                    letters.Add(term[i]);
                    continue;
                }
                for (int d = dots; d > 0; d--) letters.Add(-d);
                i += 2;
            }
            return [.. letters];
        }
    }
}
