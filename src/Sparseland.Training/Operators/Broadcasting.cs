using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>How two shapes stretch over each other, with neighbouring dimensions of the same kind merged.</summary>
/// <remarks>[N, C, H, W] with [C, 1, 1] becomes three loops: N (b stays), C (both advance), H*W (b stays).</remarks>
internal sealed class BroadcastPlan
{
    private BroadcastPlan(int[] shape, int length, int[] sizes, int[] stridesA, int[] stridesB)
    {
        Shape = shape;
        Length = length;
        Sizes = sizes;
        StridesA = stridesA;
        StridesB = stridesB;
    }

    public int[] Shape { get; }

    public int Length { get; }

    /// <summary>Merged sizes, outermost first; at least one.</summary>
    public int[] Sizes { get; }

    public int[] StridesA { get; }

    public int[] StridesB { get; }

    public int Inner => Sizes[^1];

    public int Rows => Inner == 0 ? 0 : Length / Inner;

    public static BroadcastPlan Of(ReadOnlySpan<int> a, ReadOnlySpan<int> b)
    {
        int rank = Math.Max(a.Length, b.Length);
        var shape = new int[rank];
        var sizes = new List<int>();
        var strideA = new List<int>();
        var strideB = new List<int>();
        int stepA = 1, stepB = 1, length = 1;
        bool lastA = false, lastB = false;
        for (int i = rank - 1; i >= 0; i--)
        {
            int da = i - rank + a.Length >= 0 ? a[i - rank + a.Length] : 1;
            int db = i - rank + b.Length >= 0 ? b[i - rank + b.Length] : 1;
            if (da != db && da != 1 && db != 1) throw new ArgumentException($"Shapes [{string.Join(", ", a.ToArray())}] and [{string.Join(", ", b.ToArray())}] do not broadcast.");
            int d = da == 1 ? db : da;
            shape[i] = d;
            length = checked(length * d);
            if (d == 1) continue;
            bool movesA = da != 1, movesB = db != 1;
            if (sizes.Count > 0 && movesA == lastA && movesB == lastB) sizes[^1] *= d;
            else
            {
                sizes.Add(d);
                strideA.Add(movesA ? stepA : 0);
                strideB.Add(movesB ? stepB : 0);
            }
            (lastA, lastB) = (movesA, movesB);
            if (movesA) stepA *= da;
            if (movesB) stepB *= db;
        }
        if (sizes.Count == 0)
        {
            sizes.Add(1);
            strideA.Add(1);
            strideB.Add(1);
        }
        sizes.Reverse();
        strideA.Reverse();
        strideB.Reverse();
        return new BroadcastPlan(shape, length, [.. sizes], [.. strideA], [.. strideB]);
    }

    /// <summary>Where row <paramref name="row"/> (all merged dimensions but the last) starts in a and b.</summary>
    public (int A, int B) Offsets(int row)
    {
        int a = 0, b = 0;
        for (int d = Sizes.Length - 2; d >= 0; d--)
        {
            int i = row % Sizes[d];
            row /= Sizes[d];
            a += i * StridesA[d];
            b += i * StridesB[d];
        }
        return (a, b);
    }
}

/// <summary>Sums a gradient over the dimensions that broadcasting stretched.</summary>
internal static class Broadcasting
{
    /// <summary>The gradient for an operand of shape <paramref name="target"/>; the gradient is handed over and may be returned itself.</summary>
    public static Tensor SumTo(Tensor gradient, ReadOnlySpan<int> target)
    {
        if (gradient.Shape.SequenceEqual(target)) return gradient;
        Tensor result;
        BroadcastPlan plan = BroadcastPlan.Of(gradient.Shape, target);
        if (gradient.Length == TensorLength(target))
        {
            gradient.Storage.Retain();
            result = new Tensor(gradient.Storage, target.ToArray());
        }
        else
        {
            result = Tensor.Zeros(target);
            Accumulate(plan, gradient.Array, result.Array);
        }
        gradient.Storage.Release();
        return result;
    }

    /// <summary>Adds the source (laid out as the plan's a, which covers everything) into the target (the plan's b).</summary>
    private static void Accumulate(BroadcastPlan plan, float[] source, float[] target)
    {
        int[] sizes = plan.Sizes;
        int kept = System.Array.FindIndex(plan.StridesB, s => s != 0), last = sizes.Length - 1;
        if (plan.Length == 0) return;
        if (kept < 0)
        {
            // Everything into one number: fixed chunks, folded in order.
            int chunks = (plan.Length + 65535) / 65536;
            var partial = new double[chunks];
            Chunks.Ranges(chunks, (start, count) =>
            {
                for (int c = start; c < start + count; c++) partial[c] = LaneMath.Sum(source.AsSpan(c * 65536, Math.Min(65536, plan.Length - (c * 65536))));
            }, 1);
            target[0] += (float)partial.Sum();
            return;
        }

        // Split the outermost kept dimension: every part owns a slice of the target.
        int extent = sizes[kept];
        int outer = 1, middle = 1;
        for (int d = 0; d < kept; d++) outer *= sizes[d];
        for (int d = kept + 1; d <= last; d++) middle *= sizes[d];
        int grain = Math.Max(kept == last ? 16 : 1, extent / 64);
        Chunks.Ranges(extent, (first, count) =>
        {
            if (kept == last)
            {
                for (int o = 0; o < outer; o++)
                {
                    Span<float> sum = target.AsSpan(first * plan.StridesB[kept], count);
                    TensorPrimitives.Add(sum, source.AsSpan((o * extent) + first, count), sum);
                }
                return;
            }
            int inner = sizes[last], rows = middle / inner;
            bool innerKept = plan.StridesB[last] != 0;
            for (int k = first; k < first + count; k++)
            {
                for (int o = 0; o < outer; o++)
                {
                    int from = ((o * extent) + k) * middle;
                    for (int r = 0; r < rows; r++)
                    {
                        int to = k * plan.StridesB[kept], rest = r;
                        for (int d = last - 1; d > kept; d--)
                        {
                            to += rest % sizes[d] * plan.StridesB[d];
                            rest /= sizes[d];
                        }
                        ReadOnlySpan<float> row = source.AsSpan(from + (r * inner), inner);
                        if (innerKept)
                        {
                            Span<float> sum = target.AsSpan(to, inner);
                            TensorPrimitives.Add(sum, row, sum);
                        }
                        else
                        {
                            target[to] += LaneMath.Sum(row);
                        }
                    }
                }
            }
        }, plan.Length < 1 << 14 ? extent : grain);
    }

    private static int TensorLength(ReadOnlySpan<int> shape)
    {
        int length = 1;
        foreach (int d in shape) length *= d;
        return length;
    }
}
