using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>The geometry of max and average pooling in 1, 2 or 3 dimensions over [planes, spatial...] (planes = batch * channels).</summary>
public sealed partial class Pooling
{
    private readonly int[] _size, _kernel, _stride, _before, _after, _dilation, _out;
    private readonly (int First, int End)[][] _ranges;

    /// <summary>A pooling window.</summary>
    /// <param name="size">Spatial sizes of the input, 1 to 3 of them, each at least 0.</param>
    /// <param name="kernel">Window, at least 1 per axis.</param>
    /// <param name="stride">Stride per axis, at least 1.</param>
    /// <param name="padBefore">Padding before, 0 or more per axis.</param>
    /// <param name="padAfter">Padding after, 0 or more per axis.</param>
    /// <param name="dilation">Distance of window elements per axis, at least 1; empty for 1.</param>
    /// <param name="ceilMode">Whether a window that begins inside the input or its left padding but ends beyond the padding counts.</param>
    /// <exception cref="ArgumentException">Ranks differ or a value is out of range.</exception>
    public Pooling(ReadOnlySpan<int> size, ReadOnlySpan<int> kernel, ReadOnlySpan<int> stride, ReadOnlySpan<int> padBefore, ReadOnlySpan<int> padAfter,
        ReadOnlySpan<int> dilation = default, bool ceilMode = false)
    {
        int rank = size.Length;
        if (rank is < 1 or > 3) throw new ArgumentException($"Pooling over {rank} dimensions; 1 to 3 are possible.", nameof(size));
        if (kernel.Length != rank || stride.Length != rank || padBefore.Length != rank || padAfter.Length != rank || (!dilation.IsEmpty && dilation.Length != rank))
            throw new ArgumentException("The ranks of the arguments differ.");
        (_size, _kernel, _stride, _before, _after, _dilation, _out) = (Ones(), Ones(), Ones(), new int[3], new int[3], Ones(), Ones());
        for (int i = 0; i < rank; i++)
        {
            int at = 3 - rank + i;
            _size[at] = size[i];
            _kernel[at] = kernel[i];
            _stride[at] = stride[i];
            _before[at] = padBefore[i];
            _after[at] = padAfter[i];
            if (!dilation.IsEmpty) _dilation[at] = dilation[i];
            if (size[i] < 0 || kernel[i] < 1 || stride[i] < 1 || padBefore[i] < 0 || padAfter[i] < 0 || _dilation[at] < 1)
                throw new ArgumentException($"Axis {i}: size {size[i]}, kernel {kernel[i]}, stride {stride[i]}, padding {padBefore[i]} and {padAfter[i]}, dilation {_dilation[at]}.");
            long room = (long)size[i] + padBefore[i] + padAfter[i] - (((long)(kernel[i] - 1) * _dilation[at]) + 1);
            long windows = room < 0 ? 0 : ((ceilMode ? room + stride[i] - 1 : room) / stride[i]) + 1;
            // A window that lies wholly in the padding behind the input is none.
            if (ceilMode && windows > 0 && (windows - 1) * stride[i] >= (long)size[i] + padBefore[i]) windows--;
            _out[at] = checked((int)windows);
        }
        OutputSize = _out[(3 - rank)..];
        _ranges = [.. Enumerable.Range(0, 3).Select(axis => Enumerable.Range(0, _out[axis]).Select(o => Range(axis, o)).ToArray())];

        static int[] Ones() => [1, 1, 1];
    }

    /// <summary>Spatial sizes of the output.</summary>
    public IReadOnlyList<int> OutputSize { get; }

    /// <summary>Values of one plane of the input.</summary>
    public int InputPlane => _size[0] * _size[1] * _size[2];

    /// <summary>Values of one plane of the output.</summary>
    public int OutputPlane => _out[0] * _out[1] * _out[2];

    /// <summary>The largest value of each window; NaN if the window has one, negative infinity if it has nothing.</summary>
    /// <param name="input">[planes, spatial].</param>
    /// <param name="output">[planes, output spatial].</param>
    /// <param name="planes">batch * channels.</param>
    /// <param name="indices">Receives the position of each value in its plane (the first of equals; -1 if there is none), or empty.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public void Max(ReadOnlySpan<float> input, Span<float> output, int planes, Span<int> indices = default) => Max(input, output, planes, indices, isImage: false);

    /// <summary>The largest value of each window of one image. Threads share its rows, as products before and after do, and not its channels: so each reads what it wrote.</summary>
    /// <param name="input">[channels, spatial].</param>
    /// <param name="output">[channels, output spatial].</param>
    /// <param name="channels">How many, at least 0.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public void MaxOfImage(ReadOnlySpan<float> input, Span<float> output, int channels) => Max(input, output, channels, default, isImage: true);

    private unsafe void Max(ReadOnlySpan<float> input, Span<float> output, int planes, Span<int> indices, bool isImage)
    {
        Check(input.Length, output.Length, planes);
        if (!indices.IsEmpty) Parts.Need(indices.Length, (long)planes * OutputPlane, nameof(indices));
        bool wanted = !indices.IsEmpty;
        fixed (float* fi = input, fo = output)
        {
            fixed (int* fx = indices)
            {
                if (!wanted && _size[0] == 1 && _kernel[0] == 1 && OutputPlane > 0 && InputPlane > 0)
                {
                    SimdDispatch.Run(new FlatMax { Input = fi, Output = fo, Planes = planes, Pooling = this, IsImage = isImage });
                    return;
                }
                float* pi = fi, po = fo;
                int* px = fx;
                int inPlane = InputPlane, outPlane = OutputPlane;
                Parts.Rows(planes, Work, (first, end) =>
                {
                    for (int plane = first; plane < end; plane++)
                    {
                        float* x = pi + ((nint)plane * inPlane);
                        for (int oz = 0, o = 0; oz < _out[0]; oz++)
                            for (int oy = 0; oy < _out[1]; oy++)
                                for (int ox = 0; ox < _out[2]; ox++, o++)
                                {
                                    float best = float.NegativeInfinity;
                                    int at = -1;
                                    Window w = WindowAt(oz, oy, ox);
                                    for (int z = w.Z0; z < w.Z1; z += _dilation[0])
                                    {
                                        for (int y = w.Y0; y < w.Y1; y += _dilation[1])
                                        {
                                            for (int c = w.X0; c < w.X1; c += _dilation[2])
                                            {
                                                int index = (((z * _size[1]) + y) * _size[2]) + c;
                                                float v = x[index];
                                                if (at >= 0 && !(v > best) && !(float.IsNaN(v) && !float.IsNaN(best))) continue;
                                                (best, at) = (v, index);
                                            }
                                        }
                                    }
                                    po[((nint)plane * outPlane) + o] = best;
                                    if (wanted) px[((nint)plane * outPlane) + o] = at;
                                }
                    }
                });
            }
        }
    }

    /// <summary>Adds each output gradient to the position that won its window.</summary>
    /// <param name="outputGradient">[planes, output spatial].</param>
    /// <param name="indices">From <see cref="Max(ReadOnlySpan{float}, Span{float}, int, Span{int})"/>.</param>
    /// <param name="inputGradient">[planes, spatial]; overwritten.</param>
    /// <param name="planes">batch * channels.</param>
    /// <exception cref="ArgumentException">A span is too short or an index is outside its plane.</exception>
    public unsafe void MaxBackward(ReadOnlySpan<float> outputGradient, ReadOnlySpan<int> indices, Span<float> inputGradient, int planes)
    {
        Check(inputGradient.Length, outputGradient.Length, planes);
        Parts.Need(indices.Length, (long)planes * OutputPlane, nameof(indices));
        int inPlane = InputPlane, outPlane = OutputPlane;
        foreach (int index in indices[..(planes * outPlane)])
        {
            if (index < -1 || index >= inPlane) throw new ArgumentException($"Index {index} is outside its plane of {inPlane}.", nameof(indices));
        }
        fixed (float* fg = outputGradient, fd = inputGradient)
        {
            fixed (int* fx = indices)
            {
                float* g = fg, d = fd;
                int* px = fx;
                Parts.Rows(planes, inPlane, (first, end) =>
                {
                    new Span<float>(d + ((nint)first * inPlane), (end - first) * inPlane).Clear();
                    for (int plane = first; plane < end; plane++)
                    {
                        for (int o = 0; o < outPlane; o++)
                        {
                            nint at = ((nint)plane * outPlane) + o;
                            if (px[at] >= 0) d[((nint)plane * inPlane) + px[at]] += g[at];
                        }
                    }
                });
            }
        }
    }

    /// <summary>The mean of each window.</summary>
    /// <param name="input">[planes, spatial].</param>
    /// <param name="output">[planes, output spatial].</param>
    /// <param name="planes">batch * channels.</param>
    /// <param name="countIncludePad">Whether padding counts as zeros (never what lies beyond it in ceil mode); an empty window gives NaN otherwise.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public unsafe void Average(ReadOnlySpan<float> input, Span<float> output, int planes, bool countIncludePad)
    {
        Check(input.Length, output.Length, planes);
        int inPlane = InputPlane, outPlane = OutputPlane;
        fixed (float* fi = input, fo = output)
        {
            float* pi = fi, po = fo;
            Parts.Rows(planes, Work, (first, end) =>
            {
                for (int plane = first; plane < end; plane++)
                {
                    float* x = pi + ((nint)plane * inPlane);
                    for (int oz = 0, o = 0; oz < _out[0]; oz++)
                        for (int oy = 0; oy < _out[1]; oy++)
                            for (int ox = 0; ox < _out[2]; ox++, o++)
                            {
                                Window w = WindowAt(oz, oy, ox);
                                float sum = 0f;
                                for (int z = w.Z0; z < w.Z1; z += _dilation[0])
                                {
                                    for (int y = w.Y0; y < w.Y1; y += _dilation[1])
                                    {
                                        for (int c = w.X0; c < w.X1; c += _dilation[2]) sum += x[(((z * _size[1]) + y) * _size[2]) + c];
                                    }
                                }
                                po[((nint)plane * outPlane) + o] = sum / Divisor(w, oz, oy, ox, countIncludePad);
                            }
                }
            });
        }
    }

    /// <summary>Spreads each output gradient evenly over its window.</summary>
    /// <param name="outputGradient">[planes, output spatial].</param>
    /// <param name="inputGradient">[planes, spatial]; overwritten.</param>
    /// <param name="planes">batch * channels.</param>
    /// <param name="countIncludePad">As in <see cref="Average"/>.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public unsafe void AverageBackward(ReadOnlySpan<float> outputGradient, Span<float> inputGradient, int planes, bool countIncludePad)
    {
        Check(inputGradient.Length, outputGradient.Length, planes);
        int inPlane = InputPlane, outPlane = OutputPlane;
        fixed (float* fg = outputGradient, fd = inputGradient)
        {
            float* g = fg, d = fd;
            Parts.Rows(planes, Work, (first, end) =>
            {
                new Span<float>(d + ((nint)first * inPlane), (end - first) * inPlane).Clear();
                for (int plane = first; plane < end; plane++)
                {
                    float* to = d + ((nint)plane * inPlane);
                    for (int oz = 0, o = 0; oz < _out[0]; oz++)
                        for (int oy = 0; oy < _out[1]; oy++)
                            for (int ox = 0; ox < _out[2]; ox++, o++)
                            {
                                Window w = WindowAt(oz, oy, ox);
                                float share = g[((nint)plane * outPlane) + o] / Divisor(w, oz, oy, ox, countIncludePad);
                                for (int z = w.Z0; z < w.Z1; z += _dilation[0])
                                {
                                    for (int y = w.Y0; y < w.Y1; y += _dilation[1])
                                    {
                                        for (int c = w.X0; c < w.X1; c += _dilation[2]) to[(((z * _size[1]) + y) * _size[2]) + c] += share;
                                    }
                                }
                            }
                }
            });
        }
    }

    private long Work => Math.Max(1L, (long)OutputPlane * _kernel[0] * _kernel[1] * _kernel[2]);

    private void Check(int input, int output, int planes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(planes);
        Parts.Need(input, (long)planes * InputPlane, "input");
        Parts.Need(output, (long)planes * OutputPlane, "output");
    }

    private readonly record struct Window(int Z0, int Z1, int Y0, int Y1, int X0, int X1);

    private Window WindowAt(int z, int y, int x) =>
        new(_ranges[0][z].First, _ranges[0][z].End, _ranges[1][y].First, _ranges[1][y].End, _ranges[2][x].First, _ranges[2][x].End);

    // First and end position inside the input; the first is on the window's raster.
    private (int First, int End) Range(int axis, int o)
    {
        int start = (o * _stride[axis]) - _before[axis], end = start + ((_kernel[axis] - 1) * _dilation[axis]) + 1;
        if (start < 0) start += (-start + _dilation[axis] - 1) / _dilation[axis] * _dilation[axis];
        return (start, Math.Min(end, _size[axis]));
    }

    private float Divisor(Window w, int oz, int oy, int ox, bool countIncludePad)
    {
        if (!countIncludePad) return (float)Steps(w.Z0, w.Z1, 0) * Steps(w.Y0, w.Y1, 1) * Steps(w.X0, w.X1, 2);
        return (float)Padded(0, oz) * Padded(1, oy) * Padded(2, ox);
    }

    private int Steps(int first, int end, int axis) => end <= first ? 0 : (end - first + _dilation[axis] - 1) / _dilation[axis];

    private int Padded(int axis, int o)
    {
        int start = (o * _stride[axis]) - _before[axis], end = Math.Min(start + ((_kernel[axis] - 1) * _dilation[axis]) + 1, _size[axis] + _after[axis]);
        return Steps(start, end, axis);
    }
}
