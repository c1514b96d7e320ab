using System.Runtime.CompilerServices;
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
    /// <param name="next">As many values that are read later, or none. They are asked for line by line meanwhile: planes of a channel lie pages apart, and few processors ask beyond a page by themselves. The other loops' are alike.</param>
    public static unsafe (float Sum, float Squares) ShiftedMoments(ReadOnlySpan<float> x, float shift, ReadOnlySpan<float> next = default)
    {
        Vector512<float> s = default, q = default, k = Vector512.Create(shift);
        float ts = 0, tq = 0;
        fixed (float* px = x, later = next)
        {
            float* nx = later == null ? px : later;
            int i = 0;
            for (; i <= x.Length - 16; i += 16)
            {
                Ask(nx + i);
                Vector512<float> d = Vector512.Load(px + i) - k;
                s += d;
                q = Vector512.FusedMultiplyAdd(d, d, q);
            }
            for (; i < x.Length; i++)
            {
                float d = px[i] - shift;
                ts += d;
                tq = MathF.FusedMultiplyAdd(d, d, tq);
            }
        }
        return (Fold(s) + ts, Fold(q) + tq);
    }

    /// <summary>The sum of g and of g * (x - shift).</summary>
    public static unsafe (float Sum, float Product) GradientMoments(ReadOnlySpan<float> g, ReadOnlySpan<float> x, float shift, ReadOnlySpan<float> nextG = default, ReadOnlySpan<float> nextX = default)
    {
        Vector512<float> s = default, p = default, k = Vector512.Create(shift);
        float ts = 0, tp = 0;
        fixed (float* pg = g, px = x, laterG = nextG, laterX = nextX)
        {
            float* ng = laterG == null ? pg : laterG, nx = laterX == null ? px : laterX;
            int i = 0;
            for (; i <= x.Length - 16; i += 16)
            {
                Ask(ng + i);
                Ask(nx + i);
                Vector512<float> v = Vector512.Load(pg + i);
                s += v;
                p = Vector512.FusedMultiplyAdd(v, Vector512.Load(px + i) - k, p);
            }
            for (; i < x.Length; i++)
            {
                ts += pg[i];
                tp = MathF.FusedMultiplyAdd(pg[i], px[i] - shift, tp);
            }
        }
        return (Fold(s) + ts, Fold(p) + tp);
    }

    /// <summary>As <see cref="GradientMoments"/>, but g counts only where x * gateScale + gateShift is positive: where <see cref="Affine"/> let it through.</summary>
    public static unsafe (float Sum, float Product) GatedGradientMoments(ReadOnlySpan<float> g, ReadOnlySpan<float> x, float gateScale, float gateShift, float shift, ReadOnlySpan<float> nextG = default, ReadOnlySpan<float> nextX = default)
    {
        Vector512<float> s = default, p = default, k = Vector512.Create(shift), ga = Vector512.Create(gateScale), gb = Vector512.Create(gateShift);
        float ts = 0, tp = 0;
        fixed (float* pg = g, px = x, laterG = nextG, laterX = nextX)
        {
            float* ng = laterG == null ? pg : laterG, nx = laterX == null ? px : laterX;
            int i = 0;
            for (; i <= x.Length - 16; i += 16)
            {
                Ask(ng + i);
                Ask(nx + i);
                Vector512<float> input = Vector512.Load(px + i);
                Vector512<float> v = Vector512.ConditionalSelect(Vector512.GreaterThan(Vector512.FusedMultiplyAdd(input, ga, gb), Vector512<float>.Zero), Vector512.Load(pg + i), Vector512<float>.Zero);
                s += v;
                p = Vector512.FusedMultiplyAdd(v, input - k, p);
            }
            for (; i < x.Length; i++)
            {
                float v = MathF.FusedMultiplyAdd(px[i], gateScale, gateShift) > 0 ? pg[i] : 0;
                ts += v;
                tp = MathF.FusedMultiplyAdd(v, px[i] - shift, tp);
            }
        }
        return (Fold(s) + ts, Fold(p) + tp);
    }

    /// <summary>As <see cref="GradientMoments"/>, but g counts only where <see cref="Affine"/> found a result positive. What counts is written down: it may replace g.</summary>
    public static unsafe (float Sum, float Product) GatedGradientMoments(ReadOnlySpan<float> g, ReadOnlySpan<ushort> gates, ReadOnlySpan<float> x, float shift, Span<float> counted, ReadOnlySpan<float> nextG = default, ReadOnlySpan<float> nextX = default, ReadOnlySpan<ushort> nextGates = default)
    {
        Vector512<float> s = default, p = default, k = Vector512.Create(shift);
        Vector512<int> lanes = Vector512.Create(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
        float ts = 0, tp = 0;
        fixed (float* pg = g, px = x, to = counted, laterG = nextG, laterX = nextX)
        fixed (ushort* pb = gates, laterGates = nextGates)
        {
            for (int line = 0; line < nextGates.Length; line += 32) Ask((float*)(laterGates + line));
            float* ng = laterG == null ? pg : laterG, nx = laterX == null ? px : laterX;
            int i = 0;
            for (; i <= x.Length - 16; i += 16)
            {
                Ask(ng + i);
                Ask(nx + i);
                Vector512<float> v = Vector512.ConditionalSelect(Vector512.Equals(Vector512.Create((int)pb[i / 16]) & lanes, lanes).AsSingle(), Vector512.Load(pg + i), Vector512<float>.Zero);
                v.Store(to + i);
                s += v;
                p = Vector512.FusedMultiplyAdd(v, Vector512.Load(px + i) - k, p);
            }
            for (; i < x.Length; i++)
            {
                float v = (pb[i / 16] >> (i % 16) & 1) != 0 ? pg[i] : 0;
                to[i] = v;
                ts += v;
                tp = MathF.FusedMultiplyAdd(v, px[i] - shift, tp);
            }
        }
        return (Fold(s) + ts, Fold(p) + tp);
    }

    /// <summary>y = x * scale + shift + added, then max(., 0) if asked for.</summary>
    /// <param name="x">The values.</param>
    /// <param name="scale">What they are multiplied by.</param>
    /// <param name="shift">What is added to all.</param>
    /// <param name="y">As many values as x.</param>
    /// <param name="relu">Whether negative results become 0.</param>
    /// <param name="added">As many values as x, or none.</param>
    /// <param name="streams">Whether y goes past the caches: a result that no cache holds until it is read, whose lines need not be fetched to be overwritten.</param>
    /// <param name="nextX">What is read later.</param>
    /// <param name="nextAdded">The same of what is added.</param>
    /// <param name="gates">Receives a bit for each value, 16 in an element: whether the result is positive. Or none.</param>
    public static unsafe void Affine(ReadOnlySpan<float> x, float scale, float shift, Span<float> y, bool relu, ReadOnlySpan<float> added = default, bool streams = false, ReadOnlySpan<float> nextX = default, ReadOnlySpan<float> nextAdded = default, Span<ushort> gates = default)
    {
        float floor = relu ? 0 : float.NegativeInfinity;
        // Bits that fill no element yet: whole lines begin anywhere among them.
        uint open = 0;
        int bits = 0, whole = 0;
        Vector512<float> a = Vector512.Create(scale), b = Vector512.Create(shift), low = Vector512.Create(floor);
        fixed (float* px = x, plus = added, to = y, laterX = nextX, laterAdded = nextAdded)
        {
            float* nx = laterX == null ? px : laterX, np = laterAdded == null ? plus : laterAdded;
            int i = 0;
            for (int head = streams ? ToWholeLine(to, x.Length) : 0; i < head; i++) Close(to[i] = One(px, plus, i), gates);
            for (; i <= x.Length - 16; i += 16)
            {
                Ask(nx + i);
                Vector512<float> v = Vector512.FusedMultiplyAdd(Vector512.Load(px + i), a, b);
                if (plus != null)
                {
                    Ask(np + i);
                    v += Vector512.Load(plus + i);
                }
                v = Vector512.Max(v, low);
                if (gates.Length > 0)
                {
                    open |= (uint)Vector512.GreaterThan(v, Vector512<float>.Zero).ExtractMostSignificantBits() << bits;
                    gates[whole++] = (ushort)open;
                    open >>= 16;
                }
                if (streams) v.StoreAlignedNonTemporal(to + i);
                else v.Store(to + i);
            }
            for (; i < x.Length; i++) Close(to[i] = One(px, plus, i), gates);
            if (bits > 0 && gates.Length > 0) gates[whole] = (ushort)open;
        }

        void Close(float result, Span<ushort> gates)
        {
            if (gates.Length == 0) return;
            if (result > 0) open |= 1u << bits;
            if (++bits < 16) return;
            gates[whole++] = (ushort)open;
            (open, bits) = (0, 0);
        }

        float One(float* from, float* plus, int i)
        {
            float v = MathF.FusedMultiplyAdd(from[i], scale, shift);
            if (plus != null) v += plus[i];
            return MathF.Max(v, floor);
        }
    }

    /// <summary>result = g * a + x * b + c; result may be g.</summary>
    /// <param name="g">Values.</param>
    /// <param name="a">Their factor.</param>
    /// <param name="x">As many values.</param>
    /// <param name="b">Their factor.</param>
    /// <param name="c">What is added to all.</param>
    /// <param name="result">As many values.</param>
    /// <param name="streams">Whether it goes past the caches, as in <see cref="Affine"/>.</param>
    /// <param name="nextG">What is read later.</param>
    /// <param name="nextX">The same of x.</param>
    public static unsafe void Combine(ReadOnlySpan<float> g, float a, ReadOnlySpan<float> x, float b, float c, Span<float> result, bool streams = false, ReadOnlySpan<float> nextG = default, ReadOnlySpan<float> nextX = default)
    {
        Vector512<float> va = Vector512.Create(a), vb = Vector512.Create(b), vc = Vector512.Create(c);
        fixed (float* pg = g, px = x, to = result, laterG = nextG, laterX = nextX)
        {
            float* ng = laterG == null ? pg : laterG, nx = laterX == null ? px : laterX;
            int i = 0;
            for (int head = streams ? ToWholeLine(to, x.Length) : 0; i < head; i++) to[i] = One(pg, px, i);
            for (; i <= x.Length - 16; i += 16)
            {
                Ask(ng + i);
                Ask(nx + i);
                Vector512<float> v = Vector512.FusedMultiplyAdd(Vector512.Load(pg + i), va, Vector512.FusedMultiplyAdd(Vector512.Load(px + i), vb, vc));
                if (streams) v.StoreAlignedNonTemporal(to + i);
                else v.Store(to + i);
            }
            for (; i < x.Length; i++) to[i] = One(pg, px, i);
        }

        float One(float* gradient, float* input, int i) => MathF.FusedMultiplyAdd(gradient[i], a, MathF.FusedMultiplyAdd(input[i], b, c));
    }

    /// <summary>As <see cref="Combine"/>, but g counts only where x * gateScale + gateShift is positive.</summary>
    public static unsafe void GatedCombine(ReadOnlySpan<float> g, float gateScale, float gateShift, float a, ReadOnlySpan<float> x, float b, float c, Span<float> result, ReadOnlySpan<float> nextG = default, ReadOnlySpan<float> nextX = default)
    {
        Vector512<float> va = Vector512.Create(a), vb = Vector512.Create(b), vc = Vector512.Create(c), ga = Vector512.Create(gateScale), gb = Vector512.Create(gateShift);
        fixed (float* pg = g, px = x, to = result, laterG = nextG, laterX = nextX)
        {
            float* ng = laterG == null ? pg : laterG, nx = laterX == null ? px : laterX;
            int i = 0;
            for (; i <= x.Length - 16; i += 16)
            {
                Ask(ng + i);
                Ask(nx + i);
                Vector512<float> input = Vector512.Load(px + i);
                Vector512<float> v = Vector512.ConditionalSelect(Vector512.GreaterThan(Vector512.FusedMultiplyAdd(input, ga, gb), Vector512<float>.Zero), Vector512.Load(pg + i), Vector512<float>.Zero);
                Vector512.FusedMultiplyAdd(v, va, Vector512.FusedMultiplyAdd(input, vb, vc)).Store(to + i);
            }
            for (; i < x.Length; i++) to[i] = MathF.FusedMultiplyAdd(MathF.FusedMultiplyAdd(px[i], gateScale, gateShift) > 0 ? pg[i] : 0, a, MathF.FusedMultiplyAdd(px[i], b, c));
        }
    }

    // Whole lines alone go past the caches.
    private static unsafe int ToWholeLine(float* to, int length) => Math.Min(length, (int)((64 - ((nint)to & 63)) & 63) / sizeof(float));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe void Ask(float* line)
    {
        if (Sse.IsSupported) Sse.Prefetch0(line);
    }

    private static float Fold(Vector512<float> a)
    {
        Vector256<float> b = a.GetLower() + a.GetUpper();
        Vector128<float> c = b.GetLower() + b.GetUpper();
        return c[0] + c[2] + (c[1] + c[3]);
    }
}
