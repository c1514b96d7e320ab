using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>What a reduction computes.</summary>
internal enum Reduction
{
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

/// <summary>ReduceSum, ReduceMean, ReduceMax and their kin, over any axes.</summary>
/// <remarks>The axes are brought to the end first, so that every kind has one loop: rows in, one number each out.</remarks>
internal static class Reductions
{
    public static Tensor Apply(Tensor x, Reduction kind, ReadOnlySpan<int> axes, bool keepDims)
    {
        bool[] reduced = new bool[x.Rank];
        foreach (int axis in axes) reduced[axis] = true;
        var kept = new List<int>();
        var gone = new List<int>();
        var keptShape = new List<int>();
        var result = new List<int>();
        for (int d = 0; d < x.Rank; d++)
        {
            if (reduced[d])
            {
                gone.Add(d);
                if (keepDims) result.Add(1);
            }
            else
            {
                kept.Add(d);
                keptShape.Add(x.Shape[d]);
                result.Add(x.Shape[d]);
            }
        }
        int[] order = [.. kept, .. gone];
        Tensor sorted = order.SequenceEqual(Enumerable.Range(0, x.Rank)) ? x : Transpose.Apply(x, order);
        int rows = 1;
        foreach (int d in keptShape) rows *= d;
        int length = rows == 0 ? 0 : x.Length / rows;
        if (rows > 0 && x.Length == 0)
        {
            length = 1;
            foreach (int d in gone) length *= x.Shape[d];
        }
        Tensor y = Rows(sorted, kind, rows, length);
        if (!ReferenceEquals(sorted, x)) sorted.Storage.Release();
        Tensor shaped = Views.Reshape(y, result.ToArray());
        y.Storage.Release();
        return shaped;
    }

    public static DifferentiableOperator Entry(Reduction kind) => c =>
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        long[]? given = c.Integers(1) ?? c.Attributes.Ints("axes");
        if ((given is null || given.Length == 0) && c.Attributes.Int("noop_with_empty_axes", 0) != 0)
        {
            // No axes: sums and extremes are the input itself, the others their element-wise part.
            return kind is Reduction.Sum or Reduction.Mean or Reduction.Max or Reduction.Min or Reduction.Prod or Reduction.LogSumExp
                ? [Views.Reshape(x, x.Shape)]
                : null;
        }
        int[] axes = given is null || given.Length == 0 ? [.. Enumerable.Range(0, x.Rank)] : System.Array.ConvertAll(given, a => Views.Axis(a, x.Rank));
        return [Apply(x, kind, axes, c.Attributes.Int("keepdims", 1) != 0)];
    };

    /// <summary>[rows, length] to [rows].</summary>
    private static Tensor Rows(Tensor x, Reduction kind, int rows, int length)
    {
        Tensor y = Tensor.Uninitialized([rows]);
        float[] from = x.Array, to = y.Array;
        Chunks.Rows(rows, length, r => to[r] = Reduce(kind, from.AsSpan(r * length, length)));
        bool readsInput = kind is not (Reduction.Sum or Reduction.Mean);
        int[] shape = x.ShapeArray;
        return Tape.Record("Reduce" + kind, y, [x], readsInput ? [x, y] : [], flow =>
        {
            Tensor gradient = Tensor.Uninitialized(shape);
            float[] g = flow.Output().Array, gx = gradient.Array;
            float[]? source = readsInput ? x.Array : null, result = readsInput ? y.Array : null;
            Chunks.Rows(rows, length, r =>
            {
                Span<float> target = gx.AsSpan(r * length, length);
                if (source is null)
                {
                    target.Fill(kind == Reduction.Mean ? g[r] / length : g[r]);
                    return;
                }
                Spread(kind, source.AsSpan(r * length, length), result![r], g[r], target);
            });
            flow.Give(0, gradient);
        });
    }

    private static float Reduce(Reduction kind, ReadOnlySpan<float> row)
    {
        if (row.IsEmpty)
        {
            return kind switch
            {
                Reduction.Prod => 1,
                Reduction.Max or Reduction.LogSum or Reduction.LogSumExp => float.NegativeInfinity,
                Reduction.Min => float.PositiveInfinity,
                Reduction.Mean => float.NaN,
                _ => 0,
            };
        }
        switch (kind)
        {
            case Reduction.Sum: return LaneMath.Sum(row);
            case Reduction.Mean: return LaneMath.Sum(row) / row.Length;
            case Reduction.Max: return TensorPrimitives.Max<float>(row);
            case Reduction.Min: return TensorPrimitives.Min<float>(row);
            case Reduction.Prod: return TensorPrimitives.Product(row);
            case Reduction.L1: return TensorPrimitives.SumOfMagnitudes(row);
            case Reduction.L2: return MathF.Sqrt(LaneMath.Dot(row, row));
            case Reduction.SumSquare: return LaneMath.Dot(row, row);
            case Reduction.LogSum: return MathF.Log(LaneMath.Sum(row));
            default:
                float max = TensorPrimitives.Max<float>(row);
                if (float.IsInfinity(max)) return max;
                double sum = 0;
                foreach (float v in row) sum += Math.Exp(v - max);
                return max + (float)Math.Log(sum);
        }
    }

    private static void Spread(Reduction kind, ReadOnlySpan<float> row, float result, float g, Span<float> target)
    {
        switch (kind)
        {
            case Reduction.Max or Reduction.Min:
                // Equal extremes share the gradient evenly, as PyTorch's amax does.
                int ties = 0;
                foreach (float v in row) ties += v == result ? 1 : 0;
                for (int i = 0; i < row.Length; i++) target[i] = row[i] == result ? g / ties : 0;
                break;
            case Reduction.Prod:
                for (int i = 0; i < row.Length; i++)
                {
                    float others = 1;
                    if (row[i] != 0) others = result / row[i];
                    else
                    {
                        for (int j = 0; j < row.Length; j++) others *= j == i ? 1 : row[j];
                    }
                    target[i] = g * others;
                }
                break;
            case Reduction.L1:
                for (int i = 0; i < row.Length; i++) target[i] = row[i] > 0 ? g : row[i] < 0 ? -g : 0;
                break;
            case Reduction.L2:
                if (result == 0) target.Clear();
                else TensorPrimitives.Multiply(row, g / result, target);
                break;
            case Reduction.SumSquare:
                TensorPrimitives.Multiply(row, 2 * g, target);
                break;
            case Reduction.LogSum:
                target.Fill(g / MathF.Exp(result));
                break;
            default:
                for (int i = 0; i < row.Length; i++) target[i] = g * MathF.Exp(row[i] - result);
                break;
        }
    }
}
