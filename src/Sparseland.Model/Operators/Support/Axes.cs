using Sparseland.Model.Graph;

namespace Sparseland.Model.Operators.Support;

/// <summary>Arithmetic on axes, sizes and strides that operators share.</summary>
internal static class Axes
{
    /// <summary>An axis counted from the front.</summary>
    public static int Normalize(long axis, int rank, int extra = 0)
    {
        if (axis < -rank || axis >= rank + extra)
            throw new ArgumentException($"axis {axis} is outside a tensor of rank {rank}");
        return (int)(axis < 0 ? axis + rank : axis);
    }

    /// <summary>Axes counted from the front, in the order given; duplicates are refused.</summary>
    public static int[] Normalize(ReadOnlySpan<long> axes, int rank)
    {
        var result = new int[axes.Length];
        for (int i = 0; i < axes.Length; i++)
        {
            result[i] = Normalize(axes[i], rank);
            if (Array.IndexOf(result, result[i], 0, i) >= 0) throw new ArgumentException($"axis {axes[i]} is listed twice");
        }
        return result;
    }

    /// <summary>Row-major strides in elements.</summary>
    public static int[] Strides(ReadOnlySpan<int> shape)
    {
        var strides = new int[shape.Length];
        int stride = 1;
        for (int i = shape.Length - 1; i >= 0; i--)
        {
            strides[i] = stride;
            stride *= shape[i];
        }
        return strides;
    }

    /// <summary>The product of sizes.</summary>
    public static int Product(ReadOnlySpan<int> sizes) => TensorData.CountElements(sizes);

    /// <summary>The shape to which all of these broadcast (trailing axes aligned, sizes equal or 1).</summary>
    public static int[] Broadcast(params ReadOnlySpan<int[]> shapes)
    {
        int rank = 0;
        foreach (int[] shape in shapes) rank = Math.Max(rank, shape.Length);
        var result = new int[rank];
        Array.Fill(result, 1);
        foreach (int[] shape in shapes)
        {
            for (int i = 0; i < shape.Length; i++)
            {
                ref int size = ref result[rank - shape.Length + i];
                if (shape[i] == size || shape[i] == 1) continue;
                if (size != 1) throw new ArgumentException($"shapes {Describe(shapes)} do not broadcast");
                size = shape[i];
            }
        }
        return result;
    }

    /// <summary>Strides with which a tensor of <paramref name="shape"/> is read as <paramref name="target"/>; 0 where it repeats.</summary>
    public static int[] BroadcastStrides(ReadOnlySpan<int> shape, ReadOnlySpan<int> target)
    {
        int[] own = Strides(shape);
        var strides = new int[target.Length];
        int lead = target.Length - shape.Length;
        if (lead < 0) throw new ArgumentException($"[{string.Join(", ", shape.ToArray())}] does not broadcast to [{string.Join(", ", target.ToArray())}]");
        for (int i = 0; i < shape.Length; i++)
        {
            if (shape[i] != target[lead + i] && shape[i] != 1)
                throw new ArgumentException($"[{string.Join(", ", shape.ToArray())}] does not broadcast to [{string.Join(", ", target.ToArray())}]");
            strides[lead + i] = shape[i] == 1 && target[lead + i] != 1 ? 0 : own[i];
        }
        return strides;
    }

    /// <summary>Writes the coordinates of a row-major position.</summary>
    public static void Unravel(int position, ReadOnlySpan<int> shape, Span<int> coordinates)
    {
        for (int i = shape.Length - 1; i >= 0; i--)
        {
            coordinates[i] = position % shape[i];
            position /= shape[i];
        }
    }

    /// <summary>Moves coordinates to the next row-major position; false after the last.</summary>
    public static bool Next(Span<int> coordinates, ReadOnlySpan<int> shape)
    {
        for (int i = shape.Length - 1; i >= 0; i--)
        {
            if (++coordinates[i] < shape[i]) return true;
            coordinates[i] = 0;
        }
        return false;
    }

    /// <summary>Sizes before, at and after an axis.</summary>
    public static (int Outer, int Size, int Inner) Around(ReadOnlySpan<int> shape, int axis) =>
        (Product(shape[..axis]), shape[axis], Product(shape[(axis + 1)..]));

    private static string Describe(ReadOnlySpan<int[]> shapes)
    {
        var parts = new List<string>();
        foreach (int[] shape in shapes) parts.Add($"[{string.Join(", ", shape)}]");
        return string.Join(" and ", parts);
    }
}
