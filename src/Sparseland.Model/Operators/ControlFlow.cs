using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>If: one of two graphs, chosen by a scalar condition.</summary>
internal sealed class If() : Operator("If", maxOutputs: -1)
{
    public override void Infer(InferenceContext context)
    {
        ModelGraph then = Bodies.Require(context.Node, "then_branch"), other = Bodies.Require(context.Node, "else_branch");
        TensorType?[] a = context.InferSubgraph(then, []), b = context.InferSubgraph(other, []);
        if (context.InputValue(0) is { Length: 1, ElementType: ElementType.Bool } chosen) a = b = chosen.Span<bool>()[0] ? a : b;
        for (int i = 0; i < context.Node.Outputs.Count && i < a.Length && i < b.Length; i++)
        {
            if (a[i] is not { } x || b[i] is not { } y) continue;
            context.SetOutput(i, x.ElementType, Bodies.Common(x.Shape, y.Shape));
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData condition = context.Input(0);
        if (condition.Length != 1) throw context.Error("the condition must be one boolean");
        return context.RunSubgraph(Bodies.Require(context.Node, condition.Array<bool>()[0] ? "then_branch" : "else_branch"), []);
    }
}

/// <summary>Loop: a body repeated a number of times or while a condition holds; carried values and stacked outputs.</summary>
internal sealed class Loop() : Operator("Loop", minInputs: 2, maxInputs: int.MaxValue, maxOutputs: -1)
{
    public override void Infer(InferenceContext context)
    {
        ModelGraph body = Bodies.Require(context.Node, "body");
        int carried = context.Node.Inputs.Count - 2;
        var types = new TensorType?[2 + carried];
        types[0] = new(ElementType.Int64, TensorShape.Scalar);
        types[1] = new(ElementType.Bool, TensorShape.Scalar);
        for (int i = 0; i < carried; i++) types[2 + i] = context.InputType(2 + i);
        TensorType?[] once = context.InferSubgraph(body, types);
        // A carried value whose shape changes in one step has no fixed shape; infer the body again without it.
        bool changed = false;
        for (int i = 0; i < carried; i++)
        {
            if (types[2 + i] is not { } before || once[1 + i] is not { } after || Equals(before.Shape, after.Shape)) continue;
            types[2 + i] = before with { Shape = Bodies.Common(before.Shape, after.Shape) };
            changed = true;
        }
        if (changed) once = context.InferSubgraph(body, types);
        Dimension trips = !context.Node.HasInput(1) && context.Integers(0) is [var n] ? (int)Math.Clamp(n, 0, int.MaxValue) : Dimension.Unknown;
        for (int i = 0; i < context.Node.Outputs.Count && i + 1 < once.Length; i++)
        {
            if (once[i + 1] is not { } type) continue;
            if (i < carried) context.SetOutput(i, type.ElementType, Bodies.Common(types[2 + i]?.Shape, type.Shape));
            else context.SetOutput(i, type.ElementType, type.Shape is null ? null : new TensorShape([trips, .. type.Shape]));
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        ModelGraph body = Bodies.Require(context.Node, "body");
        long limit = context.Has(0) ? context.Input(0).ToInt64s()[0] : long.MaxValue;
        bool go = !context.Has(1) || context.Input(1).Array<bool>()[0];
        int carried = context.Node.Inputs.Count - 2;
        List<TensorData> state = [.. Enumerable.Range(2, carried).Select(context.Input)];
        var stacked = new List<TensorData>[Math.Max(0, body.Outputs.Count - 1 - carried)];
        for (int i = 0; i < stacked.Length; i++) stacked[i] = [];
        for (long trip = 0; trip < limit && go; trip++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            TensorData[] results = context.RunSubgraph(body, [TensorData.Scalar(trip), TensorData.Scalar(go), .. state]);
            go = results[0].Array<bool>()[0];
            state = [.. results[1..(1 + carried)]];
            for (int i = 0; i < stacked.Length; i++) stacked[i].Add(results[1 + carried + i]);
        }
        return [.. state, .. stacked.Select((parts, i) => Bodies.Stack(parts, 0, body.Outputs[1 + carried + i].Type))];
    }
}

/// <summary>Scan: a body applied along axes of its inputs; carried state and stacked outputs.</summary>
internal sealed class Scan() : Operator("Scan", minInputs: 1, maxInputs: int.MaxValue, maxOutputs: -1)
{
    public override void Infer(InferenceContext context)
    {
        ModelGraph body = Bodies.Require(context.Node, "body");
        int scans = (int)context.Node.Attributes.Int("num_scan_inputs", 1), states = context.Node.Inputs.Count - scans;
        var types = new TensorType?[states + scans];
        Dimension length = Dimension.Unknown;
        for (int i = 0; i < types.Length; i++)
        {
            types[i] = context.InputType(i);
            if (i < states || types[i] is not { Shape: { } shape } type) continue;
            int axis = Axes.Normalize(context.Node.Attributes.Ints("scan_input_axes")?[i - states] ?? 0, shape.Rank);
            length = Inference.Either(length, shape[axis]);
            types[i] = type with { Shape = new TensorShape([.. shape.Where((_, d) => d != axis)]) };
        }
        TensorType?[] results = context.InferSubgraph(body, types);
        for (int i = 0; i < context.Node.Outputs.Count && i < results.Length; i++)
        {
            if (results[i] is not { } type) continue;
            if (i < states || type.Shape is null) context.SetOutput(i, type.ElementType, type.Shape);
            else
            {
                int axis = Axes.Normalize(context.Node.Attributes.Ints("scan_output_axes")?[i - states] ?? 0, type.Shape.Rank + 1);
                context.SetOutput(i, type.ElementType, new TensorShape([.. type.Shape.Take(axis), length, .. type.Shape.Skip(axis)]));
            }
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        ModelGraph body = Bodies.Require(context.Node, "body");
        int scans = (int)context.Node.Attributes.Int("num_scan_inputs", 1), states = context.Inputs.Count - scans;
        List<TensorData> state = [.. Enumerable.Range(0, states).Select(context.Input)];
        TensorData[] scanned = [.. Enumerable.Range(states, scans).Select(context.Input)];
        int[] axes = [.. scanned.Select((x, i) => Axes.Normalize(context.Node.Attributes.Ints("scan_input_axes")?[i] ?? 0, x.Rank))];
        long[] backwards = context.Node.Attributes.Ints("scan_input_directions") ?? new long[scans];
        int length = scans == 0 ? 0 : scanned[0].Shape[axes[0]];
        var stacked = new List<TensorData>[body.Outputs.Count - states];
        for (int i = 0; i < stacked.Length; i++) stacked[i] = [];
        for (int t = 0; t < length; t++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            TensorData[] inputs = [.. state, .. scanned.Select((x, i) => Bodies.Row(x, axes[i], backwards[i] == 1 ? length - 1 - t : t))];
            TensorData[] results = context.RunSubgraph(body, inputs);
            state = [.. results[..states]];
            for (int i = 0; i < stacked.Length; i++) stacked[i].Add(results[states + i]);
        }
        long[] outputBackwards = context.Node.Attributes.Ints("scan_output_directions") ?? new long[stacked.Length];
        for (int i = 0; i < stacked.Length; i++)
        {
            if (outputBackwards[i] == 1) stacked[i].Reverse();
        }
        return [.. state, .. stacked.Select((parts, i) => Bodies.Stack(parts, context.Node.Attributes.Ints("scan_output_axes")?[i] ?? 0, body.Outputs[states + i].Type))];
    }
}

/// <summary>What the operators with graphs in their attributes share.</summary>
internal static class Bodies
{
    public static ModelGraph Require(Node node, string attribute) =>
        node.Attributes.Graph(attribute) ?? throw new ArgumentException($"attribute '{attribute}' has no graph");

    /// <summary>What two shapes have in common.</summary>
    public static TensorShape? Common(TensorShape? a, TensorShape? b)
    {
        if (a is null || b is null || a.Rank != b.Rank) return null;
        return new TensorShape([.. a.Select((d, i) => d == b[i] ? d : Dimension.Unknown)]);
    }

    /// <summary>One position of an axis, the axis removed.</summary>
    public static TensorData Row(TensorData x, int axis, int at)
    {
        int[] strides = Axes.Strides(x.Shape);
        return Moving.Strided(x, [.. x.Shape[..axis], .. x.Shape[(axis + 1)..]], [.. strides[..axis], .. strides[(axis + 1)..]], at * strides[axis]);
    }

    /// <summary>Tensors of one shape along a new axis; none make an empty tensor of the declared type.</summary>
    public static TensorData Stack(List<TensorData> parts, long axis, TensorType declared)
    {
        if (parts.Count == 0)
        {
            int[] rest = declared.Shape is { } s ? [.. s.Select(d => Math.Max(0, d.Value))] : [];
            return TensorData.Zeros(declared.ElementType, [0, .. rest]);
        }
        TensorData first = parts[0];
        int at = Axes.Normalize(axis, first.Rank + 1);
        TensorData y = TensorData.Zeros(first.ElementType, [.. first.Shape[..at], parts.Count, .. first.Shape[at..]]);
        int outer = Axes.Product(first.Shape[..at]), inner = Axes.Product(first.Shape[at..]);
        for (int i = 0; i < parts.Count; i++)
        {
            if (!parts[i].Shape.SequenceEqual(first.Shape)) throw new ArgumentException($"a stacked output changes its shape from {first} to {parts[i]}");
            for (int o = 0; o < outer; o++) Moving.Block(parts[i], o * inner, y, ((o * parts.Count) + i) * inner, inner);
        }
        return y;
    }
}
