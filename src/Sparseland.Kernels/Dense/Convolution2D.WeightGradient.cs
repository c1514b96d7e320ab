using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

public readonly partial record struct Convolution2D
{
    /// <summary>The gradient of the weight: outputGradient times the shifted input, summed over images and pixels.</summary>
    /// <remarks>As in <see cref="Forward(ReadOnlySpan{float}, ReadOnlySpan{float}, ReadOnlySpan{float}, Span{float}, Clamp?, ReadOnlySpan{float})"/>, with 16 channels on both sides as well: 3 x 3 taps may take fewer products, and a value that is larger than its neighbours by orders of magnitude takes digits from all taps of its channels.</remarks>
    /// <param name="input">[batch, inChannels, height, width].</param>
    /// <param name="outputGradient">[batch, outChannels, outHeight, outWidth].</param>
    /// <param name="weightGradient">[outChannels, inChannels / groups, kernelHeight, kernelWidth]; overwritten.</param>
    /// <exception cref="ArgumentException">The geometry is invalid or a span does not fit it.</exception>
    public unsafe void BackwardWeight(ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, Span<float> weightGradient)
    {
        Validate();
        CheckLength(input.Length, InputLength, nameof(input));
        CheckLength(outputGradient.Length, OutputLength, nameof(outputGradient));
        CheckLength(weightGradient.Length, WeightLength, nameof(weightGradient));
        PlanarSpec spec = ForwardSpec();
        if (Batch == 0 || spec.Points == 0)
        {
            weightGradient[..(int)WeightLength].Clear();
            return;
        }
        fixed (float* pi = input, pg = outputGradient, pw = weightGradient)
        {
            if (WinogradConvolution.Suits(this) && WinogradWeightGradient.Run(this, pi, pg, pw)) return;
            if (OuterWeightGradient.Suits(this))
            {
                SimdDispatch.Run(new OuterWeightGradient(this, pi, pg, pw));
                return;
            }
            SimdDispatch.Run(new WeightGradientJob
            {
                Spec = spec,
                Batch = Batch,
                Groups = Groups,
                Rows = OutChannels / Groups,
                Input = pi,
                OutputGradient = pg,
                WeightGradient = pw,
            });
        }
    }

    /// <summary>The gradient of the bias: the sum of outputGradient over images and pixels.</summary>
    /// <param name="outputGradient">[batch, outChannels, outHeight, outWidth].</param>
    /// <param name="biasGradient">[outChannels]; overwritten.</param>
    /// <exception cref="ArgumentException">The geometry is invalid or a span does not fit it.</exception>
    public unsafe void BackwardBias(ReadOnlySpan<float> outputGradient, Span<float> biasGradient)
    {
        Validate();
        CheckLength(outputGradient.Length, OutputLength, nameof(outputGradient));
        CheckLength(biasGradient.Length, OutChannels, nameof(biasGradient));
        fixed (float* pg = outputGradient, pb = biasGradient)
        {
            SimdDispatch.Run(new BiasGradientJob { Batch = Batch, Channels = OutChannels, Points = OutHeight * OutWidth, OutputGradient = pg, BiasGradient = pb });
        }
    }

    private unsafe struct BiasGradientJob : ILevelWork
    {
        public int Batch, Channels, Points;
        public float* OutputGradient;
        public float* BiasGradient;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            if ((long)Batch * Channels * Points >= 1 << 17) WorkPool.Run(Channels, new BiasGradientParts<V>(this));
            else
            {
                var parts = new BiasGradientParts<V>(this);
                for (int c = 0; c < Channels; c++) parts.Run(c);
            }
        }
    }

    private readonly unsafe struct BiasGradientParts<V>(BiasGradientJob job) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            float* lanes = stackalloc float[Lanes.Count];
            new Span<float>(lanes, Lanes.Count).Clear();
            for (int n = 0; n < job.Batch; n++)
            {
                LaneSums.Add<V>(job.OutputGradient + ((((nint)n * job.Channels) + part) * job.Points), job.Points, lanes);
            }
            job.BiasGradient[part] = DotKernel.Fold(lanes);
        }
    }
}

/// <summary>The product behind <see cref="Convolution2D.BackwardWeight"/> where groups have few output channels (see <see cref="OuterWeightGradient"/> for the others).</summary>
/// <remarks>
/// weightGradient [rows, depth] sums over images and pixels, far the longest dimension, and both operands are contiguous
/// along it; so tiles of 4 x 6 weights keep 16 partial sums each and nothing is transposed. Where the grid is narrow, rows
/// of pixels are gathered without gaps first (im2col of a few images); otherwise the gaps between grid rows are zeros in
/// the output gradient. The batch is cut into at most 16 ranges, whose sums are added in order.
/// </remarks>
internal unsafe struct WeightGradientJob : ILevelWork
{
    private const int MostRanges = 16;
    private const long PartialFloats = 1 << 22;

    public PlanarSpec Spec;
    public int Batch, Groups, Rows;
    public float* Input;
    public float* OutputGradient;
    public float* WeightGradient;

    private bool _gathered;
    private int _images;

    public void Run<V>() where V : unmanaged, IVector<V>
    {
        // Gaps cost time in proportion to the pitch, gathering a fixed 2 or so of the rows' products.
        _gathered = (Spec.Pitch - Spec.GridWidth) * 16 > Spec.GridWidth;
        if (Spec.InPlace && Spec.Pitch == Spec.GridWidth) _gathered = Spec.Points < 128;
        int length = _gathered ? Spec.Points : Spec.FlatLength;
        _images = Math.Clamp((1023 + length) / length, 1, Batch);
        int units = (Batch + _images - 1) / _images;
        long weights = (long)Groups * Rows * Spec.Depth;
        int ranges = (int)Math.Clamp(PartialFloats / weights, 1, Math.Min(units, MostRanges));
        if (ranges >= 4 || ranges == units && units > 1)
        {
            using Scratch.Buffer partial = Scratch.Rent(weights * ranges);
            new Span<float>(partial.Pointer, checked((int)(weights * ranges))).Clear();
            RunParts(ranges, new RangeParts<V>(this, units, ranges, (nint)partial.Pointer, (nint)weights));
            new Span<float>(partial.Pointer, (int)weights).CopyTo(new Span<float>(WeightGradient, (int)weights));
            for (int r = 1; r < ranges; r++)
            {
                float* from = partial.Pointer + (nint)(r * weights);
                System.Numerics.Tensors.TensorPrimitives.Add(new ReadOnlySpan<float>(WeightGradient, (int)weights), new ReadOnlySpan<float>(from, (int)weights), new Span<float>(WeightGradient, (int)weights));
            }
            return;
        }

        // Large weights: one range, tiles of the weights are the parts.
        new Span<float>(WeightGradient, (int)weights).Clear();
        for (int unit = 0; unit < units; unit++)
        {
            for (int group = 0; group < Groups; group++)
            {
                using Scratch.Buffer x = Scratch.Rent(InputFloats);
                using Scratch.Buffer y = Scratch.Rent(GradientFloats);
                var operands = new Operands(this, unit, group, x.Pointer, y.Pointer);
                RunParts(Spec.Channels + Rows, new BuildParts(operands));
                int columnTiles = (Spec.Depth + 47) / 48;
                RunParts(columnTiles, new TileParts<V>(operands, (nint)WeightGradient));
            }
        }
    }

    private readonly void RunParts<TWork>(int parts, TWork work) where TWork : IParts => RunParts((long)Batch * Groups * Rows * Spec.Depth * Spec.Points, parts, work);

    /// <summary>Runs parts on all threads where there are multiply-adds enough for them.</summary>
    internal static void RunParts<TWork>(long multiplyAdds, int parts, TWork work) where TWork : IParts
    {
        if (multiplyAdds >= 1 << 19) WorkPool.Run(parts, work);
        else
        {
            for (int part = 0; part < parts; part++) work.Run(part);
        }
    }

    private readonly long InputFloats => Spec.InPlace && !_gathered ? 0 : (_gathered ? ((long)_images * Spec.Depth * Spec.Points) + Spec.ChannelSize : (long)_images * Spec.Channels * Spec.ChannelSize) + 64;

    private readonly long GradientFloats => ((long)_images * Rows * (_gathered ? Spec.Points : Spec.FlatLength)) + 64;

    // The operands of one unit (a few images) and group, as rows that are contiguous along the summed dimension.
    private struct Operands
    {
        public WeightGradientJob Job;
        public int FirstImage, Images, Group, Length;

        // Row k of the input: X + image * XImage + its offset; row m of the gradient: Y + m * YRow + image * YImage.
        public float* X;
        public float* Y;
        public nint XImage, YImage, YRow;
        public bool BuildsX, BuildsY;

        public Operands(in WeightGradientJob job, int unit, int group, float* x, float* y)
        {
            Job = job;
            PlanarSpec spec = job.Spec;
            FirstImage = unit * job._images;
            Images = Math.Min(job._images, job.Batch - FirstImage);
            Group = group;
            nint points = spec.Points;
            if (job._gathered)
            {
                // All images of the unit side by side: one long row.
                X = x;
                Y = y;
                BuildsX = BuildsY = true;
                Length = Images * spec.Points;
                YRow = Length;
                return;
            }
            Length = spec.FlatLength;
            BuildsX = !spec.InPlace;
            X = BuildsX ? x : Input(0, 0);
            XImage = BuildsX ? spec.Channels * spec.ChannelSize : (nint)job.Groups * spec.Channels * spec.ChannelSize;
            BuildsY = spec.Pitch != spec.GridWidth;
            Y = BuildsY ? y : Gradient(0, 0);
            YRow = BuildsY ? Length : points;
            YImage = BuildsY ? job.Rows * (nint)Length : job.Groups * (nint)job.Rows * points;
        }

        public readonly float* Input(int image, int channel)
        {
            nint index = ((((nint)(FirstImage + image) * Job.Groups) + Group) * Job.Spec.Channels) + channel;
            return Job.Input + (index * Job.Spec.Height * Job.Spec.Width);
        }

        public readonly float* Gradient(int image, int row)
        {
            nint index = ((((nint)(FirstImage + image) * Job.Groups) + Group) * Job.Rows) + row;
            return Job.OutputGradient + (index * Job.Spec.Points);
        }

        public readonly void Offsets(nint* offsets)
        {
            PlanarSpec spec = Job.Spec;
            if (!Job._gathered) spec.FillOffsets(offsets);
            else
            {
                for (int k = 0; k < spec.Depth; k++) offsets[k] = (nint)k * Length;
            }
        }

        public readonly void BuildInput(int channel)
        {
            if (!BuildsX) return;
            PlanarSpec spec = Job.Spec;
            if (!Job._gathered)
            {
                for (int image = 0; image < Images; image++) spec.BuildChannel(Input(image, channel), X + (image * XImage) + (channel * spec.ChannelSize));
                return;
            }
            using Scratch.Buffer plane = Scratch.Rent(spec.InPlace ? 0 : spec.ChannelSize + 8);
            for (int image = 0; image < Images; image++)
            {
                float* from = Input(image, channel);
                if (!spec.InPlace)
                {
                    spec.BuildChannel(from, plane.Pointer);
                    from = plane.Pointer;
                }
                for (int t = 0; t < spec.Taps; t++)
                {
                    float* to = X + ((((nint)channel * spec.Taps) + t) * Length) + ((nint)image * spec.Points);
                    PlaneRows.Copy(from + spec.TapOffsets[t], spec.Pitch, spec.GridHeight, spec.GridWidth, to, spec.GridWidth);
                }
            }
        }

        public readonly void BuildGradient(int row)
        {
            if (!BuildsY) return;
            PlanarSpec spec = Job.Spec;
            for (int image = 0; image < Images; image++)
            {
                float* from = Gradient(image, row);
                if (Job._gathered)
                {
                    new ReadOnlySpan<float>(from, spec.Points).CopyTo(new Span<float>(Y + (row * YRow) + ((nint)image * spec.Points), spec.Points));
                    continue;
                }
                float* to = Y + (row * YRow) + (image * YImage);
                PlaneRows.Copy(from, spec.GridWidth, spec.GridHeight, spec.GridWidth, to, spec.Pitch);
                for (int i = 1; i < spec.GridHeight; i++)
                {
                    for (int x = spec.GridWidth; x < spec.Pitch; x++) to[((nint)(i - 1) * spec.Pitch) + x] = 0f;
                }
            }
        }

        // weights [rows, first .. end of depth] += products of this unit.
        [SkipLocalsInit]
        public readonly void Accumulate<V>(float* weights, int first, int end) where V : unmanaged, IVector<V>
        {
            PlanarSpec spec = Job.Spec;
            float* sums = stackalloc float[DotKernel.MaxRows * DotKernel.MaxColumns * Lanes.Count];
            nint* tile = stackalloc nint[DotKernel.MaxColumns];
            using Scratch.Buffer offsetBuffer = Scratch.Rent((long)spec.Depth * 2);
            var offsets = (nint*)offsetBuffer.Pointer;
            Offsets(offsets);
            int passes = Job._gathered ? 1 : Images;
            float* target = weights + ((nint)Group * Job.Rows * spec.Depth);
            for (int k = first; k < end; k += DotKernel.MaxColumns)
            {
                int columns = Math.Min(DotKernel.MaxColumns, end - k), computed = columns >= 3 && Job.Rows >= 4 ? DotKernel.MaxColumns : columns;
                // A tile at the edge is filled with its last column: the whole-tile kernel is faster than the exact one.
                for (int j = 0; j < computed; j++) tile[j] = offsets[k + Math.Min(j, columns - 1)];
                for (int m = 0; m < Job.Rows; m += DotKernel.MaxRows)
                {
                    int rows = Math.Min(DotKernel.MaxRows, Job.Rows - m);
                    new Span<float>(sums, rows * computed * Lanes.Count).Clear();
                    for (int image = 0; image < passes; image++)
                    {
                        DotKernel.Run<V>(rows, computed, Length, Y + (m * YRow) + (image * YImage), YRow, X + (image * XImage), tile, sums);
                    }
                    for (int i = 0; i < rows; i++)
                    {
                        float* w = target + ((nint)(m + i) * spec.Depth) + k;
                        DotRows.AddFolded(sums + (i * computed * Lanes.Count), columns, w);
                    }
                }
            }
        }
    }

    private readonly struct RangeParts<V>(WeightGradientJob job, int units, int ranges, nint partial, nint weights) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            float* target = (float*)partial + (part * weights);
            int first = (int)((long)units * part / ranges), end = (int)((long)units * (part + 1) / ranges);
            using Scratch.Buffer x = Scratch.Rent(job.InputFloats);
            using Scratch.Buffer y = Scratch.Rent(job.GradientFloats);
            for (int unit = first; unit < end; unit++)
            {
                for (int group = 0; group < job.Groups; group++)
                {
                    var operands = new Operands(job, unit, group, x.Pointer, y.Pointer);
                    for (int c = 0; c < job.Spec.Channels; c++) operands.BuildInput(c);
                    for (int m = 0; m < job.Rows; m++) operands.BuildGradient(m);
                    operands.Accumulate<V>(target, 0, job.Spec.Depth);
                }
            }
        }
    }

    private readonly struct BuildParts(Operands operands) : IParts
    {
        public void Run(int part)
        {
            if (part < operands.Job.Spec.Channels) operands.BuildInput(part);
            else operands.BuildGradient(part - operands.Job.Spec.Channels);
        }
    }

    private readonly struct TileParts<V>(Operands operands, nint weights) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part) => operands.Accumulate<V>((float*)weights, part * 48, Math.Min((part + 1) * 48, operands.Job.Spec.Depth));
    }
}
