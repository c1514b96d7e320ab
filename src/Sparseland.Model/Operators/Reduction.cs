using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>A function of a row of numbers.</summary>
internal delegate T RowReduction<T>(ReadOnlySpan<T> row);

/// <summary>ReduceSum, ReduceMean ...: a function over axes. Real numbers accumulate in double precision, integers exactly.</summary>
internal sealed class Reduction(string opType, RowReduction<double> real, RowReduction<long>? integer = null) : Operator(opType, minInputs: 1, maxInputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        long[]? axes = context.AxesOf(1, out bool known);
        bool keep = context.Node.Attributes.Int("keepdims", 1) == 1;
        TensorShape? x = context.Shape(0), result = null;
        if (x is not null && known)
        {
            int[] over = Over(context.Node, axes, x.Rank);
            result = new TensorShape([.. x.Select((d, i) => over.Contains(i) ? 1 : d).Where((_, i) => keep || !over.Contains(i))]);
        }
        else if (x is not null && keep)
        {
            result = Inference.OfRank(x.Rank);
        }
        context.SetOutput(0, context.Element(0), result);
        if (result is { Rank: 0 } && OpType == "ReduceProd" && context.InputAsShape(0) is { } sizes) context.SetOutputAsShape(0, new TensorShape(Flatten.Product(sizes)));
    }

    public override void Couple(AxisCoupling coupling)
    {
        long[]? axes = coupling.Has(Port.In(1)) ? coupling.Constant(1)?.ToInt64s() : coupling.Node.Attributes.Ints("axes");
        if (axes is null && coupling.Has(Port.In(1))) return;
        coupling.Reduce(Over(coupling.Node, axes, coupling.Rank(Port.In(0))), coupling.Node.Attributes.Int("keepdims", 1) == 1,
            ignoresZeros: OpType is "ReduceSum" or "ReduceL1" or "ReduceL2" or "ReduceSumSquare",
            keepsZero: OpType is not ("ReduceLogSum" or "ReduceLogSumExp"));
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int[] over = Over(context.Node, context.AxesOf(1), x.Rank);
        if (over.Length == 0 && context.Node.Attributes.Int("noop_with_empty_axes", 0) == 1 && OpType is "ReduceSum" or "ReduceMean" or "ReduceMax" or "ReduceMin" or "ReduceProd" && over.Length == 0)
            return [x];
        int[] kept = [.. Enumerable.Range(0, x.Rank).Where(i => !over.Contains(i))];
        TensorData rows = Moving.Transpose(x, [.. kept, .. over]);
        int count = 1, width = 1;
        foreach (int i in kept) count *= x.Shape[i];
        foreach (int i in over) width *= x.Shape[i];
        bool keep = context.Node.Attributes.Int("keepdims", 1) == 1;
        var shape = new List<int>();
        for (int i = 0; i < x.Rank; i++)
        {
            if (keep || !over.Contains(i)) shape.Add(over.Contains(i) ? 1 : x.Shape[i]);
        }
        TensorData y = x.ElementType.IsFloat() || x.ElementType == ElementType.UInt64 || integer is null
            ? Rows(rows.ToDoubles(), count, width, real)
            : Rows(rows.To(ElementType.Int64).Array<long>(), count, width, integer);
        return [y.Reshape([.. shape]).To(x.ElementType)];
    }

    private static TensorData Rows<T>(T[] values, int count, int width, RowReduction<T> function)
    {
        var y = new T[count];
        for (int i = 0; i < count; i++) y[i] = function(values.AsSpan(i * width, width));
        return TensorData.Vector(y);
    }

    private static int[] Over(Node node, long[]? axes, int rank) => axes is { Length: > 0 }
        ? Axes.Normalize(axes, rank)
        : node.Attributes.Int("noop_with_empty_axes", 0) == 1 ? [] : [.. Enumerable.Range(0, rank)];

    public static IEnumerable<Operator> All() =>
    [
        new Reduction("ReduceSum", Sum, Sum),
        new Reduction("ReduceMean", r => Sum(r) / r.Length, r => Sum(r) / r.Length),
        new Reduction("ReduceProd", r => Fold(r, 1, (a, v) => a * v), r => Fold(r, 1, (a, v) => a * v)),
        new Reduction("ReduceMax", r => Fold(r, double.NegativeInfinity, Math.Max), r => Fold(r, long.MinValue, Math.Max)),
        new Reduction("ReduceMin", r => Fold(r, double.PositiveInfinity, Math.Min), r => Fold(r, long.MaxValue, Math.Min)),
        new Reduction("ReduceL1", r => Fold(r, 0, (a, v) => a + Math.Abs(v)), r => Fold(r, 0, (a, v) => a + Math.Abs(v))),
        new Reduction("ReduceL2", r => Math.Sqrt(Fold(r, 0, (a, v) => a + (v * v))), r => (long)Math.Sqrt(Fold(r, 0, (a, v) => a + (v * v)))),
        new Reduction("ReduceSumSquare", r => Fold(r, 0, (a, v) => a + (v * v)), r => Fold(r, 0, (a, v) => a + (v * v))),
        new Reduction("ReduceLogSum", r => Math.Log(Sum(r))),
        new Reduction("ReduceLogSumExp", LogSumExp),
    ];

    /// <summary>log of the sum of exponentials, shifted by the maximum so that nothing overflows.</summary>
    internal static double LogSumExp(ReadOnlySpan<double> row)
    {
        double max = Fold(row, double.NegativeInfinity, Math.Max);
        if (double.IsInfinity(max)) return max;
        double sum = 0;
        foreach (double v in row) sum += Math.Exp(v - max);
        return max + Math.Log(sum);
    }

    private static T Sum<T>(ReadOnlySpan<T> row) where T : System.Numerics.INumber<T>
    {
        T sum = T.Zero;
        foreach (T v in row) sum += v;
        return sum;
    }

    private static T Fold<T>(ReadOnlySpan<T> row, T start, Func<T, T, T> step)
    {
        foreach (T v in row) start = step(start, v);
        return start;
    }
}

/// <summary>ArgMax and ArgMin: the position of the extreme along an axis, the first or the last of equals.</summary>
internal sealed class ArgExtreme(string opType) : Operator(opType)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? result = null;
        if (context.Shape(0) is { } x)
        {
            int axis = Axes.Normalize(context.Node.Attributes.Int("axis", 0), x.Rank);
            bool keep = context.Node.Attributes.Int("keepdims", 1) == 1;
            result = new TensorShape([.. x.Select((d, i) => i == axis ? 1 : d).Where((_, i) => keep || i != axis)]);
        }
        context.SetOutput(0, ElementType.Int64, result);
    }

    public override void Couple(AxisCoupling coupling)
    {
        int axis = coupling.Normalize(Port.In(0), (int)coupling.Node.Attributes.Int("axis", 0));
        coupling.Reduce([axis], coupling.Node.Attributes.Int("keepdims", 1) == 1, ignoresZeros: false, keepsZero: false);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", 0), x.Rank);
        bool last = context.Node.Attributes.Int("select_last_index", 0) == 1, keep = context.Node.Attributes.Int("keepdims", 1) == 1;
        double sign = OpType == "ArgMax" ? 1 : -1;
        (int outer, int size, int inner) = Axes.Around(x.Shape, axis);
        double[] values = x.ToDoubles();
        var y = new long[outer * inner];
        for (int o = 0; o < outer; o++)
        {
            for (int i = 0; i < inner; i++)
            {
                int best = 0;
                for (int k = 1; k < size; k++)
                {
                    double difference = sign * (values[(((o * size) + k) * inner) + i] - values[(((o * size) + best) * inner) + i]);
                    if (difference > 0 || (last && difference == 0)) best = k;
                }
                y[(o * inner) + i] = best;
            }
        }
        return [TensorData.Wrap(y, keep ? [.. x.Shape[..axis], 1, .. x.Shape[(axis + 1)..]] : [.. x.Shape[..axis], .. x.Shape[(axis + 1)..]])];
    }
}

/// <summary>TopK along an axis; equal values in order of position.</summary>
internal sealed class TopK() : Operator("TopK", minInputs: 2, maxOutputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? x = context.Shape(0);
        TensorShape? result = x?.With(Axes.Normalize(context.Node.Attributes.Int("axis", -1), x.Rank), context.Integers(1) is { } k ? (int)k[0] : Dimension.Unknown);
        context.SetOutput(0, context.Element(0), result);
        context.SetOutput(1, ElementType.Int64, result);
    }

    public override void Couple(AxisCoupling coupling)
    {
        int axis = coupling.Normalize(Port.In(0), (int)coupling.Node.Attributes.Int("axis", -1));
        foreach (Port y in coupling.Ports().Where(p => p.IsOutput)) coupling.SameExcept(Port.In(0), y, [axis], keepsZero: y.Index == 0);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", -1), x.Rank), k = checked((int)context.Input(1).ToInt64s()[0]);
        (int outer, int size, int inner) = Axes.Around(x.Shape, axis);
        if (k < 0 || k > size) throw context.Error($"k = {k} is outside an axis of {size}");
        int sign = context.Node.Attributes.Int("largest", 1) == 1 ? -1 : 1;
        int[] shape = x.Shape.ToArray();
        shape[axis] = k;
        var picks = new int[Axes.Product(shape)];
        var at = new long[picks.Length];
        double[] values = x.ToDoubles();
        for (int o = 0; o < outer; o++)
        {
            for (int i = 0; i < inner; i++)
            {
                int[] order = [.. Enumerable.Range(0, size)];
                double Value(int p) => values[(((o * size) + p) * inner) + i];
                Array.Sort(order, (a, b) => sign * Value(a).CompareTo(Value(b)) is var c && c != 0 ? c : a.CompareTo(b));
                for (int j = 0; j < k; j++)
                {
                    int to = (((o * k) + j) * inner) + i;
                    (picks[to], at[to]) = ((((o * size) + order[j]) * inner) + i, order[j]);
                }
            }
        }
        return [Moving.Pick(x, shape, picks), TensorData.Wrap(at, shape)];
    }
}

/// <summary>CumSum and CumProd along an axis.</summary>
internal sealed class Cumulative(string opType) : Operator(opType, minInputs: 2)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling)
    {
        if (coupling.Constant(1) is { Length: 1 } axis)
            coupling.SameExcept(Port.In(0), Port.Out(), [coupling.Normalize(Port.In(0), (int)axis.ToInt64s()[0])], keepsZero: OpType == "CumSum");
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        return [x.ElementType.IsFloat() ? Run(context, x.ToDoubles()).To(x.ElementType) : Run(context, x.To(ElementType.Int64).Array<long>()).To(x.ElementType)];
    }

    private TensorData Run<T>(EvaluationContext context, T[] x) where T : System.Numerics.INumber<T>
    {
        TensorData input = context.Input(0);
        int axis = Axes.Normalize(context.Input(1).ToInt64s()[0], input.Rank);
        bool exclusive = context.Node.Attributes.Int("exclusive", 0) == 1, reverse = context.Node.Attributes.Int("reverse", 0) == 1, product = OpType == "CumProd";
        (int outer, int size, int inner) = Axes.Around(input.Shape, axis);
        var y = new T[x.Length];
        for (int o = 0; o < outer; o++)
        {
            for (int i = 0; i < inner; i++)
            {
                T sum = product ? T.One : T.Zero;
                for (int k = 0; k < size; k++)
                {
                    int at = (((o * size) + (reverse ? size - 1 - k : k)) * inner) + i;
                    T next = product ? sum * x[at] : sum + x[at];
                    y[at] = exclusive ? sum : next;
                    sum = next;
                }
            }
        }
        return TensorData.Wrap(y, input.Shape);
    }
}
