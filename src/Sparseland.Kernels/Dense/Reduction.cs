using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>What a reduction computes over the reduced elements.</summary>
public enum ReductionKind
{
    /// <summary>Sum of x; 0 of nothing.</summary>
    Sum,

    /// <summary>Sum divided by the count; NaN of nothing.</summary>
    Mean,

    /// <summary>Largest x, NaN if any is; negative infinity of nothing.</summary>
    Max,

    /// <summary>Smallest x, NaN if any is; infinity of nothing.</summary>
    Min,

    /// <summary>Product of x; 1 of nothing.</summary>
    Product,

    /// <summary>Sum of |x|.</summary>
    L1,

    /// <summary>Square root of the sum of squares.</summary>
    L2,

    /// <summary>Sum of squares.</summary>
    SumSquare,

    /// <summary>Logarithm of the sum of x.</summary>
    LogSum,

    /// <summary>Logarithm of the sum of exp(x), computed without overflow.</summary>
    LogSumExp,
}

/// <summary>Reductions over any axes of an array of any rank.</summary>
/// <remarks>
/// Contiguous elements are summed in 16 partial sums, others in the order of the array, so results are the same bits on
/// every instruction set and thread count.
/// </remarks>
public static unsafe class Reduction
{
    private interface IFold
    {
        static abstract float Start { get; }

        static abstract V Step<V>(V sum, V x) where V : unmanaged, IVector<V>;

        static abstract V Join<V>(V a, V b) where V : unmanaged, IVector<V>;
    }

    /// <summary>Reduces the given axes; the output has the shape of the others (or ones in their place: the values are the same).</summary>
    /// <param name="kind">What is computed.</param>
    /// <param name="input">Values in the given shape.</param>
    /// <param name="shape">Shape of the input.</param>
    /// <param name="axes">Axes to reduce, distinct, 0 .. rank-1; none copies (after the function of the kind).</param>
    /// <param name="output">Values of the other axes.</param>
    /// <exception cref="ArgumentException">An axis is out of range or repeated, or a span is too short.</exception>
    public static void Reduce(ReductionKind kind, ReadOnlySpan<float> input, ReadOnlySpan<int> shape, ReadOnlySpan<int> axes, Span<float> output)
    {
        var reduced = new bool[shape.Length];
        foreach (int axis in axes)
        {
            if ((uint)axis >= (uint)shape.Length || reduced[axis]) throw new ArgumentException($"Axis {axis} is out of range or repeated for rank {shape.Length}.", nameof(axes));
            reduced[axis] = true;
        }
        long inputs = 1, outputs = 1, count = 1;
        for (int i = 0; i < shape.Length; i++)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(shape[i], nameof(shape));
            inputs = checked(inputs * shape[i]);
            if (reduced[i]) count = checked(count * shape[i]);
            else outputs = checked(outputs * shape[i]);
        }
        Parts.Need(input.Length, inputs, nameof(input));
        Parts.Need(output.Length, outputs, nameof(output));
        if (outputs == 0) return;
        output = output[..(int)outputs];
        var plan = new Plan(shape, reduced, (int)outputs);
        fixed (float* pi = input, po = output)
        {
            switch (kind)
            {
                case ReductionKind.Sum or ReductionKind.Mean or ReductionKind.LogSum: Run<SumFold>(plan, pi, po); break;
                case ReductionKind.Max: Run<MaxFold>(plan, pi, po); break;
                case ReductionKind.Min: Run<MinFold>(plan, pi, po); break;
                case ReductionKind.Product: Run<ProductFold>(plan, pi, po); break;
                case ReductionKind.L1: Run<AbsoluteFold>(plan, pi, po); break;
                case ReductionKind.L2 or ReductionKind.SumSquare: Run<SquareFold>(plan, pi, po); break;
                case ReductionKind.LogSumExp: LogSumExp(plan, pi, po, (int)inputs, shape, reduced); break;
                default: throw new ArgumentOutOfRangeException(nameof(kind));
            }
        }
        if (kind == ReductionKind.Mean) TensorPrimitives.Divide(output, (float)count, output);
        else if (kind == ReductionKind.L2) TensorPrimitives.Sqrt(output, output);
        else if (kind == ReductionKind.LogSum) TensorPrimitives.Log(output, output);
    }

    /// <summary>The mean of each plane of images whose planes may lie apart: the bits of <see cref="Reduce"/> without gaps.</summary>
    /// <param name="input">[planes, distance], of which the first values of each plane are read.</param>
    /// <param name="planes">How many, at least 0.</param>
    /// <param name="length">Values of a plane, at least 1.</param>
    /// <param name="distance">Floats between planes, at least length.</param>
    /// <param name="output">[planes].</param>
    /// <exception cref="ArgumentException">A span is too short, or planes overlap.</exception>
    public static void Means(ReadOnlySpan<float> input, int planes, int length, int distance, Span<float> output)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(planes);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(distance, length);
        Parts.Need(input.Length, (long)planes * distance, nameof(input));
        Parts.Need(output.Length, planes, nameof(output));
        if (planes == 0) return;
        output = output[..planes];
        fixed (float* pi = input, po = output) Run<SumFold>(new Plan(planes, length, distance), pi, po);
        TensorPrimitives.Divide(output, length, output);
    }

    /// <summary>The sum of all values.</summary>
    /// <param name="input">Values; 0 for none.</param>
    public static float Sum(ReadOnlySpan<float> input)
    {
        float result = 0f;
        Reduce(ReductionKind.Sum, input, [input.Length], [0], new Span<float>(ref result));
        return result;
    }

    private static void Run<TFold>(Plan plan, float* input, float* output) where TFold : IFold =>
        SimdDispatch.Run(new Work<TFold> { Plan = plan, Input = input, Output = output });

    private static void LogSumExp(Plan plan, float* input, float* output, int inputs, ReadOnlySpan<int> shape, bool[] reduced)
    {
        int outputs = plan.Outputs;
        using Scratch.Buffer maxima = Scratch.Rent(outputs), shifted = Scratch.Rent(inputs);
        Run<MaxFold>(plan, input, maxima.Pointer);
        // An infinite maximum is the result itself; subtracting it would give NaN.
        for (int i = 0; i < outputs; i++) if (float.IsInfinity(maxima.Pointer[i])) maxima.Pointer[i] = 0f;
        var kept = new int[shape.Length];
        for (int i = 0; i < kept.Length; i++) kept[i] = reduced[i] ? 1 : shape[i];
        var e = new Span<float>(shifted.Pointer, inputs);
        Broadcast.Apply(BinaryOperator.Subtract, new ReadOnlySpan<float>(input, inputs), shape, new ReadOnlySpan<float>(maxima.Pointer, outputs), kept, e, shape);
        TensorPrimitives.Exp(e, e);
        Run<SumFold>(plan, shifted.Pointer, output);
        var result = new Span<float>(output, outputs);
        TensorPrimitives.Log(result, result);
        TensorPrimitives.Add(result, new ReadOnlySpan<float>(maxima.Pointer, outputs), result);
    }

    private readonly struct SumFold : IFold
    {
        public static float Start => 0f;

        public static V Step<V>(V sum, V x) where V : unmanaged, IVector<V> => V.Add(sum, x);

        public static V Join<V>(V a, V b) where V : unmanaged, IVector<V> => V.Add(a, b);
    }

    private readonly struct AbsoluteFold : IFold
    {
        public static float Start => 0f;

        public static V Step<V>(V sum, V x) where V : unmanaged, IVector<V> => V.Add(sum, V.Max(x, V.Subtract(V.Zero, x)));

        public static V Join<V>(V a, V b) where V : unmanaged, IVector<V> => V.Add(a, b);
    }

    private readonly struct SquareFold : IFold
    {
        public static float Start => 0f;

        public static V Step<V>(V sum, V x) where V : unmanaged, IVector<V> => V.MultiplyAdd(x, x, sum);

        public static V Join<V>(V a, V b) where V : unmanaged, IVector<V> => V.Add(a, b);
    }

    private readonly struct MaxFold : IFold
    {
        public static float Start => float.NegativeInfinity;

        public static V Step<V>(V sum, V x) where V : unmanaged, IVector<V> => V.Max(sum, x);

        public static V Join<V>(V a, V b) where V : unmanaged, IVector<V> => V.Max(a, b);
    }

    private readonly struct MinFold : IFold
    {
        public static float Start => float.PositiveInfinity;

        public static V Step<V>(V sum, V x) where V : unmanaged, IVector<V> => V.Min(sum, x);

        public static V Join<V>(V a, V b) where V : unmanaged, IVector<V> => V.Min(a, b);
    }

    private readonly struct ProductFold : IFold
    {
        public static float Start => 1f;

        public static V Step<V>(V sum, V x) where V : unmanaged, IVector<V> => V.Multiply(sum, x);

        public static V Join<V>(V a, V b) where V : unmanaged, IVector<V> => V.Multiply(a, b);
    }

    // Neighbouring axes of one kind joined; kept and reduced axes with their steps in the input.
    private sealed class Plan
    {
        public readonly int Outputs;
        public readonly int Run;
        public readonly bool RunIsReduced;
        public readonly int[] KeptSizes;
        public readonly long[] KeptSteps;
        public readonly long[] ReducedOffsets;

        public Plan(ReadOnlySpan<int> shape, bool[] reduced, int outputs)
        {
            Outputs = outputs;
            var sizes = new List<int>();
            var kinds = new List<bool>();
            for (int i = 0; i < shape.Length; i++)
            {
                if (shape[i] == 1) continue;
                if (kinds.Count > 0 && kinds[^1] == reduced[i]) sizes[^1] *= shape[i];
                else
                {
                    sizes.Add(shape[i]);
                    kinds.Add(reduced[i]);
                }
            }
            Run = sizes.Count == 0 ? 1 : sizes[^1];
            RunIsReduced = sizes.Count != 0 && kinds[^1];
            var keptSizes = new List<int>();
            var keptSteps = new List<long>();
            var offsets = new List<long> { 0 };
            long step = Run;
            for (int i = sizes.Count - 2; i >= 0; i--)
            {
                if (kinds[i])
                {
                    // Outer axes are found later, and vary slowest.
                    var longer = new List<long>(offsets.Count * sizes[i]);
                    for (int j = 0; j < sizes[i]; j++)
                    {
                        foreach (long offset in offsets) longer.Add(offset + (j * step));
                    }
                    offsets = longer;
                }
                else
                {
                    keptSizes.Add(sizes[i]);
                    keptSteps.Add(step);
                }
                step *= sizes[i];
            }
            // Innermost first.
            KeptSizes = [.. keptSizes];
            KeptSteps = [.. keptSteps];
            ReducedOffsets = [.. offsets];
        }

        /// <summary>Rows of a matrix that lie apart.</summary>
        public Plan(int rows, int length, int distance)
        {
            (Outputs, Run, RunIsReduced) = (rows, length, true);
            (KeptSizes, KeptSteps, ReducedOffsets) = ([rows], [distance], [0]);
        }

        public long Offset(int kept)
        {
            // Divisions take longer than the sums of a short row.
            if (KeptSizes.Length == 1) return kept * KeptSteps[0];
            long offset = 0;
            for (int i = 0; i < KeptSizes.Length; i++)
            {
                offset += kept % KeptSizes[i] * KeptSteps[i];
                kept /= KeptSizes[i];
            }
            return offset;
        }
    }

    private struct Work<TFold> : ILevelWork where TFold : IFold
    {
        public Plan Plan;
        public float* Input;
        public float* Output;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            Work<TFold> w = this;
            Plan plan = Plan;
            if (plan.RunIsReduced)
            {
                Parts.Rows(plan.Outputs, (long)plan.Run * plan.ReducedOffsets.Length, (first, end) =>
                {
                    for (int i = first; i < end; i++) w.Output[i] = w.Contiguous<V>(w.Input + plan.Offset(i));
                });
                return;
            }
            // Kept elements lie side by side: they are the lanes.
            int outer = plan.Outputs / Math.Max(plan.Run, 1);
            const int width = 256;
            int pieces = (plan.Run + width - 1) / width;
            Parts.Rows(outer * pieces, (long)Math.Min(width, plan.Run) * plan.ReducedOffsets.Length, (first, end) =>
            {
                for (int i = first; i < end; i++)
                {
                    int row = i / pieces, column = i % pieces * width, count = Math.Min(width, plan.Run - column);
                    w.Columns<V>(w.Input + plan.Offset(row) + column, w.Output + ((nint)row * plan.Run) + column, count);
                }
            });
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly float Contiguous<V>(float* input) where V : unmanaged, IVector<V>
        {
            float* lanes = stackalloc float[Lanes.Count];
            int run = Plan.Run, whole = run & ~(Lanes.Count - 1);
            long[] offsets = Plan.ReducedOffsets;
            for (int o = 0; o < offsets.Length; o++)
            {
                float* x = input + offsets[o];
                for (int lane = 0; lane < Lanes.Count; lane += V.Count)
                {
                    V s = o == 0 ? V.Broadcast(TFold.Start) : V.Load(lanes + lane);
                    for (nint t = lane; t < whole; t += Lanes.Count) s = TFold.Step(s, V.Load(x + t));
                    V.Store(s, lanes + lane);
                }
                for (int t = whole; t < run; t++) V1.Store(TFold.Step(V1.Load(lanes + t - whole), V1.Load(x + t)), lanes + t - whole);
            }
            // Halves and quarters whole where registers are wide enough: value by value they took longer than the sums of a plane of 8 x 8.
            if (V.Count >= V256.Count) V256.Store(TFold.Join(V256.Load(lanes), V256.Load(lanes + Lanes.Count / 2)), lanes);
            else JoinEach(lanes, Lanes.Count / 2);
            if (V.Count >= V128.Count) V128.Store(TFold.Join(V128.Load(lanes), V128.Load(lanes + Lanes.Count / 4)), lanes);
            else JoinEach(lanes, Lanes.Count / 4);
            JoinEach(lanes, 2);
            JoinEach(lanes, 1);
            return lanes[0];
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void JoinEach(float* lanes, int half)
        {
            for (int i = 0; i < half; i++) V1.Store(TFold.Join(V1.Load(lanes + i), V1.Load(lanes + i + half)), lanes + i);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Columns<V>(float* input, float* output, int count) where V : unmanaged, IVector<V>
        {
            new Span<float>(output, count).Fill(TFold.Start);
            foreach (long offset in Plan.ReducedOffsets)
            {
                float* x = input + offset;
                int j = 0;
                for (; j + V.Count <= count; j += V.Count) V.Store(TFold.Step(V.Load(output + j), V.Load(x + j)), output + j);
                for (; j < count; j++) V1.Store(TFold.Step(V1.Load(output + j), V1.Load(x + j)), output + j);
            }
        }
    }
}
