using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>A box that is cut out of an array, every so many values along an axis, and put into another one, with a value all around it: a slice, a pad, or a slice that is padded.</summary>
/// <remarks>
/// Every value of the output is written once. Threads share the rows of the planes of a single image as convolutions share its pixels, so that each reads and writes what it wrote before and reads next; where a batch or planes of few pixels are shared
/// by whole planes, so are they here.
/// </remarks>
public sealed unsafe class PaddedBox
{
    // Values of the output: fewer are written before another thread has begun.
    private const int LeastShared = 4096;

    // Pixels of eight registers: threads share those of larger images, and the channels of smaller ones.
    private const int LeastPixels = 128;

    private readonly int[] _input, _start, _step, _output, _to, _size;
    private readonly float _value;

    /// <summary>A box; all arguments have an entry for each axis.</summary>
    /// <param name="input">Shape of the input.</param>
    /// <param name="start">First position read.</param>
    /// <param name="step">Step in the input, not 0; negative reads backwards.</param>
    /// <param name="output">Shape of the output.</param>
    /// <param name="to">First position written.</param>
    /// <param name="size">Size of the box, at least 0.</param>
    /// <param name="value">What the output has outside of the box.</param>
    /// <exception cref="ArgumentException">Ranks differ, or the box leaves either array.</exception>
    public PaddedBox(ReadOnlySpan<int> input, ReadOnlySpan<int> start, ReadOnlySpan<int> step, ReadOnlySpan<int> output, ReadOnlySpan<int> to, ReadOnlySpan<int> size, float value = 0)
    {
        int rank = input.Length;
        if (start.Length != rank || step.Length != rank || output.Length != rank || to.Length != rank || size.Length != rank) throw new ArgumentException("The ranks of the arguments differ.");
        for (int i = 0; i < rank; i++)
        {
            if (size[i] < 0 || step[i] == 0 || input[i] < 0 || output[i] < 0) throw new ArgumentException($"Axis {i}: size {size[i]}, step {step[i]}, arrays of {input[i]} and {output[i]}.", nameof(size));
            if (size[i] == 0) continue;
            long last = start[i] + ((long)(size[i] - 1) * step[i]);
            if (start[i] < 0 || start[i] >= input[i] || last < 0 || last >= input[i] || to[i] < 0 || (long)to[i] + size[i] > output[i])
                throw new ArgumentException($"Axis {i}: the box of {size[i]} from {start[i]} by {step[i]} to {to[i]} leaves sizes {input[i]} and {output[i]}.", nameof(size));
        }
        (_input, _start, _step, _output, _to, _size) = (input.ToArray(), start.ToArray(), step.ToArray(), output.ToArray(), to.ToArray(), size.ToArray());
        _value = value;
    }

    /// <summary>The box that does in one copy what <paramref name="first"/> and then this one do; null where the first one's output is no input of this one, or has something around its box.</summary>
    /// <param name="first">The box that is copied before.</param>
    public PaddedBox? After(PaddedBox first)
    {
        ArgumentNullException.ThrowIfNull(first);
        if (!first._output.AsSpan().SequenceEqual(_input) || !first._size.AsSpan().SequenceEqual(first._output)) return null;
        int rank = _input.Length;
        int[] start = new int[rank], step = new int[rank];
        for (int i = 0; i < rank; i++)
        {
            long by = (long)first._step[i] * _step[i], from = first._start[i] + ((long)_start[i] * first._step[i]);
            // A box without values may begin anywhere.
            if (by != (int)by || from != (int)from) return null;
            (start[i], step[i]) = ((int)from, (int)by);
        }
        return new PaddedBox(first._input, start, step, _output, _to, _size, _value);
    }

    /// <summary>Writes the output; gaps between its planes keep what they hold.</summary>
    /// <param name="input">Values in the shape of the input.</param>
    /// <param name="output">Values in the shape of the output; must not overlap the input.</param>
    /// <param name="inputPlane">Floats from one plane, which is the last two axes, of the input to the next (<see cref="PlaneSpacing"/>); 0 for no gaps.</param>
    /// <param name="outputPlane">The same of the output.</param>
    /// <exception cref="ArgumentException">A span is too short, planes overlap or are fewer than two axes.</exception>
    public void Copy(ReadOnlySpan<float> input, Span<float> output, int inputPlane = 0, int outputPlane = 0)
    {
        int rank = _input.Length;
        if (rank < 2 && (inputPlane | outputPlane) != 0) throw new ArgumentException($"Arrays of rank {rank} have no planes.", nameof(inputPlane));
        int fromRows = At(_input, 2), fromColumns = At(_input, 1), rows = At(_output, 2), columns = At(_output, 1);
        nint from = PlaneSpacing.Of(inputPlane, checked(fromRows * fromColumns), nameof(inputPlane)), to = PlaneSpacing.Of(outputPlane, checked(rows * columns), nameof(outputPlane));
        long fromPlanes = 1, planes = 1;
        for (int i = 0; i < rank - 2; i++) (fromPlanes, planes) = (checked(fromPlanes * _input[i]), checked(planes * _output[i]));
        Parts.Need(input.Length, checked(fromPlanes * from), nameof(input));
        Parts.Need(output.Length, checked(planes * to), nameof(output));
        if (planes * rows * columns == 0) return;
        fixed (float* pi = input, po = output)
        {
            var copy = new CopyParts { Box = this, Input = pi, Output = po, InputPlane = from, OutputPlane = to, Planes = (int)planes, Rows = rows, Columns = columns, Threads = 1 };
            int threads = planes * rows * columns < LeastShared ? 1 : WorkPool.Threads;
            copy.SharesRows = planes < threads || rows >= threads && rows * (long)columns >= LeastPixels && (rank < 4 || _output[0] == 1);
            copy.Threads = (int)Math.Min(threads, copy.SharesRows ? rows : planes);
            WorkPool.Run(copy.Threads, copy);
        }
    }

    /// <summary>The entry of an axis counted from the last, which is 1; 1 where there is none.</summary>
    private static int At(int[] shape, int fromEnd) => shape.Length >= fromEnd ? shape[^fromEnd] : 1;

    /// <summary>Rows firstRow .. endRow-1 of one plane of the output.</summary>
    private void CopyPlane(float* input, nint inputPlane, int plane, float* to, int firstRow, int endRow, int columns)
    {
        int rank = _input.Length, rest = plane;
        nint source = 0, stride = inputPlane;
        for (int i = rank - 3; i >= 0; i--)
        {
            int at = rest % _output[i] - _to[i];
            rest /= _output[i];
            if ((uint)at >= (uint)_size[i])
            {
                Fill(to, firstRow, endRow, columns);
                return;
            }
            source += stride * (_start[i] + (nint)at * _step[i]);
            stride *= _input[i];
        }
        (int row, int rowStart, int rowStep, int rowCount) = rank >= 2 ? (_to[^2], _start[^2], _step[^2], _size[^2]) : (0, 0, 1, 1);
        (int column, int columnStart, int columnStep, int count) = rank >= 1 ? (_to[^1], _start[^1], _step[^1], _size[^1]) : (0, 0, 1, 1);
        int fromColumns = At(_input, 1), first = Math.Clamp(row, firstRow, endRow), end = count == 0 ? first : (int)Math.Clamp((long)row + rowCount, first, endRow);
        Fill(to, firstRow, first, columns);
        float* from = input + source + (nint)fromColumns * (rowStart + (nint)(first - row) * rowStep) + columnStart;
        if (rowStep == 1 && columnStep == 1 && count == columns && columns == fromColumns) CopyRow(from, 1, to + (nint)first * columns, (end - first) * columns, 0, 0);
        else
        {
            // Registers may be loaded up to the end of the row: as many whole steps as there are values.
            int over = columnStep > 0 ? columnStart % columnStep : 0;
            bool isWhole = columnStep > 1 && columnStart - over + (long)count * columnStep <= fromColumns;
            for (int r = first; r < end; r++, from += (nint)fromColumns * rowStep)
            {
                float* line = to + (nint)r * columns;
                new Span<float>(line, column).Fill(_value);
                CopyRow(from, columnStep, line + column, count, isWhole ? columnStep : 0, over);
                new Span<float>(line + column + count, columns - column - count).Fill(_value);
            }
        }
        Fill(to, end, endRow, columns);
    }

    private static void CopyRow(float* from, int step, float* to, int count, int whole, int over)
    {
        if (step == 1) new ReadOnlySpan<float>(from, count).CopyTo(new Span<float>(to, count));
        else if (whole > 0) EveryNth.Copy(from - over, over, whole, to, count);
        else EveryNth.Copy(from, step, to, count);
    }

    private void Fill(float* to, int first, int end, int columns) => new Span<float>(to + (nint)first * columns, (end - first) * columns).Fill(_value);

    private struct CopyParts : IParts
    {
        public PaddedBox Box;
        public float* Input, Output;
        public nint InputPlane, OutputPlane;
        public int Planes, Rows, Columns, Threads;
        public bool SharesRows;

        public readonly void Run(int part)
        {
            (int firstRow, int endRow) = SharesRows ? Share(Rows, part) : (0, Rows);
            (int firstPlane, int endPlane) = SharesRows ? (0, Planes) : Share(Planes, part);
            for (int p = firstPlane; p < endPlane; p++) Box.CopyPlane(Input, InputPlane, p, Output + p * OutputPlane, firstRow, endRow, Columns);
        }

        private readonly (int First, int End) Share(int all, int part) => ((int)((long)all * part / Threads), (int)((long)all * (part + 1) / Threads));
    }
}
