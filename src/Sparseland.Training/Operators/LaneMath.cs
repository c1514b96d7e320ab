using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Training.Operators;

/// <summary>Sums over contiguous values with 16 partial sums on every instruction set, folded in one order.</summary>
internal static class LaneMath
{
    public static float Sum(ReadOnlySpan<float> x)
    {
        Vector512<float> a = default;
        int i = 0;
        for (; i <= x.Length - 16; i += 16) a += Vector512.Create(x.Slice(i, 16));
        float tail = 0;
        for (; i < x.Length; i++) tail += x[i];
        return Fold(a) + tail;
    }

    public static float Dot(ReadOnlySpan<float> x, ReadOnlySpan<float> y)
    {
        Vector512<float> a = default;
        int i = 0;
        for (; i <= x.Length - 16; i += 16) a = Vector512.FusedMultiplyAdd(Vector512.Create(x.Slice(i, 16)), Vector512.Create(y.Slice(i, 16)), a);
        float tail = 0;
        for (; i < x.Length; i++) tail = MathF.FusedMultiplyAdd(x[i], y[i], tail);
        return Fold(a) + tail;
    }

    /// <summary>The sum of (x - shift) and of (x - shift)^2.</summary>
    /// <param name="x">The values.</param>
    /// <param name="shift">What is taken off.</param>
    /// <param name="next">What is read later, asked for line by line meanwhile: planes of a channel lie pages apart, and no processor asks beyond a page by itself.</param>
    public static (float Sum, float Squares) ShiftedMoments(ReadOnlySpan<float> x, float shift, ReadOnlySpan<float> next = default)
    {
        Vector512<float> s = default, q = default, k = Vector512.Create(shift);
        int i = 0;
        for (; i <= x.Length - 16; i += 16)
        {
            Ask(next, i);
            Vector512<float> d = Vector512.Create(x.Slice(i, 16)) - k;
            s += d;
            q = Vector512.FusedMultiplyAdd(d, d, q);
        }
        float ts = 0, tq = 0;
        for (; i < x.Length; i++)
        {
            float d = x[i] - shift;
            ts += d;
            tq = MathF.FusedMultiplyAdd(d, d, tq);
        }
        return (Fold(s) + ts, Fold(q) + tq);
    }

    /// <summary>The sum of g and of g * (x - shift).</summary>
    public static (float Sum, float Product) GradientMoments(ReadOnlySpan<float> g, ReadOnlySpan<float> x, float shift, ReadOnlySpan<float> nextG = default, ReadOnlySpan<float> nextX = default)
    {
        Vector512<float> s = default, p = default, k = Vector512.Create(shift);
        int i = 0;
        for (; i <= x.Length - 16; i += 16)
        {
            Ask(nextG, i);
            Ask(nextX, i);
            Vector512<float> v = Vector512.Create(g.Slice(i, 16));
            s += v;
            p = Vector512.FusedMultiplyAdd(v, Vector512.Create(x.Slice(i, 16)) - k, p);
        }
        float ts = 0, tp = 0;
        for (; i < x.Length; i++)
        {
            ts += g[i];
            tp = MathF.FusedMultiplyAdd(g[i], x[i] - shift, tp);
        }
        return (Fold(s) + ts, Fold(p) + tp);
    }

    /// <summary>As <see cref="GradientMoments"/>, but g counts only where x * gateScale + gateShift is positive: where <see cref="Affine"/> let it through.</summary>
    public static (float Sum, float Product) GatedGradientMoments(ReadOnlySpan<float> g, ReadOnlySpan<float> x, float gateScale, float gateShift, float shift, ReadOnlySpan<float> nextG = default, ReadOnlySpan<float> nextX = default)
    {
        Vector512<float> s = default, p = default, k = Vector512.Create(shift), ga = Vector512.Create(gateScale), gb = Vector512.Create(gateShift);
        int i = 0;
        for (; i <= x.Length - 16; i += 16)
        {
            Ask(nextG, i);
            Ask(nextX, i);
            Vector512<float> input = Vector512.Create(x.Slice(i, 16));
            Vector512<float> v = Vector512.ConditionalSelect(
                Vector512.GreaterThan(Vector512.FusedMultiplyAdd(input, ga, gb), Vector512<float>.Zero), Vector512.Create(g.Slice(i, 16)), Vector512<float>.Zero);
            s += v;
            p = Vector512.FusedMultiplyAdd(v, input - k, p);
        }
        float ts = 0, tp = 0;
        for (; i < x.Length; i++)
        {
            float v = MathF.FusedMultiplyAdd(x[i], gateScale, gateShift) > 0 ? g[i] : 0;
            ts += v;
            tp = MathF.FusedMultiplyAdd(v, x[i] - shift, tp);
        }
        return (Fold(s) + ts, Fold(p) + tp);
    }

    /// <summary>y = x * scale + shift, then max(., 0) if asked for.</summary>
    public static void Affine(ReadOnlySpan<float> x, float scale, float shift, Span<float> y, bool relu)
    {
        Vector512<float> a = Vector512.Create(scale), b = Vector512.Create(shift), low = relu ? default : Vector512.Create(float.NegativeInfinity);
        int i = 0;
        for (; i <= x.Length - 16; i += 16)
            Vector512.Max(Vector512.FusedMultiplyAdd(Vector512.Create(x.Slice(i, 16)), a, b), low).CopyTo(y.Slice(i, 16));
        float floor = relu ? 0 : float.NegativeInfinity;
        for (; i < x.Length; i++) y[i] = MathF.Max(MathF.FusedMultiplyAdd(x[i], scale, shift), floor);
    }

    /// <summary>As <see cref="Affine"/>, past the caches: for a result that no cache holds until it is read, whose lines need not be fetched to be overwritten.</summary>
    public static unsafe void AffineStreaming(ReadOnlySpan<float> x, float scale, float shift, Span<float> y, bool relu)
    {
        fixed (float* to = y)
        {
            // Whole cache lines alone go past the caches.
            int head = Math.Min(x.Length, (int)((64 - ((nint)to & 63)) & 63) / sizeof(float));
            Affine(x[..head], scale, shift, y, relu);
            Vector512<float> a = Vector512.Create(scale), b = Vector512.Create(shift), low = relu ? default : Vector512.Create(float.NegativeInfinity);
            int i = head;
            for (; i <= x.Length - 16; i += 16) Vector512.Max(Vector512.FusedMultiplyAdd(Vector512.Create(x.Slice(i, 16)), a, b), low).StoreAlignedNonTemporal(to + i);
            Affine(x[i..], scale, shift, y[i..], relu);
        }
    }

    /// <summary>result = g * a + x * b + c; result may be g.</summary>
    public static void Combine(ReadOnlySpan<float> g, float a, ReadOnlySpan<float> x, float b, float c, Span<float> result)
    {
        Vector512<float> va = Vector512.Create(a), vb = Vector512.Create(b), vc = Vector512.Create(c);
        int i = 0;
        for (; i <= x.Length - 16; i += 16)
        {
            Vector512.FusedMultiplyAdd(Vector512.Create(g.Slice(i, 16)), va, Vector512.FusedMultiplyAdd(Vector512.Create(x.Slice(i, 16)), vb, vc))
                .CopyTo(result.Slice(i, 16));
        }
        for (; i < x.Length; i++) result[i] = MathF.FusedMultiplyAdd(g[i], a, MathF.FusedMultiplyAdd(x[i], b, c));
    }

    /// <summary>As <see cref="Combine"/>, but g counts only where x * gateScale + gateShift is positive.</summary>
    public static void GatedCombine(ReadOnlySpan<float> g, float gateScale, float gateShift, float a, ReadOnlySpan<float> x, float b, float c, Span<float> result)
    {
        Vector512<float> va = Vector512.Create(a), vb = Vector512.Create(b), vc = Vector512.Create(c), ga = Vector512.Create(gateScale), gb = Vector512.Create(gateShift);
        int i = 0;
        for (; i <= x.Length - 16; i += 16)
        {
            Vector512<float> input = Vector512.Create(x.Slice(i, 16));
            Vector512<float> v = Vector512.ConditionalSelect(
                Vector512.GreaterThan(Vector512.FusedMultiplyAdd(input, ga, gb), Vector512<float>.Zero), Vector512.Create(g.Slice(i, 16)), Vector512<float>.Zero);
            Vector512.FusedMultiplyAdd(v, va, Vector512.FusedMultiplyAdd(input, vb, vc)).CopyTo(result.Slice(i, 16));
        }
        for (; i < x.Length; i++) result[i] = MathF.FusedMultiplyAdd(MathF.FusedMultiplyAdd(x[i], gateScale, gateShift) > 0 ? g[i] : 0, a, MathF.FusedMultiplyAdd(x[i], b, c));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe void Ask(ReadOnlySpan<float> next, int i)
    {
        // Where the memory is at this moment will do.
        if (Sse.IsSupported && i < next.Length) Sse.Prefetch0(Unsafe.AsPointer(ref Unsafe.Add(ref MemoryMarshal.GetReference(next), i)));
    }

    private static float Fold(Vector512<float> a)
    {
        Vector256<float> b = a.GetLower() + a.GetUpper();
        Vector128<float> c = b.GetLower() + b.GetUpper();
        return c[0] + c[2] + (c[1] + c[3]);
    }
}
