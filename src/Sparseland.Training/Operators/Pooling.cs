using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>MaxPool and AveragePool in one and two dimensions, and the global forms in any.</summary>
internal static class Pooling
{
    /// <summary>The sizes of a pooling over planes [height, width].</summary>
    internal readonly record struct Geometry(int Planes, int Height, int Width, int OutHeight, int OutWidth,
        int KernelY, int KernelX, int StrideY, int StrideX, int DilationY, int DilationX, int PadTop, int PadLeft, int PadBottom, int PadRight)
    {
        public int Points => OutHeight * OutWidth;

        /// <summary>Whether windows are 2 x 2, side by side and inside the image.</summary>
        public bool IsQuarter => KernelY == 2 && KernelX == 2 && StrideY == 2 && StrideX == 2 && DilationY == 1 && DilationX == 1
            && PadTop == 0 && PadLeft == 0 && 2 * OutHeight <= Height && 2 * OutWidth <= Width;
    }

    // The first of the largest of four values, a NaN if there is one; without branches, which the data would make unpredictable.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int QuarterMax(float[] from, int upper, int lower)
    {
        float a = from[upper], b = from[upper + 1], c = from[lower], d = from[lower + 1];
        if (float.IsNaN(a + b + c + d))
        {
            // Perhaps infinities of both signs only.
            if (float.IsNaN(a)) return upper;
            if (float.IsNaN(b)) return upper + 1;
            if (float.IsNaN(c)) return lower;
            if (float.IsNaN(d)) return lower + 1;
        }
        upper += b > a ? 1 : 0;
        lower += d > c ? 1 : 0;
        return upper + (-(from[lower] > from[upper] ? 1 : 0) & (lower - upper));
    }

    /// <summary>The largest value of every window; the gradient goes to its first occurrence.</summary>
    public static Tensor Max(Tensor x, Geometry p, int[] shape)
    {
        Tensor y = Tensor.Uninitialized(shape);
        float[] from = x.Array, to = y.Array;
        bool records = Tape.Records(x);
        // Places of the largest values, as integers in memory that is used again in the next step.
        Tensor? places = records ? Tensor.Uninitialized(shape) : null;
        Chunks.Rows(p.Planes, p.Height * p.Width, plane =>
        {
            Span<int> winners = places is null ? default : MemoryMarshal.Cast<float, int>(places.Values);
            int source = plane * p.Height * p.Width, target = plane * p.Points;
            for (int oy = 0; oy < p.OutHeight; oy++)
            {
                for (int ox = 0; ox < p.OutWidth; ox++, target++)
                {
                    if (p.IsQuarter)
                    {
                        int upper = source + (2 * oy * p.Width) + (2 * ox), winner = QuarterMax(from, upper, upper + p.Width);
                        to[target] = from[winner];
                        if (records) winners[target] = winner;
                        continue;
                    }
                    float best = float.NegativeInfinity;
                    int at = -1;
                    for (int ky = 0; ky < p.KernelY; ky++)
                    {
                        int iy = (oy * p.StrideY) - p.PadTop + (ky * p.DilationY);
                        if ((uint)iy >= (uint)p.Height) continue;
                        for (int kx = 0; kx < p.KernelX; kx++)
                        {
                            int ix = (ox * p.StrideX) - p.PadLeft + (kx * p.DilationX);
                            if ((uint)ix >= (uint)p.Width) continue;
                            float v = from[source + (iy * p.Width) + ix];
                            if (at >= 0 && !(v > best) && !(float.IsNaN(v) && !float.IsNaN(best))) continue;
                            best = v;
                            at = source + (iy * p.Width) + ix;
                        }
                    }
                    to[target] = best;
                    if (records) winners[target] = at;
                }
            }
        });
        int[] inputShape = x.ShapeArray;
        Tape.Record("MaxPool", y, [x], [places], flow =>
        {
            Tensor gradient = Tensor.Zeros(inputShape);
            float[] g = flow.Output().Array, gx = gradient.Array;
            Chunks.Rows(p.Planes, p.Points, plane =>
            {
                ReadOnlySpan<int> winners = MemoryMarshal.Cast<float, int>(places!.Values);
                for (int i = plane * p.Points; i < (plane + 1) * p.Points; i++)
                {
                    if (winners[i] >= 0) gx[winners[i]] += g[i];
                }
            });
            flow.Give(0, gradient);
        });
        places?.Storage.Release();
        return y;
    }

    /// <summary>The mean of every window.</summary>
    public static Tensor Average(Tensor x, Geometry p, int[] shape, bool countPads)
    {
        Tensor y = Tensor.Uninitialized(shape);
        Sweep(x.Array, y.Array, p, countPads, backward: false);
        int[] inputShape = x.ShapeArray;
        return Tape.Record("AveragePool", y, [x], [], flow =>
        {
            Tensor gradient = Tensor.Zeros(inputShape);
            Sweep(gradient.Array, flow.Output().Array, p, countPads, backward: true);
            flow.Give(0, gradient);
        });
    }

    public static ModelValue[]? MaxFromNode(OperatorContext c) =>
        !c.AreFloat32(0) || c.WantsOutput(1) || Read(c) is not { } read ? null : [Max(c.Tensor(0), read.Geometry, read.Shape)];

    public static ModelValue[]? AverageFromNode(OperatorContext c) =>
        !c.AreFloat32(0) || Read(c) is not { } read ? null : [Average(c.Tensor(0), read.Geometry, read.Shape, c.Attributes.Int("count_include_pad", 0) != 0)];

    public static DifferentiableOperator Global(Reduction kind) => c =>
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        return x.Rank < 3 ? [Views.Reshape(x, x.Shape)] : [Reductions.Apply(x, kind, [.. Enumerable.Range(2, x.Rank - 2)], keepDims: true)];
    };

    private static void Sweep(float[] image, float[] pooled, Geometry p, bool countPads, bool backward) => Chunks.Rows(p.Planes, p.Height * p.Width, plane =>
    {
        int source = plane * p.Height * p.Width, target = plane * p.Points;
        for (int oy = 0; oy < p.OutHeight; oy++)
        {
            for (int ox = 0; ox < p.OutWidth; ox++, target++)
            {
                int top = (oy * p.StrideY) - p.PadTop, left = (ox * p.StrideX) - p.PadLeft;
                // Windows may hang over the padded image (ceil mode): what hangs over counts for nothing.
                int rows = 0, columns = 0;
                for (int k = 0; k < p.KernelY; k++)
                {
                    int i = top + (k * p.DilationY);
                    rows += countPads ? (i < p.Height + p.PadBottom ? 1 : 0) : (uint)i < (uint)p.Height ? 1 : 0;
                }
                for (int k = 0; k < p.KernelX; k++)
                {
                    int i = left + (k * p.DilationX);
                    columns += countPads ? (i < p.Width + p.PadRight ? 1 : 0) : (uint)i < (uint)p.Width ? 1 : 0;
                }
                int count = rows * columns;
                float sum = 0, share = backward && count > 0 ? pooled[target] / count : 0;
                for (int ky = 0; ky < p.KernelY; ky++)
                {
                    int iy = top + (ky * p.DilationY);
                    if ((uint)iy >= (uint)p.Height) continue;
                    for (int kx = 0; kx < p.KernelX; kx++)
                    {
                        int ix = left + (kx * p.DilationX);
                        if ((uint)ix >= (uint)p.Width) continue;
                        if (backward) image[source + (iy * p.Width) + ix] += share;
                        else sum += image[source + (iy * p.Width) + ix];
                    }
                }
                if (!backward) pooled[target] = sum / count;
            }
        }
    });

    private static (Geometry Geometry, int[] Shape)? Read(OperatorContext c)
    {
        Tensor x = c.Tensor(0);
        if (x.Rank is not (3 or 4)) return null;
        Window w = Window.Of(c, x.Shape[2..], []);
        bool ceil = c.Attributes.Int("ceil_mode", 0) != 0, flat = x.Rank == 3;
        int axes = x.Rank - 2;
        var output = new int[axes];
        for (int d = 0; d < axes; d++)
        {
            int size = x.Shape[2 + d], room = size + w.Begin[d] + w.End[d] - (((w.Kernel[d] - 1) * w.Dilations[d]) + 1);
            if (room < 0) throw c.Error($"a window of {w.Kernel[d]} does not fit axis {2 + d} of size {size}");
            output[d] = (ceil ? (room + w.Strides[d] - 1) / w.Strides[d] : room / w.Strides[d]) + 1;
            // A window that would start beyond the image (in the pad behind it) is left out.
            if (ceil && (output[d] - 1) * w.Strides[d] >= size + w.Begin[d]) output[d]--;
        }
        var geometry = new Geometry(x.Shape[0] * x.Shape[1], flat ? 1 : x.Shape[2], x.Shape[^1], flat ? 1 : output[0], output[^1],
            flat ? 1 : w.Kernel[0], w.Kernel[^1], flat ? 1 : w.Strides[0], w.Strides[^1], flat ? 1 : w.Dilations[0], w.Dilations[^1],
            flat ? 0 : w.Begin[0], w.Begin[^1], flat ? 0 : w.End[0], w.End[^1]);
        return (geometry, [x.Shape[0], x.Shape[1], .. output]);
    }
}
