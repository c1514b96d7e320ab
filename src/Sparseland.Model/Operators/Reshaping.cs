using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>Reshape: the same elements under another shape; 0 keeps a size (unless allowzero), one -1 is what is left.</summary>
internal sealed class Reshape() : Operator("Reshape", minInputs: 1, maxInputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? x = context.Shape(0);
        long[]? target = context.Integers(1) ?? context.Node.Attributes.Ints("shape");
        bool allowZero = context.Node.Attributes.Int("allowzero", 0) == 1;
        if (target is null)
        {
            // A target computed from sizes that are not all numbers: unknown entries stay unknown or named.
            TensorShape? partial = context.InputAsShape(1);
            if (partial is null && context.Shape(1) is { Rank: 1 } length && length[0].IsKnown) partial = Inference.OfRank(length[0].Value);
            context.SetOutput(0, context.Element(0), partial is null ? null : FillOne(x, KeepZeros(partial, x, allowZero)));
            return;
        }

        var sizes = new Dimension[target.Length];
        int open = -1;
        for (int i = 0; i < target.Length; i++)
        {
            if (target[i] == -1)
            {
                if (open >= 0) throw context.Error($"target [{string.Join(", ", target)}] has two entries -1");
                open = i;
                sizes[i] = Dimension.Unknown;
            }
            else if (target[i] == 0 && !allowZero)
            {
                if (x is not null && i >= x.Rank) throw context.Error($"entry {i} of target [{string.Join(", ", target)}] keeps a size that the input does not have");
                sizes[i] = x is null ? Dimension.Unknown : x[i];
            }
            else
            {
                sizes[i] = target[i] is >= 0 and <= int.MaxValue ? (int)target[i] : throw context.Error($"target [{string.Join(", ", target)}] has a negative size");
            }
        }
        if (x is not null && open >= 0) sizes[open] = WhatIsLeft(context, x, sizes, open, target);
        var result = new TensorShape(sizes);
        if (x is { IsStatic: true } && result.IsStatic && Count(x) != Count(result))
            throw context.Error($"{Count(x)} elements of {x} do not fit the target [{string.Join(", ", target)}]");
        context.SetOutput(0, context.Element(0), result);
        if (result.Rank <= 1 && context.InputAsShape(0) is { } values) context.SetOutputAsShape(0, values);
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), y = Port.Out();
        long[]? target = Target(coupling.Node, coupling.Constant(1));
        if (target is null && ShapeTargets.Reshape(coupling.Shape(x), coupling.Shape(y)) is null)
        {
            coupling.FreezeAll(RefusalReason.DynamicShape, "the target shape is computed while the model runs");
            return;
        }
        bool allowZero = coupling.Node.Attributes.Int("allowzero", 0) == 1;
        coupling.Reshaped(x, y, (from, to) => from == to && !allowZero && target is not null && target[to] == 0);
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        TensorShape x = removal.NewShape(Port.In(0)), y = removal.NewShape(Port.Out());
        long[]? target = Target(removal.Node, removal.OldConstant(1));
        if (target is null || removal.OldInputIsComputed(1))
        {
            // A target that is computed from sizes may no longer be what it was: it is written down instead.
            if (ShapeTargets.Reshape(x, y) is { } written) removal.SetConstant(1, TensorData.Vector(written));
            return;
        }
        if (!removal.IsCut(Port.Out())) return;
        target = (long[])target.Clone();
        for (int axis = 0; axis < target.Length; axis++)
        {
            bool copied = target[axis] == 0 && axis < x.Rank && x[axis] == y[axis];
            if (target[axis] != -1 && !copied && y[axis].IsKnown) target[axis] = y[axis].Value;
        }
        if (removal.Node.HasInput(1)) removal.SetConstant(1, TensorData.Vector(target));
        else removal.Node.Attributes.Set("shape", target);
    }

    private static long[]? Target(Node node, TensorData? constant) => node.HasInput(1) ? constant?.ToInt64s() : node.Attributes.Ints("shape");

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        long[] target = context.Has(1) ? context.Input(1).ToInt64s() : context.Node.Attributes.Ints("shape") ?? throw context.Error("there is no target shape");
        bool allowZero = context.Node.Attributes.Int("allowzero", 0) == 1;
        var shape = new int[target.Length];
        int open = -1;
        long known = 1;
        for (int i = 0; i < target.Length; i++)
        {
            if (target[i] == -1)
            {
                if (open >= 0) throw context.Error("the target has two entries -1");
                open = i;
                continue;
            }
            shape[i] = target[i] == 0 && !allowZero ? x.Shape[i] : checked((int)target[i]);
            known *= shape[i];
        }
        if (open >= 0)
        {
            if (known == 0 || x.Length % known != 0) throw context.Error($"{x.Length} elements do not fit the target [{string.Join(", ", target)}]");
            shape[open] = (int)(x.Length / known);
        }
        return [x.Reshape(shape)];
    }

    private static Dimension WhatIsLeft(InferenceContext context, TensorShape x, Dimension[] sizes, int open, long[] target)
    {
        // Sizes that appear on both sides cancel, named ones too.
        var left = x.ToList();
        long rest = 1;
        for (int i = 0; i < sizes.Length; i++)
        {
            if (i == open) continue;
            if (sizes[i].IsKnown)
            {
                rest *= sizes[i].Value;
                continue;
            }
            // A size kept by 0 is the same unknown on both sides.
            int match = target[i] == 0 && i < x.Rank ? left.FindIndex(d => d == x[i]) : -1;
            if (match < 0) return Dimension.Unknown;
            left.RemoveAt(match);
        }
        long have = 1;
        Dimension? symbol = null;
        foreach (Dimension d in left)
        {
            if (d.IsKnown) have *= d.Value;
            else if (symbol is null) symbol = d;
            else return Dimension.Unknown;
        }
        if (symbol is not null) return have == rest ? symbol.Value : Dimension.Unknown;
        if (rest == 0 || have % rest != 0) throw context.Error($"{x} does not fit the target [{string.Join(", ", target)}]");
        return (int)(have / rest);
    }

    private static TensorShape KeepZeros(TensorShape partial, TensorShape? x, bool allowZero) => allowZero ? partial
        : new TensorShape([.. partial.Select((d, i) => d is { Value: 0 } ? (x is not null && i < x.Rank ? x[i] : Dimension.Unknown) : d)]);

    private static TensorShape FillOne(TensorShape? x, TensorShape partial)
    {
        // The only size of a computed target without a name is what is left when everything else is a number.
        if (x is not { IsStatic: true } || partial.Count(d => !d.IsKnown) != 1) return partial;
        long known = partial.Where(d => d.IsKnown).Aggregate(1L, (n, d) => n * d.Value);
        int at = partial.ToList().FindIndex(d => !d.IsKnown);
        return known > 0 && Count(x) % known == 0 ? partial.With(at, (int)(Count(x) / known)) : partial;
    }

    private static long Count(TensorShape shape) => shape.Aggregate(1L, (n, d) => n * d.Value);
}

/// <summary>Flatten to a matrix: axes before "axis", and the rest.</summary>
internal sealed class Flatten() : Operator("Flatten")
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? result = Inference.OfRank(2);
        if (context.Shape(0) is { } x)
        {
            int axis = Axes.Normalize(context.Node.Attributes.Int("axis", 1), x.Rank, extra: 1);
            result = new TensorShape(Product(x.Take(axis)), Product(x.Skip(axis)));
        }
        context.SetOutput(0, context.Element(0), result);
    }

    public override void Couple(AxisCoupling coupling) => coupling.Reshaped(Port.In(0), Port.Out());

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", 1), x.Rank, extra: 1);
        return [x.Reshape(Axes.Product(x.Shape[..axis]), Axes.Product(x.Shape[axis..]))];
    }

    internal static Dimension Product(IEnumerable<Dimension> sizes)
    {
        Dimension result = 1;
        foreach (Dimension d in sizes)
        {
            if (d is { Value: 1 }) continue;
            if (result is { Value: 1 }) result = d;
            else if (d.IsKnown && result.IsKnown) result = checked(d.Value * result.Value);
            else return Dimension.Unknown;
        }
        return result;
    }
}

/// <summary>Squeeze: removes axes of size 1 (all of them when none are listed).</summary>
internal sealed class Squeeze() : Operator("Squeeze", minInputs: 1, maxInputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        long[]? axes = context.AxesOf(1, out bool known);
        TensorShape? result = null;
        if (context.Shape(0) is { } x && known)
        {
            if (axes is null) result = x.IsStatic ? new TensorShape([.. x.Where(d => d.Value != 1)]) : null;
            else
            {
                int[] drop = Axes.Normalize(axes, x.Rank);
                if (drop.Any(a => x[a].IsKnown && x[a].Value != 1)) throw context.Error("only axes of size 1 can be removed");
                result = new TensorShape([.. x.Where((_, i) => !drop.Contains(i))]);
            }
        }
        context.SetOutput(0, context.Element(0), result);
        if (context.InputAsShape(0) is { Rank: 1 } sizes) context.SetOutputAsShape(0, sizes);
    }

    public override void Couple(AxisCoupling coupling)
    {
        long[]? axes = coupling.Has(Port.In(1)) ? coupling.Constant(1)?.ToInt64s() : coupling.Node.Attributes.Ints("axes");
        if (axes is null && coupling.Has(Port.In(1))) return;
        int rank = coupling.Rank(Port.In(0));
        int[] drop = axes is null ? [.. Enumerable.Range(0, rank).Where(i => coupling.Size(Port.In(0), i) == 1)] : Axes.Normalize(axes, rank);
        for (int axis = 0, to = 0; axis < rank; axis++)
        {
            if (drop.Contains(axis)) continue;
            coupling.Link(Port.In(0), axis, Port.Out(), to);
            coupling.SetZero(Port.Out(), to++, coupling.IsZero(Port.In(0), axis));
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int[]? drop = context.AxesOf(1) is { } axes ? Axes.Normalize(axes, x.Rank) : null;
        var shape = new List<int>();
        for (int i = 0; i < x.Rank; i++)
        {
            bool gone = drop is null ? x.Shape[i] == 1 : drop.Contains(i);
            if (gone && x.Shape[i] != 1) throw context.Error($"axis {i} has size {x.Shape[i]}, not 1");
            if (!gone) shape.Add(x.Shape[i]);
        }
        return [x.Reshape([.. shape])];
    }
}

/// <summary>Unsqueeze: inserts axes of size 1 at places of the result.</summary>
internal sealed class Unsqueeze() : Operator("Unsqueeze", minInputs: 1, maxInputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        long[]? axes = context.AxesOf(1, out bool known);
        TensorShape? result = null;
        if (context.Shape(0) is { } x && known)
        {
            int[] add = Axes.Normalize(axes ?? throw context.Error("there are no axes"), x.Rank + axes.Length);
            var rest = new Queue<Dimension>(x);
            result = new TensorShape([.. Enumerable.Range(0, x.Rank + add.Length).Select(i => add.Contains(i) ? 1 : rest.Dequeue())]);
        }
        context.SetOutput(0, context.Element(0), result);
        if (result is { Rank: <= 1 } && context.InputAsShape(0) is { } sizes) context.SetOutputAsShape(0, sizes);
    }

    public override void Couple(AxisCoupling coupling)
    {
        long[]? axes = coupling.Has(Port.In(1)) ? coupling.Constant(1)?.ToInt64s() : coupling.Node.Attributes.Ints("axes");
        if (axes is null) return;
        int rank = coupling.Rank(Port.Out());
        int[] add = Axes.Normalize(axes, rank);
        for (int to = 0, axis = 0; to < rank; to++)
        {
            if (add.Contains(to)) continue;
            coupling.Link(Port.In(0), axis, Port.Out(), to);
            coupling.SetZero(Port.Out(), to, coupling.IsZero(Port.In(0), axis++));
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        long[] axes = context.AxesOf(1) ?? throw context.Error("there are no axes");
        int[] add = Axes.Normalize(axes, x.Rank + axes.Length);
        var shape = new int[x.Rank + axes.Length];
        for (int i = 0, j = 0; i < shape.Length; i++) shape[i] = add.Contains(i) ? 1 : x.Shape[j++];
        return [x.Reshape(shape)];
    }
}

/// <summary>Identity.</summary>
internal sealed class Identity() : Operator("Identity")
{
    public override void Infer(InferenceContext context)
    {
        context.Copy();
        if (context.InputAsShape(0) is { } sizes && context.Shape(0) is { Rank: <= 1 }) context.SetOutputAsShape(0, sizes);
    }

    public override void Couple(AxisCoupling coupling) => coupling.Pointwise(keepsZero: true);

    public override TensorData?[] Evaluate(EvaluationContext context) => [context.Input(0)];
}
