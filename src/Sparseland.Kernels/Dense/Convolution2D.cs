using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>The geometry of a 2-D convolution (cross-correlation, as in ONNX and PyTorch) and its products.</summary>
/// <remarks>
/// input [batch, inChannels, height, width], weight [outChannels, inChannels / groups, kernelHeight, kernelWidth],
/// output [batch, outChannels, outHeight, outWidth]. Results are the same bits on every instruction set and thread count.
/// A transposed convolution is <see cref="BackwardInput"/> of the geometry whose input is its output. A 1-D convolution is
/// one with height 1. Outputs must not overlap inputs. Plain products of 3 x 3 taps and many channels (no packed weights, clamp or residual) are computed
/// by Winograd's F(2 x 2, 3 x 3): an input that is larger than its neighbours by orders of magnitude takes digits from outputs beside it.
/// </remarks>
public readonly partial record struct Convolution2D
{
    /// <summary>The most rows or columns of an image, of its padding on one side, of what a dilated kernel spans and of a stride: 2^28. Sums of a few of them are counted in 32 bits.</summary>
    public const int LargestSide = 1 << 28;

    /// <summary>The most values of one padded channel: 2^30.</summary>
    public const long LargestPlane = 1L << 30;

    /// <summary>A convolution without padding, stride or dilation; set the rest with an initialiser.</summary>
    /// <param name="batch">Images, at least 0.</param>
    /// <param name="inChannels">Channels of the input, at least 1.</param>
    /// <param name="height">Height of the input, at least 0.</param>
    /// <param name="width">Width of the input, at least 0.</param>
    /// <param name="outChannels">Channels of the output, at least 1.</param>
    /// <param name="kernelHeight">Height of the kernel, at least 1.</param>
    /// <param name="kernelWidth">Width of the kernel, at least 1.</param>
    public Convolution2D(int batch, int inChannels, int height, int width, int outChannels, int kernelHeight, int kernelWidth)
    {
        (Batch, InChannels, Height, Width, OutChannels, KernelHeight, KernelWidth) = (batch, inChannels, height, width, outChannels, kernelHeight, kernelWidth);
    }

    /// <summary>Images.</summary>
    public int Batch { get; init; }

    /// <summary>Channels of the input.</summary>
    public int InChannels { get; init; }

    /// <summary>Height of the input.</summary>
    public int Height { get; init; }

    /// <summary>Width of the input.</summary>
    public int Width { get; init; }

    /// <summary>Channels of the output.</summary>
    public int OutChannels { get; init; }

    /// <summary>Height of the kernel.</summary>
    public int KernelHeight { get; init; }

    /// <summary>Width of the kernel.</summary>
    public int KernelWidth { get; init; }

    /// <summary>Vertical stride, at least 1.</summary>
    public int StrideY { get; init; } = 1;

    /// <summary>Horizontal stride, at least 1.</summary>
    public int StrideX { get; init; } = 1;

    /// <summary>Zero rows above the image; negative crops.</summary>
    public int PadTop { get; init; }

    /// <summary>Zero columns left of the image; negative crops.</summary>
    public int PadLeft { get; init; }

    /// <summary>Zero rows below the image; negative crops.</summary>
    public int PadBottom { get; init; }

    /// <summary>Zero columns right of the image; negative crops.</summary>
    public int PadRight { get; init; }

    /// <summary>Vertical distance of taps, at least 1.</summary>
    public int DilationY { get; init; } = 1;

    /// <summary>Horizontal distance of taps, at least 1.</summary>
    public int DilationX { get; init; } = 1;

    /// <summary>Groups of channels that do not see each other; divides both numbers of channels.</summary>
    public int Groups { get; init; } = 1;

    /// <summary>Height of the output, 0 if the kernel does not fit.</summary>
    public int OutHeight => OutSize(Height, PadTop, PadBottom, KernelHeight, DilationY, StrideY);

    /// <summary>Width of the output, 0 if the kernel does not fit.</summary>
    public int OutWidth => OutSize(Width, PadLeft, PadRight, KernelWidth, DilationX, StrideX);

    /// <summary>Values of the input.</summary>
    public long InputLength => (long)Batch * InChannels * Height * Width;

    /// <summary>Values of the output.</summary>
    public long OutputLength => (long)Batch * OutChannels * OutHeight * OutWidth;

    /// <summary>Values of the weight.</summary>
    public long WeightLength => (long)OutChannels * (InChannels / Groups) * KernelHeight * KernelWidth;

    /// <summary>Multiply-adds of one forward product without padding left out.</summary>
    public long MultiplyAdds => (long)OutputLength * (InChannels / Groups) * KernelHeight * KernelWidth;

    /// <summary>Whether depthwise products have a kernel of their own here: 3 x 3 taps of stride 1 or 2, little padding, 512-bit registers.</summary>
    public bool HasDepthwiseKernel => DepthwiseKernel.Fits(this);

    /// <summary>Sets the same padding on all sides.</summary>
    /// <param name="pad">Zero rows and columns on each side.</param>
    public Convolution2D WithPadding(int pad) => this with { PadTop = pad, PadLeft = pad, PadBottom = pad, PadRight = pad };

    /// <summary>Sets the same stride in both directions.</summary>
    /// <param name="stride">At least 1.</param>
    public Convolution2D WithStride(int stride) => this with { StrideY = stride, StrideX = stride };

    /// <summary>output = clamp(weight * input + bias + residual).</summary>
    /// <param name="input">[batch, inChannels, height, width].</param>
    /// <param name="weight">[outChannels, inChannels / groups, kernelHeight, kernelWidth].</param>
    /// <param name="bias">[outChannels] or empty.</param>
    /// <param name="output">[batch, outChannels, outHeight, outWidth]; overwritten.</param>
    /// <param name="activation">Applied last; null for none.</param>
    /// <param name="residual">Added before the activation, shaped like output and not overlapping it, or empty.</param>
    /// <remarks>
    /// 3 x 3 taps with stride 1, a padding of 1, even sides of at least 4, whole registers of 16 channels and no groups take fewer products (Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, F(2 x 2, 3 x 3)) from 64 tiles of 2 x 2 pixels in all images together on, without activation and residual and with 32 channels or more on one side.
    /// Beside an input larger than its neighbours by orders of magnitude, the results that share its tile lose as many digits, which taps would not lose; results that are not finite are those of taps. Numbers of images below and above that bound may round differently.
    /// </remarks>
    /// <exception cref="ArgumentException">The geometry is invalid or a span does not fit it.</exception>
    public unsafe void Forward(ReadOnlySpan<float> input, ReadOnlySpan<float> weight, ReadOnlySpan<float> bias, Span<float> output,
        Clamp? activation = null, ReadOnlySpan<float> residual = default)
    {
        CheckForward(input, bias, output, residual);
        CheckLength(weight.Length, WeightLength, nameof(weight));
        if (residual.IsEmpty && DepthwiseKernel.Fits(this))
        {
            fixed (float* pi = input, pw = weight, pb = bias, po = output) DepthwiseKernel.Dense(this, pi, pw, pb, po, activation ?? Clamp.None);
            return;
        }
        PlanarSpec spec = ForwardSpec();
        int rows = OutChannels / Groups;
        ConvolutionMode mode = ConvolutionJob.Choose(spec, rows);
        fixed (float* pi = input, pw = weight, pb = bias, po = output, pr = residual)
        {
            if (residual.IsEmpty && activation is null && WinogradConvolution.Pays(this) && WinogradConvolution.Forward(this, pi, pw, pb, po)) return;
            RunPacked(spec, mode, rows, pi, pw, pb, po, pr, activation ?? Clamp.None);
        }
    }

    /// <summary>Packs weights for <see cref="Forward(ReadOnlySpan{float}, PackedConvolution, ReadOnlySpan{float}, Span{float}, Clamp?, ReadOnlySpan{float})"/>.</summary>
    /// <param name="weight">[outChannels, inChannels / groups, kernelHeight, kernelWidth].</param>
    /// <exception cref="ArgumentException">The geometry is invalid or the span does not fit it.</exception>
    public unsafe PackedConvolution Pack(ReadOnlySpan<float> weight)
    {
        Validate();
        CheckLength(weight.Length, WeightLength, nameof(weight));
        PlanarSpec spec = ForwardSpec();
        int rows = OutChannels / Groups, depth = InChannels / Groups * KernelHeight * KernelWidth;
        ConvolutionMode mode = ConvolutionJob.Choose(spec, rows);
        SimdLevel level = SimdDispatch.Level;
        long size = ConvolutionWeights.Size(mode, rows, depth, level);
        var packed = new PackedConvolution(this, spec, mode, level, size * Groups);
        fixed (float* pw = weight)
        {
            for (int g = 0; g < Groups; g++) ConvolutionWeights.Pack(mode, rows, depth, level, pw + ((nint)g * rows * depth), packed.Pointer + (nint)(g * size));
        }
        return packed;
    }

    /// <summary>output = clamp(weight * input + bias + residual) with prepared weights.</summary>
    /// <param name="input">[batch, inChannels, height, width].</param>
    /// <param name="weight">Packed by a geometry that is equal apart from the batch.</param>
    /// <param name="bias">[outChannels] or empty.</param>
    /// <param name="output">[batch, outChannels, outHeight, outWidth]; overwritten.</param>
    /// <param name="activation">Applied last; null for none.</param>
    /// <param name="residual">Added before the activation, shaped like output and not overlapping it, or empty.</param>
    /// <exception cref="ArgumentException">The geometry is invalid or differs from the packed one, or a span does not fit it.</exception>
    public void Forward(ReadOnlySpan<float> input, PackedConvolution weight, ReadOnlySpan<float> bias, Span<float> output,
        Clamp? activation = null, ReadOnlySpan<float> residual = default) =>
        Forward(input, weight, bias, output, activation, residual, PlaneSpacing.None);

    /// <summary>output = clamp(weight * input + bias + residual) with prepared weights, and with planes that may lie apart where the kernel takes that.</summary>
    /// <param name="input">[batch, inChannels, height, width], with gaps between planes where spacing says so; those of halves (<see cref="PlaneHalves"/>) are written to.</param>
    /// <param name="weight">Packed by a geometry that is equal apart from the batch.</param>
    /// <param name="bias">[outChannels] or empty.</param>
    /// <param name="output">[batch, outChannels, outHeight, outWidth], with gaps like input; overwritten.</param>
    /// <param name="activation">Applied last; null for none.</param>
    /// <param name="residual">Added before the activation, shaped like output and not overlapping it, or empty.</param>
    /// <param name="spacing">Where planes begin; gaps and halves need <see cref="PackedConvolution.TakesSpacing"/> and no residual, halves one image.</param>
    /// <exception cref="ArgumentException">The geometry is invalid or differs from the packed one, a span does not fit it, or the kernel takes no gaps.</exception>
    public unsafe void Forward(ReadOnlySpan<float> input, PackedConvolution weight, ReadOnlySpan<float> bias, Span<float> output,
        Clamp? activation, ReadOnlySpan<float> residual, PlaneSpacing spacing)
    {
        ArgumentNullException.ThrowIfNull(weight);
        CheckForward(input, bias, output, residual);
        if (weight.Geometry with { Batch = Batch } != this) throw new ArgumentException("The weights were packed for another geometry.", nameof(weight));
        if (spacing != PlaneSpacing.None)
        {
            if (!weight.TakesSpacing || !residual.IsEmpty) throw new ArgumentException($"The kernel of {this} takes planes without gaps, in one piece, alone.", nameof(spacing));
            spacing.Check(input.Length, Batch, InChannels, Height, Width, isInput: true, nameof(input));
            spacing.Check(output.Length, Batch, OutChannels, OutHeight, OutWidth, isInput: false, nameof(output));
        }
        PlanarSpec spec = weight.Spec;
        int rows = OutChannels / Groups;
        fixed (float* pi = input, pb = bias, po = output, pr = residual)
        {
            using (SimdDispatch.Force(weight.Level))
            {
                if (residual.IsEmpty && weight.TakesSpacing)
                {
                    DepthwiseKernel.Dense(this, pi, weight.Pointer, pb, po, activation ?? Clamp.None, spacing);
                    GC.KeepAlive(weight);
                    return;
                }
                SimdDispatch.Run(new ConvolutionJob
                {
                    Spec = spec,
                    Bands = weight.Bands,
                    Mode = weight.Mode,
                    Batch = Batch,
                    Groups = Groups,
                    Rows = rows,
                    Input = pi,
                    Output = po,
                    Weights = weight.Pointer,
                    WeightsPerGroup = (nint)ConvolutionWeights.Size(weight.Mode, rows, spec.Depth, weight.Level),
                    Bias = pb,
                    Residual = pr,
                    Clamp = activation ?? Clamp.None,
                });
            }
        }
        GC.KeepAlive(weight);
    }

    /// <summary>The gradient of the input (or the output of a transposed convolution): inputGradient = weight^T * outputGradient + bias, then clamped.</summary>
    /// <param name="outputGradient">[batch, outChannels, outHeight, outWidth].</param>
    /// <param name="weight">[outChannels, inChannels / groups, kernelHeight, kernelWidth].</param>
    /// <param name="inputGradient">[batch, inChannels, height, width]; overwritten.</param>
    /// <param name="bias">[inChannels], for transposed convolutions; or empty.</param>
    /// <param name="activation">For transposed convolutions; null for none.</param>
    /// <remarks>As in <see cref="Forward(ReadOnlySpan{float}, ReadOnlySpan{float}, ReadOnlySpan{float}, Span{float}, Clamp?, ReadOnlySpan{float})"/>: without activation, 3 x 3 taps may take fewer products, and values of outputGradient that are larger than their neighbours by orders of magnitude take digits from the results beside them.</remarks>
    /// <exception cref="ArgumentException">The geometry is invalid or a span does not fit it.</exception>
    public unsafe void BackwardInput(ReadOnlySpan<float> outputGradient, ReadOnlySpan<float> weight, Span<float> inputGradient,
        ReadOnlySpan<float> bias = default, Clamp? activation = null)
    {
        Validate();
        CheckLength(outputGradient.Length, OutputLength, nameof(outputGradient));
        CheckLength(weight.Length, WeightLength, nameof(weight));
        CheckLength(inputGradient.Length, InputLength, nameof(inputGradient));
        if (!bias.IsEmpty) CheckLength(bias.Length, InChannels, nameof(bias));
        int rows = InChannels / Groups, inner = OutChannels / Groups;
        if (InputLength == 0) return;
        SimdLevel level = SimdDispatch.Level;
        fixed (float* pi = outputGradient, pw = weight, po = inputGradient, pb = bias)
        {
            if (activation is null && WinogradConvolution.Pays(this) && WinogradConvolution.BackwardInput(this, pi, pw, pb, po)) return;
            // The pixels of one remainder modulo the stride see the same taps: each remainder is a convolution of stride 1.
            int phasesY = Math.Min(StrideY, Height), phasesX = Math.Min(StrideX, Width);
            long phases = (long)phasesY * phasesX;
            bool together = phasesX > 1 && Batch >= PhasesJob.FewestImages && phases <= PhasesJob.MostPhases;
            // Strides may be as long as the image: then one remainder after the other, and nothing is kept of those before.
            int group = together ? (int)phases : 1;
            for (long begin = 0; begin < phases; begin += group)
            {
                var specs = new PlanarSpec[group];
                var taps = new int[group][];
                long packedFloats = 0, turnedFloats = 0;
                for (int p = 0; p < group; p++)
                {
                    int py = (int)((begin + p) / phasesX), px = (int)((begin + p) % phasesX), gridHeight = (Height - py + StrideY - 1) / StrideY, gridWidth = (Width - px + StrideX - 1) / StrideX;
                    (taps[p], int[] dy, int[] dx) = TapsOfRemainder(py, px);
                    if (OutHeight == 0 || OutWidth == 0) (taps[p], dy, dx) = ([], [], []);
                    specs[p] = together
                        ? new PlanarSpec(inner, OutHeight, OutWidth, dy, dx, 1, 1, gridHeight, gridWidth, joinRows: true)
                        : new PlanarSpec(inner, OutHeight, OutWidth, dy, dx, 1, 1, gridHeight, gridWidth, joinRows: StrideY == 1 && StrideX == 1)
                        {
                            OutHeight = Height,
                            OutWidth = Width,
                            OutY = py,
                            OutX = px,
                            OutStepY = StrideY,
                            OutStepX = StrideX,
                        };
                    packedFloats += ConvolutionWeights.Size(ConvolutionJob.Choose(specs[p], rows), rows, specs[p].Depth, level) * Groups;
                    turnedFloats = Math.Max(turnedFloats, (long)InChannels * specs[p].Depth);
                }
                using Scratch.Buffer packed = Scratch.Rent(packedFloats), turned = Scratch.Rent(turnedFloats);
                var jobs = new ConvolutionJob[group];
                float* target = packed.Pointer;
                for (int p = 0; p < group; p++)
                {
                    int depth = specs[p].Depth;
                    ConvolutionMode mode = ConvolutionJob.Choose(specs[p], rows);
                    Turn(pw, taps[p], turned.Pointer);
                    jobs[p] = Packed(specs[p], mode, rows, pi, turned.Pointer, target, pb, po, null, activation ?? Clamp.None);
                    target += (nint)(ConvolutionWeights.Size(mode, rows, depth, level) * Groups);
                }
                if (together) SimdDispatch.Run(new PhasesJob { Phases = jobs, StrideY = StrideY, StrideX = StrideX, Height = Height, Width = Width });
                else SimdDispatch.Run(jobs[0]);
            }
        }
    }

    // turned [groups, input channels, output channels, taps] = some taps of weight [groups, output channels, input channels, kernel].
    private unsafe void Turn(float* weight, int[] taps, float* turned)
    {
        int rows = InChannels / Groups, inner = OutChannels / Groups, kernel = KernelHeight * KernelWidth;
        for (int g = 0; g < Groups; g++)
        {
            for (int c = 0; c < rows; c++)
            {
                for (int m = 0; m < inner; m++)
                {
                    float* from = weight + (((((nint)g * inner) + m) * rows) + c) * kernel;
                    foreach (int t in taps) *turned++ = from[t];
                }
            }
        }
    }

    /// <summary>Throws when one axis of a window is beyond <see cref="LargestSide"/>.</summary>
    /// <param name="size">Of the image.</param>
    /// <param name="kernel">Of the window.</param>
    /// <param name="stride">Distance of windows.</param>
    /// <param name="dilation">Distance of taps.</param>
    /// <param name="before">Padding before the image; negative crops.</param>
    /// <param name="after">Padding behind it; negative crops.</param>
    /// <exception cref="ArgumentException">A number is too large; the message names them all.</exception>
    public static void RequireSides(int size, int kernel, int stride, int dilation, int before, int after)
    {
        long span = ((long)(kernel - 1) * dilation) + 1, most = Math.Max(Math.Max(size, stride), Math.Max(span, Math.Max(Math.Abs((long)before), Math.Abs((long)after))));
        if (most > LargestSide) throw new ArgumentException($"An axis of {size} with pads of {before} and {after}, stride {stride} and a kernel that spans {span}: each is at most {LargestSide}.");
    }

    /// <summary>The product of the axes of a padded channel so far and one more.</summary>
    /// <param name="plane">Of the axes before; 1 for none.</param>
    /// <param name="side">Of this axis.</param>
    /// <exception cref="ArgumentException">It is beyond <see cref="LargestPlane"/>.</exception>
    public static long RequirePlane(long plane, long side)
    {
        long product = plane * Math.Max(side, 1);
        return product <= LargestPlane ? product : throw new ArgumentException($"A padded channel of {product} values; at most {LargestPlane}.");
    }

    /// <summary>Throws unless sizes, strides, dilations and groups are possible.</summary>
    /// <exception cref="ArgumentException">They are not; the message names the value.</exception>
    public void Validate()
    {
        if (Batch < 0 || Height < 0 || Width < 0) throw new ArgumentException($"Input is [{Batch}, {InChannels}, {Height}, {Width}]; sizes cannot be negative.");
        if (InChannels < 1 || OutChannels < 1) throw new ArgumentException($"A convolution from {InChannels} to {OutChannels} channels; at least 1 each.");
        if (KernelHeight < 1 || KernelWidth < 1) throw new ArgumentException($"Kernel is {KernelHeight} x {KernelWidth}; at least 1 x 1.");
        if (StrideY < 1 || StrideX < 1 || DilationY < 1 || DilationX < 1) throw new ArgumentException($"Strides {StrideY} x {StrideX} and dilations {DilationY} x {DilationX} must be at least 1.");
        if (Groups < 1 || InChannels % Groups != 0 || OutChannels % Groups != 0) throw new ArgumentException($"{Groups} groups do not divide {InChannels} and {OutChannels} channels.");
        RequireGeometry();
    }

    private void RequireGeometry()
    {
        RequireSides(Height, KernelHeight, StrideY, DilationY, PadTop, PadBottom);
        RequireSides(Width, KernelWidth, StrideX, DilationX, PadLeft, PadRight);
        RequirePlane(RequirePlane(1, Math.Max(Height, Height + PadTop + PadBottom)), Math.Max(Width, Width + PadLeft + PadRight));
    }

    internal PlanarSpec ForwardSpec() => ForwardSpec(0, OutHeight);

    /// <summary>Rows first .. end-1 of the output, written to their places in the whole.</summary>
    internal PlanarSpec ForwardSpec(int first, int end)
    {
        (int[] dy, int[] dx) = Taps(first);
        return new PlanarSpec(InChannels / Groups, Height, Width, dy, dx, StrideY, StrideX, end - first, OutWidth, joinRows: true) { OutHeight = OutHeight, OutY = first };
    }

    /// <summary>The planes without a split by the stride: output (i, j) reads at row i * StrideY, column j * StrideX of the grid.</summary>
    internal PlanarSpec UnstridedSpec()
    {
        (int[] dy, int[] dx) = Taps(0);
        return new PlanarSpec(InChannels / Groups, Height, Width, dy, dx, 1, 1, ((OutHeight - 1) * StrideY) + 1, ((OutWidth - 1) * StrideX) + 1, joinRows: false);
    }

    private (int[] Dy, int[] Dx) Taps(int first)
    {
        var dy = new int[KernelHeight * KernelWidth];
        var dx = new int[dy.Length];
        for (int r = 0, t = 0; r < KernelHeight; r++)
        {
            for (int s = 0; s < KernelWidth; s++, t++)
            {
                dy[t] = (r * DilationY) - PadTop + (first * StrideY);
                dx[t] = (s * DilationX) - PadLeft;
            }
        }
        return (dy, dx);
    }

    /// <summary>
    /// The output in bands of rows that fill whole panels, for single images: each band is laid out and computed by one part, so that of two threads each reads
    /// what it wrote in the layer before and nobody waits between the two; null where rows and panels do not agree (28, 14 or 7 columns), or there is too little to do.
    /// </summary>
    internal PlanarSpec[]? Bands(ConvolutionMode mode)
    {
        const int PanelColumns = 32, Most = 8;
        // Two parts pay sooner than many: the first layer of a small network, 0.44 M multiply-adds, takes ten microseconds, and handing half of it to a near core half a one. Less work was not measured.
        const long WorthAPart = 1 << 19, WorthTwo = 3 << 17;
        if (mode == ConvolutionMode.Rows || Groups > 1 || OutWidth % 8 != 0 || OutHeight == 0 || KernelHeight * KernelWidth * StrideX * StrideY == 1) return null;
        int unit = PanelColumns / Math.Min(PanelColumns, OutWidth & -OutWidth), units = OutHeight / unit;
        long work = MultiplyAdds / Math.Max(1, Batch);
        int count = (int)Math.Min(Math.Min(units, Most), Math.Max(work / WorthAPart, work >= WorthTwo ? 2 : 0));
        if (OutHeight % unit != 0 || count < 2) return null;
        var bands = new PlanarSpec[count];
        for (int b = 0; b < count; b++) bands[b] = ForwardSpec(units * b / count * unit, units * (b + 1) / count * unit);
        return bands;
    }

    private (int[] Taps, int[] Dy, int[] Dx) TapsOfRemainder(int py, int px)
    {
        var taps = new List<int>();
        var dy = new List<int>();
        var dx = new List<int>();
        for (int r = 0; r < KernelHeight; r++)
        {
            int y = py + PadTop - (r * DilationY);
            if (y % StrideY != 0) continue;
            for (int s = 0; s < KernelWidth; s++)
            {
                int x = px + PadLeft - (s * DilationX);
                if (x % StrideX != 0) continue;
                taps.Add((r * KernelWidth) + s);
                dy.Add(y / StrideY);
                dx.Add(x / StrideX);
            }
        }
        return ([.. taps], [.. dy], [.. dx]);
    }

    // Packs plain weights [groups, rows, depth] and runs the engine.
    private unsafe void RunPacked(PlanarSpec spec, ConvolutionMode mode, int rows, float* input, float* weights, float* bias, float* output, float* residual, Clamp clamp)
    {
        using Scratch.Buffer packed = Scratch.Rent(ConvolutionWeights.Size(mode, rows, spec.Depth, SimdDispatch.Level) * Groups);
        SimdDispatch.Run(Packed(spec, mode, rows, input, weights, packed.Pointer, bias, output, residual, clamp));
    }

    // A pass over plain weights [groups, rows, depth], which are packed for it.
    private unsafe ConvolutionJob Packed(PlanarSpec spec, ConvolutionMode mode, int rows, float* input, float* weights, float* packed, float* bias, float* output, float* residual, Clamp clamp)
    {
        SimdLevel level = SimdDispatch.Level;
        int depth = spec.Depth;
        long size = ConvolutionWeights.Size(mode, rows, depth, level);
        for (int g = 0; g < Groups; g++) ConvolutionWeights.Pack(mode, rows, depth, level, weights + ((nint)g * rows * depth), packed + (nint)(g * size));
        return new ConvolutionJob
        {
            Spec = spec,
            Mode = mode,
            Batch = Batch,
            Groups = Groups,
            Rows = rows,
            Input = input,
            Output = output,
            Weights = packed,
            WeightsPerGroup = (nint)size,
            Bias = bias,
            Residual = residual,
            Clamp = clamp,
        };
    }

    private void CheckForward(ReadOnlySpan<float> input, ReadOnlySpan<float> bias, ReadOnlySpan<float> output, ReadOnlySpan<float> residual)
    {
        Validate();
        CheckLength(input.Length, InputLength, nameof(input));
        if (!bias.IsEmpty) CheckLength(bias.Length, OutChannels, nameof(bias));
        CheckLength(output.Length, OutputLength, nameof(output));
        if (!residual.IsEmpty) CheckLength(residual.Length, OutputLength, nameof(residual));
    }

    private void CheckLength(int length, long needed, string name)
    {
        if (length < needed) throw new ArgumentException($"'{name}' needs {needed} values for {this}; it has {length}.", name);
    }

    private static int OutSize(int size, int before, int after, int kernel, int dilation, int stride)
    {
        long room = (long)size + before + after - (((long)(kernel - 1) * dilation) + 1);
        return room < 0 ? 0 : checked((int)((room / stride) + 1));
    }
}
