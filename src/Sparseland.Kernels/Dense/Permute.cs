namespace Sparseland.Kernels.Dense;

/// <summary>Copies that reorder arrays of any rank.</summary>
public static unsafe class Permute
{
    /// <summary>output = input with its axes in another order: axis i of the output is axis order[i] of the input.</summary>
    /// <param name="input">Values in the given shape.</param>
    /// <param name="shape">Shape of the input.</param>
    /// <param name="order">A permutation of the axes.</param>
    /// <param name="output">As many values; must not overlap the input.</param>
    /// <exception cref="ArgumentException">order is no permutation or a span is too short.</exception>
    public static void Copy(ReadOnlySpan<float> input, ReadOnlySpan<int> shape, ReadOnlySpan<int> order, Span<float> output)
    {
        int rank = shape.Length;
        if (order.Length != rank) throw new ArgumentException($"{order.Length} axes for rank {rank}.", nameof(order));
        var seen = new bool[rank];
        long count = 1;
        for (int i = 0; i < rank; i++)
        {
            if ((uint)order[i] >= (uint)rank || seen[order[i]]) throw new ArgumentException("The order is not a permutation of the axes.", nameof(order));
            seen[order[i]] = true;
            count = checked(count * shape[i]);
        }
        Parts.Need(input.Length, count, nameof(input));
        Parts.Need(output.Length, count, nameof(output));
        if (count == 0) return;

        // Axes that stay neighbours are one axis; axes of length 1 are none.
        var strides = new long[rank];
        long stride = 1;
        for (int i = rank - 1; i >= 0; i--)
        {
            strides[i] = stride;
            stride *= shape[i];
        }
        var sizes = new List<int>();
        var steps = new List<long>();
        foreach (int axis in order)
        {
            if (shape[axis] == 1) continue;
            if (sizes.Count > 0 && steps[^1] == strides[axis] * shape[axis])
            {
                sizes[^1] *= shape[axis];
                steps[^1] = strides[axis];
            }
            else
            {
                sizes.Add(shape[axis]);
                steps.Add(strides[axis]);
            }
        }
        fixed (float* pi = input, po = output) Strided(pi, [.. sizes], [.. steps], po);
    }

    /// <summary>Transposes each of batch matrices [rows, columns] into [columns, rows].</summary>
    /// <param name="input">[batch, rows, columns].</param>
    /// <param name="output">[batch, columns, rows]; must not overlap the input.</param>
    /// <param name="batch">Matrices.</param>
    /// <param name="rows">Rows of each.</param>
    /// <param name="columns">Columns of each.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void Transpose(ReadOnlySpan<float> input, Span<float> output, int batch, int rows, int columns) => Copy(input, [batch, rows, columns], [0, 2, 1], output);

    // output is dense in the given sizes; the input has a step per axis.
    private static void Strided(float* input, int[] sizes, long[] steps, float* output)
    {
        int rank = sizes.Length;
        if (rank == 0)
        {
            *output = *input;
            return;
        }
        int inner = sizes[^1];
        if (steps[^1] == 1 || rank == 1)
        {
            long rows = 1;
            for (int i = 0; i < rank - 1; i++) rows *= sizes[i];
            Parts.Rows(checked((int)rows), inner, (first, end) =>
            {
                for (int r = first; r < end; r++)
                {
                    float* from = input + Offset(r, sizes, steps, rank - 2, -1);
                    if (steps[^1] == 1) new ReadOnlySpan<float>(from, inner).CopyTo(new Span<float>(output + ((nint)r * inner), inner));
                    else
                    {
                        for (int x = 0; x < inner; x++) output[((nint)r * inner) + x] = from[x * steps[^1]];
                    }
                }
            });
            return;
        }

        // The last axis of the output and the axis that is contiguous in the input make a matrix; the others are loops.
        int contiguous = Array.IndexOf(steps, 1L);
        if (contiguous < 0) contiguous = rank - 2;
        bool unit = steps[contiguous] == 1;
        long outputStep = 1;
        for (int i = contiguous + 1; i < rank; i++) outputStep *= sizes[i];
        var outputSteps = new long[rank];
        long running = 1, loops = 1;
        for (int i = rank - 1; i >= 0; i--)
        {
            outputSteps[i] = running;
            running *= sizes[i];
            if (i != rank - 1 && i != contiguous) loops *= sizes[i];
        }
        const int tile = 64;
        int tiles = (inner + tile - 1) / tile;
        Parts.Rows(checked((int)(loops * tiles)), (long)Math.Min(inner, tile) * sizes[contiguous], (first, end) =>
        {
            for (int part = first; part < end; part++)
            {
                int loop = part / tiles, x0 = part % tiles * tile, width = Math.Min(tile, inner - x0);
                float* from = input + Offset(loop, sizes, steps, rank - 2, contiguous) + (x0 * steps[^1]);
                float* to = output + Offset(loop, sizes, outputSteps, rank - 2, contiguous) + x0;
                if (unit)
                {
                    for (int y = 0; y < sizes[contiguous]; y += tile)
                        Packing.Transpose(from + y, (nint)steps[^1], width, Math.Min(tile, sizes[contiguous] - y), to + (y * outputStep), (nint)outputStep);
                    continue;
                }
                for (int y = 0; y < sizes[contiguous]; y++)
                {
                    for (int x = 0; x < width; x++) to[(y * outputStep) + x] = from[(y * steps[contiguous]) + (x * steps[^1])];
                }
            }
        });
    }

    private static nint Offset(long index, int[] sizes, long[] steps, int lastAxis, int without)
    {
        long offset = 0;
        for (int axis = lastAxis; axis >= 0; axis--)
        {
            if (axis == without) continue;
            offset += index % sizes[axis] * steps[axis];
            index /= sizes[axis];
        }
        return (nint)offset;
    }
}
