using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>NonZero: coordinates of the non-zero elements, [rank, count].</summary>
internal sealed class NonZero() : Operator("NonZero")
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, ElementType.Int64, new TensorShape(context.Shape(0)?.Rank ?? Dimension.Unknown, Dimension.Unknown));

    // Positions stay as they are.
    public override void Couple(AxisCoupling coupling)
    {
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        ReadOnlySpan<bool> kept = x.To(ElementType.Bool).Span<bool>();
        var found = new List<int>();
        for (int i = 0; i < kept.Length; i++)
        {
            if (kept[i]) found.Add(i);
        }
        var y = new long[x.Rank * found.Count];
        int[] at = new int[x.Rank];
        for (int k = 0; k < found.Count; k++)
        {
            Axes.Unravel(found[k], x.Shape, at);
            for (int d = 0; d < at.Length; d++) y[(d * found.Count) + k] = at[d];
        }
        return [TensorData.Wrap(y, x.Rank, found.Count)];
    }
}

/// <summary>Compress: the slices of an axis (or elements) at which a condition holds.</summary>
internal sealed class Compress() : Operator("Compress", minInputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? x = context.Shape(0);
        context.SetOutput(0, context.Element(0), !context.Node.Attributes.Has("axis") ? Inference.OfRank(1)
            : x?.With(Axes.Normalize(context.Node.Attributes.Int("axis", 0), x.Rank), Dimension.Unknown));
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int axis = 0;
        if (context.Node.Attributes.Has("axis")) axis = Axes.Normalize(context.Node.Attributes.Int("axis", 0), x.Rank);
        else x = x.Reshape(x.Length);
        bool[] condition = context.Input(1).Array<bool>();
        int[] kept = [.. Enumerable.Range(0, Math.Min(condition.Length, x.Shape[axis])).Where(i => condition[i])];
        (int outer, int size, int inner) = Axes.Around(x.Shape, axis);
        int[] shape = x.Shape.ToArray();
        shape[axis] = kept.Length;
        TensorData y = TensorData.Zeros(x.ElementType, shape);
        for (int o = 0, to = 0; o < outer; o++)
        {
            foreach (int row in kept)
            {
                Moving.Block(x, ((o * size) + row) * inner, y, to, inner);
                to += inner;
            }
        }
        return [y];
    }
}

/// <summary>Unique elements or slices, with first positions, inverse positions and counts.</summary>
internal sealed class Unique() : Operator("Unique", maxOutputs: 4)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? x = context.Shape(0);
        context.SetOutput(0, context.Element(0), !context.Node.Attributes.Has("axis") ? Inference.OfRank(1)
            : x?.With(Axes.Normalize(context.Node.Attributes.Int("axis", 0), x.Rank), Dimension.Unknown));
        for (int i = 1; i < 4; i++) context.SetOutput(i, ElementType.Int64, Inference.OfRank(1));
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        bool flat = !context.Node.Attributes.Has("axis");
        if (flat) x = x.Reshape(x.Length);
        int axis = flat ? 0 : Axes.Normalize(context.Node.Attributes.Int("axis", 0), x.Rank);
        // Slices of the axis become rows that compare lexicographically.
        int[] order = [axis, .. Enumerable.Range(0, x.Rank).Where(i => i != axis)];
        TensorData rowsFirst = Moving.Transpose(x, order);
        int count = x.Shape[axis], width = count == 0 ? 0 : x.Length / count;
        Comparison<int> compare = Comparer(rowsFirst, width);

        int[] sorted = [.. Enumerable.Range(0, count)];
        Array.Sort(sorted, (a, b) => compare(a, b) is var c && c != 0 ? c : a.CompareTo(b));
        var firsts = new List<int>();
        var groupOf = new int[count];
        for (int i = 0; i < count; i++)
        {
            if (i == 0 || compare(sorted[i - 1], sorted[i]) != 0) firsts.Add(sorted[i]);
            groupOf[sorted[i]] = firsts.Count - 1;
        }
        int[] rank = [.. Enumerable.Range(0, firsts.Count)];
        if (context.Node.Attributes.Int("sorted", 1) == 0) Array.Sort(rank, (a, b) => firsts[a].CompareTo(firsts[b]));
        var place = new int[rank.Length];
        for (int i = 0; i < rank.Length; i++) place[rank[i]] = i;
        long[] indices = [.. rank.Select(g => (long)firsts[g])], inverse = [.. groupOf.Select(g => (long)place[g])], counts = new long[rank.Length];
        foreach (long i in inverse) counts[i]++;

        int[] shape = rowsFirst.Shape.ToArray();
        shape[0] = rank.Length;
        TensorData y = TensorData.Zeros(x.ElementType, shape);
        for (int i = 0; i < rank.Length; i++) Moving.Block(rowsFirst, (int)indices[i] * width, y, i * width, width);
        var back = new int[order.Length];
        for (int i = 0; i < order.Length; i++) back[order[i]] = i;
        return [Moving.Transpose(y, back), TensorData.Vector(indices), TensorData.Vector(inverse), TensorData.Vector(counts)];
    }

    private static Comparison<int> Comparer(TensorData rows, int width)
    {
        if (rows.ElementType == ElementType.String) return Compare(rows.Array<string>(), width, string.CompareOrdinal);
        if (rows.ElementType is ElementType.Int64) return Compare(rows.Array<long>(), width, (a, b) => a.CompareTo(b));
        if (rows.ElementType is ElementType.UInt64) return Compare(rows.Array<ulong>(), width, (a, b) => a.CompareTo(b));
        return Compare(rows.ToDoubles(), width, (a, b) => a.CompareTo(b));
    }

    private static Comparison<int> Compare<T>(T[] values, int width, Comparison<T> element) => (a, b) =>
    {
        for (int i = 0; i < width; i++)
        {
            int c = element(values[(a * width) + i], values[(b * width) + i]);
            if (c != 0) return c;
        }
        return 0;
    };
}

/// <summary>ReverseSequence: the first so many entries of each sequence backwards.</summary>
internal sealed class ReverseSequence() : Operator("ReverseSequence", minInputs: 2)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int batchAxis = (int)context.Node.Attributes.Int("batch_axis", 1), timeAxis = (int)context.Node.Attributes.Int("time_axis", 0);
        long[] lengths = context.Input(1).ToInt64s();
        int[] shape = x.Shape.ToArray(), strides = Axes.Strides(shape), at = new int[x.Rank], picks = new int[x.Length];
        for (int i = 0; i < picks.Length; i++)
        {
            int t = at[timeAxis], length = (int)lengths[at[batchAxis]];
            picks[i] = t < length ? i + ((length - 1 - t - t) * strides[timeAxis]) : i;
            Axes.Next(at, shape);
        }
        return [Moving.Pick(x, shape, picks)];
    }
}
