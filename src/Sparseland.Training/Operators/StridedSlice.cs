using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Every n-th index of some axes, all in one pass.</summary>
internal static class StridedSlice
{
    /// <summary>y[i, j, ..] = x[starts[0] + i * steps[0], starts[1] + j * steps[1], ..].</summary>
    /// <param name="x">The input.</param>
    /// <param name="starts">The first index of each axis.</param>
    /// <param name="steps">The distance of indices; negative goes backwards.</param>
    /// <param name="counts">The shape of the result; all indices lie inside x.</param>
    public static Tensor Apply(Tensor x, int[] starts, int[] steps, int[] counts)
    {
        Tensor y = Tensor.Uninitialized(counts);
        int[] source = x.ShapeArray, target = [.. counts];
        var places = new Places(source, starts, steps, counts);
        places.Copy(x.Array, y.Array);
        return Tape.Record("Slice", y, [x], [], flow => flow.GiveSelected(0, new SelectedGradient(flow.Share(target), source, places.Add)));
    }

    /// <summary>Where the rows of a result lie in the whole.</summary>
    private sealed class Places
    {
        // The last two axes, which are walked; those before are listed.
        private readonly int[] _planes;
        private readonly int _rows, _rowStep, _columns, _columnStep;

        public Places(int[] sizes, int[] starts, int[] steps, int[] counts)
        {
            var axes = new List<(int Size, int Start, int Step, int Count)>();
            for (int i = 0; i < sizes.Length; i++)
            {
                (int size, int start, int step, int count) = (sizes[i], starts[i], steps[i], counts[i]);
                // What is whole belongs to the axis before it where that has neighbours.
                if (axes.Count > 0 && axes[^1].Step == 1 && start == 0 && step == 1 && count == size)
                {
                    (int Size, int Start, int Step, int Count) before = axes[^1];
                    axes[^1] = (before.Size * size, before.Start * size, 1, before.Count * size);
                }
                else axes.Add((size, start, step, count));
            }
            while (axes.Count < 2) axes.Insert(0, (1, 0, 1, 1));
            (int width, int firstColumn, _columnStep, _columns) = axes[^1];
            (int height, int firstRow, int rowStep, _rows) = axes[^2];
            _rowStep = rowStep * width;
            int planes = 1;
            foreach ((int _, int _, int _, int count) in axes[..^2]) planes *= count;
            _planes = new int[_rows == 0 || _columns == 0 ? 0 : planes];
            for (int p = 0; p < _planes.Length; p++)
            {
                int left = p, distance = height * width, at = (firstRow * width) + firstColumn;
                for (int i = axes.Count - 3; i >= 0; i--)
                {
                    at += (axes[i].Start + (left % axes[i].Count * axes[i].Step)) * distance;
                    left /= axes[i].Count;
                    distance *= axes[i].Size;
                }
                _planes[p] = at;
            }
        }

        /// <summary>Reads the selected values of the whole.</summary>
        public void Copy(float[] whole, float[] selected) => Each((row, place) =>
        {
            Span<float> to = selected.AsSpan(row, _columns);
            if (_columnStep == 1)
            {
                whole.AsSpan(place, _columns).CopyTo(to);
                return;
            }
            for (int i = 0; i < to.Length; i++, place += _columnStep) to[i] = whole[place];
        });

        /// <summary>Adds selected values to the whole.</summary>
        public void Add(float[] selected, float[] whole) => Each((row, place) =>
        {
            ReadOnlySpan<float> from = selected.AsSpan(row, _columns);
            if (_columnStep == 1)
            {
                Span<float> to = whole.AsSpan(place, _columns);
                TensorPrimitives.Add(to, from, to);
                return;
            }
            for (int i = 0; i < from.Length; i++, place += _columnStep) whole[place] += from[i];
        });

        // Calls body(first value of a row of the selection, its place in the whole).
        private void Each(Action<int, int> body) => Chunks.RangesOfRows(_planes.Length * _rows, _columns, (first, count) =>
        {
            (int p, int r) = Math.DivRem(first, _rows);
            for (int i = first; i < first + count; i++)
            {
                body(i * _columns, _planes[p] + (r * _rowStep));
                if (++r == _rows) (p, r) = (p + 1, 0);
            }
        });
    }
}
