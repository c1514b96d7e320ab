using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

// Tiles of channels x pixels: straight from the planes, or over gathered panels.
internal static unsafe partial class ConvolutionEngine
{
    // Floats behind a panel that copies of whole registers may write.
    private const int Slack = 16;

    // Columns of a panel (image, grid row, grid column) that lie on one grid row.
    private struct Segment
    {
        public nint Source, Target;
        public int Length, Image;
    }

    // Columns that are gathered and multiplied together: three registers, two, one, or a few columns.
    private struct Panel
    {
        public int Width, Pitch, FirstSegment, Segments;

        // Whether the columns are written one after the other.
        public bool Contiguous;
    }

    // Reads registers straight from the planes; a register never crosses a grid row.
    [SkipLocalsInit]
    private static void DirectTile<V>(in Unit unit, int row, int rows, int column, int columns) where V : unmanaged, IVector<V>
    {
        ref readonly ConvolutionJob job = ref unit.Job;
        PlanarSpec spec = job.Spec;
        int depth = spec.Depth, block = Packing.BlockLength(depth), registers = columns / V.Count;
        nint outPlane = (nint)spec.OutHeight * spec.OutWidth;
        float* weights = job.Weights + (unit.Group * job.WeightsPerGroup);
        float* output = job.Output + unit.OutChannel(0, 0);
        var heights = new RowPanels(job.Rows, MicroKernel.Rows<V>());
        float* edge = stackalloc float[8 * 32];
        for (int register = 0; register < registers; register += 2)
        {
            int first = column + (register * V.Count), second = register + 1 < registers ? first + V.Count : first;
            int i0 = first / spec.GridWidth, j0 = first % spec.GridWidth, i1 = second / spec.GridWidth, j1 = second % spec.GridWidth;
            float* b0 = unit.Planes + ((nint)i0 * spec.Pitch) + j0;
            float* b1 = unit.Planes + ((nint)i1 * spec.Pitch) + j1;
            float* c0 = output + spec.OutOffset(i0, j0);
            float* c1 = output + spec.OutOffset(i1, j1);
            int k0 = 0;
            do
            {
                int k = Math.Min(block, depth - k0);
                bool last = k0 + k >= depth;
                float* bias = job.Bias == null || !last ? null : job.Bias + (unit.Group * job.Rows);
                float* panel = weights + ((nint)heights.Rows * k0) + ((nint)row * k);
                TileStore to = Store(job, outPlane, k0 > 0, last);
                for (int i = row, mr; i < row + rows; i += mr, panel += (nint)mr * k)
                {
                    mr = heights.HeightAt(i);
                    int height = Math.Min(mr, row + rows - i);
                    if (height == mr)
                    {
                        to.C0 = c0 + (i * outPlane);
                        to.C1 = c1 + (i * outPlane);
                        if (bias != null) to.Bias = bias + i;
                        MicroKernel.RunOffsets<V>(mr, k, panel, b0, b1, unit.Offsets + k0, to);
                        continue;
                    }
                    MicroKernel.RunOffsets<V>(mr, k, panel, b0, b1, unit.Offsets + k0, TileStore.Plain(edge, 2 * V.Count, V.Count, accumulate: false));
                    for (int r = 0; r < height; r++)
                    {
                        float* from = edge + (r * 2 * V.Count);
                        nint at = (i + r) * outPlane;
                        float add = bias == null ? 0f : bias[i + r];
                        Clamp clamp = last ? job.Clamp : Clamp.None;
                        Finish<V>(from, c0 + at, 1, to.HasResidual ? c0 + at + to.Residual : null, V.Count, add, bias != null, clamp, to.Accumulate);
                        // A single register was computed twice.
                        if (second != first) Finish<V>(from + V.Count, c1 + at, 1, to.HasResidual ? c1 + at + to.Residual : null, V.Count, add, bias != null, clamp, to.Accumulate);
                    }
                }
                k0 += block;
            }
            while (k0 < depth);
        }
    }

    // What happens to sums on their way into the output; places and bias are filled in per tile.
    private static TileStore Store(in ConvolutionJob job, nint outPlane, bool accumulate, bool last) => new()
    {
        Stride = outPlane,
        Accumulate = accumulate,
        HasResidual = last && job.Residual != null,
        Residual = job.Residual == null ? 0 : (nint)(job.Residual - job.Output),
        Clamped = last && !job.Clamp.IsNone,
        Low = job.Clamp.Low,
        High = job.Clamp.High,
        Zero = job.Clamp.Zero,
    };

    // Gathers panels from the planes block by block of k and multiplies them; the sums of the blocks meet in the output.
    [SkipLocalsInit]
    private static void PanelTile<V>(in Unit unit, int row, int rows, int column, int columns) where V : unmanaged, IVector<V>
    {
        ref readonly ConvolutionJob job = ref unit.Job;
        PlanarSpec spec = job.Spec;
        int depth = spec.Depth, block = Packing.BlockLength(depth), padded = PaddedColumns<V>(columns);
        // One panel after the other in the same place, which stays in the first-level cache.
        using Scratch.Buffer own = Scratch.Rent(unit.Panels != null ? 0 : ((long)MicroKernel.MostColumns<V>() * Math.Min(block, depth)) + Slack);
        Segment* segments = stackalloc Segment[TileColumns];
        Panel* panels = stackalloc Panel[TileColumns];
        int count = Cut<V>(unit, column, columns, panels, segments);

        float* weights = job.Weights + (unit.Group * job.WeightsPerGroup);
        var heights = new RowPanels(job.Rows, MicroKernel.Rows<V>());
        int k0 = 0;
        do
        {
            int k = Math.Min(block, depth - k0);
            float* blockWeights = weights + ((nint)heights.Rows * k0) + ((nint)row * k);
            float* b = unit.Panels != null ? unit.Panels + ((nint)padded * k0) : own.Pointer;
            TileStore to = Store(job, (nint)spec.OutHeight * spec.OutWidth, k0 > 0, k0 + k >= depth);
            for (int j = 0; j < count; j++)
            {
                if (unit.Panels == null) Gather(unit.Planes, unit.Offsets + k0, k, segments + panels[j].FirstSegment, panels[j].Segments, panels[j].Width, panels[j].Pitch, !spec.InPlace, true, AsksAhead<V>(), b);
                if (panels[j].Pitch <= MicroKernel.MaxFewColumns<V>()) FewColumns<V>(unit, row, rows, k, blockWeights, b, panels[j], segments, k0 > 0, k0 + k >= depth);
                else Multiply<V>(unit, row, rows, k, blockWeights, b, panels[j], segments, to, k0 + k >= depth);
                if (unit.Panels != null) b += (nint)panels[j].Pitch * k;
            }
            k0 += block;
        }
        while (k0 < depth);
    }

    // One panel times all rows of the tile.
    [SkipLocalsInit]
    private static void Multiply<V>(in Unit unit, int row, int rows, int k, float* weights, float* b, in Panel panel, Segment* segments, TileStore to, bool last)
        where V : unmanaged, IVector<V>
    {
        ref readonly ConvolutionJob job = ref unit.Job;
        var heights = new RowPanels(job.Rows, MicroKernel.Rows<V>());
        float* edge = stackalloc float[8 * 48];
        float* bias = job.Bias == null || !last ? null : job.Bias + (unit.Group * job.Rows);
        Segment* run = segments + panel.FirstSegment;
        float* c = job.Output + unit.OutChannel(run->Image, 0) + run->Target;
        bool narrow = panel.Pitch == V.Count, half = panel.Pitch < V.Count, broad = panel.Pitch > 2 * V.Count, whole = panel.Contiguous && panel.Width == panel.Pitch;
        for (int i = row, mr; i < row + rows; i += mr)
        {
            mr = heights.HeightAt(i);
            int height = Math.Min(mr, row + rows - i);
            if (whole && height == mr)
            {
                to.C0 = c + (i * to.Stride);
                to.C1 = to.C0 + V.Count;
                if (bias != null) to.Bias = bias + i;
                if (narrow) MicroKernel.RunNarrow<V>(mr, k, weights, b, panel.Pitch, to);
                else if (half) MicroKernel.RunNarrow<V128>(mr, k, weights, b, panel.Pitch, to);
                else if (broad) MicroKernel.RunBroad<V>(k, weights, b, to);
                else MicroKernel.Run<V>(mr, k, weights, b, panel.Pitch, to);
            }
            else
            {
                TileStore plain = TileStore.Plain(edge, panel.Pitch, V.Count, accumulate: false);
                if (narrow) MicroKernel.RunNarrow<V>(mr, k, weights, b, panel.Pitch, plain);
                else if (half) MicroKernel.RunNarrow<V128>(mr, k, weights, b, panel.Pitch, plain);
                else if (broad) MicroKernel.RunBroad<V>(k, weights, b, plain);
                else MicroKernel.Run<V>(mr, k, weights, b, panel.Pitch, plain);
                for (int r = 0; r < height; r++)
                {
                    float* from = edge + (r * panel.Pitch);
                    for (int s = 0; s < panel.Segments; s++)
                    {
                        int length = panel.Contiguous ? panel.Width : run[s].Length;
                        float* target = job.Output + unit.OutChannel(run[s].Image, i + r) + run[s].Target;
                        Finish<V>(from, target, job.Spec.OutStepX, to.HasResidual ? target + to.Residual : null, length, bias == null ? 0f : bias[i + r], bias != null,
                            last ? job.Clamp : Clamp.None, to.Accumulate);
                        if (panel.Contiguous) break;
                        from += length;
                    }
                }
            }
            weights += (nint)mr * k;
        }
    }

    // The columns that are left over behind the last whole register, e.g. 4 of 14 x 14 pixels and 1 of 7 x 7.
    [SkipLocalsInit]
    private static void FewColumns<V>(in Unit unit, int row, int rows, int k, float* weights, float* b, in Panel panel, Segment* segments, bool accumulate, bool last) where V : unmanaged, IVector<V>
    {
        ref readonly ConvolutionJob job = ref unit.Job;
        nint* target = stackalloc nint[panel.Width];
        for (int s = 0, at = 0; s < panel.Segments; s++)
        {
            Segment segment = segments[panel.FirstSegment + s];
            for (int x = 0; x < segment.Length; x++) target[at++] = unit.OutChannel(segment.Image, 0) + segment.Target + ((nint)x * job.Spec.OutStepX);
        }
        int tall = Math.Clamp(new RowPanels(job.Rows, MicroKernel.Rows<V>()).Tall - row, 0, rows);
        if (tall > 0) FewColumns<V>(unit, MicroKernel.Rows<V>(), row, tall, k, weights, b, panel, target, accumulate, last);
        if (tall < rows) FewColumns<V>(unit, RowPanels.Low, row + tall, rows - tall, k, weights + ((nint)tall * k), b, panel, target, accumulate, last);
    }

    // The same for rows in panels of one height.
    [SkipLocalsInit]
    private static void FewColumns<V>(in Unit unit, int height, int row, int rows, int k, float* weights, float* b, in Panel panel, nint* target, bool accumulate, bool last) where V : unmanaged, IVector<V>
    {
        const int Lanes = 8, Panels = 4, ManyPanels = 8;
        ref readonly ConvolutionJob job = ref unit.Job;
        float* sums = stackalloc float[ManyPanels * Lanes];
        float* bias = job.Bias == null || !last ? null : job.Bias + (unit.Group * job.Rows);
        float* residual = last ? job.Residual : null;
        bool clamped = last && !job.Clamp.IsNone;
        nint outPlane = (nint)job.Spec.OutHeight * job.Spec.OutWidth, panelSize = (nint)height * k;
        int lastPanel = (rows - 1) / height;
        for (int i = 0; i <= lastPanel;)
        {
            float* a = weights + (i * panelSize);
            bool many = panel.Width == 1 && i + ManyPanels - 1 <= lastPanel;
            int panels = Math.Min(many ? ManyPanels : Panels, lastPanel + 1 - i);
            for (int j = 0; j < panel.Width; j += 2)
            {
                int pair = Math.Min(2, panel.Width - j);
                if (many) MicroKernel.OneColumn<V>(height, k, a, panelSize, b, panel.Pitch, sums);
                else
                {
                    MicroKernel.FewColumns<V>(height, k, a, a + (Math.Min(1, lastPanel - i) * panelSize), a + (Math.Min(2, lastPanel - i) * panelSize), a + (Math.Min(3, lastPanel - i) * panelSize),
                        b + j, b + j + pair - 1, panel.Pitch, sums);
                }
                for (int x = 0; x < pair; x++)
                {
                    for (int p = 0; p < panels; p++)
                    {
                        int first = (i + p) * height, end = Math.Min(height, rows - first);
                        for (int r = 0; r < end; r++)
                        {
                            int channel = row + first + r;
                            nint to = target[j + x] + (channel * outPlane);
                            float v = sums[(((x * Panels) + p) * Lanes) + r];
                            if (accumulate) v += job.Output[to];
                            if (bias != null) v += bias[channel];
                            if (residual != null) v += residual[to];
                            if (clamped) v = MathF.Min(MathF.Max(v, job.Clamp.Low), job.Clamp.High);
                            job.Output[to] = v;
                        }
                    }
                }
            }
            i += many ? ManyPanels : Panels;
        }
    }

    // Floats per row of all panels of so many columns.
    private static int PaddedColumns<V>(int columns) where V : unmanaged, IVector<V>
    {
        int padded = 0;
        while (columns > 0)
        {
            int pitch = PanelPitch<V>(columns);
            padded += pitch;
            columns -= pitch;
        }
        return padded;
    }

    // Two registers while they are filled (three where these are the last whole ones: 49 = 48 + 1), one for what is left, half of one, or columns of their own for very few.
    private static int PanelPitch<V>(int columns) where V : unmanaged, IVector<V>
    {
        int few = MicroKernel.MaxFewColumns<V>(), half = MicroKernel.HalfColumns<V>(), small = Math.Max(few, half);
        if (MicroKernel.MostColumns<V>() == 3 * V.Count && columns > (2 * V.Count) + few && columns <= (3 * V.Count) + few) return 3 * V.Count;
        return columns > V.Count + small ? 2 * V.Count
            : columns <= few ? columns
            : columns <= half ? half
            : V.Count;
    }

    // Cuts columns into panels, and these into runs on one grid row.
    private static int Cut<V>(in Unit unit, int column, int columns, Panel* panels, Segment* segments) where V : unmanaged, IVector<V>
    {
        PlanarSpec spec = unit.Job.Spec;
        int count = 0, segmentCount = 0;
        for (int end = column + columns; column < end;)
        {
            int pitch = PanelPitch<V>(end - column), width = Math.Min(pitch, end - column);
            int first = segmentCount;
            segmentCount = FindSegments(unit, column, width, segments, segmentCount);
            bool contiguous = spec.OutStepX == 1;
            for (int s = first + 1; s < segmentCount; s++)
                contiguous &= segments[s].Image == segments[s - 1].Image && segments[s].Target == segments[s - 1].Target + segments[s - 1].Length;
            panels[count++] = new Panel { Width = width, Pitch = pitch, FirstSegment = first, Segments = segmentCount - first, Contiguous = contiguous };
            column += width;
        }
        return count;
    }

    private static int FindSegments(in Unit unit, int column, int columns, Segment* segments, int count)
    {
        PlanarSpec spec = unit.Job.Spec;
        int end = column + columns;
        while (column < end)
        {
            int image = column / spec.Points, point = column % spec.Points, i = point / spec.GridWidth, j = point % spec.GridWidth;
            int length = Math.Min(spec.GridWidth - j, end - column);
            segments[count++] = new Segment
            {
                Source = (image * unit.PlaneStride) + ((nint)i * spec.Pitch) + j,
                Target = spec.OutOffset(i, j),
                Length = length,
                Image = image,
            };
            column += length;
        }
        return count;
    }

    // All panels of one block of k, for tiles that share them.
    [SkipLocalsInit]
    private static void GatherBlock<V>(in Unit unit, int columns, int k0) where V : unmanaged, IVector<V>
    {
        PlanarSpec spec = unit.Job.Spec;
        Segment* segments = stackalloc Segment[TileColumns];
        Panel* panels = stackalloc Panel[TileColumns];
        int count = Cut<V>(unit, 0, columns, panels, segments), k = Math.Min(Packing.BlockLength(spec.Depth), spec.Depth - k0);
        float* b = unit.Panels + ((nint)PaddedColumns<V>(columns) * k0);
        for (int j = 0; j < count; j++)
        {
            Gather(unit.Planes, unit.Offsets + k0, k, segments + panels[j].FirstSegment, panels[j].Segments, panels[j].Width, panels[j].Pitch, !spec.InPlace, false, AsksAhead<V>(), b);
            b += (nint)panels[j].Pitch * k;
        }
    }

    // Measured with registers of 256 bits alone.
    private static bool AsksAhead<V>() where V : unmanaged, IVector<V> => V.Count == 8 && MicroKernel.AsksAhead;

    // A panel [k, panelWidth]. mayReadBeyond: there is memory behind the planes, mayWriteBeyond: and behind the panel (see Slack); ahead: the next panel's rows are asked for.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Gather(float* planes, nint* offsets, int k, Segment* segments, int count, int width, int panelWidth, bool mayReadBeyond, bool mayWriteBeyond, bool ahead, float* panel)
    {
        if (count == 1 && width == panelWidth && (width & 7) == 0)
        {
            float* source = planes + segments[0].Source;
            for (int p = 0; p < k; p++)
            {
                float* from = source + offsets[p];
                for (int x = 0; x < width; x += 8) Vector256.Load(from + x).Store(panel + x);
                if (Sse.IsSupported)
                {
                    // The next panel begins where this one ends; rows lie pages apart, where no hardware looks ahead.
                    Sse.Prefetch1(from + width);
                    Sse.Prefetch1(from + width + 16);
                }
                panel += panelWidth;
            }
            return;
        }
        if (width < panelWidth) new Span<float>(panel, k * panelWidth).Clear();
        if (mayReadBeyond && panelWidth >= 16)
        {
            // Whole registers; what a run writes too much, the next run writes over. Runs whose registers would pass the end of the row are copied exactly: what lies behind the last row may be another thread's.
            int whole = 0, limit = mayWriteBeyond && width == panelWidth ? int.MaxValue : width;
            for (int at = 0; whole < count && at + ((segments[whole].Length + 7) & ~7) <= limit; at += segments[whole++].Length) ;
            // The line behind the one where the next panel begins: planes that fill the second cache are read a line or two of a row at a time, which no hardware follows.
            bool asks = ahead && Sse.IsSupported;
            nint next = segments[count - 1].Source + segments[count - 1].Length + 16;
            for (int p = 0; p < k; p++)
            {
                float* from = planes + offsets[p];
                float* to = panel;
                if (asks) Sse.Prefetch1(from + next);
                for (int s = 0; s < whole; s++)
                {
                    float* f = from + segments[s].Source;
                    int length = segments[s].Length;
                    Vector256.Load(f).Store(to);
                    for (int x = 8; x < length; x += 8) Vector256.Load(f + x).Store(to + x);
                    to += length;
                }
                for (int s = whole; s < count; s++)
                {
                    CopyExact(from + segments[s].Source, to, segments[s].Length);
                    to += segments[s].Length;
                }
                panel += panelWidth;
            }
            return;
        }
        for (int p = 0; p < k; p++)
        {
            float* from = planes + offsets[p];
            float* to = panel;
            for (int s = 0; s < count; s++)
            {
                CopyExact(from + segments[s].Source, to, segments[s].Length);
                to += segments[s].Length;
            }
            panel += panelWidth;
        }
    }

    // The last register of eight or four ends with the run.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyExact(float* from, float* to, int length)
    {
        if (length >= 8)
        {
            Vector256<float> end = Vector256.Load(from + length - 8);
            for (int x = 0; x + 8 < length; x += 8) Vector256.Load(from + x).Store(to + x);
            end.Store(to + length - 8);
        }
        else if (length >= 4)
        {
            Vector128<float> begin = Vector128.Load(from), end = Vector128.Load(from + length - 4);
            begin.Store(to);
            end.Store(to + length - 4);
        }
        else
        {
            for (int x = 0; x < length; x++) to[x] = from[x];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Finish<V>(float* from, float* to, int step, float* residual, int length, float bias, bool hasBias, Clamp clamp, bool accumulate) where V : unmanaged, IVector<V>
    {
        bool clamped = !clamp.IsNone;
        int x = 0;
        if (step == 1)
        {
            V low = V.Broadcast(clamp.Low), high = V.Broadcast(clamp.High), zero = V.Broadcast(clamp.Zero), b = V.Broadcast(bias);
            for (; x + V.Count <= length; x += V.Count)
            {
                V v = V.Load(from + x);
                if (accumulate) v = V.Add(V.Load(to + x), v);
                if (hasBias) v = V.Add(v, b);
                if (residual != null) v = V.Add(v, V.Load(residual + x));
                if (clamped) v = Clamp.Bounded(v, low, high, zero);
                V.Store(v, to + x);
            }
        }
        for (; x < length; x++)
        {
            float v = from[x];
            if (accumulate) v += to[(nint)x * step];
            if (hasBias) v += bias;
            if (residual != null) v += residual[(nint)x * step];
            if (clamped) v = MathF.Min(MathF.Max(v, clamp.Low), clamp.High);
            to[(nint)x * step] = v;
        }
    }
}
