using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>Transpose: axes in the order "perm", reversed without it.</summary>
internal sealed class Transpose() : Operator("Transpose")
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? x = context.Shape(0);
        context.SetOutput(0, context.Element(0), x is null ? null : new TensorShape([.. Permutation(context.Node, x.Rank).Select(p => x[p])]));
    }

    public override void Couple(AxisCoupling coupling)
    {
        int[] permutation = Permutation(coupling.Node, coupling.Rank(Port.In(0)));
        for (int axis = 0; axis < permutation.Length; axis++)
        {
            coupling.Link(Port.In(0), permutation[axis], Port.Out(), axis);
            coupling.SetZero(Port.Out(), axis, coupling.IsZero(Port.In(0), permutation[axis]));
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context) =>
        [Moving.Transpose(context.Input(0), Permutation(context.Node, context.Input(0).Rank))];

    private static int[] Permutation(Node node, int rank)
    {
        if (node.Attributes.Ints("perm") is not { } perm) return [.. Enumerable.Range(0, rank).Reverse()];
        if (perm.Length != rank) throw new ArgumentException($"perm [{string.Join(", ", perm)}] is no order of {rank} axes");
        return Axes.Normalize(perm, rank);
    }
}

/// <summary>Expand: broadcast to the shape that both the input and the target broadcast to.</summary>
internal sealed class Expand() : Operator("Expand", minInputs: 2)
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, context.Element(0), context.InputAsShape(1) is { } target ? context.Broadcast(context.Shape(0), target) : null);

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), y = Port.Out();
        if (coupling.Constant(1) is null && ShapeTargets.Expand(coupling.Shape(x), coupling.Shape(y)) is null)
        {
            coupling.FreezeAll(RefusalReason.DynamicShape, "the target shape is computed while the model runs");
            return;
        }
        int lead = coupling.Rank(y) - coupling.Rank(x);
        for (int axis = 0; axis < coupling.Rank(y); axis++)
        {
            if (axis < lead || (coupling.Size(x, axis - lead) == 1 && coupling.Size(y, axis) != 1))
            {
                // All entries are the same: any of them may leave.
                coupling.Free(y, axis);
                continue;
            }
            coupling.Link(x, axis - lead, y, axis);
            coupling.SetZero(y, axis, coupling.IsZero(x, axis - lead));
        }
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        TensorShape x = removal.NewShape(Port.In(0)), y = removal.NewShape(Port.Out());
        if (removal.OldConstant(1) is not { } constant || removal.OldInputIsComputed(1))
        {
            if (ShapeTargets.Expand(x, y) is { } written) removal.SetConstant(1, TensorData.Vector(written));
            return;
        }
        if (!removal.IsCut(Port.Out())) return;
        long[] target = (long[])constant.ToInt64s().Clone();
        for (int i = 0; i < target.Length; i++)
        {
            int axis = i + y.Rank - target.Length;
            if (target[i] != 1 && y[axis].IsKnown) target[i] = y[axis].Value;
        }
        removal.SetConstant(1, TensorData.Vector(target));
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int[] target = Array.ConvertAll(context.Input(1).ToInt64s(), v => checked((int)v));
        return [Moving.Expand(x, Axes.Broadcast(x.Shape.ToArray(), target))];
    }
}

/// <summary>Tile: repeats each axis.</summary>
internal sealed class Tile() : Operator("Tile", minInputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? x = context.Shape(0);
        long[]? repeats = context.Integers(1);
        TensorShape? result = x;
        if (x is not null && repeats is not null)
        {
            if (repeats.Length != x.Rank) throw context.Error($"{repeats.Length} repeats for {x.Rank} axes");
            result = new TensorShape([.. x.Select((d, i) => repeats[i] == 1 ? d : d.IsKnown ? checked((int)(d.Value * repeats[i])) : Dimension.Unknown)]);
        }
        else if (x is not null)
        {
            result = Inference.OfRank(x.Rank);
        }
        context.SetOutput(0, context.Element(0), result);
    }

    public override void Couple(AxisCoupling coupling)
    {
        if (coupling.Constant(1)?.ToInt64s() is not { } repeats) return;
        Port x = Port.In(0), y = Port.Out();
        for (int axis = 0; axis < coupling.Rank(x); axis++)
        {
            int size = coupling.Size(x, axis);
            if (repeats[axis] == 1) coupling.Link(x, axis, y, axis);
            else if (size > 0)
            {
                for (int r = 0; r < repeats[axis]; r++) coupling.LinkRange(x, axis, 0, y, axis, r * size, size);
            }
            coupling.SetZero(y, axis, coupling.IsZero(x, axis));
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        // Each axis becomes (repeat, size); the repeat advances by nothing.
        TensorData x = context.Input(0);
        long[] repeats = context.Input(1).ToInt64s();
        if (repeats.Length != x.Rank) throw context.Error($"{repeats.Length} repeats for {x.Rank} axes");
        int[] own = Axes.Strides(x.Shape), shape = new int[x.Rank], sizes = new int[2 * x.Rank], strides = new int[2 * x.Rank];
        for (int i = 0; i < x.Rank; i++)
        {
            (sizes[2 * i], sizes[(2 * i) + 1], strides[(2 * i) + 1]) = (checked((int)repeats[i]), x.Shape[i], own[i]);
            shape[i] = checked(x.Shape[i] * sizes[2 * i]);
        }
        return [Moving.Strided(x, sizes, strides).Reshape(shape)];
    }
}

/// <summary>Concat along an axis.</summary>
internal sealed class Concat() : Operator("Concat", minInputs: 1, maxInputs: int.MaxValue)
{
    public override void Infer(InferenceContext context)
    {
        int count = context.Node.Inputs.Count;
        TensorShape? result = null;
        TensorShape? first = Enumerable.Range(0, count).Select(context.Shape).FirstOrDefault(s => s is not null);
        if (first is not null)
        {
            int axis = Axes.Normalize(context.Node.Attributes.Int("axis", 0), first.Rank);
            Dimension total = 0;
            result = first;
            for (int i = 0; i < count; i++)
            {
                if (context.Element(i) != context.Element(0)) throw context.Error("the inputs are of different element types");
                TensorShape? x = context.Shape(i);
                if (x is null)
                {
                    total = Dimension.Unknown;
                    continue;
                }
                if (x.Rank != first.Rank) throw context.Error("the inputs have different ranks");
                total = total.IsKnown && x[axis].IsKnown ? total.Value + x[axis].Value : Dimension.Unknown;
                for (int d = 0; d < x.Rank; d++)
                {
                    if (d == axis) continue;
                    if (x[d].IsKnown && result[d].IsKnown && x[d] != result[d]) throw context.Error($"the inputs differ along axis {d}, which is not the axis {axis} of concatenation");
                    result = result.With(d, Inference.Either(result[d], x[d]));
                }
            }
            result = result.With(axis, count == 1 ? first[axis] : total);
        }
        context.SetOutput(0, context.Element(0), result);

        if (result is { Rank: 1 } && context.Element(0) is ElementType.Int64 or ElementType.Int32)
        {
            var sizes = new List<Dimension>();
            for (int i = 0; i < count; i++)
            {
                if (context.InputAsShape(i) is not { } part) return;
                sizes.AddRange(part);
            }
            context.SetOutputAsShape(0, new TensorShape([.. sizes]));
        }
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port y = Port.Out();
        int joined = coupling.Normalize(y, (int)coupling.Node.Attributes.Int("axis", 0));
        int count = coupling.Node.Inputs.Count, start = 0;
        for (int axis = 0; axis < coupling.Rank(y); axis++)
        {
            bool zero = true;
            for (int i = 0; i < count; i++)
            {
                zero &= coupling.IsZero(Port.In(i), axis);
                if (axis != joined) coupling.Link(Port.In(i), axis, y, axis);
            }
            coupling.SetZero(y, axis, zero);
        }
        bool known = coupling.Size(y, joined) >= 0;
        for (int i = 0; i < count; i++)
        {
            int size = coupling.Size(Port.In(i), joined);
            if (!known)
            {
                coupling.Freeze(Port.In(i), joined, RefusalReason.DynamicShape, "a part of unknown size is joined to it");
                continue;
            }
            coupling.LinkRange(Port.In(i), joined, 0, y, joined, start, size);
            start += size;
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData first = context.Input(0);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", 0), first.Rank);
        int[] shape = first.Shape.ToArray();
        shape[axis] = 0;
        foreach (TensorData? x in context.Inputs)
        {
            if (x is null || x.Rank != shape.Length || x.ElementType != first.ElementType) throw context.Error("the inputs do not fit together");
            for (int i = 0; i < shape.Length; i++)
            {
                if (i != axis && x.Shape[i] != shape[i]) throw context.Error($"the inputs differ along axis {i}");
            }
            shape[axis] += x.Shape[axis];
        }
        TensorData y = TensorData.Zeros(first.ElementType, shape);
        (int outer, int size, int inner) = Axes.Around(shape, axis);
        int at = 0;
        foreach (TensorData? x in context.Inputs)
        {
            int run = x!.Shape[axis] * inner;
            for (int o = 0; o < outer && run > 0; o++) Moving.Block(x, o * run, y, (o * size * inner) + at, run);
            at += run;
        }
        return [y];
    }
}

/// <summary>Split along an axis, into given sizes or equal parts (the last one smaller).</summary>
internal sealed class Split() : Operator("Split", minInputs: 1, maxInputs: 2, maxOutputs: -1)
{
    public override void Infer(InferenceContext context)
    {
        int count = context.Node.Outputs.Count;
        TensorShape? x = context.Shape(0);
        long[]? given = context.Node.HasInput(1) ? context.Integers(1) : context.Node.Attributes.Ints("split");
        for (int i = 0; i < count; i++)
        {
            TensorShape? part = null;
            if (x is not null)
            {
                int axis = Axes.Normalize(context.Node.Attributes.Int("axis", 0), x.Rank);
                Dimension size = given is not null ? (int)given[i]
                    : !context.Node.HasInput(1) && x[axis].IsKnown ? EqualParts(x[axis].Value, count)[i] : Dimension.Unknown;
                if (given is not null && x[axis].IsKnown && given.Sum() != x[axis].Value)
                    throw context.Error($"sizes [{string.Join(", ", given)}] do not add up to {x[axis]}");
                part = x.With(axis, size);
            }
            context.SetOutput(i, context.Element(0), part);
        }
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0);
        int cut = coupling.Normalize(x, (int)coupling.Node.Attributes.Int("axis", 0)), start = 0;
        bool known = coupling.Size(x, cut) >= 0 && coupling.Ports().Where(p => p.IsOutput).All(p => coupling.Size(p, cut) >= 0)
            && coupling.Node.Outputs.All(o => o.Length > 0);
        for (int i = 0; i < coupling.Node.Outputs.Count; i++)
        {
            Port y = Port.Out(i);
            if (!coupling.Has(y)) continue;
            coupling.SameExcept(x, y, [cut]);
            if (!known)
            {
                coupling.Freeze(y, cut, RefusalReason.DynamicShape, "the sizes of the parts are not known");
                continue;
            }
            coupling.LinkRange(x, cut, start, y, cut, 0, coupling.Size(y, cut));
            coupling.SetZero(y, cut, coupling.IsZero(x, cut));
            start += coupling.Size(y, cut);
        }
        if (!known) coupling.Freeze(x, cut, RefusalReason.DynamicShape, "the sizes of the parts are not known");
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        int rank = removal.OldShape(Port.In(0)).Rank, cut = Axes.Normalize(removal.Node.Attributes.Int("axis", 0), rank);
        if (removal.Kept(Port.In(0), cut) is null) return;
        long[] sizes = [.. Enumerable.Range(0, removal.Node.Outputs.Count).Select(i => (long)removal.NewSize(Port.Out(i), cut))];
        removal.Node.Attributes.Remove("num_outputs");
        if (removal.Node.Attributes.Has("split")) removal.Node.Attributes.Set("split", sizes);
        else removal.SetConstant(1, TensorData.Vector(sizes));
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", 0), x.Rank);
        int count = context.Node.Outputs.Count;
        long[]? given = context.Has(1) ? context.Input(1).ToInt64s() : context.Node.Attributes.Ints("split");
        int[] sizes = given is null ? EqualParts(x.Shape[axis], count) : Array.ConvertAll(given, v => checked((int)v));
        if (sizes.Length != count || sizes.Sum() != x.Shape[axis]) throw context.Error($"sizes [{string.Join(", ", sizes)}] do not cut {x.Shape[axis]} into {count} outputs");
        (int outer, int size, int inner) = Axes.Around(x.Shape, axis);
        var parts = new TensorData?[count];
        int at = 0;
        for (int i = 0; i < count; i++)
        {
            int[] shape = x.Shape.ToArray();
            shape[axis] = sizes[i];
            TensorData part = TensorData.Zeros(x.ElementType, shape);
            int run = sizes[i] * inner;
            for (int o = 0; o < outer && run > 0; o++) Moving.Block(x, (o * size * inner) + at, part, o * run, run);
            at += run;
            parts[i] = part;
        }
        return parts;
    }

    private static int[] EqualParts(int size, int count)
    {
        int chunk = (size + count - 1) / count;
        var sizes = new int[count];
        for (int i = 0; i < count; i++) sizes[i] = Math.Clamp(size - (i * chunk), 0, chunk);
        return sizes;
    }
}

/// <summary>Slice: start, end and step per axis; negative positions count from the end.</summary>
internal sealed class Slice() : Operator("Slice", minInputs: 1, maxInputs: 5)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? x = context.Shape(0);
        if (x is null)
        {
            context.SetOutput(0, context.Element(0), null);
            return;
        }
        long[]? axes = context.Node.HasInput(3) ? context.Integers(3) : context.Node.Attributes.Ints("axes");
        long[]? starts = context.Integers(1) ?? context.Node.Attributes.Ints("starts");
        long[]? ends = context.Integers(2) ?? context.Node.Attributes.Ints("ends");
        long[]? steps = context.Node.HasInput(4) ? context.Integers(4) : null;
        int count = starts?.Length ?? ends?.Length ?? axes?.Length ?? x.Rank;
        if (axes is null && context.Node.HasInput(3))
        {
            context.SetOutput(0, context.Element(0), Inference.OfRank(x.Rank));
            return;
        }
        axes ??= [.. Enumerable.Range(0, count).Select(i => (long)i)];
        TensorShape result = x;
        for (int i = 0; i < axes.Length; i++)
        {
            int axis = Axes.Normalize(axes[i], x.Rank);
            Dimension size = Dimension.Unknown;
            if (starts is not null && ends is not null && (steps is not null || !context.Node.HasInput(4)))
            {
                long step = steps?[i] ?? 1;
                if (x[axis].IsKnown) size = Range(starts[i], ends[i], step, x[axis].Value).Count;
                else if (starts[i] == 0 && ends[i] >= int.MaxValue && step == 1) size = x[axis];
            }
            result = result.With(axis, size);
        }
        context.SetOutput(0, context.Element(0), result);
        if (x.Rank == 1 && starts is not null && ends is not null && context.InputAsShape(0) is { } sizes)
        {
            (int start, int length, int by) = Range(starts[0], ends[0], steps?[0] ?? 1, sizes.Rank);
            context.SetOutputAsShape(0, new TensorShape([.. Enumerable.Range(0, length).Select(i => sizes[start + (i * by)])]));
        }
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), y = Port.Out();
        if (Cuts(coupling.Node, coupling.Constant, coupling.Rank(x)) is not { } cuts) return;
        for (int axis = 0; axis < coupling.Rank(x); axis++)
        {
            int size = coupling.Size(x, axis);
            bool whole = !cuts.TryGetValue(axis, out (long Start, long End, long Step) cut) || (cut is { Start: 0, Step: 1 } && cut.End >= (size < 0 ? int.MaxValue : size));
            if (whole) coupling.Link(x, axis, y, axis);
            else if (size < 0 || cut.Step != 1) continue;
            else
            {
                (int start, int count, int step) = Range(cut.Start, cut.End, cut.Step, size);
                coupling.LinkRange(x, axis, start, y, axis, 0, count, step);
            }
            coupling.SetZero(y, axis, coupling.IsZero(x, axis));
        }
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        TensorShape x = removal.OldShape(Port.In(0));
        if (!removal.IsCut(Port.In(0)) || Cuts(removal.Node, removal.OldConstant, x.Rank) is not { } cuts) return;
        foreach (int axis in cuts.Keys.ToList())
        {
            if (removal.Kept(Port.In(0), axis) is null) continue;
            (int start, _, _) = Range(cuts[axis].Start, cuts[axis].End, 1, x[axis].Value);
            int first = removal.NewPosition(Port.In(0), axis, start);
            cuts[axis] = (first, first + removal.NewSize(Port.Out(), axis), 1);
        }
        long[] axes = [.. cuts.Keys.Select(a => (long)a)], starts = [.. cuts.Values.Select(c => c.Start)], ends = [.. cuts.Values.Select(c => c.End)], steps = [.. cuts.Values.Select(c => c.Step)];
        if (!removal.Node.HasInput(1))
        {
            removal.Node.Attributes.Set("axes", axes).Set("starts", starts).Set("ends", ends);
            return;
        }
        removal.SetConstant(1, TensorData.Vector(starts));
        removal.SetConstant(2, TensorData.Vector(ends));
        removal.SetConstant(3, TensorData.Vector(axes));
        removal.SetConstant(4, TensorData.Vector(steps));
    }

    // What is cut from which axis, when all of it is constant.
    private static SortedDictionary<int, (long Start, long End, long Step)>? Cuts(Node node, Func<int, TensorData?> constant, int rank)
    {
        long[]? starts = node.HasInput(1) ? constant(1)?.ToInt64s() : node.Attributes.Ints("starts");
        long[]? ends = node.HasInput(2) ? constant(2)?.ToInt64s() : node.Attributes.Ints("ends");
        long[]? axes = node.HasInput(3) ? constant(3)?.ToInt64s() : node.Attributes.Ints("axes");
        long[]? steps = node.HasInput(4) ? constant(4)?.ToInt64s() : null;
        if (starts is null || ends is null || (axes is null && node.HasInput(3)) || (steps is null && node.HasInput(4))) return null;
        var cuts = new SortedDictionary<int, (long, long, long)>();
        for (int i = 0; i < starts.Length; i++) cuts[axes is null ? i : Axes.Normalize(axes[i], rank)] = (starts[i], ends[i], steps?[i] ?? 1);
        return cuts;
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        long[] starts = context.Has(1) ? context.Input(1).ToInt64s() : context.Node.Attributes.Ints("starts") ?? throw context.Error("there are no starts");
        long[] ends = context.Has(2) ? context.Input(2).ToInt64s() : context.Node.Attributes.Ints("ends") ?? throw context.Error("there are no ends");
        long[]? axes = context.Has(3) ? context.Input(3).ToInt64s() : context.Node.Attributes.Ints("axes");
        long[]? steps = context.Has(4) ? context.Input(4).ToInt64s() : null;
        int[] shape = x.Shape.ToArray(), strides = Axes.Strides(x.Shape);
        int offset = 0;
        int[] own = [.. strides];
        for (int i = 0; i < starts.Length; i++)
        {
            int axis = axes is null ? i : Axes.Normalize(axes[i], x.Rank);
            (int start, int count, int step) = Range(starts[i], ends[i], steps?[i] ?? 1, x.Shape[axis]);
            shape[axis] = count;
            strides[axis] = own[axis] * step;
            offset += start * own[axis];
        }
        return [Moving.Strided(x, shape, strides, offset)];
    }

    private static (int Start, int Count, int Step) Range(long start, long end, long step, int size)
    {
        if (step == 0) throw new ArgumentException("the step is 0");
        step = Math.Clamp(step, -int.MaxValue, int.MaxValue);
        if (start < 0) start += size;
        if (end < 0) end += size;
        if (step > 0)
        {
            start = Math.Clamp(start, 0, size);
            end = Math.Clamp(end, 0, size);
            return ((int)start, (int)Math.Max(0, (end - start + step - 1) / step), (int)step);
        }
        start = Math.Clamp(start, 0, Math.Max(0, size - 1));
        end = Math.Clamp(end, -1, size - 1);
        return ((int)start, size == 0 ? 0 : (int)Math.Max(0, (start - end - step - 1) / -step), (int)step);
    }
}
