using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

public sealed unsafe partial class PreparedSparseConvolution
{
    /// <summary>Bytes of structure, values and machine code as prepared so far; grows with the first products of each kind and with image sizes.</summary>
    public long PreparedBytes
    {
        get
        {
            lock (_gate)
            {
                long plans = _plans.Sum(p => 4L * p.Forward.Offsets.Length + (p.Forward.Shifted?.Bytes ?? 0) + p.Forward.ShiftedRowsBytes + p.Backward.Sum(b => b.ShiftedRowsBytes + 4L * (b.Offsets.Length + b.RowPointers.Length + b.Values.Length + (b.Source?.Length ?? 0)) + (b.Compiled?.Bytes ?? 0) + (b.Shifted?.Bytes ?? 0)));
                long lines = _lines is { } own && own != _columns ? 4L * own.Length : 0;
                return 4L * (_rowPointers.Length + _columns.Length + _values.Length) + _compiled.Bytes + _tiled.Bytes + lines + plans;
            }
        }
    }

    /// <summary>The gradient of the stored weights: gradient[j] = sum over images and pixels of outputGradient * the input that weight j meets.</summary>
    /// <remarks>
    /// Images are summed in at most 16 groups that depend on shapes alone, and the groups in order. A NaN or infinity reaches the gradients of the weights that meet it, and no others:
    /// pixels beyond the edges of an image have no part in them.
    /// </remarks>
    /// <param name="input">[batch, inChannels, height, width].</param>
    /// <param name="outputGradient">[batch, outChannels, outHeight, outWidth].</param>
    /// <param name="batch">Images, at least 0.</param>
    /// <param name="height">Rows of an input image.</param>
    /// <param name="width">Columns of an input image.</param>
    /// <param name="gradient"><see cref="StoredCount"/> numbers in stored order.</param>
    /// <param name="accumulate">Whether to add to what gradient holds.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void WeightGradient(ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, int batch, int height, int width, Span<float> gradient, bool accumulate = false)
    {
        ConvolutionPlan plan = GetPlan(height, width);
        CheckImages(input.Length, batch, Shape.InChannels, height, width, nameof(input));
        CheckImages(outputGradient.Length, batch, Shape.OutChannels, plan.OutHeight, plan.OutWidth, nameof(outputGradient));
        if (gradient.Length != StoredCount) throw new ArgumentException($"{gradient.Length} numbers for {StoredCount} stored entries.", nameof(gradient));
        if (!accumulate) gradient.Clear();
        if (StoredCount == 0 || outputGradient.IsEmpty) return;
        const int MostGroups = 16;
        // Small planes of several images lie side by side: a dot product is worth its start and its end from some hundred pixels on.
        bool shifted = ShiftedWeightGradient.IsFor(plan, Shape);
        int images = shifted ? ShiftedWeightGradient.ImagesOf(plan, batch) : Math.Clamp(WeightGradientCall.Piece / plan.Input.PlaneStride, 1, batch), units = (batch + images - 1) / images, groups = Math.Min(units, MostGroups);
        using Scratch.Buffer sums = Scratch.Rent((long)groups * StoredCount);
        fixed (int* rows = _rowPointers, columns = _columns)
        fixed (float* pi = input, pg = outputGradient)
        {
            var work = new WeightGradientWork
            {
                Plan = plan,
                Shape = Shape,
                Batch = batch,
                Images = images,
                Units = units,
                Groups = groups,
                RowPointers = rows,
                Columns = columns,
                Stored = StoredCount,
                Input = pi,
                OutputGradient = pg,
                Sums = sums.Pointer,
            };
            if (shifted)
            {
                SimdDispatch.Run(new ShiftedWeightGradient { Work = work });
            }
            else
            {
                using Scratch.Buffer places = Scratch.Rent(StoredCount);
                var offsets = new Span<int>((int*)places.Pointer, StoredCount);
                for (int j = 0; j < offsets.Length; j++)
                {
                    int plane = plan.Forward.Offsets[j] / plan.Input.PlaneStride;
                    offsets[j] = checked(plan.Forward.Offsets[j] + (plane * (images - 1) * plan.Input.PlaneStride));
                }
                SimdDispatch.Run(new WeightGradientCall { Work = work, Offsets = (int*)places.Pointer });
            }
        }
        for (int g = 0; g < groups; g++)
        {
            var part = new ReadOnlySpan<float>(sums.Pointer + (nint)g * StoredCount, StoredCount);
            System.Numerics.Tensors.TensorPrimitives.Add(gradient, part, gradient);
        }
    }

    /// <summary>The product behind <see cref="WeightGradient"/>.</summary>
    /// <remarks>
    /// Both operands lie flat, planes of the input with their padding and the output's gradient with zeros between its rows, so that a weight is one
    /// dot product of two shifted rows. Long planes are cut into pieces and channels into blocks, so that the pieces of a block stay in the first-level cache while
    /// all rows of weights pass by.
    /// </remarks>
    private struct WeightGradientCall : ILevelWork
    {
        public const int Piece = 256;

        // Pieces of the planes of a block of channels: twice the first-level cache. Shifted rows cost two loads each wherever they lie, so the second level
        // keeps up, and rows of weights with few entries in a block would leave most of the eight sums of a pass empty.
        private const int BlockFloats = 16 * 1024;

        public WeightGradientWork Work;

        // [stored]: where each weight's input begins in the planes of a unit.
        public int* Offsets;

        public readonly void Run<V>() where V : unmanaged, IVector<V> => WorkPool.Run(Work.Groups, new GroupParts<V> { Call = Work, Offsets = Offsets });

        private struct GroupParts<V> : IParts where V : unmanaged, IVector<V>
        {
            public WeightGradientWork Call;
            public int* Offsets;

            public readonly void Run(int group)
            {
                ConvolutionPlan plan = Call.Plan;
                SparseConvolutionShape shape = Call.Shape;
                PlaneLayout layout = plan.Input;
                int stride = layout.PlaneStride, images = Call.Images, first = (int)((long)group * Call.Units / Call.Groups), end = (int)((long)(group + 1) * Call.Units / Call.Groups);
                float* sums = Call.Sums + (nint)group * Call.Stored;
                new Span<float>(sums, Call.Stored).Clear();
                // The flat length of a unit, cut into equal pieces of whole registers.
                int length = ((images - 1) * stride) + plan.Forward.Positions, pieces = (length + Piece - 1) / Piece, piece = ((length + pieces - 1) / pieces + Lanes.Count - 1) / Lanes.Count * Lanes.Count;
                nint row = (nint)pieces * piece;
                long planesLength = (long)layout.Planes * images * stride, readable = planesLength + stride + row - length + Lanes.Count;
                using Scratch.Buffer planes = Scratch.Rent(readable), flat = Scratch.Rent(row * shape.OutChannels), table = Scratch.Rent((long)shape.OutChannels * (Blocks(piece) + 1));
                var starts = (int*)table.Pointer;
                FindBlocks(starts, piece);
                // What lies between and behind images is read and multiplied by zero: it is cleared once.
                new Span<float>(planes.Pointer, checked((int)readable)).Clear();
                new Span<float>(flat.Pointer, checked((int)(row * shape.OutChannels))).Clear();
                for (int unit = first; unit < end; unit++)
                {
                    Fill(unit, planes.Pointer, flat.Pointer, row);
                    for (int p = 0; p < pieces; p++)
                    {
                        for (int block = 0; block < Blocks(piece); block++)
                        {
                            for (int o = 0; o < shape.OutChannels; o++)
                            {
                                int j = starts[(block * shape.OutChannels) + o], count = starts[((block + 1) * shape.OutChannels) + o] - j;
                                if (count > 0) DotRows.Add<V>(flat.Pointer + (o * row) + (p * piece), planes.Pointer + (p * piece), Offsets + j, count, 1, piece, sums + j);
                            }
                        }
                    }
                }
                Call.LeaveOutZeros(group, sums);
            }

            private readonly int ChannelsPerBlock(int piece)
            {
                PlaneLayout layout = Call.Plan.Input;
                int phases = layout.Planes / Call.Shape.InChannels, reach = Math.Min(layout.PlaneStride, (Call.Shape.KernelHeight * layout.RowStride) + Call.Shape.KernelWidth);
                int all = Call.Shape.InChannels / Call.Shape.Groups, most = Math.Clamp(BlockFloats / (phases * (piece + reach)), 1, all), blocks = (all + most - 1) / most;
                return (all + blocks - 1) / blocks;
            }

            private readonly int Blocks(int piece)
            {
                int each = ChannelsPerBlock(piece), all = Call.Shape.InChannels / Call.Shape.Groups;
                return (all + each - 1) / each;
            }

            // starts [blocks + 1, outChannels]: where the stored weights of a block of channels begin in each row.
            private readonly void FindBlocks(int* starts, int piece)
            {
                int each = ChannelsPerBlock(piece), blocks = Blocks(piece), outputs = Call.Shape.OutChannels, taps = Call.Shape.KernelHeight * Call.Shape.KernelWidth;
                for (int o = 0; o < outputs; o++)
                {
                    int j = Call.RowPointers[o];
                    for (int b = 0; b <= blocks; b++)
                    {
                        while (j < Call.RowPointers[o + 1] && Call.Columns[j] < b * each * taps) j++;
                        starts[(b * outputs) + o] = j;
                    }
                }
            }

            private readonly void Fill(int unit, float* planes, float* flat, nint row)
            {
                ConvolutionPlan plan = Call.Plan;
                SparseConvolutionShape shape = Call.Shape;
                int stride = plan.Input.PlaneStride, images = Call.Images, points = plan.OutHeight * plan.OutWidth;
                for (int i = 0; i < images; i++)
                {
                    int image = (unit * images) + i;
                    if (image >= Call.Batch)
                    {
                        // The last unit may not be full: no gradient comes from images that are not there.
                        for (int o = 0; o < shape.OutChannels; o++) new Span<float>(flat + (o * row) + ((nint)i * stride), (int)Math.Min(stride, row - ((nint)i * stride))).Clear();
                        continue;
                    }
                    float* from = Call.Input + ((nint)image * shape.InChannels * plan.Height * plan.Width);
                    for (int p = 0; p < plan.Input.Planes; p++) plan.Input.Fill(p, from, planes + (((nint)p * (images - 1)) + i) * stride, cleared: true);
                    for (int o = 0; o < shape.OutChannels; o++)
                    {
                        if (Call.RowPointers[o] == Call.RowPointers[o + 1]) continue;
                        float* channel = Call.OutputGradient + (((nint)image * shape.OutChannels) + o) * points;
                        float* to = flat + (o * row) + ((nint)i * stride);
                        PlaneRows.Copy(channel, plan.OutWidth, plan.OutHeight, plan.OutWidth, to, plan.Forward.RowStride);
                    }
                }
            }
        }
    }
}
