using System.Runtime.CompilerServices;
using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.SparseOps;

/// <summary>A sparse convolution's passes and layouts for one image size.</summary>
internal sealed class ConvolutionPlan
{
    private StrongBox<TilePlanes?>? _tilePlanes;

    private ConvolutionPlan()
    {
    }

    public required int Height { get; init; }

    public required int Width { get; init; }

    public required int OutHeight { get; init; }

    public required int OutWidth { get; init; }

    /// <summary>Planes of the input.</summary>
    public required PlaneLayout Input { get; init; }

    public required ConvolutionPass Forward { get; init; }

    /// <summary>Planes of the output's gradient; null until gradients are asked for.</summary>
    public PlaneLayout? OutputGradient { get; private set; }

    /// <summary>Passes that together write the input's gradient.</summary>
    public ConvolutionPass[] Backward { get; private set; } = [];

    /// <summary>Which values the backward passes hold.</summary>
    public int BackwardVersion { get; set; } = -1;

    /// <summary>Whether all of these values are finite.</summary>
    public bool BackwardIsFinite { get; set; } = true;

    /// <summary>Whether the planes are the image itself.</summary>
    public required bool IsDirect { get; init; }

    /// <summary>No fewer floats than the planes of an image take.</summary>
    public static double MostFloats(SparseConvolutionShape s, int height, int width)
    {
        long rows = s.OutHeight(height) + (long)(s.KernelHeight - 1) * s.DilationHeight / s.StrideHeight, columns = s.OutWidth(width) + (long)(s.KernelWidth - 1) * s.DilationWidth / s.StrideWidth;
        long phases = (long)Math.Min(s.KernelHeight, s.StrideHeight) * Math.Min(s.KernelWidth, s.StrideWidth);
        // A plane ends with up to two cache lines more.
        return ((double)rows * Math.Max(columns, 1) + 32) * phases * s.InChannels;
    }

    /// <summary>Where the tiles of the weight find their inputs, made on first use; null where the geometry allows none.</summary>
    public TilePlanes? GetTilePlanes(SparseConvolutionShape shape, TiledMatrix matrix)
    {
        StrongBox<TilePlanes?>? known = Volatile.Read(ref _tilePlanes);
        if (known is not null && (known.Value is not { } planes || planes.Code == matrix.Code)) return known.Value;
        var made = new StrongBox<TilePlanes?>(TilePlanes.TryCreate(shape, matrix, Height, Width));
        StrongBox<TilePlanes?>? before = Interlocked.CompareExchange(ref _tilePlanes, made, known);
        // What another thread made meanwhile may be for another level.
        return before?.Value is { } other && other.Code == matrix.Code ? other : made.Value;
    }

    /// <summary>Plans the forward pass; values are shared, not copied.</summary>
    public static ConvolutionPlan Create(SparseConvolutionShape s, int height, int width, int[] rowPointers, int[] columns, float[] values, CompiledOnce compiled, bool compileOnReuse)
    {
        int outHeight = s.OutHeight(height), outWidth = s.OutWidth(width);
        var phases = new List<(int, int)>();
        var phaseOf = new Dictionary<(int, int), int>();
        for (int kh = 0; kh < s.KernelHeight; kh++)
        {
            for (int kw = 0; kw < s.KernelWidth; kw++)
            {
                (int, int) phase = (kh * s.DilationHeight % s.StrideHeight, kw * s.DilationWidth % s.StrideWidth);
                if (phaseOf.TryAdd(phase, phases.Count)) phases.Add(phase);
            }
        }
        int downMost = (s.KernelHeight - 1) * s.DilationHeight / s.StrideHeight, rightMost = (s.KernelWidth - 1) * s.DilationWidth / s.StrideWidth;
        var layout = new PlaneLayout(s.InChannels, height, width, s.PadTop, s.PadLeft, s.StrideHeight, s.StrideWidth, [.. phases],
            outHeight + downMost, outWidth + rightMost, rightMost);

        var offsets = new int[columns.Length];
        int perGroup = s.InChannels / s.Groups, taps = s.KernelHeight * s.KernelWidth;
        for (int o = 0; o < s.OutChannels; o++)
        {
            int group = o / (s.OutChannels / s.Groups);
            for (int j = rowPointers[o]; j < rowPointers[o + 1]; j++) offsets[j] = Offset(group * perGroup + columns[j] / taps, columns[j] % taps);
        }
        // Groups share no lines: there is little to gain from code.
        var lineOffsets = new int[s.Groups == 1 ? s.WeightsPerOutput : 0];
        for (int i = 0; i < lineOffsets.Length; i++) lineOffsets[i] = Offset(i / taps, i % taps);
        return new ConvolutionPlan
        {
            Height = height,
            Width = width,
            OutHeight = outHeight,
            OutWidth = outWidth,
            Input = layout,
            IsDirect = s is { KernelHeight: 1, KernelWidth: 1, StrideHeight: 1, StrideWidth: 1, PadTop: 0, PadLeft: 0, PadBottom: 0, PadRight: 0 },
            Forward = new ConvolutionPass
            {
                Rows = s.OutChannels,
                RowPointers = rowPointers,
                Offsets = offsets,
                Values = values,
                Lines = s.Groups == 1 ? columns : null,
                LineOffsets = lineOffsets,
                Compiled = compiled,
                Shifted = s.KernelWidth > 1 || s.KernelHeight > 1 ? new CompiledOnce(compileOnReuse) : null,
                Geometry = (s, height, width),
                RowStride = layout.RowStride,
                Height = outHeight,
                Width = outWidth,
                ChannelStride = outHeight * outWidth,
                OutRowStride = outWidth,
            },
        };

        int Offset(int channel, int tap)
        {
            int down = tap / s.KernelWidth * s.DilationHeight, right = tap % s.KernelWidth * s.DilationWidth;
            int phase = phaseOf[(down % s.StrideHeight, right % s.StrideWidth)];
            return checked(layout.PlaneStart(phase, channel) + down / s.StrideHeight * layout.RowStride + right / s.StrideWidth);
        }
    }

    /// <summary>
    /// Plans the gradient of the input. Pixel i takes tap kh from output row (i + pad - kh * dilation) / stride where that
    /// divides: so each of the stride x stride phases of the input is a convolution of the output's gradient with stride 1.
    /// </summary>
    public void PlanBackward(SparseConvolutionShape s, int[] rowPointers, int[] columns, bool compileOnReuse)
    {
        if (OutputGradient is not null) return;
        int perGroup = s.InChannels / s.Groups, taps = s.KernelHeight * s.KernelWidth;
        int top = 0, left = 0, bottom = 0, right = 0;
        for (int kh = 0; kh < s.KernelHeight; kh++)
        {
            for (int a = 0; a < s.StrideHeight; a++)
            {
                if (Shift(a, s.PadTop, kh * s.DilationHeight, s.StrideHeight) is { } d) (top, bottom) = (Math.Max(top, -d), Math.Max(bottom, d));
            }
        }
        for (int kw = 0; kw < s.KernelWidth; kw++)
        {
            for (int b = 0; b < s.StrideWidth; b++)
            {
                if (Shift(b, s.PadLeft, kw * s.DilationWidth, s.StrideWidth) is { } d) (left, right) = (Math.Max(left, -d), Math.Max(right, d));
            }
        }
        int phaseHeight = (Height + s.StrideHeight - 1) / s.StrideHeight, phaseWidth = (Width + s.StrideWidth - 1) / s.StrideWidth;
        var layout = new PlaneLayout(s.OutChannels, OutHeight, OutWidth, top, left, 1, 1, [(0, 0)],
            phaseHeight + top + bottom, phaseWidth + left + right, left + right);

        var passes = new List<ConvolutionPass>();
        for (int a = 0; a < s.StrideHeight && a < Height; a++)
        {
            for (int b = 0; b < s.StrideWidth && b < Width; b++)
            {
                var pointers = new int[s.InChannels + 1];
                Visit((channel, _, _, _, _) => pointers[channel + 1]++);
                for (int c = 0; c < s.InChannels; c++) pointers[c + 1] += pointers[c];
                int[] next = pointers.AsSpan(0, s.InChannels).ToArray();
                var offsets = new int[pointers[^1]];
                var source = new int[offsets.Length];
                var lines = new int[offsets.Length];
                var lineOffsets = new int[s.Groups == 1 ? s.OutChannels * taps : 0];
                Visit((channel, output, down, across, j) =>
                {
                    int at = next[channel]++, line = output * taps + columns[j] % taps;
                    offsets[at] = checked(layout.PlaneStart(0, output) + (down + top) * layout.RowStride + across + left);
                    source[at] = j;
                    lines[at] = line;
                    if (s.Groups == 1) lineOffsets[line] = offsets[at];
                });
                passes.Add(new ConvolutionPass
                {
                    Rows = s.InChannels,
                    RowPointers = pointers,
                    Offsets = offsets,
                    Source = source,
                    Values = new float[offsets.Length],
                    Lines = s.Groups == 1 ? lines : null,
                    LineOffsets = lineOffsets,
                    Compiled = new CompiledOnce(compileOnReuse),
                    Shifted = taps > 1 ? new CompiledOnce(compileOnReuse) : null,
                    RowStride = layout.RowStride,
                    Height = (Height - a + s.StrideHeight - 1) / s.StrideHeight,
                    Width = (Width - b + s.StrideWidth - 1) / s.StrideWidth,
                    ChannelStride = Height * Width,
                    Base = a * Width + b,
                    OutRowStride = s.StrideHeight * Width,
                    OutStep = s.StrideWidth,
                });

                void Visit(Action<int, int, int, int, int> entry)
                {
                    for (int o = 0; o < s.OutChannels; o++)
                    {
                        int group = o / (s.OutChannels / s.Groups);
                        for (int j = rowPointers[o]; j < rowPointers[o + 1]; j++)
                        {
                            int tap = columns[j] % taps;
                            if (Shift(a, s.PadTop, tap / s.KernelWidth * s.DilationHeight, s.StrideHeight) is not { } down) continue;
                            if (Shift(b, s.PadLeft, tap % s.KernelWidth * s.DilationWidth, s.StrideWidth) is not { } across) continue;
                            entry(group * perGroup + columns[j] / taps, o, down, across, j);
                        }
                    }
                }
            }
        }
        Backward = [.. passes];
        OutputGradient = layout;
    }

    private static int? Shift(int phase, int pad, int tap, int stride)
    {
        int distance = phase + pad - tap;
        return distance % stride == 0 ? distance / stride : null;
    }
}
