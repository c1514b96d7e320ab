using Sparseland.Model.Graph;

namespace Sparseland.Model.Operators.Support;

/// <summary>Short forms that the operators' Infer methods share.</summary>
internal static class Inference
{
    /// <summary>The element type of a required input.</summary>
    public static ElementType Element(this InferenceContext c, int index) =>
        c.InputType(index)?.ElementType ?? throw c.Error($"input {index} is missing");

    /// <summary>The shape of an input, or null when it is left out or its rank is unknown.</summary>
    public static TensorShape? Shape(this InferenceContext c, int index) => c.InputType(index)?.Shape;

    /// <summary>The constant integers of an input, or null.</summary>
    public static long[]? Integers(this InferenceContext c, int index) =>
        c.InputType(index)?.ElementType is ElementType.Int64 or ElementType.Int32 ? c.InputValue(index)?.ToInt64s() : null;

    /// <summary>Gives an output the type and shape of an input.</summary>
    public static void Copy(this InferenceContext c, int input = 0, int output = 0) => c.SetOutput(output, c.Element(input), c.Shape(input));

    /// <summary>A shape of so many unknown sizes.</summary>
    public static TensorShape OfRank(int rank) => new([.. Enumerable.Repeat(Dimension.Unknown, rank)]);

    /// <summary>Axes given as an input (newer opsets) or as an attribute (older ones); null when neither is there.</summary>
    /// <param name="c">The node.</param>
    /// <param name="index">The input.</param>
    /// <param name="known">False when the input is there but its value is not known.</param>
    public static long[]? AxesOf(this InferenceContext c, int index, out bool known)
    {
        known = true;
        if (!c.Node.HasInput(index)) return c.Node.Attributes.Ints("axes");
        long[]? axes = c.Integers(index);
        known = axes is not null;
        return axes;
    }

    /// <summary>Axes given as an input or as an attribute; null when neither is there.</summary>
    public static long[]? AxesOf(this EvaluationContext c, int index) =>
        c.Has(index) ? c.Input(index).ToInt64s() : c.Node.Attributes.Ints("axes");

    /// <summary>The broadcast of shapes; null when a rank is unknown.</summary>
    public static TensorShape? Broadcast(this InferenceContext c, params ReadOnlySpan<TensorShape?> shapes)
    {
        int rank = 0;
        foreach (TensorShape? shape in shapes)
        {
            if (shape is null) return null;
            rank = Math.Max(rank, shape.Rank);
        }
        var result = new Dimension[rank];
        Array.Fill(result, 1);
        foreach (TensorShape? shape in shapes)
        {
            for (int i = 0; i < shape!.Rank; i++)
            {
                ref Dimension size = ref result[rank - shape.Rank + i];
                if (!TryMerge(size, shape[i], out size)) throw c.Error("the shapes do not broadcast: " + string.Join(" and ", shapes.ToArray().Select(s => s!.ToString())));
            }
        }
        return new TensorShape(result);
    }

    /// <summary>What two declarations of one size say together: the known one, or the named one.</summary>
    public static Dimension Either(Dimension a, Dimension b) => a.IsKnown ? a : b.IsKnown ? b : a.Symbol is not null ? a : b;

    private static bool TryMerge(Dimension a, Dimension b, out Dimension merged)
    {
        merged = a;
        if (a == b && (a.IsKnown || a.Symbol is not null)) return true;
        if (a is { Value: 1 })
        {
            merged = b;
            return true;
        }
        if (b is { Value: 1 }) return true;
        if (a.IsKnown && b.IsKnown) return false;
        merged = a.IsKnown ? a : b.IsKnown ? b : Dimension.Unknown;
        return true;
    }
}
