namespace Sparseland.Kernels.Simd;

/// <summary>A register of floats. Kernels are generic over it, and the JIT compiles one copy per width.</summary>
/// <remarks>
/// Two rules make results equal bit for bit on every width. Products that are accumulated use
/// <see cref="MultiplyAdd"/>, which rounds once on every level. Sums over a contiguous dimension keep
/// <see cref="Lanes.Count"/> partial sums (16, the widest register) on every level and are folded in one fixed order.
/// </remarks>
internal interface IVector<TSelf> where TSelf : unmanaged, IVector<TSelf>
{
    /// <summary>Floats in one register.</summary>
    static abstract int Count { get; }

    /// <summary>All lanes zero.</summary>
    static abstract TSelf Zero { get; }

    /// <summary>All lanes equal to <paramref name="value"/>.</summary>
    static abstract TSelf Broadcast(float value);

    /// <summary>Reads <see cref="Count"/> floats, no alignment needed.</summary>
    static abstract unsafe TSelf Load(float* source);

    /// <summary>Writes <see cref="Count"/> floats, no alignment needed.</summary>
    static abstract unsafe void Store(TSelf value, float* destination);

    /// <summary>Reads the first <paramref name="count"/> lanes (0 to Count); the others are zero.</summary>
    static abstract unsafe TSelf LoadPartial(float* source, int count);

    /// <summary>Writes the first <paramref name="count"/> lanes (0 to Count) and nothing else.</summary>
    static abstract unsafe void StorePartial(TSelf value, float* destination, int count);

    /// <summary>a + b.</summary>
    static abstract TSelf Add(TSelf a, TSelf b);

    /// <summary>a - b.</summary>
    static abstract TSelf Subtract(TSelf a, TSelf b);

    /// <summary>a * b.</summary>
    static abstract TSelf Multiply(TSelf a, TSelf b);

    /// <summary>a / b.</summary>
    static abstract TSelf Divide(TSelf a, TSelf b);

    /// <summary>a * b + c, rounded once.</summary>
    static abstract TSelf MultiplyAdd(TSelf a, TSelf b, TSelf c);

    /// <summary>sum = a * b + sum, rounded once.</summary>
    /// <remarks>
    /// What sums in registers are written with: where <see cref="MultiplyAdd"/> gives a new register, the JIT does not see that it takes the place of the old sum, overwrites a factor that is used for the last time
    /// and moves the result (vfmadd213ps and vmovaps instead of vfmadd231ps). Moves take issue slots: on Zen 1 a tile of 6 x 16 sums ran at 28 and, without them, at 40 of 40 GFLOP/s.
    /// </remarks>
    static abstract void Accumulate(ref TSelf sum, TSelf a, TSelf b);

    /// <summary>The larger of both, NaN if either is NaN (IEEE 754:2019 maximum).</summary>
    static abstract TSelf Max(TSelf a, TSelf b);

    /// <summary>The smaller of both, NaN if either is NaN (IEEE 754:2019 minimum).</summary>
    static abstract TSelf Min(TSelf a, TSelf b);

    /// <summary>a &gt; b ? a : b, in one instruction. Which of both it is when one is NaN depends on the processor, except that a NaN in b comes through when a is a number.</summary>
    static abstract TSelf Larger(TSelf a, TSelf b);

    /// <summary>a &lt; b ? a : b, as <see cref="Larger"/>.</summary>
    static abstract TSelf Smaller(TSelf a, TSelf b);

    /// <summary>2^n of <paramref name="shifted"/> = n + 1.5 * 2^23 with an integer n from -127 (which gives 0) to 128 (infinity), by moving its bits.</summary>
    static abstract TSelf PowerOfTwo(TSelf shifted);
}

/// <summary>The number of partial sums that every level keeps when it reduces a contiguous dimension.</summary>
internal static class Lanes
{
    /// <summary>16: one 512-bit register, two 256-bit ones, four 128-bit ones or sixteen scalars.</summary>
    public const int Count = 16;

    /// <summary>Folds 16 partial sums in the one order that every level uses (halves, quarters, pairs, one).</summary>
    public static unsafe float Fold(float* partial)
    {
        for (int width = Count / 2; width > 0; width /= 2)
        {
            for (int i = 0; i < width; i++) partial[i] += partial[i + width];
        }
        return partial[0];
    }
}
