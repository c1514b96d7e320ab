using System.Numerics.Tensors;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>The gradient of a convolution's weight for layers of some output channels, by <see cref="OuterProducts"/>.</summary>
/// <remarks>
/// A few images are one unit: its input is laid out in padded planes, its gradient turned so that the channels of a pixel lie side by side, and some hundred
/// pixels at a time go through all weights while they are in the first-level cache. Sums lie as [groups, depth, output channels] until the end. The batch is cut
/// into at most 16 ranges, whose sums are added in order; for large weights tiles of these are the parts instead.
/// </remarks>
internal sealed unsafe class OuterWeightGradient : ILevelWork
{
    // The fewest output channels of a group for which this is worth while.
    private const int FewestRows = 8;

    // Pixels of a pass: their gradients of 32 channels take 32 KiB.
    private const int PassPixels = 256;
    private const int MostRanges = 16;
    private const long PartialFloats = 1 << 23;
    private const int TriplesPerPart = 16;

    private readonly Convolution2D _geometry;
    private readonly PlanarSpec _spec;
    private readonly int _rows, _padded, _images, _rowsPerPass, _triples;
    private readonly nint _second, _third;
    private readonly nint[] _bases;
    private readonly int[] _places;
    private readonly nint[] _rowOffsets;
    private readonly float* _input;
    private readonly float* _outputGradient;
    private readonly float* _weightGradient;

    public OuterWeightGradient(in Convolution2D geometry, float* input, float* outputGradient, float* weightGradient)
    {
        _geometry = geometry;
        _input = input;
        _outputGradient = outputGradient;
        _weightGradient = weightGradient;
        _spec = geometry.UnstridedSpec();
        _rows = geometry.OutChannels / geometry.Groups;
        _padded = (_rows + OuterProducts.Group - 1) / OuterProducts.Group * OuterProducts.Group;
        int points = Points;
        _images = Math.Clamp((PassPixels - 1 + points) / points, 1, geometry.Batch);
        int lines = _images * geometry.OutHeight, passes = Math.Max(1, lines * geometry.OutWidth / PassPixels);
        _rowsPerPass = (lines + passes - 1) / passes;
        _rowOffsets = new nint[lines];
        for (int r = 0; r < lines; r++) _rowOffsets[r] = (r / geometry.OutHeight * ImageStride) + (r % geometry.OutHeight * geometry.StrideY * (nint)_spec.Pitch);
        (_bases, _places, _triples, _second, _third) = Triples();
    }

    private int Points => _geometry.OutHeight * _geometry.OutWidth;

    private int UnitPoints => _images * Points;

    private int Units => (_geometry.Batch + _images - 1) / _images;

    // Distance of images in the planes of a unit.
    private nint ImageStride => (_spec.InPlace ? _geometry.Groups : 1) * _spec.Channels * _spec.ChannelSize;

    private long InputFloats => _spec.InPlace ? 0 : _images * ImageStride;

    private long GradientFloats => (long)UnitPoints * _padded;

    private int SumFloats => checked(_geometry.Groups * _spec.Depth * _padded);

    /// <summary>Whether groups have output channels enough for registers of them, and the sums, whose rows are filled up to whole registers, can be counted.</summary>
    public static bool Suits(in Convolution2D geometry)
    {
        long rows = geometry.OutChannels / geometry.Groups, padded = (rows + OuterProducts.Group - 1) / OuterProducts.Group * OuterProducts.Group;
        return rows >= FewestRows && (decimal)geometry.InChannels * geometry.KernelHeight * geometry.KernelWidth * padded <= int.MaxValue;
    }

    public void Run<V>() where V : unmanaged, IVector<V>
    {
        int units = Units, ranges = MostRanges, sums = SumFloats;
        // A power of two: as many for each of two threads, or of four.
        while (ranges > 1 && (ranges > units || (long)ranges * sums > PartialFloats)) ranges /= 2;
        bool cut = ranges >= 4 || (ranges > 1 && ranges == units);
        if (!cut) ranges = 1;
        using Scratch.Buffer partial = Scratch.Rent((long)sums * ranges);
        nint first = (nint)partial.Pointer;
        if (cut) RunParts(ranges, new RangeParts<V>(this, ranges, first));
        else
        {
            new Span<float>(partial.Pointer, sums).Clear();
            using Scratch.Buffer x = Scratch.Rent(InputFloats), y = Scratch.Rent(GradientFloats);
            for (int unit = 0; unit < units; unit++)
            {
                for (int group = 0; group < _geometry.Groups; group++)
                {
                    var operands = new Operands(this, unit, group, x.Pointer, y.Pointer);
                    RunParts(_spec.Channels + (_padded / OuterProducts.Group), new BuildParts(operands));
                    RunParts((_triples + TriplesPerPart - 1) / TriplesPerPart, new TileParts<V>(operands, first));
                }
            }
        }
        RunParts(_geometry.Groups * ((_spec.Depth + FoldParts.Lines - 1) / FoldParts.Lines), new FoldParts(this, ranges, first));
    }

    private void RunParts<TWork>(int parts, TWork work) where TWork : IParts =>
        WeightGradientJob.RunParts((long)_geometry.Batch * _geometry.OutChannels * _spec.Depth * Points, parts, work);

    // The columns of the weight in threes that lie equally far apart: taps of a row of the kernel, or channels of three ranges where a row has one tap.
    private (nint[] Bases, int[] Places, int Triples, nint Second, nint Third) Triples()
    {
        int taps = _spec.Taps, width = _geometry.KernelWidth, channels = _spec.Channels;
        var bases = new List<nint>();
        var places = new List<int>();
        var taken = new bool[_spec.Depth];
        nint second, third;
        if (width == 1)
        {
            int third0 = (channels + 2) / 3, s = Math.Min(third0, channels - third0), t = channels - third0;
            (second, third) = (s * _spec.ChannelSize, t * _spec.ChannelSize);
            for (int c = 0; c < third0; c++)
            {
                for (int tap = 0; tap < taps; tap++) Add((c * _spec.ChannelSize) + _spec.TapOffsets[tap], (c * taps) + tap, ((c + s) * taps) + tap, ((c + t) * taps) + tap);
            }
        }
        else
        {
            int last = Math.Min(2, width - 1);
            (second, third) = (_geometry.DilationX, (nint)last * _geometry.DilationX);
            for (int row = 0; row < channels * _geometry.KernelHeight; row++)
            {
                int c = row / _geometry.KernelHeight, firstTap = row % _geometry.KernelHeight * width;
                for (int x = 0; x < width; x += 3)
                {
                    // The last three may overlap those before: nothing is read beyond a row of the kernel.
                    int tap = firstTap + Math.Max(0, Math.Min(x, width - 3)), k = (c * taps) + tap;
                    Add((c * _spec.ChannelSize) + _spec.TapOffsets[tap], k, k + 1, k + last);
                }
            }
        }
        int count = bases.Count;
        for (int i = 0; i < OuterProducts.MostTriples; i++)
        {
            bases.Add(bases[count - 1]);
            places.AddRange([-1, -1, -1]);
        }
        return ([.. bases], [.. places], count, second, third);

        void Add(nint at, int a, int b, int c)
        {
            bases.Add(at);
            places.Add(Take(a));
            places.Add(Take(b));
            places.Add(Take(c));
        }

        int Take(int k)
        {
            if (taken[k]) return -1;
            taken[k] = true;
            return k;
        }
    }

    // What one unit and group multiplies.
    private readonly struct Operands
    {
        private readonly OuterWeightGradient _job;
        private readonly int _firstImage, _images, _group;
        private readonly float* _x;
        private readonly float* _y;

        public Operands(OuterWeightGradient job, int unit, int group, float* x, float* y)
        {
            _job = job;
            _group = group;
            _y = y;
            _firstImage = unit * job._images;
            _images = Math.Min(job._images, job._geometry.Batch - _firstImage);
            _x = job._spec.InPlace ? Input(0, 0) : x;
        }

        public int Triples => _job._triples;

        public int Channels => _job._spec.Channels;

        public float* Input(int image, int channel)
        {
            PlanarSpec spec = _job._spec;
            nint index = ((((nint)(_firstImage + image) * _job._geometry.Groups) + _group) * spec.Channels) + channel;
            return _job._input + (index * spec.Height * spec.Width);
        }

        public void Build()
        {
            for (int c = 0; c < _job._spec.Channels; c++) BuildInput(c);
            for (int g = 0; g < _job._padded / OuterProducts.Group; g++) BuildGradient(g);
        }

        public void BuildInput(int channel)
        {
            PlanarSpec spec = _job._spec;
            if (spec.InPlace) return;
            for (int image = 0; image < _images; image++) spec.BuildChannel(Input(image, channel), _x + (image * _job.ImageStride) + (channel * spec.ChannelSize));
        }

        // Sixteen channels of the gradient, side by side for each pixel.
        public void BuildGradient(int index)
        {
            int first = index * OuterProducts.Group, rows = Math.Min(OuterProducts.Group, _job._rows - first), points = _job.Points;
            (int block, int width) = Block(first);
            for (int image = 0; image < _images; image++)
            {
                float* from = _job._outputGradient + (((((nint)(_firstImage + image) * _job._geometry.Groups) + _group) * _job._rows) + first) * points;
                float* to = _y + ((nint)block * _job.UnitPoints) + ((nint)image * points * width) + (first - block);
                if (rows < OuterProducts.Group)
                {
                    for (int p = 0; p < points; p++) new Span<float>(to + ((nint)p * width), OuterProducts.Group).Clear();
                }
                Packing.Transpose(from, points, rows, points, to, width);
            }
        }

        // The block of a channel: where it begins and how many channels it has.
        private (int First, int Width) Block(int channel)
        {
            int first = channel / (2 * OuterProducts.Group) * 2 * OuterProducts.Group;
            return (first, Math.Min(2 * OuterProducts.Group, _job._padded - first));
        }

        // sums [depth, padded] += products of this unit, for some triples.
        public void Accumulate<V>(float* sums, int firstTriple, int endTriple) where V : unmanaged, IVector<V>
        {
            Convolution2D geometry = _job._geometry;
            int lines = _images * geometry.OutHeight;
            float* target = sums + ((nint)_group * _job._spec.Depth * _job._padded);
            fixed (nint* rowOffsets = _job._rowOffsets, bases = _job._bases)
            fixed (int* places = _job._places)
            {
                for (int line = 0; line < lines; line += _job._rowsPerPass)
                {
                    for (int block = 0; block < _job._padded; block += 2 * OuterProducts.Group)
                    {
                        int width = Block(block).Width;
                        var pixels = new OuterProducts.Pixels
                        {
                            Y = _y + ((nint)block * _job.UnitPoints) + ((nint)line * geometry.OutWidth * width),
                            YStep = width,
                            X = _x,
                            RowOffsets = rowOffsets + line,
                            Rows = Math.Min(_job._rowsPerPass, lines - line),
                            Width = geometry.OutWidth,
                            Step = geometry.StrideX,
                            TargetStep = _job._padded,
                        };
                        OuterProducts.Run<V>(pixels, bases + firstTriple, endTriple - firstTriple, _job._second, _job._third, target + block, places + (3 * firstTriple));
                    }
                }
            }
        }
    }

    private readonly struct RangeParts<V>(OuterWeightGradient job, int ranges, nint partial) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            float* sums = (float*)partial + ((nint)part * job.SumFloats);
            new Span<float>(sums, job.SumFloats).Clear();
            int first = (int)((long)job.Units * part / ranges), end = (int)((long)job.Units * (part + 1) / ranges);
            using Scratch.Buffer x = Scratch.Rent(job.InputFloats), y = Scratch.Rent(job.GradientFloats);
            for (int unit = first; unit < end; unit++)
            {
                for (int group = 0; group < job._geometry.Groups; group++)
                {
                    var operands = new Operands(job, unit, group, x.Pointer, y.Pointer);
                    operands.Build();
                    operands.Accumulate<V>(sums, 0, operands.Triples);
                }
            }
        }
    }

    private readonly struct BuildParts(Operands operands) : IParts
    {
        private readonly int _channels = operands.Channels;

        public void Run(int part)
        {
            if (part < _channels) operands.BuildInput(part);
            else operands.BuildGradient(part - _channels);
        }
    }

    private readonly struct TileParts<V>(Operands operands, nint sums) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            int first = part * TriplesPerPart;
            operands.Accumulate<V>((float*)sums, first, Math.Min(first + TriplesPerPart, operands.Triples));
        }
    }

    // Adds the ranges in order and turns the sums of some columns into rows of the weight.
    private readonly struct FoldParts(OuterWeightGradient job, int ranges, nint partial) : IParts
    {
        public const int Lines = 32;

        public void Run(int part)
        {
            int depth = job._spec.Depth, perGroup = (depth + Lines - 1) / Lines, group = part / perGroup, k = part % perGroup * Lines, count = Math.Min(Lines, depth - k);
            float* sums = (float*)partial + ((((nint)group * depth) + k) * job._padded);
            var total = new Span<float>(sums, count * job._padded);
            for (int r = 1; r < ranges; r++) TensorPrimitives.Add(total, new ReadOnlySpan<float>(sums + ((nint)r * job.SumFloats), total.Length), total);
            Packing.Transpose(sums, job._padded, count, job._rows, job._weightGradient + ((nint)group * job._rows * depth) + k, depth);
        }
    }
}
