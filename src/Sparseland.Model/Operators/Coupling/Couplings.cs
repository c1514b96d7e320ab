using Sparseland.Model.Graph;

namespace Sparseland.Model.Operators.Coupling;

/// <summary>When an element-wise result is zero.</summary>
internal enum ZeroRule
{
    /// <summary>Never surely (comparison, exponential).</summary>
    Never,

    /// <summary>When every operand is (sum, maximum).</summary>
    All,

    /// <summary>When one operand is (product).</summary>
    Any,

    /// <summary>When the first operand is (quotient, gated slope).</summary>
    First,
}

/// <summary>Couplings that whole families of operators share.</summary>
internal static class Couplings
{
    /// <summary>Output and input have the same shape, entry for entry; further inputs without axes are ignored.</summary>
    public static void Pointwise(this AxisCoupling c, bool keepsZero, int input = 0, int output = 0)
    {
        Port x = Port.In(input), y = Port.Out(output);
        for (int axis = 0; axis < c.Rank(x); axis++)
        {
            c.Link(x, axis, y, axis);
            c.SetZero(y, axis, keepsZero && c.IsZero(x, axis));
        }
    }

    /// <summary>Output 0 is element-wise over all inputs, aligned at their last axes; an axis of size 1 is repeated and takes no part.</summary>
    public static void Broadcast(this AxisCoupling c, ZeroRule rule) => c.Broadcast(rule, [.. c.Ports().Where(p => !p.IsOutput).Select(p => p.Index)]);

    /// <summary>Output 0 is element-wise over these inputs.</summary>
    public static void Broadcast(this AxisCoupling c, ZeroRule rule, ReadOnlySpan<int> inputs)
    {
        Port y = Port.Out();
        int rank = c.Rank(y);
        for (int axis = 0; axis < rank; axis++)
        {
            bool all = true, any = false, first = false;
            for (int i = 0; i < inputs.Length; i++)
            {
                Port x = Port.In(inputs[i]);
                int own = axis - (rank - c.Rank(x));
                bool spans = own >= 0 && c.Size(x, own) == c.Size(y, axis);
                if (spans) c.Link(x, own, y, axis);
                else if (own >= 0 && c.Size(x, own) == 1) c.Free(x, own);
                else if (own >= 0) c.Link(x, own, y, axis);
                bool zero = spans && c.IsZero(x, own);
                all &= zero;
                any |= zero;
                if (i == 0) first = zero;
            }
            c.SetZero(y, axis, rule switch { ZeroRule.All => all, ZeroRule.Any => any, ZeroRule.First => first, _ => false });
        }
    }

    /// <summary>Axes of a port are not features: they stay as they are.</summary>
    public static void FreezeFrom(this AxisCoupling c, Port port, int firstAxis, string because)
    {
        if (!c.Has(port)) return;
        for (int axis = firstAxis; axis < c.Rank(port); axis++) c.Freeze(port, axis, RefusalReason.FixedAxis, because);
    }

    /// <summary>Every axis of both ports is the same but those listed, which are the operator's own business.</summary>
    public static void SameExcept(this AxisCoupling c, Port x, Port y, ReadOnlySpan<int> except, bool keepsZero = true)
    {
        for (int axis = 0; axis < c.Rank(x); axis++)
        {
            if (except.Contains(axis)) continue;
            c.Link(x, axis, y, axis);
            c.SetZero(y, axis, keepsZero && c.IsZero(x, axis));
        }
    }

    /// <summary>Axes 0 (batch) and 1 (channels) of input and output are the same; the window moves over the rest.</summary>
    public static void Windowed(this AxisCoupling c, bool keepsZero)
    {
        foreach (Port y in c.Ports().Where(p => p.IsOutput))
        {
            c.Link(Port.In(0), 0, y, 0);
            c.Link(Port.In(0), 1, y, 1);
            c.SetZero(y, 1, keepsZero && c.IsZero(Port.In(0), 1));
            c.FreezeFrom(y, 2, "a window moves over it");
        }
        c.FreezeFrom(Port.In(0), 2, "a window moves over it");
    }

    /// <summary>A per-channel vector (scale, bias, mean ...) belongs to axis 1 of the data.</summary>
    public static void PerChannel(this AxisCoupling c, ReadOnlySpan<int> vectors)
    {
        foreach (int vector in vectors)
        {
            if (c.Has(Port.In(vector)) && c.Rank(Port.In(vector)) == 1) c.Link(Port.In(0), 1, Port.In(vector), 0);
        }
    }

    /// <summary>Axes are folded by a reduction; the rest stays.</summary>
    /// <param name="c">The coupling.</param>
    /// <param name="axes">The axes that are folded, counted from the front.</param>
    /// <param name="keepDimensions">Whether they stay as axes of size 1.</param>
    /// <param name="ignoresZeros">Whether zeros do not change the result (a sum) or do (a mean, a maximum).</param>
    /// <param name="keepsZero">Whether the result over zeros alone is zero.</param>
    public static void Reduce(this AxisCoupling c, ReadOnlySpan<int> axes, bool keepDimensions, bool ignoresZeros, bool keepsZero)
    {
        Port x = Port.In(0), y = Port.Out();
        int at = 0;
        for (int axis = 0; axis < c.Rank(x); axis++)
        {
            if (axes.Contains(axis))
            {
                if (ignoresZeros && c.IsZero(x, axis)) c.Free(x, axis);
                else if (ignoresZeros) c.Freeze(x, axis, RefusalReason.NonZeroSum, "entries that need not be zero are summed");
                else c.Freeze(x, axis, RefusalReason.NormalizedAxis, $"{c.Node.OpType} runs over it");
                if (keepDimensions) c.Free(y, at++);
                continue;
            }
            c.Link(x, axis, y, at);
            c.SetZero(y, at, keepsZero && c.IsZero(x, axis));
            at++;
        }
    }

    /// <summary>The last axis of <paramref name="a"/> is multiplied and summed with an axis of <paramref name="b"/>.</summary>
    public static void Contract(this AxisCoupling c, Port a, int axisA, Port b, int axisB)
    {
        c.Link(a, axisA, b, axisB);
        if (c.IsZero(a, axisA) || c.IsZero(b, axisB)) return;
        c.Freeze(a, axisA, RefusalReason.NonZeroSum, "products of entries that need not be zero are summed over it");
    }
}
