using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>The transforms of <see cref="WinogradConvolution"/> F(2 x 2, 3 x 3): sums and differences of pixels whose channels lie side by side, a register of channels at a time.</summary>
/// <remarks>With B, G and A of Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", section 4.1. Rows are combined first, a row of the result at a time, so that 16 registers are enough; every width does the same operations.</remarks>
internal static unsafe class WinogradTransforms
{
    /// <summary>Values of a transformed tile: 4 x 4.</summary>
    public const int Points = 16;

    /// <summary>Pixels of a tile of the input, [4 rows, 4 columns, channels], in four columns of their own: at the sides of an image one of them is zeros whose rows are no distance apart.</summary>
    public ref struct Tile
    {
        public float* C0, C1, C2, C3;
        public nint Step0, Step, Step3;
    }

    /// <summary>to [point][channels] = B^T d B.</summary>
    /// <param name="d">The pixels.</param>
    /// <param name="channels">A multiple of 16.</param>
    /// <param name="to">Where the first point goes.</param>
    /// <param name="step">Distance of points.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Input<V>(in Tile d, int channels, float* to, nint step) where V : unmanaged, IVector<V>
    {
        float* c0 = d.C0, c1 = d.C1, c2 = d.C2, c3 = d.C3;
        nint s0 = d.Step0, s = d.Step, s3 = d.Step3;
        for (int c = 0; c < channels; c += V.Count)
        {
            float* t = to;
            Line(t, step, V.Subtract(V.Load(c0), V.Load(c0 + (2 * s0))), V.Subtract(V.Load(c1), V.Load(c1 + (2 * s))), V.Subtract(V.Load(c2), V.Load(c2 + (2 * s))), V.Subtract(V.Load(c3), V.Load(c3 + (2 * s3))));
            t += 4 * step;
            Line(t, step, V.Add(V.Load(c0 + s0), V.Load(c0 + (2 * s0))), V.Add(V.Load(c1 + s), V.Load(c1 + (2 * s))), V.Add(V.Load(c2 + s), V.Load(c2 + (2 * s))), V.Add(V.Load(c3 + s3), V.Load(c3 + (2 * s3))));
            t += 4 * step;
            Line(t, step, V.Subtract(V.Load(c0 + (2 * s0)), V.Load(c0 + s0)), V.Subtract(V.Load(c1 + (2 * s)), V.Load(c1 + s)), V.Subtract(V.Load(c2 + (2 * s)), V.Load(c2 + s)), V.Subtract(V.Load(c3 + (2 * s3)), V.Load(c3 + s3)));
            t += 4 * step;
            Line(t, step, V.Subtract(V.Load(c0 + s0), V.Load(c0 + (3 * s0))), V.Subtract(V.Load(c1 + s), V.Load(c1 + (3 * s))), V.Subtract(V.Load(c2 + s), V.Load(c2 + (3 * s))), V.Subtract(V.Load(c3 + s3), V.Load(c3 + (3 * s3))));
            c0 += V.Count;
            c1 += V.Count;
            c2 += V.Count;
            c3 += V.Count;
            to += V.Count;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void Line(float* t, nint step, V a0, V a1, V a2, V a3)
        {
            V.Store(V.Subtract(a0, a2), t);
            V.Store(V.Add(a1, a2), t + step);
            V.Store(V.Subtract(a2, a1), t + (2 * step));
            V.Store(V.Subtract(a1, a3), t + (3 * step));
        }
    }

    /// <summary>to [point][channels] = A g A^T of 2 x 2 pixels of an output's gradient.</summary>
    /// <param name="g">The upper left pixel [channels]; the next lies <paramref name="pixel"/> further.</param>
    /// <param name="pixel">Distance of pixels.</param>
    /// <param name="row">Distance of rows.</param>
    /// <param name="channels">A multiple of 16.</param>
    /// <param name="to">Where the first point goes.</param>
    /// <param name="step">Distance of points.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Gradient<V>(float* g, nint pixel, nint row, int channels, float* to, nint step) where V : unmanaged, IVector<V>
    {
        for (int c = 0; c < channels; c += V.Count)
        {
            V a = V.Load(g), b = V.Load(g + pixel), d = V.Load(g + row), e = V.Load(g + row + pixel);
            float* t = to;
            Line(t, step, a, b);
            Line(t + (4 * step), step, V.Add(a, d), V.Add(b, e));
            Line(t + (8 * step), step, V.Subtract(a, d), V.Subtract(b, e));
            Line(t + (12 * step), step, V.Subtract(V.Zero, d), V.Subtract(V.Zero, e));
            g += V.Count;
            to += V.Count;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void Line(float* t, nint step, V a, V b)
        {
            V.Store(a, t);
            V.Store(V.Add(a, b), t + step);
            V.Store(V.Subtract(a, b), t + (2 * step));
            V.Store(V.Subtract(V.Zero, b), t + (3 * step));
        }
    }

    /// <summary>2 x 2 pixels of the output = A^T m A + bias.</summary>
    /// <param name="m">The first point [channels].</param>
    /// <param name="step">Distance of points.</param>
    /// <param name="channels">A multiple of 16.</param>
    /// <param name="bias">[channels], or null.</param>
    /// <param name="to">The upper left pixel [channels]; the next lies <paramref name="pixel"/> further.</param>
    /// <param name="pixel">Distance of pixels.</param>
    /// <param name="row">Distance of rows.</param>
    /// <param name="zeros">[16]: becomes NaN where a result is not finite.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Output<V>(float* m, nint step, int channels, float* bias, float* to, nint pixel, nint row, float* zeros) where V : unmanaged, IVector<V>
    {
        for (int c = 0; c < channels; c += V.Count)
        {
            V start = bias == null ? V.Zero : V.Load(bias + c), check = V.Load(zeros + (c % Lanes.Count));
            float* m1 = m + (4 * step), m2 = m1 + (4 * step), m3 = m2 + (4 * step);
            V r0, r1, r2, r3, y0, y1;
            r0 = V.Add(V.Load(m), V.Add(V.Load(m1), V.Load(m2)));
            r1 = V.Add(V.Load(m + step), V.Add(V.Load(m1 + step), V.Load(m2 + step)));
            r2 = V.Add(V.Load(m + (2 * step)), V.Add(V.Load(m1 + (2 * step)), V.Load(m2 + (2 * step))));
            r3 = V.Add(V.Load(m + (3 * step)), V.Add(V.Load(m1 + (3 * step)), V.Load(m2 + (3 * step))));
            y0 = V.Add(V.Add(r0, V.Add(r1, r2)), start);
            y1 = V.Add(V.Subtract(V.Subtract(r1, r2), r3), start);
            check = V.MultiplyAdd(V.Zero, V.Add(y0, y1), check);
            V.Store(y0, to);
            V.Store(y1, to + pixel);
            r0 = V.Subtract(V.Subtract(V.Load(m1), V.Load(m2)), V.Load(m3));
            r1 = V.Subtract(V.Subtract(V.Load(m1 + step), V.Load(m2 + step)), V.Load(m3 + step));
            r2 = V.Subtract(V.Subtract(V.Load(m1 + (2 * step)), V.Load(m2 + (2 * step))), V.Load(m3 + (2 * step)));
            r3 = V.Subtract(V.Subtract(V.Load(m1 + (3 * step)), V.Load(m2 + (3 * step))), V.Load(m3 + (3 * step)));
            y0 = V.Add(V.Add(r0, V.Add(r1, r2)), start);
            y1 = V.Add(V.Subtract(V.Subtract(r1, r2), r3), start);
            V.Store(y0, to + row);
            V.Store(y1, to + row + pixel);
            V.Store(V.MultiplyAdd(V.Zero, V.Add(y0, y1), check), zeros + (c % Lanes.Count));
            m += V.Count;
            to += V.Count;
        }
    }

    /// <summary>to [point][16 lanes] = G w G^T of 3 x 3 taps.</summary>
    /// <param name="w">[9][16 lanes].</param>
    /// <param name="turned">Whether the last tap comes first, as a gradient of the input takes them.</param>
    /// <param name="to">Where the first point goes.</param>
    /// <param name="step">Distance of points.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Weight<V>(float* w, bool turned, float* to, nint step) where V : unmanaged, IVector<V>
    {
        V half = V.Broadcast(0.5f);
        nint tap = turned ? -Lanes.Count : Lanes.Count;
        if (turned) w += 8 * Lanes.Count;
        for (int c = 0; c < Lanes.Count; c += V.Count)
        {
            float* w1 = w + (3 * tap), w2 = w + (6 * tap), t = to;
            Line(t, step, half, V.Load(w), V.Load(w + tap), V.Load(w + (2 * tap)));
            V s0 = V.Add(V.Load(w), V.Load(w2)), s1 = V.Add(V.Load(w + tap), V.Load(w2 + tap)), s2 = V.Add(V.Load(w + (2 * tap)), V.Load(w2 + (2 * tap)));
            V d0 = V.Load(w1), d1 = V.Load(w1 + tap), d2 = V.Load(w1 + (2 * tap));
            Line(t + (4 * step), step, half, V.Multiply(half, V.Add(s0, d0)), V.Multiply(half, V.Add(s1, d1)), V.Multiply(half, V.Add(s2, d2)));
            Line(t + (8 * step), step, half, V.Multiply(half, V.Subtract(s0, d0)), V.Multiply(half, V.Subtract(s1, d1)), V.Multiply(half, V.Subtract(s2, d2)));
            Line(t + (12 * step), step, half, V.Load(w2), V.Load(w2 + tap), V.Load(w2 + (2 * tap)));
            w += V.Count;
            to += V.Count;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void Line(float* t, nint step, V half, V a, V b, V d)
        {
            V sum = V.Add(a, d);
            V.Store(a, t);
            V.Store(V.Multiply(half, V.Add(sum, b)), t + step);
            V.Store(V.Multiply(half, V.Subtract(sum, b)), t + (2 * step));
            V.Store(d, t + (3 * step));
        }
    }

    /// <summary>to [9][16 lanes] = G^T u G: from the gradient of a transformed weight to that of its taps.</summary>
    /// <param name="u">The first point [16 lanes].</param>
    /// <param name="step">Distance of points.</param>
    /// <param name="to">The taps.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Taps<V>(float* u, nint step, float* to) where V : unmanaged, IVector<V>
    {
        V half = V.Broadcast(0.5f);
        for (int c = 0; c < Lanes.Count; c += V.Count)
        {
            float* u1 = u + (4 * step), u2 = u1 + (4 * step), u3 = u2 + (4 * step);
            V a0 = Half(u1, u2, half), a1 = Half(u1 + step, u2 + step, half), a2 = Half(u1 + (2 * step), u2 + (2 * step), half), a3 = Half(u1 + (3 * step), u2 + (3 * step), half);
            Line(to, half, V.Add(V.Load(u), a0), V.Add(V.Load(u + step), a1), V.Add(V.Load(u + (2 * step)), a2), V.Add(V.Load(u + (3 * step)), a3));
            Line(to + (6 * Lanes.Count), half, V.Add(V.Load(u3), a0), V.Add(V.Load(u3 + step), a1), V.Add(V.Load(u3 + (2 * step)), a2), V.Add(V.Load(u3 + (3 * step)), a3));
            a0 = HalfApart(u1, u2, half);
            a1 = HalfApart(u1 + step, u2 + step, half);
            a2 = HalfApart(u1 + (2 * step), u2 + (2 * step), half);
            a3 = HalfApart(u1 + (3 * step), u2 + (3 * step), half);
            Line(to + (3 * Lanes.Count), half, a0, a1, a2, a3);
            u += V.Count;
            to += V.Count;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static V Half(float* a, float* b, V half) => V.Multiply(half, V.Add(V.Load(a), V.Load(b)));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static V HalfApart(float* a, float* b, V half) => V.Multiply(half, V.Subtract(V.Load(a), V.Load(b)));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void Line(float* t, V half, V a0, V a1, V a2, V a3)
        {
            V sum = V.Multiply(half, V.Add(a1, a2));
            V.Store(V.Add(a0, sum), t);
            V.Store(V.Multiply(half, V.Subtract(a1, a2)), t + Lanes.Count);
            V.Store(V.Add(sum, a3), t + (2 * Lanes.Count));
        }
    }
}
