using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>The weight gradient of a sparse convolution without strides over small images with rows of whole registers: what weights meet begins where registers of eight begin.</summary>
/// <remarks>
/// A channel has a copy for every shift sideways, without padding; taps above each other read rows of one copy. Several images lie side by side, their rows one row. Channels are cut into blocks, which are laid out just
/// before all rows of weights meet them. In padded planes (<see cref="PreparedSparseConvolution"/> has them for all other images) taps begin anywhere in a register, and images of 8 x 8 have half as many products again.
/// Zen 3, one thread, two turns, 90 and 95 % zeros: 128 channels of 16 x 16 pixels 1.2 to 1.6 and 0.9 to 1.4 times as fast as so, 256 of 8 x 8 pixels 1.35 and 1.3. Bands of larger images lost (64 channels of 32 x 32: 0.9 and 0.8): their copies take what the loads save.
/// With AVX-512, units of one image are copied under masks and ask for the next image among their dots (Zen 5, both threads, in turn in one run: 128 channels of 16 x 16 1.15 and 1.12 times as fast at 95 and 90 % zeros; four images of 8 x 8 0.99, and padded planes of 32 x 32, which leave
/// no room for it in the second cache, 0.89).
/// The shape alone chooses it, because the order of sums follows: cores with registers of 16, and those that halve 256 bits, compute so too.
/// </remarks>
internal unsafe struct ShiftedWeightGradient : ILevelWork
{
    // Pixels of a unit of images: a dot product is worth its start and its end from some hundred on.
    private const int MostPixels = 256;

    // Copies of a block of channels: twice the first-level cache. Smaller blocks leave rows of weights too few entries for the products that run side by side.
    private const int BlockFloats = 16 * 1024;

    // Kernels that reach much farther than an image have padded planes.
    private const int MostReach = 32;

    /// <summary>What is computed.</summary>
    public WeightGradientWork Work;

    /// <summary>Whether a layer is computed so; its shape alone decides, because the order of sums follows.</summary>
    public static bool IsFor(ConvolutionPlan plan, SparseConvolutionShape shape) =>
        shape.Groups == 1 && plan.OutHeight * plan.OutWidth is > 0 and <= MostPixels && plan.OutWidth % PlaneLayout.ShiftedColumns == 0 && plan.Input.ShiftsRows(plan.OutWidth) && plan.Input.Rows - plan.OutHeight <= MostReach;

    /// <summary>Images that lie side by side.</summary>
    public static int ImagesOf(ConvolutionPlan plan, int batch) => Math.Clamp(MostPixels / (plan.OutHeight * plan.OutWidth), 1, batch);

    public readonly void Run<V>() where V : unmanaged, IVector<V>
    {
        int taps = Work.Shape.KernelHeight * Work.Shape.KernelWidth, outputs = Work.Shape.OutChannels;
        var copies = new Copies(Work.Plan, taps, Work.Images);
        int most = Math.Clamp(BlockFloats / (copies.Count * copies.Stride), 1, Work.Shape.InChannels), blocks = (Work.Shape.InChannels + most - 1) / most, each = (Work.Shape.InChannels + blocks - 1) / blocks;
        using Scratch.Buffer places = Scratch.Rent(Work.Stored), table = Scratch.Rent((long)outputs * (blocks + 1));
        int* offsets = (int*)places.Pointer, starts = (int*)table.Pointer;
        for (int o = 0; o < outputs; o++)
        {
            int j = Work.RowPointers[o], end = Work.RowPointers[o + 1];
            for (int b = 0; b <= blocks; b++)
            {
                starts[(b * outputs) + o] = j;
                for (; j < end && Work.Columns[j] < (long)(b + 1) * each * taps; j++) offsets[j] = copies.Offset((Work.Columns[j] / taps) - (b * each), Work.Columns[j] % taps);
            }
        }
        WorkPool.Run(Work.Groups, new GroupParts<V> { Call = Work, Copies = copies, Blocks = blocks, Each = each, Offsets = offsets, Starts = starts });
    }

    /// <summary>The copies that each channel has.</summary>
    private sealed class Copies
    {
        private readonly int[] _copyOf, _rowOf;

        public Copies(ConvolutionPlan plan, int taps, int images)
        {
            PlaneLayout layout = plan.Input;
            (_copyOf, _rowOf) = (new int[taps], new int[taps]);
            var columns = new List<int>();
            int reach = 0;
            for (int t = 0; t < taps; t++)
            {
                // Of the first channel; the others' taps lie alike.
                int offset = plan.Forward.LineOffsets[t], column = offset % layout.RowStride;
                if (!columns.Contains(column)) columns.Add(column);
                (_copyOf[t], _rowOf[t]) = (columns.IndexOf(column), offset / layout.RowStride);
                reach = Math.Max(reach, _rowOf[t]);
            }
            Columns = [.. columns];
            (Rows, Row) = (plan.OutHeight + reach, images * plan.OutWidth);
            Masks = Avx512F.IsSupported && images == 1 ? [.. columns.Select(c => layout.ShiftMasks(c, Rows * Row))] : [];
            // An odd number of cache lines, so that copies do not fall onto the same cache sets.
            Stride = (((Rows * Row) + Lanes.Count - 1) / Lanes.Count | 1) * Lanes.Count;
        }

        /// <summary>The first column of each.</summary>
        public int[] Columns { get; }

        /// <summary>Of each, which lanes of its registers come from the image (<see cref="PlaneLayout.ShiftMasks"/>); empty without AVX-512, and where several images lie side by side.</summary>
        public int[][] Masks { get; }

        public int Count => Columns.Length;

        /// <summary>Rows of a copy, floats of a row, and floats between copies.</summary>
        public int Rows { get; }

        public int Row { get; }

        public int Stride { get; }

        /// <summary>Where a tap of a channel begins.</summary>
        public int Offset(int channel, int tap) => (((channel * Count) + _copyOf[tap]) * Stride) + (_rowOf[tap] * Row);
    }

    private struct GroupParts<V> : IParts where V : unmanaged, IVector<V>
    {
        public WeightGradientWork Call;
        public Copies Copies;
        public int Blocks, Each;
        public int* Offsets;
        public int* Starts;

        public readonly void Run(int group)
        {
            int outputs = Call.Shape.OutChannels, first = (int)((long)group * Call.Units / Call.Groups), end = (int)((long)(group + 1) * Call.Units / Call.Groups);
            float* sums = Call.Sums + ((nint)group * Call.Stored);
            new Span<float>(sums, Call.Stored).Clear();
            // Whole registers. What lies behind a copy's last row, and images that are not there, are multiplied by zeros: all of it is cleared once.
            int length = ((Call.Plan.OutHeight * Copies.Row) + Lanes.Count - 1) / Lanes.Count * Lanes.Count, block = checked(Each * Copies.Count * Copies.Stride);
            using Scratch.Buffer copies = Scratch.Rent(block + Lanes.Count), flat = Scratch.Rent((long)outputs * length);
            new Span<float>(copies.Pointer, block + Lanes.Count).Clear();
            new Span<float>(flat.Pointer, checked(outputs * length)).Clear();
            for (int unit = first; unit < end; unit++)
            {
                FillGradient(unit, flat.Pointer, length);
                (PlaneRequests input, PlaneRequests gradient) = Call.Images == 1 && V.Count == Lanes.Count && unit + 1 < end ? Call.PlanesOf(unit + 1) : default;
                for (int b = 0; b < Blocks; b++)
                {
                    int* from = Starts + ((nint)b * outputs), to = from + outputs;
                    FillCopies(unit, b * Each, Math.Min((b + 1) * Each, Call.Shape.InChannels), copies.Pointer);
                    for (int o = 0; o < outputs; o++)
                    {
                        input.Ask((b * outputs) + o, Blocks * outputs);
                        gradient.Ask((b * outputs) + o, Blocks * outputs);
                        if (to[o] > from[o]) DotRows.Add<V>(flat.Pointer + ((nint)o * length), copies.Pointer, Offsets + from[o], to[o] - from[o], 1, length, sums + from[o]);
                    }
                }
            }
            Call.LeaveOutZeros(group, sums);
        }

        // The unit's first image, and how many are there.
        private readonly (int First, int Count) ImagesOf(int unit) => (unit * Call.Images, Math.Min(Call.Images, Call.Batch - (unit * Call.Images)));

        private readonly void FillCopies(int unit, int firstChannel, int endChannel, float* copies)
        {
            (int first, int images) = ImagesOf(unit);
            int width = Call.Plan.OutWidth;
            if (Copies.Masks.Length > 0)
            {
                // Rows of a copy have no gaps.
                float* image = Call.Input + ((nint)first * Call.Shape.InChannels * Call.Plan.Height * width);
                for (int c = firstChannel; c < endChannel; c++)
                {
                    for (int k = 0; k < Copies.Count; k++, copies += Copies.Stride)
                    {
                        fixed (int* masks = Copies.Masks[k]) Call.Plan.Input.CopyShifted(c, Copies.Columns[k], image, (nint)Call.Plan.Height * width, 0, Copies.Rows, copies, masks);
                    }
                }
                return;
            }
            for (int c = firstChannel; c < endChannel; c++)
            {
                for (int k = 0; k < Copies.Count; k++, copies += Copies.Stride)
                {
                    for (int i = 0; i < images; i++)
                    {
                        float* plane = Call.Input + (((((nint)first + i) * Call.Shape.InChannels) + c) * Call.Plan.Height * width);
                        Call.Plan.Input.CopyShiftedRows(plane, Copies.Columns[k], Copies.Rows, copies + (i * width), Copies.Row);
                    }
                }
            }
        }

        private readonly void FillGradient(int unit, float* flat, int length)
        {
            (int first, int images) = ImagesOf(unit);
            int width = Call.Plan.OutWidth, height = Call.Plan.OutHeight, outputs = Call.Shape.OutChannels;
            // No gradient comes from images that are not there.
            if (images < Call.Images) new Span<float>(flat, outputs * length).Clear();
            for (int i = 0; i < images; i++)
            {
                for (int o = 0; o < outputs; o++)
                {
                    if (Call.RowPointers[o] == Call.RowPointers[o + 1]) continue;
                    float* from = Call.OutputGradient + ((((nint)first + i) * outputs) + o) * height * width;
                    PlaneRows.Copy(from, width, height, width, flat + ((nint)o * length) + (i * width), Copies.Row);
                }
            }
        }
    }
}
