using System.Numerics.Tensors;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps.Compiled;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>A 2-D convolution whose weight is sparse, ready for forward and both gradients; cost follows the stored weights.</summary>
/// <remarks>
/// Direct and channel-first: every stored weight is broadcast against registers full of pixels of one shifted, padded plane
/// (Elsen et al., "Fast Sparse ConvNets", 2019, for 1x1; here for any kernel), in loops or in machine code of the weight's own; blocks of outputs are multiplied as
/// tiles, and depthwise 3x3 convolutions have a kernel of their own (<see cref="FormOf"/> says what runs). Images are [batch, channels, height, width].
/// The structure is prepared once per image size; values are updated in place. Stored entries alone take part, and padding is zeros that do:
/// a stored weight that is not finite makes the outputs NaN whose padding it meets, as IEEE 754 says. Gradients are sums over the pixels of images alone. Results are
/// the same bits on every instruction set and for every number of threads. Calls may run at the same time on several
/// threads, updates of values may not.
/// </remarks>
public sealed unsafe partial class PreparedSparseConvolution
{
    // From this batch on, images are shared among threads; below, the rows and tiles of one image are.
    private const int BatchWorthSharing = 8;

    // Results of 16 MiB and more leave the caches before they are read.
    private const long LeavesCaches = 4 << 20;

    private readonly int[] _rowPointers;
    private readonly int[] _columns;
    private readonly float[] _values;
    private readonly Lock _gate = new();
    private readonly List<ConvolutionPlan> _plans = [];
    private readonly bool _compileOnReuse;
    private readonly CompiledOnce _compiled;
    private int _version;

    /// <summary>Prepares a weight; it is copied.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="weight">[outChannels, inChannels/groups * kernelHeight * kernelWidth].</param>
    /// <param name="compileOnReuse">As for <see cref="PreparedSpMM(CsrMatrix, bool)"/>.</param>
    /// <exception cref="ArgumentException">The weight does not fit the shape, or the shape is not valid.</exception>
    public PreparedSparseConvolution(SparseConvolutionShape shape, CsrMatrix weight, bool compileOnReuse = false)
    {
        ArgumentNullException.ThrowIfNull(shape);
        ArgumentNullException.ThrowIfNull(weight);
        shape.Validate();
        if (weight.Rows != shape.OutChannels || weight.Columns != shape.WeightsPerOutput)
            throw new ArgumentException($"A weight of [{weight.Rows}, {weight.Columns}] for {shape}; expected [{shape.OutChannels}, {shape.WeightsPerOutput}].", nameof(weight));
        Shape = shape;
        _compileOnReuse = compileOnReuse;
        // Weights that are compiled at once belong to a network that runs; those that train meet whole batches.
        _compiled = new CompiledOnce(compileOnReuse, comesFromFar: !compileOnReuse);
        _rowPointers = weight.RowPointers.ToArray();
        _columns = weight.ColumnIndices.ToArray();
        _values = weight.Values.ToArray();
    }

    /// <summary>The convolution.</summary>
    public SparseConvolutionShape Shape { get; }

    /// <summary>Whether images of a size are small enough: shifts within all planes of one are counted in 32 bits, those of dense convolutions within a channel.</summary>
    /// <param name="shape">A valid convolution.</param>
    /// <param name="height">Rows of an image, at least 0.</param>
    /// <param name="width">Columns of an image, at least 0.</param>
    public static bool Fits(SparseConvolutionShape shape, int height, int width)
    {
        ArgumentNullException.ThrowIfNull(shape);
        return ConvolutionPlan.MostFloats(shape, height, width) <= int.MaxValue;
    }

    /// <summary>Number of stored weights.</summary>
    public int StoredCount => _values.Length;

    /// <summary>The stored weights, by output channel, then input channel, then tap.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>Replaces the stored weights, in stored order.</summary>
    /// <exception cref="ArgumentException">Not <see cref="StoredCount"/> values.</exception>
    public void SetValues(ReadOnlySpan<float> values)
    {
        if (values.Length != StoredCount) throw new ArgumentException($"{values.Length} values for {StoredCount} stored entries.", nameof(values));
        values.CopyTo(_values);
        _version++;
    }

    /// <summary>Reads the stored entries out of a dense weight [outChannels, inChannels/groups, kernelHeight, kernelWidth].</summary>
    /// <exception cref="ArgumentException">The span has the wrong length.</exception>
    public void SetValuesFromDense(ReadOnlySpan<float> dense)
    {
        CsrMatrix.RequireLength(dense.Length, Shape.OutChannels, Shape.WeightsPerOutput, nameof(dense));
        for (int r = 0; r < Shape.OutChannels; r++)
        {
            ReadOnlySpan<float> row = dense.Slice(r * Shape.WeightsPerOutput, Shape.WeightsPerOutput);
            for (int j = _rowPointers[r]; j < _rowPointers[r + 1]; j++) _values[j] = row[_columns[j]];
        }
        _version++;
    }

    /// <summary>Writes packed numbers (a gradient in stored order) to their places in a dense weight; other places become zero.</summary>
    /// <param name="packed"><see cref="StoredCount"/> numbers.</param>
    /// <param name="dense">[outChannels, inChannels/groups, kernelHeight, kernelWidth].</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void Scatter(ReadOnlySpan<float> packed, Span<float> dense)
    {
        if (packed.Length != StoredCount) throw new ArgumentException($"{packed.Length} values for {StoredCount} stored entries.", nameof(packed));
        CsrMatrix.RequireLength(dense.Length, Shape.OutChannels, Shape.WeightsPerOutput, nameof(dense));
        dense.Clear();
        for (int r = 0; r < Shape.OutChannels; r++)
        {
            Span<float> row = dense.Slice(r * Shape.WeightsPerOutput, Shape.WeightsPerOutput);
            for (int j = _rowPointers[r]; j < _rowPointers[r + 1]; j++) row[_columns[j]] = packed[j];
        }
    }

    /// <summary>output = convolution of input.</summary>
    /// <inheritdoc cref="Forward(ReadOnlySpan{float}, int, int, int, Span{float}, ReadOnlySpan{float}, ReadOnlySpan{float}, Clamp)"/>
    public void Forward(ReadOnlySpan<float> input, int batch, int height, int width, Span<float> output) =>
        Forward(input, batch, height, width, output, default, default, Clamp.None);

    /// <summary>output = clamp(convolution of input + bias + residual).</summary>
    /// <param name="input">[batch, inChannels, height, width].</param>
    /// <param name="batch">Images, at least 0.</param>
    /// <param name="height">Rows of an image.</param>
    /// <param name="width">Columns of an image.</param>
    /// <param name="output">[batch, outChannels, outHeight, outWidth]; must not overlap input.</param>
    /// <param name="bias">[outChannels], or empty.</param>
    /// <param name="residual">As output, or empty; may be output itself.</param>
    /// <param name="activation">Applied last.</param>
    /// <exception cref="ArgumentException">A span has the wrong length, or images are too large (<see cref="Fits"/>).</exception>
    public void Forward(ReadOnlySpan<float> input, int batch, int height, int width, Span<float> output, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp activation) =>
        Forward(input, batch, height, width, output, bias, residual, activation, PlaneSpacing.None);

    /// <summary>output = clamp(convolution of input + bias + residual) with planes that may lie apart.</summary>
    /// <param name="input">[batch, inChannels, height, width], with gaps between planes where spacing says so: batch * inChannels * spacing.Input floats, or the length of <see cref="PlaneHalves"/>, whose gaps are written to.</param>
    /// <param name="batch">Images, at least 0.</param>
    /// <param name="height">Rows of an image.</param>
    /// <param name="width">Columns of an image.</param>
    /// <param name="output">[batch, outChannels, outHeight, outWidth], with gaps like input; must not overlap input.</param>
    /// <param name="bias">[outChannels], or empty.</param>
    /// <param name="residual">As output, or empty; may be output itself.</param>
    /// <param name="activation">Applied last.</param>
    /// <param name="spacing">Where planes begin; halves are for one image and no residual.</param>
    /// <exception cref="ArgumentException">A span has the wrong length, or planes overlap.</exception>
    public void Forward(ReadOnlySpan<float> input, int batch, int height, int width, Span<float> output, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp activation, PlaneSpacing spacing)
    {
        if (residual.IsEmpty && TryDepthwise(input, batch, height, width, output, bias, activation, spacing)) return;
        ConvolutionPlan plan = GetPlan(height, width);
        if (spacing.HasHalves)
        {
            ForwardHalves(input, batch, height, width, output, bias, residual, activation, spacing, plan);
            return;
        }
        int inputPlane = PlaneSpacing.Of(spacing.Input, height * width, nameof(spacing)), outputPlane = PlaneSpacing.Of(spacing.Output, plan.OutHeight * plan.OutWidth, nameof(spacing));
        spacing.Check(input.Length, batch, Shape.InChannels, height, width, isInput: true, nameof(input));
        spacing.Check(output.Length, batch, Shape.OutChannels, plan.OutHeight, plan.OutWidth, isInput: false, nameof(output));
        PreparedSpMM.CheckOptional(bias.Length, Shape.OutChannels, nameof(bias));
        PreparedSpMM.CheckOptional(residual.Length, output.Length, nameof(residual));
        if (output.IsEmpty) return;
        fixed (float* pi = input, po = output, pb = bias, pr = residual)
            SimdDispatch.Run(ForwardCall(plan, batch, pi, inputPlane, po, outputPlane, pb, pr, activation));
    }

    private ImagesCall ForwardCall(ConvolutionPlan plan, int batch, float* input, int inputPlane, float* output, int outputPlane, float* bias, float* residual, Clamp activation)
    {
        TiledMatrix? tiled = GetTiled(plan);
        ShiftedRows? rows = tiled is null && batch >= BatchWorthSharing ? plan.Forward.GetShiftedRows(plan.Input) : null;
        return new ImagesCall
        {
            Layout = plan.Input,
            Passes = [plan.Forward],
            Tiled = tiled,
            TilePlanes = tiled is null || plan.IsDirect ? null : plan.GetTilePlanes(Shape, tiled),
            Rows = [rows],
            Compiled = [tiled is not null || rows is not null ? null : plan.Forward.GetCompiled(_version, batch >= BatchWorthSharing ? plan.Input : null)],
            IsDirect = plan.IsDirect,
            Batch = batch,
            Input = input,
            InputPlane = inputPlane,
            InputImage = (nint)Shape.InChannels * inputPlane,
            Output = output,
            OutputPlane = outputPlane,
            OutputImage = (nint)Shape.OutChannels * outputPlane,
            Bias = bias,
            Residual = residual,
            Clamp = activation,
        };
    }

    private bool TryDepthwise(ReadOnlySpan<float> input, int batch, int height, int width, Span<float> output, ReadOnlySpan<float> bias, Clamp activation, PlaneSpacing spacing)
    {
        if (IsDepthwise(batch, height, width) is not { } geometry) return false;
        spacing.Check(input.Length, batch, Shape.InChannels, height, width, isInput: true, nameof(input));
        spacing.Check(output.Length, batch, Shape.OutChannels, geometry.OutHeight, geometry.OutWidth, isInput: false, nameof(output));
        PreparedSpMM.CheckOptional(bias.Length, Shape.OutChannels, nameof(bias));
        fixed (float* pi = input, po = output, pb = bias, values = _values)
        fixed (int* rowPointers = _rowPointers, taps = _columns)
            DepthwiseKernel.Sparse(geometry, pi, values, rowPointers, taps, pb, po, activation, spacing);
        return true;
    }

    /// <summary>The gradient of the input from the gradient of the output.</summary>
    /// <param name="outputGradient">[batch, outChannels, outHeight, outWidth].</param>
    /// <param name="batch">Images, at least 0.</param>
    /// <param name="height">Rows of an input image.</param>
    /// <param name="width">Columns of an input image.</param>
    /// <param name="inputGradient">[batch, inChannels, height, width]; overwritten.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void InputGradient(ReadOnlySpan<float> outputGradient, int batch, int height, int width, Span<float> inputGradient)
    {
        ConvolutionPlan plan = GetPlan(height, width, backward: true);
        CheckImages(outputGradient.Length, batch, Shape.OutChannels, plan.OutHeight, plan.OutWidth, nameof(outputGradient));
        CheckImages(inputGradient.Length, batch, Shape.InChannels, height, width, nameof(inputGradient));
        if (inputGradient.IsEmpty) return;
        if (outputGradient.IsEmpty)
        {
            inputGradient.Clear();
            return;
        }
        ShiftedRows?[] rows = [.. plan.Backward.Select(p => batch >= BatchWorthSharing ? p.GetShiftedRows(plan.OutputGradient!) : null)];
        fixed (float* pi = outputGradient, po = inputGradient)
        {
            SimdDispatch.Run(new ImagesCall
            {
                Layout = plan.OutputGradient!,
                Passes = plan.Backward,
                Rows = rows,
                Compiled = [.. plan.Backward.Select((p, i) => rows[i] is not null ? null : p.GetCompiled(plan.BackwardVersion, batch >= BatchWorthSharing ? plan.OutputGradient : null))],
                Batch = batch,
                Input = pi,
                InputPlane = plan.OutHeight * plan.OutWidth,
                InputImage = (nint)Shape.OutChannels * plan.OutHeight * plan.OutWidth,
                Output = po,
                OutputPlane = height * width,
                OutputImage = (nint)Shape.InChannels * height * width,
                Clamp = Clamp.None,
            });
            if (!plan.BackwardIsFinite) WorkPool.Run(batch * Shape.InChannels, new FiniteEdgeParts { Plan = plan, Shape = Shape, Columns = _columns, OutputGradient = pi, InputGradient = po });
        }
    }

    internal static void CheckImages(int length, int batch, int channels, int height, int width, string name) => PlaneSpacing.None.Check(length, batch, channels, height, width, isInput: true, name);

    private ConvolutionPlan GetPlan(int height, int width, bool backward = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(height);
        ArgumentOutOfRangeException.ThrowIfNegative(width);
        lock (_gate)
        {
            ConvolutionPlan? plan = _plans.Find(p => p.Height == height && p.Width == width);
            if (plan is null)
            {
                Shape.RequireImage(height, width);
                plan = ConvolutionPlan.Create(Shape, height, width, _rowPointers, _columns, _values, _compiled, _compileOnReuse);
                if (_plans.Count == 8) _plans.RemoveAt(0);
                _plans.Add(plan);
            }
            if (!backward) return plan;
            plan.PlanBackward(Shape, _rowPointers, _columns, _compileOnReuse);
            if (plan.BackwardVersion != _version)
            {
                foreach (ConvolutionPass pass in plan.Backward)
                {
                    for (int i = 0; i < pass.Source!.Length; i++) pass.Values[i] = _values[pass.Source[i]];
                }
                plan.BackwardIsFinite = TensorPrimitives.IsFiniteAll<float>(_values);
                plan.BackwardVersion = _version;
            }
            return plan;
        }
    }

    /// <summary>Passes over all images of a batch.</summary>
    private partial struct ImagesCall : ILevelWork
    {
        public PlaneLayout Layout;
        public ConvolutionPass[] Passes;

        /// <summary>The only pass, where its rows share their columns.</summary>
        public TiledMatrix? Tiled;

        /// <summary>Where tiles find their inputs; null where they read the image where it is.</summary>
        public TilePlanes? TilePlanes;

        /// <summary>The loops of each pass over shifted planes, or null.</summary>
        public ShiftedRows?[] Rows;

        /// <summary>The code of each pass, or null.</summary>
        public CodedMatrix?[] Compiled;

        /// <summary>Whether compiled passes read the image where it is.</summary>
        public bool IsDirect;
        public int Batch;
        public float* Input;

        /// <summary>Floats between planes, and between images.</summary>
        public nint InputPlane, InputImage;
        public float* Output;

        /// <summary>The same for output and residual.</summary>
        public nint OutputPlane, OutputImage;

        /// <summary>Where input or output lie in halves (<see cref="PlaneHalves"/>): floats that the lower one lies further; else 0.</summary>
        public nint InputSecond, OutputSecond;
        public float* Bias;
        public float* Residual;
        public Clamp Clamp;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            if (Batch >= BatchWorthSharing)
            {
                WorkPool.Run(Batch, new ImageParts<V> { Call = this });
                return;
            }
            for (int image = 0; image < Batch; image++) Image<V>(image);
        }

        private readonly void Image<V>(int image) where V : unmanaged, IVector<V>
        {
            if (Tiled is { } tiled)
            {
                Tiles(tiled, image);
                return;
            }
            if (IsDirect && Compiled[0] is { } direct)
            {
                // Where gaps fill the last tile it is as any other.
                int columns = Passes[0].Height * Passes[0].Width, whole = PlaneSpacing.ToLines(columns);
                if ((whole <= InputPlane || InputSecond != 0) && (whole <= OutputPlane || OutputSecond != 0)) columns = whole;
                CompiledProduct<LineSource> product = Call(direct, new LineSource { Base = Input + image * InputImage, Stride = InputPlane, Columns = columns, Lines = direct.Lines }, Passes[0], image);
                product.Columns = columns;
                if (InputSecond == 0) product.Run();
                else product.RunHalves(product.Source with { Base = product.Source.Base + InputSecond });
                return;
            }
            if (Compiled[0] is CompiledMatrix { Planes: not null } shifted)
            {
                // Such a pass is the only one: its results lie in a row.
                Shifted(image, shifted, null);
                return;
            }
            // A narrow phase of a gradient has no loops over shifted planes, and one without entries reads nothing.
            bool isDone = true, readsPlanes = false;
            for (int i = 0; i < Passes.Length; i++)
            {
                if (Rows[i] is { } loops) Shifted(image, null, loops);
                else (isDone, readsPlanes) = (false, readsPlanes || Passes[i].Offsets.Length > 0);
            }
            if (isDone) return;
            if (Passes.Length == 1 && Compiled[0] is { } flatCode && Passes[0].Flat((int)InputPlane) is { } flat)
            {
                Flat(flat, flatCode, image);
                return;
            }
            int threads = WorkPool.IsAlone ? 1 : WorkPool.Threads;
            if (threads > 1 && Passes.Length == 1 && Compiled[0] is { } code)
            {
                var bands = new BandParts { Layout = Layout, Pass = Passes[0], Image = Input + image * InputImage, ImagePlane = InputPlane, Threads = threads, Call = Call(code, Source(code, Passes[0], null), Passes[0], image) };
                if (bands.Call.SharesTiles(threads))
                {
                    WorkPool.Run(threads, bands);
                    return;
                }
            }
            using Scratch.Buffer planes = Scratch.Rent(readsPlanes ? Layout.TotalLength : 0);
            const int PlanesPerPart = 8, FloatsPerPart = 8192;
            int perPart = Math.Clamp(FloatsPerPart / Layout.PlaneStride, 1, PlanesPerPart), parts = readsPlanes ? (Layout.Planes + perPart - 1) / perPart : 0;
            WorkPool.Run(parts, new FillParts { Layout = Layout, Image = Input + image * InputImage, ImagePlane = InputPlane, Planes = planes.Pointer, PerPart = perPart });
            int* boundaries = stackalloc int[RowPartition.MaxBlocks + 1];
            for (int i = 0; i < Passes.Length; i++)
            {
                if (Rows[i] is not null) continue;
                ConvolutionPass pass = Passes[i];
                if (Compiled[i] is { } compiled)
                {
                    Product(compiled, Source(compiled, pass, planes.Pointer), pass, image);
                    continue;
                }
                fixed (int* rows = pass.RowPointers, offsets = pass.Offsets)
                fixed (float* values = pass.Values)
                {
                    ConvolutionPassRun run = Prepare(pass, rows, offsets, values, planes.Pointer, image);
                    (int tiles, int blocks) = run.Split<V>();
                    RowPartition.Fill(rows, pass.Rows, new Span<int>(boundaries, blocks + 1));
                    WorkPool.Run(tiles * blocks, new TileParts<V> { Call = run, Blocks = blocks, Boundaries = boundaries });
                }
            }
        }

        private readonly void Shifted(int image, CompiledMatrix? code, ShiftedRows? rows) => new ShiftedProduct
        {
            Matrix = code,
            Rows = rows,
            Image = Input + image * InputImage,
            ImagePlane = InputPlane,
            Next = image + 1 < Batch ? Input + (image + 1) * InputImage : null,
            Output = Output + image * OutputImage,
            OutputPlane = OutputPlane,
            Bias = Bias,
            Residual = Residual == null ? null : Residual + image * OutputImage,
            Clamp = Clamp,
            Streams = Batch * OutputImage >= LeavesCaches,
        }.Run();

        private static PlaneSource Source(CodedMatrix matrix, ConvolutionPass pass, float* planes) =>
            new() { Planes = planes, Lines = matrix.Lines, Offsets = pass.LineOffsets, Gather = pass.Gather };

        private readonly void Product<TSource>(CodedMatrix matrix, TSource source, ConvolutionPass pass, int image) where TSource : struct, ITileSource =>
            Call(matrix, source, pass, image).Run();

        private readonly CompiledProduct<TSource> Call<TSource>(CodedMatrix matrix, TSource source, ConvolutionPass pass, int image) where TSource : struct, ITileSource => new()
        {
            Matrix = matrix,
            Source = source,
            // Gaps behind planes take what a whole last tile gives them.
            Columns = OutputPlane != pass.ChannelStride && PlaneSpacing.ToLines(pass.Height * pass.Width) is int whole && (whole <= OutputPlane || OutputSecond != 0) ? whole : pass.Height * pass.Width,
            Output = Output + image * OutputImage,
            RowStride = OutputPlane,
            OutputSecond = OutputSecond,
            Bias = Bias,
            Residual = Residual == null ? null : Residual + image * OutputImage,
            Clamp = Clamp,
        };

        private readonly ConvolutionPassRun Prepare(ConvolutionPass pass, int* rows, int* offsets, float* values, float* planes, int image) => new()
        {
            Pass = pass,
            RowPointers = rows,
            Offsets = offsets,
            Values = values,
            Planes = planes,
            ChannelStride = OutputPlane,
            Out = Output + image * OutputImage,
            Bias = Bias,
            Residual = Residual == null ? null : Residual + image * OutputImage,
            Clamp = Clamp,
        };

        private struct ImageParts<V> : IParts where V : unmanaged, IVector<V>
        {
            public ImagesCall Call;

            public readonly void Run(int image) => Call.Image<V>(image);
        }
    }

    /// <summary>
    /// Every thread lays out the rows of pixels that its tiles read and computes these: nobody waits in between, and of what lies in a core's
    /// second cache the other core needs the rows at the boundary alone, as in the layer before.
    /// </summary>
    private struct BandParts : IParts
    {
        public PlaneLayout Layout;
        public ConvolutionPass Pass;
        public float* Image;
        public nint ImagePlane;
        public int Threads;
        public CompiledProduct<PlaneSource> Call;

        public readonly void Run(int part)
        {
            int first = Call.ShareOf(part, Threads), end = Call.ShareOf(part + 1, Threads);
            int firstRow = first * CompiledMatrix.Lanes / Pass.Width, endRow = (Math.Min(end * CompiledMatrix.Lanes, Pass.Height * Pass.Width) - 1) / Pass.Width + 1 + Layout.Rows - Pass.Height;
            using Scratch.Buffer planes = Scratch.Rent(Layout.TotalLength);
            for (int p = 0; p < Layout.Planes; p++) Layout.FillRows(p, Image, planes.Pointer, firstRow, endRow, imagePlane: ImagePlane);
            CompiledProduct<PlaneSource> call = Call;
            call.Source.Planes = planes.Pointer;
            call.RunTiles(first, end);
        }
    }

    private struct FillParts : IParts
    {
        public PlaneLayout Layout;
        public float* Image;
        public nint ImagePlane;
        public float* Planes;
        public int PerPart;

        public readonly void Run(int part)
        {
            for (int p = part * PerPart; p < Math.Min((part + 1) * PerPart, Layout.Planes); p++) Layout.Fill(p, Image, Planes, imagePlane: ImagePlane);
        }
    }

    private struct TileParts<V> : IParts where V : unmanaged, IVector<V>
    {
        public ConvolutionPassRun Call;
        public int Blocks;
        public int* Boundaries;

        public readonly void Run(int part)
        {
            int block = part % Blocks;
            Call.Tile<V>(part / Blocks, Boundaries[block], Boundaries[block + 1]);
        }
    }
}
