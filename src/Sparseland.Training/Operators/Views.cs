using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Operators that keep the values and their order: Identity, Reshape, Flatten, Squeeze, Unsqueeze, Cast among floats.</summary>
internal static class Views
{
    /// <summary>The same memory under another shape of equal length.</summary>
    public static Tensor Reshape(Tensor x, ReadOnlySpan<int> shape)
    {
        int[] target = shape.ToArray();
        if (TensorData.CountElements(target) != x.Length) throw new ArgumentException($"Cannot view {x} as [{string.Join(", ", target)}].", nameof(shape));
        x.Storage.Retain();
        var y = new Tensor(x.Storage, target);
        int[] source = x.ShapeArray;
        return Tape.Record("Reshape", y, [x], [], flow => flow.Give(0, flow.Share(source)));
    }

    /// <summary>An axis counted from the end when negative.</summary>
    public static int Axis(long axis, int rank)
    {
        long a = axis < 0 ? axis + rank : axis;
        if (a < 0 || a >= Math.Max(rank, 1)) throw new ArgumentException($"Axis {axis} is outside a tensor of rank {rank}.");
        return (int)a;
    }

    public static ModelValue[]? IdentityFromNode(OperatorContext c) =>
        c.Has(0) && c.Inputs[0].IsTensor ? [Reshape(c.Tensor(0), c.Inputs[0].Shape)] : null;

    public static ModelValue[]? CastFromNode(OperatorContext c)
    {
        ElementType target = c.Node.OpType == "CastLike" ? c.Inputs[1].ElementType : (ElementType)c.Attributes.Int("to", 0);
        return target == ElementType.Float32 ? IdentityFromNode(c) : null;
    }

    public static ModelValue[]? ReshapeFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        long[] wanted = c.Integers(1) ?? throw c.Error("the target shape is missing");
        bool allowZero = c.Attributes.Int("allowzero", 0) != 0;
        var shape = new int[wanted.Length];
        int free = -1;
        long known = 1;
        for (int i = 0; i < shape.Length; i++)
        {
            long d = wanted[i];
            if (d == -1)
            {
                if (free >= 0) throw c.Error("the target shape has two entries of -1");
                free = i;
                continue;
            }
            if (d == 0 && !allowZero)
            {
                if (i >= x.Rank) throw c.Error($"entry {i} of the target shape copies a dimension that the input does not have");
                d = x.Shape[i];
            }
            shape[i] = checked((int)d);
            known *= d;
        }
        if (free >= 0)
        {
            if (known == 0 || x.Length % known != 0) throw c.Error($"{x.Length} elements do not fit the target shape [{string.Join(", ", wanted)}]");
            shape[free] = (int)(x.Length / known);
        }
        return [Reshape(x, shape)];
    }

    public static ModelValue[]? FlattenFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        long attribute = c.Attributes.Int("axis", 1);
        int axis = (int)(attribute < 0 ? attribute + x.Rank : attribute), rows = 1;
        for (int i = 0; i < axis; i++) rows *= x.Shape[i];
        int columns = 1;
        for (int i = axis; i < x.Rank; i++) columns *= x.Shape[i];
        return [Reshape(x, [rows, columns])];
    }

    public static ModelValue[]? SqueezeFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        long[]? axes = c.Integers(1) ?? c.Attributes.Ints("axes");
        HashSet<int>? drop = axes?.Select(a => Axis(a, x.Rank)).ToHashSet();
        var shape = new List<int>();
        for (int i = 0; i < x.Rank; i++)
        {
            bool remove = drop?.Contains(i) ?? x.Shape[i] == 1;
            if (!remove) shape.Add(x.Shape[i]);
            else if (x.Shape[i] != 1) throw c.Error($"axis {i} has size {x.Shape[i]} and cannot be squeezed");
        }
        return [Reshape(x, shape.ToArray())];
    }

    public static ModelValue[]? UnsqueezeFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        long[] axes = c.Integers(1) ?? c.Attributes.Ints("axes") ?? throw c.Error("the axes are missing");
        int rank = x.Rank + axes.Length;
        HashSet<int> added = axes.Select(a => Axis(a, rank)).ToHashSet();
        var shape = new int[rank];
        for (int i = 0, from = 0; i < rank; i++) shape[i] = added.Contains(i) ? 1 : x.Shape[from++];
        return [Reshape(x, shape)];
    }
}
